//! What a provider's rate-limit headers leave to us. They speak of the whole account and of one
//! moment; until the next answer they are carried forward at the rate at which they refill.

use crate::clock::Moment;
use std::time::Duration;

/// One limit, as an answer's headers stated it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Allowance {
    /// The whole limit, where it is told.
    pub limit: Option<f64>,
    /// What is left of it.
    pub remaining: f64,
    /// Until it is whole again.
    pub reset: Option<Duration>,
    /// The time that the limit is of, where it is told.
    pub period: Option<Duration>,
}

impl Allowance {
    /// The whole limit per minute: by the time that it is of, or where that is not told, as far as
    /// what is told fits one of a minute, since providers state limits per day under the same
    /// names. None is not known.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to an integer saturates"
    )]
    pub fn per_minute(&self) -> Option<u64> {
        let limit = self.limit.filter(|limit| *limit >= 1.0)?;
        if let Some(period) = self.period {
            // What is left of an hour or a day is no matter of one minute.
            let minutes = period.as_secs_f64() / 60.0;
            return (period <= MINUTE_MOST).then(|| (limit / minutes.max(1e-9)) as u64);
        }
        let per_minute = limit as u64;
        let Some(reset) = self.reset else {
            return Some(per_minute);
        };
        if reset > MINUTE_MOST {
            return None;
        }
        // What refills steadily tells the time in which the whole limit does. One that begins anew
        // each minute looks as if it took anything up to that or more; less, only near its end.
        let missing = limit - self.remaining;
        if missing <= 0.0 {
            return (reset.is_zero() || reset >= MINUTE_LEAST).then_some(per_minute);
        }
        let whole = reset.as_secs_f64() * limit / missing;
        (whole >= MINUTE_LEAST.as_secs_f64()).then_some(per_minute)
    }
}

/// An [`Allowance`] and when it was told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Told {
    allowance: Allowance,
    at: Moment,
}

/// The whole of a limit per minute is back after at most so long: clocks differ …
const MINUTE_MOST: Duration = Duration::from_secs(75);
/// … and, as steadily as it refills, not before this.
const MINUTE_LEAST: Duration = Duration::from_secs(20);
/// A limit whose reset is not told is believed for so long.
const RESET_UNTOLD: Duration = Duration::from_secs(1);

impl Told {
    pub(super) fn new(allowance: Allowance, at: Moment) -> Self {
        Self { allowance, at }
    }

    /// True when it doesn't allow `need`, as far as is known.
    pub(super) fn forbids(&self, need: f64, now: Moment) -> bool {
        let Allowance {
            limit,
            remaining,
            reset,
            period,
        } = self.allowance;
        // What is of a second is whole again after one, at most.
        let untold = period.map_or(RESET_UNTOLD, |period| period.min(RESET_UNTOLD));
        let reset = reset.unwrap_or(untold);
        let elapsed = now.since(self.at);
        if elapsed >= reset {
            return false;
        }
        // Whether a limit refills steadily or all at once is not told. Steadily is the kinder
        // guess; who guesses wrong is told by a 429.
        let missing = limit.map_or(0.0, |limit| (limit - remaining).max(0.0));
        let refilled = missing * elapsed.as_secs_f64() / reset.as_secs_f64();
        // What exceeds the whole limit can't be waited for: only the provider can say no to it.
        let need = limit.map_or(need, |limit| need.min(limit));
        remaining + refilled < need
    }
}
