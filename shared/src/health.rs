//! What one node saw of its endpoints in the last seconds: who fails pauses, who is at capacity
//! rests as long as it asked. Transitions are pure (time and jitter are passed in); [`Board`] is
//! the one shell that many requests share. What the fleet saw is [`crate::ranking`]'s concern.

mod board;

pub use board::{BOARD_MAX, Board};

use crate::clock::Moment;
use crate::window::Outcome;
use std::time::Duration;

/// The timers and limits of local health.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tuning {
    /// After which half of what was seen is forgotten.
    pub half_life: Duration,
    /// So many failures in a row make a pause.
    pub failures_to_pause: u32,
    /// The first pause is one to two of these.
    pub pause: Duration,
    /// A pause doubles with each one before, at most so often.
    pub doublings_max: u32,
    /// The longest rest that a provider may ask for.
    pub retry_after_max: Duration,
    /// The rest after a 429 that doesn't say how long: between these.
    pub rest: (Duration, Duration),
    /// Good observations that nobody made, so that one failure is not everything.
    pub prior: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(6),
            failures_to_pause: 3,
            pause: Duration::from_secs(1),
            doublings_max: 4,
            retry_after_max: Duration::from_secs(300),
            rest: (Duration::from_millis(300), Duration::from_secs(1)),
            prior: 3.0,
        }
    }
}

/// What one node knows of one endpoint.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LocalHealth {
    seen: f64,
    bad: f64,
    updated: Moment,
    failures_in_a_row: u32,
    pauses: u32,
    until: Option<Moment>,
}

/// News that the fleet should hear at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateChange {
    /// Failed so often in a row that this node leaves it alone until then.
    Paused(Moment),
    /// Answered after a pause.
    Recovered,
}

/// What a plan must know of one endpoint.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LocalVerdict {
    /// The share of what was seen lately that failed, 0..1.
    pub penalty: f64,
    /// True while it should be left alone.
    pub paused: bool,
    /// Until when.
    pub until: Option<Moment>,
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
        self.decay(tuning, now);
        match outcome {
            Outcome::Overload { retry_after } | Outcome::RateLimited { retry_after } => {
                let (least, most) = tuning.rest;
                let rest = retry_after.map_or_else(
                    || least + most.saturating_sub(least).mul_f64(jitter.clamp(0.0, 1.0)),
                    |asked| asked.min(tuning.retry_after_max),
                );
                self.pause_until(now.plus(rest));
                None
            }
            Outcome::Neutral => None,
            Outcome::Ok => {
                self.seen += 1.0;
                self.failures_in_a_row = 0;
                let recovered = std::mem::take(&mut self.pauses) > 0;
                recovered.then_some(StateChange::Recovered)
            }
            Outcome::HardFail | Outcome::Timeout | Outcome::Truncated | Outcome::Silence => {
                self.seen += 1.0;
                self.bad += outcome.badness().unwrap_or_default();
                self.fail(tuning, now, jitter)
            }
        }
    }

    /// The share of what was seen lately that failed, 0..1: half of it is forgotten per half-life.
    #[must_use]
    pub fn penalty(&self, tuning: &Tuning, now: Moment) -> f64 {
        let kept = half_life(now.since(self.updated), tuning.half_life);
        self.bad * kept / (self.seen * kept + tuning.prior)
    }

    /// Until when it is left alone; may be past.
    #[must_use]
    pub fn paused_until(&self) -> Option<Moment> {
        self.until
    }

    /// What a plan must know.
    #[must_use]
    pub fn verdict(&self, tuning: &Tuning, now: Moment) -> LocalVerdict {
        let until = self.until.filter(|until| *until > now);
        LocalVerdict {
            penalty: self.penalty(tuning, now),
            paused: until.is_some(),
            until,
        }
    }

    fn fail(&mut self, tuning: &Tuning, now: Moment, jitter: f64) -> Option<StateChange> {
        self.failures_in_a_row += 1;
        if self.failures_in_a_row < tuning.failures_to_pause {
            return None;
        }
        let doubled = 2_u32.saturating_pow(self.pauses.min(tuning.doublings_max));
        let pause = tuning.pause.saturating_mul(doubled);
        let pause = pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0));
        self.pauses = self.pauses.saturating_add(1);
        self.failures_in_a_row = 0;
        let until = now.plus(pause);
        self.pause_until(until);
        Some(StateChange::Paused(until))
    }

    /// A pause is never shortened.
    fn pause_until(&mut self, until: Moment) {
        self.until = Some(self.until.map_or(until, |longer| longer.max(until)));
    }

    fn decay(&mut self, tuning: &Tuning, now: Moment) {
        let kept = half_life(now.since(self.updated), tuning.half_life);
        self.seen *= kept;
        self.bad *= kept;
        self.updated = self.updated.max(now);
    }
}

/// What is left of 1 after `elapsed`.
#[must_use]
pub(crate) fn half_life(elapsed: Duration, half: Duration) -> f64 {
    if half.is_zero() {
        return 0.0;
    }
    (-elapsed.as_secs_f64() / half.as_secs_f64()).exp2()
}

#[cfg(test)]
mod tests;
