//! What is remembered of one endpoint: who saw it succeed and fail, forgotten by half-life. What
//! that makes of it is [`super::tally`]'s and [`super::verdict`]'s concern.

use super::Tuning;
use super::state::Answers;
use crate::clock::Moment;
use crate::health::half_life;
use crate::id::{NodeId, Pop, Region};
use crate::window::Window;
use std::collections::BTreeMap;

/// What counts of all attempts after a turn, as a multiple of the failures: two of three failed.
const TURN_SEEN: f64 = 1.5;

/// What one edge saw of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observer {
    pub(super) pop: Pop,
    pub(super) region: Region,
    /// Attempts, decayed.
    pub(super) seen: f64,
    /// Failures among them, decayed.
    pub(super) bad: f64,
    /// Broken tool calls among them, decayed: they cost score, not health.
    pub(super) tool_errors: f64,
    updated: Moment,
    /// When it last saw anything of the endpoint.
    pub(super) last: Moment,
    /// What it brought since the last tick, whole.
    pub(super) answers: Answers,
}

/// All edges that saw one endpoint lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    pub(super) observers: BTreeMap<NodeId, Observer>,
}

/// What a set of observers says together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pooled {
    /// Attempts.
    pub(super) seen: f64,
    /// Failures.
    pub(super) bad: f64,
    /// Broken tool calls.
    pub(super) tool_errors: f64,
}

impl Observer {
    /// Failures in a row are a change, not bad luck: however much went well before, it is the
    /// failures that tell of now.
    fn turned(&mut self, tuning: &Tuning) {
        self.bad = self.bad.max(tuning.turn);
        self.seen = self.seen.min(self.bad * TURN_SEEN);
    }

    /// The share that failed.
    pub(super) fn failing(&self) -> f64 {
        if self.seen > 0.0 {
            self.bad / self.seen
        } else {
            0.0
        }
    }
}

impl Evidence {
    /// Adds a window of an edge.
    pub(super) fn add(
        &mut self,
        from: (&NodeId, &Pop, &Region),
        window: &Window,
        tuning: &Tuning,
        now: Moment,
    ) {
        let (bad, seen) = window.health();
        if seen <= 0.0 {
            return;
        }
        let (node, pop, region) = from;
        let observer = self
            .observers
            .entry(node.clone())
            .or_insert_with(|| Observer {
                pop: pop.clone(),
                region: region.clone(),
                seen: 0.0,
                bad: 0.0,
                tool_errors: 0.0,
                updated: now,
                last: now,
                answers: Answers::default(),
            });
        observer.forget(tuning, now);
        observer.seen += seen;
        observer.bad += bad;
        if window.openings > 0 {
            observer.turned(tuning);
        }
        observer.tool_errors += f64::from(u32::try_from(window.tool_errors).unwrap_or(u32::MAX));
        observer.last = observer.last.max(now);
        observer.answers.ok += window.answered;
        observer.answers.failed += window.failures();
    }

    /// True when anybody saw it fail, and it still counts.
    pub(super) fn has_failures(&self) -> bool {
        self.observers.values().any(|observer| observer.bad >= 0.5)
    }

    /// A tick has taken the answers into account.
    pub(super) fn answered(&mut self) {
        for observer in self.observers.values_mut() {
            observer.answers = Answers::default();
        }
    }

    /// Lets time pass; drops who has nothing left to say.
    pub(super) fn forget(&mut self, tuning: &Tuning, now: Moment) {
        self.observers.retain(|_, observer| {
            observer.forget(tuning, now);
            observer.seen >= 0.02 || observer.answers != Answers::default()
        });
    }

    /// After a recovery old failures no longer count.
    pub(super) fn absolve(&mut self) {
        for observer in self.observers.values_mut() {
            observer.seen -= observer.bad;
            observer.bad = 0.0;
        }
    }

    /// Observers with the weight that each has: nobody counts more than a few times the median.
    pub(super) fn weighted<'a>(
        &'a self,
        tuning: &Tuning,
        which: impl Fn(&Observer) -> bool,
    ) -> impl Iterator<Item = (&'a Observer, f64)> {
        let chosen: Vec<_> = self.observers.values().filter(|it| which(it)).collect();
        let mut sizes: Vec<f64> = chosen.iter().map(|it| it.seen).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        let median = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
        // With one or two there is no median to speak of.
        let most = if sizes.len() < 3 {
            f64::INFINITY
        } else {
            (median * tuning.observer_clip).max(tuning.observer)
        };
        chosen
            .into_iter()
            .map(move |observer| (observer, (most / observer.seen).min(1.0)))
    }

    /// What the observers that `which` chooses saw together.
    pub(super) fn pool(&self, tuning: &Tuning, which: impl Fn(&Observer) -> bool) -> Pooled {
        let mut pooled = Pooled::default();
        for (observer, weight) in self.weighted(tuning, which) {
            pooled.add(observer, weight);
        }
        pooled
    }
}

impl Pooled {
    pub(super) fn add(&mut self, observer: &Observer, weight: f64) {
        self.seen += observer.seen * weight;
        self.bad += observer.bad * weight;
        self.tool_errors += observer.tool_errors * weight;
    }

    /// With what another set saw.
    pub(super) fn plus(self, other: &Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            bad: self.bad + other.bad,
            tool_errors: self.tool_errors + other.tool_errors,
        }
    }

    /// Without what a part of it saw.
    pub(super) fn minus(self, part: &Self) -> Self {
        Self {
            seen: (self.seen - part.seen).max(0.0),
            bad: (self.bad - part.bad).max(0.0),
            tool_errors: (self.tool_errors - part.tool_errors).max(0.0),
        }
    }

    /// The probability of failure over the whole fleet: what was seen and a little that wasn't.
    pub(super) fn failure(&self) -> f64 {
        (self.bad + 0.02) / (self.seen + 2.0)
    }

    /// The probability of failure in a region, leaning on the fleet's where little was seen.
    pub(super) fn failure_given(&self, fleet: f64) -> f64 {
        (self.bad + 3.0 * fleet) / (self.seen + 3.0)
    }

    /// The share of broken tool calls.
    pub(super) fn tool_failure(&self) -> f64 {
        (self.tool_errors / (self.seen + 3.0)).min(1.0)
    }
}

impl Observer {
    fn forget(&mut self, tuning: &Tuning, now: Moment) {
        let kept = half_life(now.since(self.updated), tuning.evidence_half_life);
        self.seen *= kept;
        self.bad *= kept;
        self.tool_errors *= kept;
        self.updated = self.updated.max(now);
    }
}
