//! The probability that a request fails now, for scores: pooled over the fleet, leaning on the
//! region, and without the point of presence whose word makes the most difference, as long as
//! another speaks. So no single one, broken or lying, moves the world's traffic, and failing more
//! never looks better.

use super::VerdictTuning;
use super::evidence::{Evidence, Observer, Pooled, Prior};
use super::roster::{PopIx, RegionIx, Roster};
use crate::clock::Moment;

/// What each point of presence saw of one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pops: Vec<Part>,
    regions: Vec<Pooled>,
    pub(super) all: Pooled,
    speaking: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    pop: PopIx,
    region: RegionIx,
    saw: Pooled,
    /// Has an observer that has seen enough, and lately.
    speaks: bool,
}

/// Where the part of each point of presence stands while a tally is made, and how many regions
/// there are.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    part_of: Vec<Option<usize>>,
    regions: usize,
}

impl Tally {
    /// Adds up anew, in place.
    pub(super) fn of(
        &mut self,
        evidence: &Evidence,
        tuning: &VerdictTuning,
        now: Moment,
        scratch: &mut Scratch,
    ) {
        self.pops.clear();
        self.regions.clear();
        self.all = Pooled::default();
        self.regions.resize(scratch.regions, Pooled::default());
        for observer in &evidence.observers {
            let (saw, weight) = (&observer.lately, observer.weight);
            let speaks =
                saw.seen >= tuning.observer && now.since(observer.last) <= tuning.observer_fresh;
            self.all.add(saw, weight);
            if let Some(region) = self.regions.get_mut(observer.region.at()) {
                region.add(saw, weight);
            }
            let Some(known) = scratch.part_of.get_mut(observer.pop.at()) else {
                continue;
            };
            let at = *known.get_or_insert(self.pops.len());
            if at == self.pops.len() {
                self.pops.push(Part::of(observer));
            }
            if let Some(part) = self.pops.get_mut(at) {
                part.saw.add(saw, weight);
                part.speaks |= speaks;
            }
        }
        for part in &self.pops {
            if let Some(known) = scratch.part_of.get_mut(part.pop.at()) {
                *known = None;
            }
        }
        for (region, crowd) in evidence.crowd() {
            self.all.add(&crowd.lately, 1.0);
            if let Some(region) = self.regions.get_mut(region.at()) {
                region.add(&crowd.lately, 1.0);
            }
        }
        self.speaking = self.pops.iter().filter(|part| part.speaks).count();
    }

    /// The probability of failure in a region whose live points of presence are `live`.
    pub(super) fn failure(&self, region: RegionIx, live: &[PopIx], prior: Prior) -> f64 {
        let here = self.region(region);
        let score = |fleet: Pooled, here: Pooled| {
            let fleet = fleet.without_silences().failure(prior);
            here.without_silences().failure_given(fleet)
        };
        let whole = score(self.all, here);
        if self.all.bad <= 0.0 {
            return whole;
        }
        let without = self.pops.iter().filter_map(|part| {
            let others_speak = self.speaking > usize::from(part.speaks);
            if !others_speak {
                return None;
            }
            // A region of one point of presence is that one's own: its word counts there.
            let shared = part.region == region && live.iter().any(|pop| *pop != part.pop);
            let here = if shared { here.minus(&part.saw) } else { here };
            Some(score(self.all.minus(&part.saw), here))
        });
        without.fold(whole, f64::min)
    }

    /// The share of requests that failed by a broken tool call, in a region or, where too little is
    /// known of it, everywhere: what it costs who asks for anything.
    pub(super) fn tool_failure(&self, region: RegionIx) -> f64 {
        let here = self.region(region);
        let known = if here.seen >= 10.0 { here } else { self.all };
        known.tool_failure()
    }

    /// The share of tool calls that were broken: what it costs who asks for them.
    pub(super) fn broken_calls(&self, region: RegionIx) -> f64 {
        let here = self.region(region);
        let known = if here.tool_calls >= 10.0 {
            here
        } else {
            self.all
        };
        known.broken_calls()
    }

    fn region(&self, region: RegionIx) -> Pooled {
        self.regions.get(region.at()).copied().unwrap_or_default()
    }
}

impl Part {
    fn of(observer: &Observer) -> Self {
        Self {
            pop: observer.pop,
            region: observer.region,
            saw: Pooled::default(),
            speaks: false,
        }
    }
}

impl Scratch {
    pub(super) fn for_roster(roster: &Roster) -> Self {
        Self {
            part_of: vec![None; roster.pops()],
            regions: roster.regions(),
        }
    }
}
