//! Reports on their way: numbered, kept until they are acknowledged, and sent again on the next
//! connection. A number that was given is never given again, so that whoever merges them knows a
//! repetition from news. Not here: connections and clocks; the edge and the simulation have them.

use super::{Report, Window};
use crate::clock::Moment;
use crate::id::{BootEpoch, EndpointId, NodeId, Pop, Region};
use std::collections::VecDeque;
use std::time::Duration;

/// Reports that may be on their way without an acknowledgement; beyond it windows go on counting.
pub const UNACKED_MAX: usize = 32;

/// The reports of one run of a node that have not been acknowledged.
#[derive(Clone, Debug)]
pub struct Outbox {
    node: NodeId,
    pop: Pop,
    region: Region,
    epoch: BootEpoch,
    sequence: u64,
    unacked: VecDeque<(Moment, Report)>,
    /// When windows were taken last.
    taken: Moment,
}

impl Outbox {
    /// Of this run of a node, from number 1.
    #[must_use]
    pub fn new(node: NodeId, pop: Pop, region: Region, epoch: BootEpoch) -> Self {
        Self {
            node,
            pop,
            region,
            epoch,
            sequence: 0,
            unacked: VecDeque::new(),
            taken: Moment::default(),
        }
    }

    /// True while [`UNACKED_MAX`] reports wait: no further one may be made.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.unacked.len() >= UNACKED_MAX
    }

    /// Makes the next report of what was seen until now. None when there is nothing to tell.
    pub fn report(
        &mut self,
        windows: Vec<(EndpointId, Window)>,
        alarming: bool,
        now: Moment,
    ) -> Option<&Report> {
        self.taken = now;
        if windows.is_empty() && !alarming {
            return None;
        }
        self.sequence += 1;
        let report = Report {
            node: self.node.clone(),
            pop: self.pop.clone(),
            region: self.region.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            windows,
            alarming,
        };
        self.unacked.push_back((now, report));
        self.unacked.back().map(|(_, report)| report)
    }

    /// All up to this number have been merged.
    pub fn acknowledged(&mut self, epoch: BootEpoch, sequence: u64) {
        if epoch != self.epoch {
            return;
        }
        let merged = |(_, report): &(Moment, Report)| report.sequence <= sequence;
        while self.unacked.front().is_some_and(merged) {
            self.unacked.pop_front();
        }
    }

    /// A connection is there again. Old evidence would be taken for new by whoever merges it: of
    /// reports older than `stale` only the number is left, which keeps the numbers contiguous.
    /// True when what was counted since the last report is too old as well, for the caller to drop.
    #[must_use]
    pub fn forget_stale(&mut self, stale: Duration, now: Moment) -> bool {
        for (at, report) in &mut self.unacked {
            if now.since(*at) > stale {
                report.windows.clear();
                report.alarming = false;
            }
        }
        now.since(self.taken) > stale
    }

    /// What has to be sent on a new connection, in order.
    pub fn unacked(&self) -> impl Iterator<Item = &Report> {
        self.unacked.iter().map(|(_, report)| report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn outbox() -> Outbox {
        let (node, pop, region) = ("edge-1".into(), "fra1".into(), "eu".into());
        Outbox::new(node, pop, region, BootEpoch(3))
    }

    fn windows() -> Vec<(EndpointId, Window)> {
        vec![("m@p".into(), Window::default())]
    }

    fn waiting(outbox: &Outbox) -> Vec<u64> {
        outbox.unacked().map(|report| report.sequence).collect()
    }

    #[test]
    fn a_report_waits_until_its_number_or_a_later_one_is_acknowledged() {
        let mut outbox = outbox();
        assert!(outbox.report(Vec::new(), false, at(1)).is_none());
        for second in 2..6 {
            outbox.report(windows(), false, at(second)).unwrap();
        }
        assert_eq!(waiting(&outbox), [1, 2, 3, 4]);
        outbox.acknowledged(BootEpoch(2), 4);
        assert_eq!(waiting(&outbox), [1, 2, 3, 4], "of another run");
        outbox.acknowledged(BootEpoch(3), 3);
        outbox.acknowledged(BootEpoch(3), 1);
        assert_eq!(waiting(&outbox), [4]);
        let next = outbox.report(Vec::new(), true, at(7)).unwrap();
        assert_eq!((next.sequence, next.alarming), (5, true));
    }

    #[test]
    fn what_is_old_is_sent_as_a_number_only() {
        let mut outbox = outbox();
        outbox.report(windows(), true, at(0)).unwrap();
        outbox.report(windows(), true, at(6)).unwrap();
        assert!(!outbox.forget_stale(Duration::from_secs(10), at(12)));
        let left: Vec<_> = outbox
            .unacked()
            .map(|it| (it.sequence, it.windows.len(), it.alarming))
            .collect();
        assert_eq!(left, [(1, 0, false), (2, 1, true)]);
        assert!(outbox.forget_stale(Duration::from_secs(10), at(17)));
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let mut outbox = outbox();
        for _ in 0..UNACKED_MAX {
            assert!(!outbox.is_full());
            outbox.report(windows(), false, at(1)).unwrap();
        }
        assert!(outbox.is_full());
        outbox.acknowledged(BootEpoch(3), 1);
        assert!(!outbox.is_full());
    }
}
