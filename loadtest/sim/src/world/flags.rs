//! What is wrong with an offer at a moment.

use crate::scenario::Break;

/// What is wrong with an offer, seen from a region.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flags {
    /// Refuses everything.
    pub down: bool,
    /// This part is never answered.
    pub hole: f64,
    /// This part fails.
    pub errors: f64,
    /// So many times the latency.
    pub latency: f64,
    /// What is left of the limit.
    pub limit: f64,
    /// What is left of the speed.
    pub speed: f64,
    /// This part is cut.
    pub truncate: f64,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            down: false,
            hole: 0.0,
            errors: 0.0,
            latency: 1.0,
            limit: 1.0,
            speed: 1.0,
            truncate: 0.0,
        }
    }
}

impl Flags {
    pub(super) fn add(&mut self, what: Break, since: f64, lasts: f64) {
        match what {
            Break::Down => self.down = true,
            Break::Hole(part) => self.hole = part,
            Break::Errors(part) => self.errors = part,
            Break::Latency(times) => self.latency = times,
            Break::Drift(times) => self.latency = 1.0 + (times - 1.0) * since / lasts,
            Break::Flap(seconds) => self.down |= ((since / seconds) as u64).is_multiple_of(2),
            Break::Limit(left) => self.limit = left,
            Break::Speed(left) => self.speed = left,
            Break::Truncate(part) => self.truncate = part,
            Break::Surge(_) | Break::Uplink(..) | Break::Liar(_) => {}
        }
    }
}
