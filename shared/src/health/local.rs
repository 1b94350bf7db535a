//! One endpoint as one node knows it. Sickness (failures, silence, cut answers) and capacity (429,
//! overload, leases, rate-limit headers) are kept apart: who is full is not ill.

use super::allowance::Told;
use super::bucket::Bucket;
use super::evidence::is_used;
use super::{Allowance, Ask, Denied, Departure, Local, Need, Tuning, half_life};
use crate::clock::Moment;
use crate::window::Outcome;
use std::time::Duration;

/// What one node knows of one endpoint.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LocalHealth {
    seen: f64,
    bad: f64,
    updated: Moment,
    failures_in_a_row: u32,
    /// Since the last success.
    pauses: u32,
    /// One of them was this node's own.
    told: bool,
    paused: Option<Moment>,
    rests: Option<Moment>,
    acceptance: f64,
    accepted: Moment,
    quota: Bucket,
    /// The same in tokens.
    spend: Bucket,
    retries: Bucket,
    requests: Option<Told>,
    tokens: Option<Told>,
    /// Seconds, at that time.
    peak: (f64, Moment),
    in_flight: u32,
    probed: u32,
}

/// News that the fleet should hear at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateChange {
    /// Failed so often in a row that this node leaves it alone until then.
    Paused(Moment),
    /// Answered after a pause.
    Recovered,
}

impl Default for LocalHealth {
    fn default() -> Self {
        Self {
            seen: 0.0,
            bad: 0.0,
            updated: Moment::default(),
            failures_in_a_row: 0,
            pauses: 0,
            told: false,
            paused: None,
            rests: None,
            acceptance: 1.0,
            accepted: Moment::default(),
            quota: Bucket::default(),
            spend: Bucket::default(),
            retries: Bucket::default(),
            requests: None,
            tokens: None,
            peak: (0.0, Moment::default()),
            in_flight: 0,
            probed: 0,
        }
    }
}

impl LocalHealth {
    /// Takes an outcome into account; `jitter` is random in 0..1.
    pub fn observe(
        &mut self,
        tuning: &Tuning,
        outcome: &Outcome,
        now: Moment,
        jitter: f64,
    ) -> Option<StateChange> {
        match outcome {
            Outcome::Overload { retry_after } | Outcome::RateLimited { retry_after } => {
                self.turned_away(tuning, *retry_after, now, jitter);
                None
            }
            Outcome::Neutral => None,
            Outcome::Ok => self.answered(tuning, None, now),
            Outcome::HardFail | Outcome::Timeout | Outcome::Truncated | Outcome::Silence => {
                self.decay(tuning, now);
                // A cut answer was counted when it began.
                self.seen += f64::from(u8::from(*outcome != Outcome::Truncated));
                self.bad += outcome.badness().unwrap_or_default();
                self.fail(tuning, now, jitter)
            }
        }
    }

    /// Its first content has come, after so long where the time says something.
    pub fn answered(
        &mut self,
        tuning: &Tuning,
        ttft: Option<Duration>,
        now: Moment,
    ) -> Option<StateChange> {
        self.decay(tuning, now);
        self.seen += 1.0;
        self.failures_in_a_row = 0;
        if let Some(ttft) = ttft {
            let (faded, new) = (self.faded_peak(tuning, now), ttft.as_secs_f64());
            let kept = self.peak_kept(tuning, now);
            // Jumps up at once, comes down slowly.
            let peak = if new > faded {
                new
            } else {
                self.peak.0 * kept + new * (1.0 - kept)
            };
            self.peak = (peak, self.peak.1.max(now));
        }
        self.pauses = 0;
        let recovered = std::mem::take(&mut self.told);
        recovered.then_some(StateChange::Recovered)
    }

    /// It refused the key that it is asked with: it is left alone, at once and for longer.
    pub fn refused(&mut self, tuning: &Tuning, now: Moment, jitter: f64) {
        self.decay(tuning, now);
        (self.seen, self.bad) = (self.seen + 1.0, self.bad + 1.0);
        self.leave_until(now.plus(tuning.refused.mul_f64(1.0 + jitter.clamp(0.0, 1.0))));
    }

    /// A request leaves for it.
    pub fn departed(&mut self, tuning: &Tuning, departure: &Departure, now: Moment) {
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(lease) = departure.lease.requests {
            let (rate, most) = self.quota_of(tuning, lease, now);
            self.quota.add(-1.0, rate, most, now);
        }
        if let Some(lease) = departure.lease.tokens {
            let (rate, most) = self.spend_of(tuning, lease, now);
            self.spend.add(-count(departure.tokens), rate, most, now);
        }
        if departure.first {
            let (rate, most) = (tuning.retry_per_s, tuning.retry_burst);
            self.retries.add(tuning.retry_ratio, rate, most, now);
        }
    }

    /// A request that left with an estimate of its tokens took `used`.
    pub fn spent(&mut self, tuning: &Tuning, departure: &Departure, used: u64, now: Moment) {
        if let Some(lease) = departure.lease.tokens {
            let (rate, most) = self.spend_of(tuning, lease, now);
            let back = count(departure.tokens) - count(used);
            self.spend.add(back, rate, most, now);
        }
    }

    /// A request that left for it has ended, however.
    pub fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Takes from its retry budget; false when there is nothing left.
    fn take_retry(&mut self, tuning: &Tuning, now: Moment) -> bool {
        self.retries
            .take(tuning.retry_per_s, tuning.retry_burst, now)
    }

    /// Gives an attempt what it needs to leave, all of it or nothing.
    ///
    /// # Errors
    /// What can't be given.
    pub fn give(&mut self, tuning: &Tuning, need: &Need, now: Moment) -> Result<(), Denied> {
        if need
            .probe
            .is_some_and(|number| is_used(self.probed, number))
        {
            return Err(Denied::Probe);
        }
        if need.retry && !self.take_retry(tuning, now) {
            return Err(Denied::Retries);
        }
        self.probed = need.probe.unwrap_or(self.probed);
        Ok(())
    }

    /// Notes what its headers say of requests and of tokens.
    pub fn allowed(&mut self, requests: Option<Allowance>, tokens: Option<Allowance>, now: Moment) {
        let told = |allowance| Told::new(allowance, now);
        self.requests = requests.map(told).or(self.requests);
        self.tokens = tokens.map(told).or(self.tokens);
    }

    /// Another node of this point of presence has just left it alone for so long. However long that
    /// is, it counts as one pause.
    pub fn heard_paused(&mut self, until: Moment) {
        self.pauses = self.pauses.max(1);
        self.leave_until(until);
    }

    /// The share of what was seen lately that failed, 0..1: half of it is forgotten per half-life.
    #[must_use]
    #[inline]
    pub fn penalty(&self, tuning: &Tuning, now: Moment) -> f64 {
        if self.bad <= 0.0 {
            return 0.0;
        }
        let kept = half_life(now.since(self.updated), tuning.half_life);
        (self.bad * kept / (self.seen * kept + tuning.prior)).min(1.0)
    }

    /// Until when it is left alone, for failing or because it asked; may be past.
    #[must_use]
    pub fn left_alone_until(&self) -> Option<Moment> {
        self.paused.max(self.rests)
    }

    /// What a plan must know.
    #[must_use]
    #[inline]
    pub fn local(&self, tuning: &Tuning, ask: &Ask, now: Moment) -> Local {
        let after = |until: Option<Moment>| until.is_some_and(|until| until > now);
        let used_up = ask.lease.requests.is_some_and(|lease| {
            let (rate, most) = self.quota_of(tuning, lease, now);
            self.quota.level(rate, most, now) < 1.0
        });
        // A request larger than all that can be saved up leaves when as much is there as can be. One
        // that finds its prompt in the cache may borrow: elsewhere it would cost several times as
        // much, and those that don't care where they go make up for it.
        let spent = ask.lease.tokens.is_some_and(|lease| {
            let (rate, most) = self.spend_of(tuning, lease, now);
            let needed = if ask.warm {
                -most
            } else {
                count(ask.tokens).min(most)
            };
            self.spend.level(rate, most, now) < needed
        });
        let crowded = ask.lease.room(self.in_flight, 1.0) <= 0.0;
        let tokens = count(ask.prompt_tokens);
        let forbidden = |told: Option<Told>, need| told.is_some_and(|it| it.forbids(need, now));
        Local {
            penalty: self.penalty(tuning, now),
            acceptance: self.acceptance(tuning, now),
            paused: after(self.paused),
            full: after(self.rests)
                || used_up
                || spent
                || crowded
                || forbidden(self.requests, 1.0)
                || forbidden(self.tokens, tokens),
            peak: if ask.peak {
                self.faded_peak(tuning, now)
            } else {
                0.0
            },
            in_flight: self.in_flight,
            probed: self.probed,
        }
    }

    /// Nothing was seen of it for so long, and nothing is under way.
    pub(super) fn is_forgotten(&self, tuning: &Tuning, now: Moment) -> bool {
        let last = self.updated.max(self.accepted).max(self.peak.1);
        self.in_flight == 0 && now.since(last) > tuning.forgotten
    }

    fn turned_away(&mut self, tuning: &Tuning, asked: Option<Duration>, now: Moment, jitter: f64) {
        let acceptance = self.acceptance(tuning, now) * tuning.turned_away;
        self.acceptance = acceptance.max(tuning.acceptance_min);
        self.accepted = self.accepted.max(now);
        let (least, most) = tuning.rest;
        let rest = asked.map_or_else(
            || least + most.saturating_sub(least).mul_f64(jitter.clamp(0.0, 1.0)),
            |asked| asked.min(tuning.retry_after_max),
        );
        // A rest is never shortened.
        let until = now.plus(rest);
        self.rests = Some(self.rests.map_or(until, |longer| longer.max(until)));
    }

    fn leave_until(&mut self, until: Moment) {
        self.paused = Some(self.paused.map_or(until, |longer| longer.max(until)));
    }

    fn fail(&mut self, tuning: &Tuning, now: Moment, jitter: f64) -> Option<StateChange> {
        if self.paused.is_some_and(|until| until > now) {
            // It left before the pause: that it fails, too, is nothing new.
            return None;
        }
        self.failures_in_a_row += 1;
        let needed = if self.pauses > 0 {
            tuning.failures_after_pause
        } else {
            tuning.failures_to_pause
        };
        if self.failures_in_a_row < needed {
            return None;
        }
        let doubled = 2_u32.saturating_pow(self.pauses.min(tuning.doublings_max));
        let pause = tuning.pause.saturating_mul(doubled);
        let pause = pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0));
        self.pauses = self.pauses.saturating_add(1);
        self.failures_in_a_row = 0;
        let until = now.plus(pause);
        self.leave_until(until);
        self.told = true;
        Some(StateChange::Paused(until))
    }

    #[inline]
    fn acceptance(&self, tuning: &Tuning, now: Moment) -> f64 {
        if self.acceptance >= 1.0 {
            return 1.0;
        }
        let recovered = now.since(self.accepted).as_secs_f64() * tuning.recovery_per_s;
        (self.acceptance + recovered).min(1.0)
    }

    /// The rate at which the quota refills, and the most that it holds.
    #[inline]
    fn quota_of(&self, tuning: &Tuning, lease: f64, now: Moment) -> (f64, f64) {
        let most = tuning.quota_burst_requests + lease * tuning.quota_burst.as_secs_f64();
        (lease * self.acceptance(tuning, now), most)
    }

    /// The same of tokens.
    fn spend_of(&self, tuning: &Tuning, lease: f64, now: Moment) -> (f64, f64) {
        let most = tuning.quota_burst_tokens + lease * tuning.quota_burst.as_secs_f64();
        (lease * self.acceptance(tuning, now), most)
    }

    fn peak_kept(&self, tuning: &Tuning, now: Moment) -> f64 {
        let decay = tuning.peak_decay.as_secs_f64().max(1e-3);
        (-now.since(self.peak.1).as_secs_f64() / decay).exp()
    }

    fn faded_peak(&self, tuning: &Tuning, now: Moment) -> f64 {
        if self.peak.0 <= 0.0 {
            return 0.0;
        }
        self.peak.0 * self.peak_kept(tuning, now)
    }

    fn decay(&mut self, tuning: &Tuning, now: Moment) {
        let kept = half_life(now.since(self.updated), tuning.half_life);
        self.seen *= kept;
        self.bad *= kept;
        self.updated = self.updated.max(now);
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn count(tokens: u64) -> f64 {
    tokens as f64
}
