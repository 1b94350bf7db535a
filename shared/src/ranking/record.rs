//! What an endpoint is like in the long run, whatever is the matter now: its usual latency and
//! throughput over a day. A fault of minutes moves it little, because no single moment counts for
//! more than a bounded step.

use crate::clock::Moment;
use std::time::Duration;

/// The first minute is a plain mean; afterwards steps are bounded.
const FIRST: f64 = 60.0;
/// The largest step towards a new value, as a logarithm, per time constant.
const STEP_MAX: f64 = 0.3;

/// A value that is followed slowly, as its logarithm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Track {
    ln: f64,
    /// Seconds over which it was seen.
    seen: f64,
}

/// The long record of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Record {
    /// Milliseconds to the first token.
    pub(super) ttft: Track,
    /// Tokens per second.
    pub(super) throughput: Track,
    learned: Moment,
}

impl Track {
    /// It was `value` for so long.
    pub(super) fn learn(&mut self, value: f64, elapsed: Duration, memory: Duration) {
        if !(value.is_finite() && value > 0.0) {
            return;
        }
        let seconds = elapsed.as_secs_f64().clamp(1e-3, 5.0);
        self.seen += seconds;
        let part = (seconds / self.seen.min(memory.as_secs_f64())).min(1.0);
        let step = value.ln() - self.ln;
        let step = if self.seen <= FIRST {
            step
        } else {
            step.clamp(-STEP_MAX, STEP_MAX)
        };
        self.ln += part * step;
    }

    /// The value, if it was ever seen.
    pub(super) fn value(&self) -> Option<f64> {
        (self.seen > 0.0).then(|| self.ln.exp())
    }

    /// How many times another this one is; one where either is unknown.
    pub(super) fn ratio(&self, other: &Self) -> f64 {
        if self.seen > 0.0 && other.seen > 0.0 {
            (self.ln - other.ln).exp()
        } else {
            1.0
        }
    }
}

impl Record {
    /// Something was learned.
    pub(super) fn touch(&mut self, now: Moment) {
        self.learned = now;
    }

    /// True when nothing was learned, or long ago.
    pub(super) fn is_blank(&self, memory: Duration, now: Moment) -> bool {
        (self.ttft.seen <= 0.0 && self.throughput.seen <= 0.0) || now.since(self.learned) > memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_of_trouble_move_it_little() {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let mut track = Track::default();
        assert_eq!(track.value(), None);
        for _ in 0..600 {
            track.learn(500.0, second, day);
        }
        for _ in 0..120 {
            track.learn(4000.0, second, day);
        }
        let value = track.value().unwrap();
        assert!((500.0..540.0).contains(&value), "{value}");
        track.learn(f64::NAN, second, day);
        assert!((track.value().unwrap() - value).abs() < 1e-9);
    }
}
