//! What happens when, in one order: by time, then in the order in which it was arranged.

use std::cmp::Ordering;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum What {
    Tick,
    /// The client hangs up.
    Leaves(usize),
    /// The rest is by attempt.
    FirstToken(usize),
    Progress(usize),
    End(usize),
    Fails(usize),
    GivenUp(usize),
    Silent(usize),
    Hedge(usize),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Event {
    pub(super) at: f64,
    pub(super) number: u64,
    pub(super) what: What,
}

impl Eq for Event {}

impl Ord for Event {
    /// The earliest is the greatest; of the same time, the first made.
    fn cmp(&self, other: &Self) -> Ordering {
        let time = other.at.total_cmp(&self.at);
        time.then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
