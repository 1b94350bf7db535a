//! What is worth telling: a row that differs by no more than noise stays as it was told, so that a
//! push is as large as what has changed. Shares of one model and mode are told together or not at
//! all: they go on summing to one.

use crate::ranking::{Mode, Percentiles, ProbeLease, RankingRow, State, Tuning, share_u16};

/// What a tick found of an endpoint in a region, exactly.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) shares: [f64; 4],
    pub(super) long_run: [f64; 4],
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
    pub(super) probe: Option<ProbeLease>,
}

/// By how much a measured median moves without a reason, relative.
const NOISE: f64 = 0.03;

/// Are the shares of a mode worth telling? `told` are the rows of before.
pub(super) fn shares_moved(
    told: &[Option<&RankingRow>],
    now: &[Finding],
    (of, found): (impl Fn(&RankingRow) -> u16, impl Fn(&Finding) -> f64),
    (mode, tuning): (Mode, &Tuning),
) -> bool {
    // The sharper a mode follows what is measured, the more of its noise it follows, too.
    let exponents = tuning.score.of(mode);
    let follows = exponents.sharpness * (exponents.latency + exponents.throughput);
    let relative = tuning.news.share.max(NOISE * follows);
    told.iter().zip(now).any(|(told, now)| {
        let Some(told) = told else { return true };
        let before = f64::from(of(told)) / f64::from(u16::MAX);
        let after = found(now);
        let tolerated = (relative * before).max(tuning.news.share_step);
        (before > 0.0) != (after > 0.0)
            || (after - before).abs() > tolerated
            || told.state != now.state
    })
}

/// The row to tell: each value as it was told unless it has moved.
pub(super) fn row(
    told: Option<&RankingRow>,
    now: Finding,
    (share, long_run): ([u16; 4], [u16; 4]),
    tuning: &Tuning,
) -> RankingRow {
    let unknown = RankingRow::default();
    let before = told.unwrap_or(&unknown);
    let news = &tuning.news;
    let ttft_noise = noise(now.ttft_samples, news.speed);
    let throughput_noise = noise(now.throughput_samples, news.speed);
    let percentiles = |before: Percentiles, values: [f64; 4], scale: f64, noise: f64| {
        let [p50, p75, p90, p99] = values.map(|value| whole(value * scale));
        Percentiles {
            p50: steady(before.p50, p50, noise),
            p75: steady(before.p75, p75, noise),
            p90: steady(before.p90, p90, 1.5 * noise),
            p99: steady(before.p99, p99, 3.0 * noise),
        }
    };
    let probability = |before: u16, now: f64| {
        let moved = (f64::from(before) / f64::from(u16::MAX) - now).abs() > news.failure;
        if moved || told.is_none() {
            share_u16(now)
        } else {
            before
        }
    };
    RankingRow {
        share,
        long_run,
        state: now.state,
        ttft_ms: percentiles(before.ttft_ms, now.ttft, 1.0, ttft_noise),
        ttft_ms_p95: steady(before.ttft_ms_p95, whole(now.ttft_p95), 2.0 * ttft_noise),
        throughput_tenths: percentiles(
            before.throughput_tenths,
            now.throughput,
            10.0,
            throughput_noise,
        ),
        failure: probability(before.failure, now.failure),
        tool_failure: probability(before.tool_failure, now.tool_failure),
        cap: steady(
            before.cap,
            now.cap.map_or(0, |cap| whole(cap * 1000.0)),
            news.cap,
        ),
        probe: now.probe,
    }
}

/// By how much a quantile of so many samples moves without a reason.
#[expect(clippy::cast_precision_loss, reason = "a number of samples")]
fn noise(samples: u64, least: f64) -> f64 {
    (0.5 / (samples.max(1) as f64).sqrt()).max(least)
}

/// What was told, unless it has moved by more than so much of it.
fn steady(told: u32, now: u32, tolerated: f64) -> u32 {
    let moved = f64::from(told.abs_diff(now)) > tolerated * f64::from(told);
    if moved || (told == 0) != (now == 0) {
        now
    } else {
        told
    }
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
