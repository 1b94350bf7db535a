//! Canaries: edges that say which ranking they took. A ranking that takes away much weight at once
//! goes out only if what was published before it was taken by one of them. Pure; the ranker asks.

use shared::id::{NodeId, Version};
use std::collections::BTreeSet;

/// Edges that are asked at one time.
const CANARIES_MAX: usize = 8;

/// Who is asked, and the newest that any has taken.
#[derive(Debug, Default)]
pub(super) struct Canaries {
    asked: BTreeSet<NodeId>,
    taken: Option<Version>,
    /// Something waits for their word.
    waiting: bool,
}

impl Canaries {
    /// Is this edge asked? It becomes one of them while there are too few.
    pub(super) fn enlist(&mut self, node: &NodeId) -> bool {
        if self.asked.contains(node) {
            return true;
        }
        let room = self.asked.len() < CANARIES_MAX;
        room && self.asked.insert(node.clone())
    }

    /// An edge is gone. True when what waits must be looked at again.
    pub(super) fn dismiss(&mut self, node: &NodeId) -> bool {
        self.asked.remove(node) && std::mem::take(&mut self.waiting)
    }

    /// A canary took a version. True when what waits must be looked at again.
    pub(super) fn took(&mut self, version: Version) -> bool {
        self.taken = self.taken.max(Some(version));
        std::mem::take(&mut self.waiting)
    }

    /// May a drastic change follow the version that was published last? Without an edge there is
    /// nobody whom it could harm.
    pub(super) fn consent(&mut self, published: Option<Version>) -> bool {
        let consent = self.asked.is_empty() || self.taken >= published;
        self.waiting |= !consent;
        consent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> Version {
        Version { epoch: 1, number }
    }

    #[test]
    fn what_is_drastic_waits_for_a_canary_that_took_what_was_before() {
        let mut canaries = Canaries::default();
        assert!(canaries.consent(Some(version(1))), "nobody is there");
        for number in 0..CANARIES_MAX {
            assert!(canaries.enlist(&format!("edge-{number}").into()));
        }
        assert!(!canaries.enlist(&"one-too-many".into()));
        assert!(
            canaries.enlist(&"edge-0".into()),
            "asked once, asked always"
        );
        assert!(!canaries.consent(Some(version(3))));
        assert!(canaries.took(version(2)), "looked at again");
        assert!(!canaries.consent(Some(version(3))));
        assert!(canaries.took(version(3)));
        assert!(canaries.consent(Some(version(3))));
        assert!(!canaries.took(version(4)), "nothing waits");
        assert!(!canaries.consent(Some(version(5))));
        for number in 0..CANARIES_MAX {
            canaries.dismiss(&format!("edge-{number}").into());
        }
        assert!(canaries.consent(Some(version(5))), "all are gone");
    }
}
