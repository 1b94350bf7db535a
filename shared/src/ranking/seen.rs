//! Exactly once: which reports of a node have been merged. Reports may come twice, late and out
//! of order; one that never comes is given up when many later ones have.

use crate::id::BootEpoch;
use std::collections::{BTreeMap, BTreeSet};

/// So many reports may overtake a missing one before it is given up.
pub(super) const AHEAD_MAX: usize = 256;
/// A node's runs that are remembered; reports of older ones are refused.
const EPOCHS_MAX: usize = 2;

/// The reports of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    epochs: BTreeMap<BootEpoch, Marks>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Marks {
    /// All up to this were merged or given up.
    watermark: u64,
    /// Those merged beyond it.
    ahead: BTreeSet<u64>,
}

impl Seen {
    /// Is this the first time? Then it is noted.
    pub(super) fn first(&mut self, epoch: BootEpoch, sequence: u64) -> bool {
        let known = self.epochs.contains_key(&epoch);
        let oldest = self.epochs.keys().next();
        if !known && self.epochs.len() >= EPOCHS_MAX && oldest.is_some_and(|old| epoch < *old) {
            return false;
        }
        let marks = self.epochs.entry(epoch).or_default();
        let fresh = marks.first(sequence);
        while self.epochs.len() > EPOCHS_MAX {
            self.epochs.pop_first();
        }
        fresh
    }
}

impl Marks {
    fn first(&mut self, sequence: u64) -> bool {
        if sequence <= self.watermark || !self.ahead.insert(sequence) {
            return false;
        }
        if self.ahead.len() > AHEAD_MAX
            && let Some(next) = self.ahead.first()
        {
            self.watermark = next - 1;
        }
        while self.ahead.first() == Some(&(self.watermark + 1)) {
            self.ahead.pop_first();
            self.watermark += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn old_runs_are_refused() {
        let mut seen = Seen::default();
        assert!(seen.first(BootEpoch(5), 1));
        assert!(seen.first(BootEpoch(7), 1));
        assert!(seen.first(BootEpoch(5), 2), "a straggler of the run before");
        assert!(seen.first(BootEpoch(9), 1));
        assert!(!seen.first(BootEpoch(5), 3));
        assert!(!seen.first(BootEpoch(9), 1));
    }

    #[test]
    fn a_gap_does_not_grow_for_ever() {
        let mut seen = Seen::default();
        for sequence in 2..2000 {
            assert!(seen.first(BootEpoch(1), sequence));
        }
        assert!(seen.epochs[&BootEpoch(1)].ahead.len() <= AHEAD_MAX);
        assert!(!seen.first(BootEpoch(1), 1), "given up");
    }

    proptest! {
        #[test]
        fn each_is_first_once_in_any_order(mut order in prop::collection::vec(1_u64..60, 1..200)) {
            let mut seen = Seen::default();
            let fresh = order.iter().filter(|it| seen.first(BootEpoch(1), **it)).count();
            order.sort_unstable();
            order.dedup();
            prop_assert_eq!(fresh, order.len());
        }
    }
}
