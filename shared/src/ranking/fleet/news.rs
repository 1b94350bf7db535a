//! What is worth telling: a row that differs by no more than noise stays as it was told, so that a
//! push is as large as what has changed. Shares of one model and mode are told together or not at
//! all: they go on summing to one.

use crate::ranking::{
    BEHIND_STEPS, Mode, NewsTuning, Percentiles, ProbeLease, RankingRow, State, Tuning, behind_u8,
    share_u16,
};

/// What a tick found of an endpoint in a region, exactly.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) shares: [f64; 4],
    pub(super) long_run: [f64; 4],
    /// How much less weight than the best it deserves, as a natural logarithm.
    pub(super) behind: [f64; 4],
    pub(super) state: State,
    /// Milliseconds; 0 is unknown.
    pub(super) ttft: [f64; 4],
    pub(super) ttft_p95: f64,
    /// Samples behind them.
    pub(super) ttft_samples: u64,
    /// Tokens per second; 0 is unknown.
    pub(super) throughput: [f64; 4],
    pub(super) throughput_samples: u64,
    pub(super) failure: f64,
    pub(super) tool_failure: f64,
    /// Requests per second.
    pub(super) cap: Option<f64>,
    /// Tokens per second.
    pub(super) token_cap: Option<f64>,
    /// Of its provider's account; none is all of it.
    pub(super) part: Option<f64>,
    pub(super) probe: Option<ProbeLease>,
}

/// What a row says of an endpoint's part of the traffic, by mode.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    pub(super) share: [u16; 4],
    pub(super) long_run: [u16; 4],
    pub(super) behind: [u8; 4],
}

impl Shares {
    pub(super) fn of(row: &RankingRow) -> Self {
        Self {
            share: row.share,
            long_run: row.long_run,
            behind: row.behind,
        }
    }
}

/// A share that has doubled or halved is news, however few samples say so.
const NOISE_MAX: f64 = std::f64::consts::LN_2;
/// A weight that has tripled, or is a third, is news.
const OVERTAKEN: f64 = 1.1;
/// What the told shares of a mode may lack of what they sum to: more is news, however little each
/// of them has moved.
const MISSING_MAX: f64 = 0.02;
/// The loss of a share smaller than this is not urgent: 1 %, in 1/65535.
const LOSS_MIN: u16 = 655;

/// Are the shares of a mode worth telling? `told` are the rows of before.
pub(super) fn shares_moved(
    told: &[Option<&RankingRow>],
    now: &[Finding],
    (of, found): (impl Fn(&RankingRow) -> u16, impl Fn(&Finding) -> f64),
    (mode, tuning): (Mode, &Tuning),
) -> bool {
    let news = &tuning.news;
    let told_sum: f64 = told.iter().flatten().map(|row| part(of(row))).sum();
    let sum: f64 = now.iter().map(&found).sum();
    // Where an endpoint has left, its share is missing in what was told of the others.
    if (told_sum - sum).abs() > MISSING_MAX {
        return true;
    }
    told.iter().zip(now).any(|(told, now)| {
        let Some(told) = told else { return true };
        let before = part(of(told));
        let after = found(now);
        let changed = (before > 0.0) != (after > 0.0) || told.state != now.state;
        changed
            || (after - before).abs() > news.share_step
                && (after / before).ln().abs() > news.share.max(now.share_noise(mode, tuning))
    })
}

/// Do the weights of a mode differ from what was told by more than noise? They matter only to
/// requests that may not go to the best, so less is news of them than of shares.
pub(super) fn has_overtaken(
    told: &[Option<&RankingRow>],
    now: &[Finding],
    mode: Mode,
    tuning: &Tuning,
) -> bool {
    let at = mode.index();
    told.iter().zip(now).any(|(told, now)| {
        let before = told.and_then(|row| row.behind.get(at).copied());
        let after = now.behind.get(at).copied().unwrap_or(f64::INFINITY);
        let Some(before) = before else { return true };
        let step = f64::from(before.abs_diff(behind_u8(after))) / BEHIND_STEPS;
        step > OVERTAKEN.max(2.0 * now.share_noise(mode, tuning))
    })
}

fn part(share: u16) -> f64 {
    f64::from(share) / f64::from(u16::MAX)
}

/// The row to tell: as it was told, unless a value of it has moved; then all of it is as it is now,
/// which costs no more.
pub(super) fn row(
    told: Option<&RankingRow>,
    now: &Finding,
    shares: Shares,
    tuning: &Tuning,
) -> RankingRow {
    let mut fresh = now.row(shares);
    if let Some(told) = told {
        // All regions are told the same: leases sum to it.
        if !moved(told.cap, fresh.cap, tuning.news.cap) {
            fresh.cap = told.cap;
        }
        if !moved(told.token_cap, fresh.token_cap, tuning.news.cap) {
            fresh.token_cap = told.token_cap;
        }
    }
    match told {
        Some(told) if !now.has_moved(told, &fresh, tuning) => told.clone(),
        _ => fresh,
    }
}

impl Finding {
    /// By how much a share moves without a reason, as a logarithm: the sharper a mode follows what
    /// is measured, and the fewer samples that is, the more. A model has several endpoints, and one
    /// of them moves sooner than each: twice the noise of one.
    fn share_noise(&self, mode: Mode, tuning: &Tuning) -> f64 {
        let exponents = tuning.score.of(mode);
        let news = &tuning.news;
        let ttft = exponents.latency * noise(self.ttft_samples, news.noise, news);
        let throughput = exponents.throughput * noise(self.throughput_samples, news.noise, news);
        (2.0 * exponents.sharpness * (ttft + throughput)).min(NOISE_MAX)
    }

    fn row(&self, shares: Shares) -> RankingRow {
        RankingRow {
            share: shares.share,
            long_run: shares.long_run,
            behind: shares.behind,
            state: self.state,
            ttft_ms: percentiles(self.ttft, 1.0),
            ttft_ms_p95: whole(self.ttft_p95),
            throughput_tenths: percentiles(self.throughput, 10.0),
            failure: share_u16(self.failure),
            tool_failure: share_u16(self.tool_failure),
            cap: self.cap.map_or(0, |cap| whole(cap * 1000.0)),
            token_cap: self.token_cap.map_or(0, whole),
            part: self.part.map_or(0, share_u16),
            probe: self.probe.clone(),
        }
    }

    /// Does the row of now differ from what was told by more than noise?
    fn has_moved(&self, told: &RankingRow, now: &RankingRow, tuning: &Tuning) -> bool {
        let news = &tuning.news;
        let speeds = |told: Percentiles, now: Percentiles, noise: f64| {
            moved(told.p50, now.p50, noise)
                || moved(told.p75, now.p75, noise)
                || moved(told.p90, now.p90, 1.5 * noise)
                || moved(told.p99, now.p99, 3.0 * noise)
        };
        let probability = |told: u16, now: u16| {
            f64::from(told.abs_diff(now)) > news.failure * f64::from(u16::MAX)
        };
        let ttft = noise(self.ttft_samples, news.speed, news);
        let throughput = noise(self.throughput_samples, news.speed, news);
        told.state != now.state
            || told.probe != now.probe
            || told.share != now.share
            || told.long_run != now.long_run
            || told.behind != now.behind
            || speeds(told.ttft_ms, now.ttft_ms, ttft)
            || moved(told.ttft_ms_p95, now.ttft_ms_p95, 2.0 * ttft)
            || speeds(told.throughput_tenths, now.throughput_tenths, throughput)
            || probability(told.failure, now.failure)
            || probability(told.tool_failure, now.tool_failure)
            || told.cap != now.cap
            || told.token_cap != now.token_cap
            || told.part != now.part
    }
}

fn percentiles(values: [f64; 4], scale: f64) -> Percentiles {
    let [p50, p75, p90, p99] = values.map(|value| whole(value * scale));
    Percentiles { p50, p75, p90, p99 }
}

/// Does it change at once whom requests are sent to? That can't wait for the next tick: another
/// state, another probe, or who has lost more than half of a share. Who gains can wait.
pub(super) fn is_urgent(told: Option<&RankingRow>, new: &RankingRow) -> bool {
    let lost = |(told, new): (&u16, &u16)| *told > LOSS_MIN && *new < *told / 2;
    let urgent = |told: &RankingRow| {
        told.state != new.state
            || told.probe != new.probe
            || told.share.iter().zip(&new.share).any(lost)
    };
    told.is_none_or(urgent)
}

/// By how much a quantile of so many samples moves without a reason; what is only assumed does not.
#[expect(clippy::cast_precision_loss, reason = "a number of samples")]
fn noise(samples: u64, least: f64, tuning: &NewsTuning) -> f64 {
    if samples == 0 {
        return least;
    }
    (tuning.noise_of_one / (samples as f64).sqrt()).max(least)
}

/// Has it moved by more than so much of what was told?
fn moved(told: u32, now: u32, tolerated: f64) -> bool {
    f64::from(told.abs_diff(now)) > tolerated * f64::from(told) || (told == 0) != (now == 0)
}

/// Rounded; what is something is at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to u32"
)]
fn whole(value: f64) -> u32 {
    if value > 0.0 {
        value.round().clamp(1.0, f64::from(u32::MAX)) as u32
    } else {
        0
    }
}
