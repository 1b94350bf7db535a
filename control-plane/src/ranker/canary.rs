//! Canaries: edges that say which ranking they took. A ranking that takes away much weight at once
//! goes out only if what was published before it was taken by one of them. Pure; the ranker asks.

use shared::id::{NodeId, Region, Version};
use std::collections::BTreeMap;

/// Edges that are asked at one time.
const CANARIES_MAX: usize = 8;

/// Who is asked, and the newest that any has taken.
#[derive(Debug, Default)]
pub(super) struct Canaries {
    asked: BTreeMap<NodeId, Region>,
    taken: Option<Version>,
    /// Something waits for their word.
    waiting: bool,
}

impl Canaries {
    /// Is this edge asked? It becomes one of them while there are too few.
    pub(super) fn enlist(&mut self, node: &NodeId, region: &Region) -> bool {
        if self.asked.contains_key(node) {
            return true;
        }
        let room = self.asked.len() < CANARIES_MAX;
        if room {
            self.asked.insert(node.clone(), region.clone());
        }
        room
    }

    /// An edge is gone. True when what waits must be looked at again.
    pub(super) fn dismiss(&mut self, node: &NodeId) -> bool {
        self.asked.remove(node).is_some() && std::mem::take(&mut self.waiting)
    }

    /// A canary took a version. True when what waits must be looked at again.
    pub(super) fn took(&mut self, version: Version) -> bool {
        self.taken = self.taken.max(Some(version));
        std::mem::take(&mut self.waiting)
    }

    /// May a drastic change follow what was published last for each region? One of those who are
    /// asked must have taken the newest that any of them was sent. Without an edge there is nobody
    /// whom it could harm.
    pub(super) fn consent(&mut self, published: impl Fn(&Region) -> Option<Version>) -> bool {
        let newest = self.asked.values().filter_map(published).max();
        let consent = self.taken >= newest;
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
        let (eu, us) = (Region::from("eu"), Region::from("us"));
        let version_of = |number| move |of: &Region| (of.as_str() == "eu").then(|| version(number));
        assert!(canaries.consent(version_of(1)), "nobody is there");
        for number in 0..CANARIES_MAX {
            assert!(canaries.enlist(&format!("edge-{number}").into(), &eu));
        }
        assert!(!canaries.enlist(&"one-too-many".into(), &eu));
        assert!(
            canaries.enlist(&"edge-0".into(), &us),
            "asked once, asked always"
        );
        let elsewhere = |of: &Region| (of.as_str() == "us").then(|| version(9));
        assert!(
            canaries.consent(elsewhere),
            "nobody who is asked was sent it"
        );
        assert!(!canaries.consent(version_of(3)));
        assert!(canaries.took(version(2)), "looked at again");
        assert!(!canaries.consent(version_of(3)));
        assert!(canaries.took(version(3)));
        assert!(canaries.consent(version_of(3)));
        assert!(!canaries.took(version(4)), "nothing waits");
        assert!(!canaries.consent(version_of(5)));
        for number in 0..CANARIES_MAX {
            canaries.dismiss(&format!("edge-{number}").into());
        }
        assert!(canaries.consent(version_of(5)), "all are gone");
    }
}
