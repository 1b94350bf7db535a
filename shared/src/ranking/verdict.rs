//! Who may condemn an endpoint. Observers in two points of presence: at once and everywhere. A
//! point of presence that is the only one to see it: its word caps the share to the floor, and
//! another one's probe confirms or restores. One against others that see it well: nobody but
//! itself. A broken uplink must not poison the world.

use super::VerdictTuning;
use super::evidence::{Evidence, Observer, Prior, Span};
use super::roster::{PopIx, RegionIx, Roster};
use crate::clock::Moment;
use crate::id::Pop;
use std::collections::BTreeSet;

/// What the observers say of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Verdict {
    /// Nothing against it.
    #[default]
    Well,
    /// It fails, says the only point of presence that sees it.
    Suspect(BTreeSet<Pop>),
    /// It fails.
    Sick,
    /// It fails now and then, and has for a while.
    Declining,
}

/// Judges by all observers.
pub(super) fn fleet(
    evidence: &Evidence,
    roster: &Roster,
    tuning: &VerdictTuning,
    now: Moment,
) -> Verdict {
    if !evidence.has_failures() {
        return Verdict::Well;
    }
    let pooled = evidence.pool(Span::Lately, None);
    // The fleet is its own region here: what was seen counts for both.
    let known = 2.0 * pooled.seen > tuning.sick_evidence;
    let failing = pooled.failure_given(pooled.failure(Prior::default())) > tuning.sick;
    // Who says so matters only where it is so, and few endpoints fail.
    let sides = (known && failing).then(|| Sides::of(evidence, tuning, now));
    if sides.as_ref().is_some_and(|it| it.witnesses.len() >= 2) {
        return Verdict::Sick;
    }
    let seers = decline(evidence, tuning, None);
    if !seers.is_empty() {
        // What one region sees is that region's concern.
        let observers = evidence.observers.iter().map(|it| it.region);
        let crowd = evidence.crowd().map(|(region, _)| region);
        let everywhere = different(observers.chain(crowd)).min(2);
        if different(seers.iter().map(|it| it.region)) >= everywhere {
            return Verdict::Declining;
        }
    }
    if let Some(sides) = sides.filter(|it| it.sick.len() == 1 && it.well.is_empty()) {
        let names = sides.sick.iter().filter_map(|pop| roster.pop(*pop));
        return Verdict::Suspect(names.cloned().collect());
    }
    Verdict::Well
}

/// Judges by the observers of one region: two points of presence of it are needed.
pub(super) fn region(evidence: &Evidence, region: RegionIx, tuning: &VerdictTuning) -> Verdict {
    if !evidence.has_failures() {
        return Verdict::Well;
    }
    let here = evidence.observers.iter().filter(|it| it.region == region);
    let mut witnesses = here.filter(|it| is_witness(it, tuning)).map(|it| it.pop);
    let first = witnesses.next();
    if !witnesses.any(|pop| Some(pop) != first) {
        return Verdict::Well;
    }
    let fleet = evidence.pool(Span::Lately, None);
    let pooled = evidence.pool(Span::Lately, Some(region));
    let known = pooled.seen + fleet.seen > tuning.sick_evidence;
    if known && pooled.failure_given(fleet.failure(Prior::default())) > tuning.sick {
        return Verdict::Sick;
    }
    if decline(evidence, tuning, Some(region)).is_empty() {
        return Verdict::Well;
    }
    Verdict::Declining
}

/// It has seen failures, much or little.
fn is_witness(observer: &Observer, tuning: &VerdictTuning) -> bool {
    observer.lately.bad >= 0.5 && observer.lately.failing() > tuning.sick
}

fn different(regions: impl Iterator<Item = RegionIx>) -> usize {
    regions.collect::<BTreeSet<_>>().len()
}

/// Who of a region, or of all, sees it fail too often for certain, over the last minute; nobody
/// unless they are of two points of presence.
fn decline<'a>(
    evidence: &'a Evidence,
    tuning: &VerdictTuning,
    region: Option<RegionIx>,
) -> Vec<&'a Observer> {
    let pooled = evidence.pool(Span::Decline, region);
    let certain = pooled.seen >= tuning.decline_evidence
        && pooled.failing_at_least(tuning.decline_z) > tuning.decline;
    if !certain {
        return Vec::new();
    }
    let here = |it: &&Observer| region.is_none_or(|region| it.region == region);
    let seers = evidence.observers.iter().filter(here);
    let seers: Vec<_> = seers
        .filter(|it| it.decline.bad >= 1.0 && it.decline.failing() > tuning.decline)
        .collect();
    let pops: BTreeSet<PopIx> = seers.iter().map(|it| it.pop).collect();
    if pops.len() >= 2 { seers } else { Vec::new() }
}

/// Points of presence by what they see.
#[derive(Default)]
struct Sides {
    /// With an observer that has seen enough, and failures.
    sick: BTreeSet<PopIx>,
    /// The same, and those that have seen little, but failures.
    witnesses: BTreeSet<PopIx>,
    /// With an observer that has seen enough, lately, and well.
    well: BTreeSet<PopIx>,
}

impl Sides {
    fn of(evidence: &Evidence, tuning: &VerdictTuning, now: Moment) -> Self {
        let mut sides = Self::default();
        for observer in &evidence.observers {
            let saw = &observer.lately;
            let enough = saw.seen >= tuning.observer;
            let failing = saw.failing() > tuning.sick;
            let fresh = now.since(observer.last) <= tuning.observer_fresh;
            if failing && enough {
                sides.sick.insert(observer.pop);
            }
            if is_witness(observer, tuning) {
                sides.witnesses.insert(observer.pop);
            }
            if !failing && enough && fresh {
                sides.well.insert(observer.pop);
            }
        }
        sides
    }
}
