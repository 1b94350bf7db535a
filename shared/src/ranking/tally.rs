//! The probability that a request fails now, for scores: pooled over the fleet, leaning on the
//! region, and without the point of presence whose word makes the most difference, as long as
//! another speaks. So no single one, broken or lying, moves the world's traffic, and failing more
//! never looks better.

use super::Tuning;
use super::evidence::{Evidence, Pooled};
use crate::clock::Moment;
use crate::id::{Pop, Region};
use std::collections::{BTreeMap, BTreeSet};

/// What each point of presence saw of one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pops: Vec<Part>,
    all: Pooled,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    pop: Pop,
    region: Region,
    saw: Pooled,
    /// Has an observer that has seen enough, and lately.
    speaks: bool,
}

impl Tally {
    pub(super) fn of(evidence: &Evidence, tuning: &Tuning, now: Moment) -> Self {
        let mut parts: BTreeMap<(&Region, &Pop), (Pooled, bool)> = BTreeMap::new();
        let mut all = Pooled::default();
        for (observer, weight) in evidence.weighted(tuning, |_| true) {
            let part = parts.entry((&observer.region, &observer.pop)).or_default();
            part.0.add(observer, weight);
            part.1 |= observer.seen >= tuning.observer
                && now.since(observer.last) <= tuning.observer_fresh;
            all.add(observer, weight);
        }
        let pops = parts
            .into_iter()
            .map(|((region, pop), (saw, speaks))| Part {
                pop: pop.clone(),
                region: region.clone(),
                saw,
                speaks,
            });
        Self {
            pops: pops.collect(),
            all,
        }
    }

    /// The probability of failure in a region whose live points of presence are `live`.
    pub(super) fn failure(&self, region: &Region, live: &BTreeSet<&Pop>) -> f64 {
        let here = self.region(region);
        let whole = here.failure_given(self.all.failure());
        let speaking = self.pops.iter().filter(|part| part.speaks).count();
        let without = self.pops.iter().filter_map(|part| {
            let others_speak = speaking > usize::from(part.speaks);
            if !others_speak {
                return None;
            }
            let fleet = self.all.minus(&part.saw).failure();
            // A region of one point of presence is that one's own: its word counts there.
            let shared = part.region == *region && live.iter().any(|pop| **pop != part.pop);
            let here = if shared { here.minus(&part.saw) } else { here };
            Some(here.failure_given(fleet))
        });
        without.fold(whole, f64::min)
    }

    /// The share of broken tool calls in a region.
    pub(super) fn tool_failure(&self, region: &Region) -> f64 {
        self.region(region).tool_failure()
    }

    fn region(&self, region: &Region) -> Pooled {
        let here = self.pops.iter().filter(|part| part.region == *region);
        here.fold(Pooled::default(), |sum, part| sum.plus(&part.saw))
    }
}
