//! Canaries: edges that say which ranking they took. A ranking that takes away much weight at once
//! goes out only if what was published before it was taken by one of them. Pure; the ranker asks.

use shared::clock::Moment;
use shared::id::{NodeId, Region, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Edges that are asked at one time.
const CANARIES_MAX: usize = 8;
/// How long one may take to say that it took a ranking; then another is asked in its place.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who is asked, and the newest that any has taken.
#[derive(Debug, Default)]
pub(super) struct Canaries {
    asked: BTreeMap<NodeId, Canary>,
    /// Asked in vain: they are there and take what they are sent, or not. Until they say a word or
    /// leave, they are not asked again.
    silent: BTreeSet<NodeId>,
    taken: Option<Version>,
    /// Something waits for their word.
    waiting: bool,
}

#[derive(Debug)]
struct Canary {
    region: Region,
    /// Since when it owes a word.
    owes: Option<Moment>,
}

impl Canaries {
    /// Is this edge, which is sent a ranking now, asked to say that it took it? It becomes one of
    /// them while there are too few.
    pub(super) fn enlist(&mut self, node: &NodeId, region: &Region, now: Moment) -> bool {
        self.strike(now);
        if let Some(canary) = self.asked.get_mut(node) {
            canary.owes.get_or_insert(now);
            return true;
        }
        let room = self.asked.len() < CANARIES_MAX && !self.silent.contains(node);
        if room {
            let canary = Canary {
                region: region.clone(),
                owes: Some(now),
            };
            self.asked.insert(node.clone(), canary);
        }
        room
    }

    /// An edge is gone. True when what waits must be looked at again.
    pub(super) fn dismiss(&mut self, node: &NodeId) -> bool {
        let known = self.asked.remove(node).is_some() || self.silent.remove(node);
        known && std::mem::take(&mut self.waiting)
    }

    /// A canary took a version. True when what waits must be looked at again.
    pub(super) fn took(&mut self, node: &NodeId, version: Version) -> bool {
        self.silent.remove(node);
        if let Some(canary) = self.asked.get_mut(node) {
            canary.owes = None;
        }
        self.taken = self.taken.max(Some(version));
        std::mem::take(&mut self.waiting)
    }

    /// May a drastic change follow what was published last for each region? One of those who are
    /// asked must have taken the newest that any of them was sent. Without an edge there is nobody
    /// whom it could harm; where all who were asked are silent, it waits for others.
    pub(super) fn consent(
        &mut self,
        published: impl Fn(&Region) -> Option<Version>,
        now: Moment,
    ) -> bool {
        self.strike(now);
        let regions = self.asked.values().map(|canary| &canary.region);
        let newest = regions.filter_map(published).max();
        let consent = !self.lacks() && self.taken >= newest;
        self.waiting |= !consent;
        consent
    }

    /// Everyone who was asked is silent: others must be sent something to be asked.
    pub(super) fn lacks(&self) -> bool {
        self.asked.is_empty() && !self.silent.is_empty()
    }

    fn strike(&mut self, now: Moment) {
        let overdue = |canary: &Canary| {
            let owes = canary.owes;
            owes.is_some_and(|since| now.since(since) >= PATIENCE)
        };
        for (node, _) in self.asked.extract_if(.., |_, canary| overdue(canary)) {
            tracing::warn!(%node, "a canary is silent: another is asked");
            self.silent.insert(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> Version {
        Version { epoch: 1, number }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_drastic_waits_for_a_canary_that_took_what_was_before() {
        let mut canaries = Canaries::default();
        let (eu, us) = (Region::from("eu"), Region::from("us"));
        let first = NodeId::from("edge-0");
        let version_of = |number| move |of: &Region| (of.as_str() == "eu").then(|| version(number));
        assert!(canaries.consent(version_of(1), at(1)), "nobody is there");
        for number in 0..CANARIES_MAX {
            assert!(canaries.enlist(&format!("edge-{number}").into(), &eu, at(1)));
        }
        assert!(!canaries.enlist(&"one-too-many".into(), &eu, at(1)));
        assert!(
            canaries.enlist(&first, &us, at(1)),
            "asked once, asked always"
        );
        let elsewhere = |of: &Region| (of.as_str() == "us").then(|| version(9));
        assert!(
            canaries.consent(elsewhere, at(1)),
            "nobody who is asked was sent it"
        );
        assert!(!canaries.consent(version_of(3), at(1)));
        assert!(canaries.took(&first, version(2)), "looked at again");
        assert!(!canaries.consent(version_of(3), at(1)));
        assert!(canaries.took(&first, version(3)));
        assert!(canaries.consent(version_of(3), at(1)));
        assert!(!canaries.took(&first, version(4)), "nothing waits");
        assert!(!canaries.consent(version_of(5), at(1)));
        for number in 0..CANARIES_MAX {
            canaries.dismiss(&format!("edge-{number}").into());
        }
        assert!(canaries.consent(version_of(5), at(1)), "all are gone");
    }

    #[test]
    fn who_never_answers_is_replaced_and_asked_again_when_it_speaks() {
        let mut canaries = Canaries::default();
        let eu = Region::from("eu");
        let published = |_: &Region| Some(version(3));
        let (mute, other) = (NodeId::from("mute"), NodeId::from("other"));
        assert!(canaries.enlist(&mute, &eu, at(1)));
        assert!(canaries.enlist(&mute, &eu, at(5)), "it owes since 1");
        assert!(!canaries.consent(published, at(5)) && !canaries.lacks());
        assert!(!canaries.consent(published, at(6)), "its silence is no yes");
        assert!(canaries.lacks());
        assert!(!canaries.enlist(&mute, &eu, at(7)));
        assert!(canaries.enlist(&other, &eu, at(7)) && !canaries.lacks());
        assert!(!canaries.consent(published, at(7)));
        assert!(canaries.took(&other, version(3)));
        assert!(canaries.consent(published, at(60)), "it owes nothing");
        canaries.took(&mute, version(3));
        assert!(canaries.enlist(&mute, &eu, at(61)));
    }
}
