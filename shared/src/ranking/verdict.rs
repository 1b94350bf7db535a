//! Who may condemn an endpoint. Observers in two points of presence: at once and everywhere. A
//! point of presence that is the only one to see it: its word caps the share to the floor, and
//! another one's probe confirms or restores. One against others that see it well: nobody but
//! itself. A broken uplink must not poison the world.

use super::Tuning;
use super::evidence::{Evidence, Observer};
use crate::clock::Moment;
use crate::id::{Pop, Region};
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
}

/// Judges by all observers.
pub(super) fn fleet(evidence: &Evidence, tuning: &Tuning, now: Moment) -> Verdict {
    if !evidence.has_failures() {
        return Verdict::Well;
    }
    let sides = Sides::of(evidence, tuning, now, |_| true);
    let pooled = evidence.pool(tuning, |_| true);
    // The fleet is its own region here: what was seen counts for both.
    let known = 2.0 * pooled.seen > tuning.sick_evidence;
    let failing = pooled.failure_given(pooled.failure()) > tuning.sick;
    if known && failing && sides.witnesses.len() >= 2 {
        return Verdict::Sick;
    }
    if known && failing && sides.sick.len() == 1 && sides.well.is_empty() {
        return Verdict::Suspect(sides.sick);
    }
    Verdict::Well
}

/// Judges by the observers of one region: two points of presence of it are needed.
pub(super) fn region(
    evidence: &Evidence,
    region: &Region,
    tuning: &Tuning,
    now: Moment,
) -> Verdict {
    if !evidence.has_failures() {
        return Verdict::Well;
    }
    let here = |observer: &Observer| observer.region == *region;
    let sides = Sides::of(evidence, tuning, now, here);
    if sides.witnesses.len() < 2 {
        return Verdict::Well;
    }
    let fleet = evidence.pool(tuning, |_| true);
    let pooled = evidence.pool(tuning, here);
    let known = pooled.seen + fleet.seen > tuning.sick_evidence;
    if known && pooled.failure_given(fleet.failure()) > tuning.sick {
        return Verdict::Sick;
    }
    Verdict::Well
}

/// Points of presence by what they see.
#[derive(Default)]
struct Sides {
    /// With an observer that has seen enough, and failures.
    sick: BTreeSet<Pop>,
    /// The same, and those that have seen little, but failures.
    witnesses: BTreeSet<Pop>,
    /// With an observer that has seen enough, lately, and well.
    well: BTreeSet<Pop>,
}

impl Sides {
    fn of(
        evidence: &Evidence,
        tuning: &Tuning,
        now: Moment,
        which: impl Fn(&Observer) -> bool,
    ) -> Self {
        let mut sides = Self::default();
        for observer in evidence.observers.values().filter(|it| which(it)) {
            let enough = observer.seen >= tuning.observer;
            let failing = observer.failing() > tuning.sick;
            let fresh = now.since(observer.last) <= tuning.observer_fresh;
            if failing && enough {
                sides.sick.insert(observer.pop.clone());
            }
            if failing && observer.bad >= 0.5 {
                sides.witnesses.insert(observer.pop.clone());
            }
            if !failing && enough && fresh {
                sides.well.insert(observer.pop.clone());
            }
        }
        sides
    }
}
