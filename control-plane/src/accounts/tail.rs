//! The newest account events in memory: a thousand edges that follow the log cost one read of the
//! database for each change, not a thousand. Pure; the reads are in [`super::events`].

use super::{AccountEvent, Events};
use std::collections::VecDeque;

/// Events that are kept; who is further behind reads the database.
const KEPT_MAX: usize = 4096;

/// Contiguous events up to `head`.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// None until the log was read for the first time.
    head: Option<u64>,
    events: VecDeque<AccountEvent>,
}

impl Tail {
    /// Up to which event it knows the log.
    pub(super) const fn head(&self) -> Option<u64> {
        self.head
    }

    /// Adds what the log has after [`Tail::head`]. What does not follow on it starts anew.
    pub(super) fn extend(&mut self, newer: &Events) {
        let follows = |head: u64| {
            let first = newer.events.first().map(|event| event.sequence);
            first.map_or(newer.sequence == head, |first| first == head + 1)
        };
        if newer.reset || !self.head.is_some_and(follows) {
            self.events.clear();
        }
        self.events.extend(newer.events.iter().cloned());
        while self.events.len() > KEPT_MAX {
            self.events.pop_front();
        }
        self.head = Some(newer.sequence);
    }

    /// All after `sequence`; none when it does not reach back that far, or not as far as that.
    pub(super) fn since(&self, sequence: u64) -> Option<Events> {
        let head = self.head?;
        let missed = usize::try_from(head.checked_sub(sequence)?).ok()?;
        let skip = self.events.len().checked_sub(missed)?;
        Some(Events {
            events: self.events.iter().skip(skip).cloned().collect(),
            sequence: head,
            reset: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Change;
    use super::*;
    use shared::key::KeyHash;

    fn events(after: u64, head: u64) -> Events {
        let event = |sequence| AccountEvent {
            sequence,
            change: Change::Changed(KeyHash([7; 32])),
        };
        Events {
            events: (after + 1..=head).map(event).collect(),
            sequence: head,
            reset: false,
        }
    }

    #[test]
    fn it_answers_as_the_log_does_as_far_as_it_reaches() {
        let mut tail = Tail::default();
        assert_eq!(tail.since(0), None);
        tail.extend(&events(10, 15));
        assert_eq!(tail.since(15), Some(events(15, 15)));
        assert_eq!(tail.since(10), Some(events(10, 15)));
        assert_eq!(tail.since(9), None, "not kept");
        assert_eq!(tail.since(16), None, "somebody is ahead");
        tail.extend(&events(15, 17));
        assert_eq!(tail.since(12), Some(events(12, 17)));
        tail.extend(&events(20, 22));
        assert_eq!(tail.since(17), None, "a gap");
        assert_eq!(tail.since(20), Some(events(20, 22)));
    }

    #[test]
    fn it_keeps_a_bounded_number() {
        let mut tail = Tail::default();
        let kept = KEPT_MAX as u64;
        tail.extend(&events(0, kept));
        tail.extend(&events(kept, kept + 10));
        assert_eq!(tail.events.len(), KEPT_MAX);
        assert_eq!(tail.since(9), None);
        assert_eq!(
            tail.since(10).map(|events| events.events.len()),
            Some(KEPT_MAX)
        );
    }
}
