//! What is remembered of one endpoint: who saw it succeed and fail, forgotten by half-life. What
//! came since the last tick is kept in whole numbers until the tick, so that the order in which
//! reports come makes no difference. What it amounts to is [`super::tally`]'s and
//! [`super::verdict`]'s concern.

use super::VerdictTuning;
use super::roster::{NodeIx, PopIx, RegionIx};
use super::state::Answers;
use crate::clock::Moment;
use crate::health::half_life;
use crate::window::Window;
use std::time::Duration;

/// What counts of all attempts after a turn, as a multiple of the failures: two of three failed.
const TURN_SEEN: f64 = 1.5;
/// Who has less than this left to say is forgotten.
const NEGLIGIBLE: f64 = 0.02;
/// The same over the last minute: a single request is remembered for one and a half.
const DECLINE_NEGLIGIBLE: f64 = 0.25;

/// What one edge saw of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observer {
    pub(super) node: NodeIx,
    pub(super) pop: PopIx,
    pub(super) region: RegionIx,
    /// Now.
    pub(super) lately: Pooled,
    /// Over about a minute.
    pub(super) decline: Pooled,
    /// How much of that counts, 0..=1: nobody counts more than a few times the median.
    pub(super) weight: f64,
    /// When it last saw anything of the endpoint.
    pub(super) last: Moment,
    /// Since the last tick.
    fresh: Brought,
    /// Between the last tick and the one before.
    pub(super) brought: Brought,
}

/// What an edge brought, whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Brought {
    /// Attempts that began to answer.
    answered: u32,
    /// Failures instead of an answer.
    ended: u32,
    /// Failures after an answer began.
    truncated: u32,
    silence: u32,
    tool_errors: u32,
    openings: u32,
    /// Requests whose first attempt it was.
    pub(super) requests: u32,
    /// Attempts that were turned away for want of capacity.
    pub(super) turned_away: u32,
}

/// What a set of observers says together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pooled {
    /// Attempts.
    pub(super) seen: f64,
    /// Failures; a silence is half of one.
    pub(super) bad: f64,
    /// Silences among the attempts.
    pub(super) silent: f64,
    /// Broken tool calls: they cost score, not health.
    pub(super) tool_errors: f64,
}

/// All edges that saw one endpoint lately, by place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    pub(super) observers: Vec<Observer>,
    /// The median observer's attempts.
    pub(super) usual: f64,
}

/// How much is left of what was known, after the time between two ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fading {
    lately: f64,
    decline: f64,
}

impl Fading {
    pub(super) fn over(elapsed: Duration, tuning: &VerdictTuning) -> Self {
        Self {
            lately: half_life(elapsed, tuning.half_life),
            decline: half_life(elapsed, tuning.decline_half_life),
        }
    }
}

impl Evidence {
    /// Adds a window of an edge.
    pub(super) fn add(&mut self, from: (NodeIx, PopIx, RegionIx), window: &Window, now: Moment) {
        let (node, pop, region) = from;
        match self.observers.binary_search_by_key(&node, |it| it.node) {
            Ok(at) => {
                if let Some(observer) = self.observers.get_mut(at) {
                    (observer.pop, observer.region) = (pop, region);
                    observer.add(window, now);
                }
            }
            Err(at) => {
                let mut observer = Observer::new(from, now);
                observer.add(window, now);
                self.observers.insert(at, observer);
            }
        }
    }

    /// Time passes, and what came since the last tick counts from now on.
    pub(super) fn fold(&mut self, fading: Fading, tuning: &VerdictTuning) {
        let mut sizes: Vec<f64> = Vec::with_capacity(self.observers.len());
        self.observers.retain_mut(|observer| {
            observer.fold(fading, tuning);
            let says = observer.lately.seen >= NEGLIGIBLE
                || observer.decline.seen >= DECLINE_NEGLIGIBLE
                || observer.brought != Brought::default();
            if says {
                sizes.push(observer.lately.seen);
            }
            says
        });
        let middle = sizes.len() / 2;
        self.usual = if sizes.is_empty() {
            0.0
        } else {
            *sizes.select_nth_unstable_by(middle, f64::total_cmp).1
        };
        // With one or two there is no median to speak of.
        let most = if sizes.len() < 3 {
            f64::INFINITY
        } else {
            (self.usual * tuning.observer_clip).max(tuning.observer)
        };
        for observer in &mut self.observers {
            let seen = observer.lately.seen;
            observer.weight = if seen > most { most / seen } else { 1.0 };
        }
    }

    /// True when anybody saw it fail, and it still counts.
    pub(super) fn has_failures(&self) -> bool {
        let fails = |it: &Observer| it.lately.bad >= 0.5 || it.decline.bad >= 0.5;
        self.observers.iter().any(fails)
    }

    /// After a recovery old failures no longer count.
    pub(super) fn absolve(&mut self) {
        for observer in &mut self.observers {
            for pooled in [&mut observer.lately, &mut observer.decline] {
                pooled.seen = (pooled.seen - pooled.bad).max(0.0);
                pooled.bad = 0.0;
            }
        }
    }

    /// What the observers that `which` chooses say together of one of their memories.
    pub(super) fn pool(
        &self,
        memory: impl Fn(&Observer) -> &Pooled,
        which: impl Fn(&Observer) -> bool,
    ) -> Pooled {
        let mut pooled = Pooled::default();
        for observer in self.observers.iter().filter(|it| which(it)) {
            pooled.add(memory(observer), observer.weight);
        }
        pooled
    }

    /// How many samples of one report may count: no edge tells more of a speed than a few times
    /// what the median one does.
    pub(super) fn samples_max(&self, tuning: &VerdictTuning, report: Duration) -> u64 {
        // What decays by half in a half-life and stays the same comes at this rate.
        let rate = self.usual * std::f64::consts::LN_2 / tuning.half_life.as_secs_f64();
        let usual = rate * report.as_secs_f64();
        count(8.0 + tuning.observer_clip * usual)
    }
}

impl Observer {
    fn new(from: (NodeIx, PopIx, RegionIx), now: Moment) -> Self {
        let (node, pop, region) = from;
        Self {
            node,
            pop,
            region,
            lately: Pooled::default(),
            decline: Pooled::default(),
            weight: 1.0,
            last: now,
            fresh: Brought::default(),
            brought: Brought::default(),
        }
    }

    fn add(&mut self, window: &Window, now: Moment) {
        let before = self.fresh.health();
        self.fresh.add(window);
        if self.fresh.health() != before {
            self.last = self.last.max(now);
        }
    }

    fn fold(&mut self, fading: Fading, tuning: &VerdictTuning) {
        self.lately.scale(fading.lately);
        self.decline.scale(fading.decline);
        self.brought = std::mem::take(&mut self.fresh);
        let brought = self.brought.health();
        self.lately.add(&brought, 1.0);
        self.decline.add(&brought, 1.0);
        if self.brought.openings > 0 {
            self.turned(tuning);
        }
    }

    /// Failures in a row are a change, not bad luck: however much went well before, it is the
    /// failures that tell of now.
    fn turned(&mut self, tuning: &VerdictTuning) {
        self.lately.bad = self.lately.bad.max(tuning.turn);
        self.lately.seen = self.lately.seen.min(self.lately.bad * TURN_SEEN);
    }
}

impl Brought {
    /// Attempts that were accepted.
    pub(super) const fn accepted(&self) -> u32 {
        self.answered
    }

    pub(super) const fn answers(&self) -> Answers {
        Answers {
            ok: self.answered as u64,
            failed: self.ended as u64 + self.truncated as u64,
        }
    }

    fn add(&mut self, window: &Window) {
        for (sum, more) in [
            (&mut self.answered, window.answered),
            (
                &mut self.ended,
                window.hard_fail.saturating_add(window.timeout),
            ),
            (&mut self.truncated, window.truncated),
            (&mut self.silence, window.silence),
            (&mut self.tool_errors, window.tool_errors),
            (&mut self.openings, window.openings),
            (&mut self.requests, window.first_attempts),
            (&mut self.turned_away, window.turned_away()),
        ] {
            *sum = sum.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        }
    }

    /// As [`Window::health`].
    fn health(&self) -> Pooled {
        let ended = f64::from(self.ended);
        let silence = f64::from(self.silence);
        Pooled {
            seen: f64::from(self.answered) + ended + silence,
            bad: ended + f64::from(self.truncated) + 0.5 * silence,
            silent: silence,
            tool_errors: f64::from(self.tool_errors),
        }
    }
}

impl Pooled {
    pub(super) fn add(&mut self, other: &Self, weight: f64) {
        self.seen += other.seen * weight;
        self.bad += other.bad * weight;
        self.silent += other.silent * weight;
        self.tool_errors += other.tool_errors * weight;
    }

    /// Without what a part of it saw.
    pub(super) fn minus(self, part: &Self) -> Self {
        Self {
            seen: (self.seen - part.seen).max(0.0),
            bad: (self.bad - part.bad).max(0.0),
            silent: (self.silent - part.silent).max(0.0),
            tool_errors: (self.tool_errors - part.tool_errors).max(0.0),
        }
    }

    /// Without silences. They condemn, but they don't score: the mark stands where a few of a
    /// hundred good answers still come later, and a little more load makes that many.
    pub(super) fn without_silences(self) -> Self {
        Self {
            seen: (self.seen - self.silent).max(0.0),
            bad: (self.bad - 0.5 * self.silent).max(0.0),
            silent: 0.0,
            ..self
        }
    }

    /// The share that failed.
    pub(super) fn failing(&self) -> f64 {
        if self.seen > 0.0 {
            (self.bad / self.seen).min(1.0)
        } else {
            f64::from(u8::from(self.bad > 0.0))
        }
    }

    /// The probability of failure over the whole fleet: what was seen, and the little that `prior`
    /// stands for.
    pub(super) fn failure(&self, prior: Prior) -> f64 {
        ((self.bad + prior.bad) / (self.seen + prior.seen)).min(1.0)
    }

    /// The probability of failure in a region, leaning on the fleet's where little was seen.
    pub(super) fn failure_given(&self, fleet: f64) -> f64 {
        ((self.bad + 3.0 * fleet) / (self.seen + 3.0)).min(1.0)
    }

    /// The share of broken tool calls.
    pub(super) fn tool_failure(&self) -> f64 {
        (self.tool_errors / (self.seen + 3.0)).min(1.0)
    }

    /// The lower bound of the probability of failure, with `z` standard deviations of certainty
    /// (Wilson's).
    pub(super) fn failing_at_least(&self, z: f64) -> f64 {
        if self.seen <= 0.0 {
            return 0.0;
        }
        let (n, p) = (self.seen, self.failing());
        let middle = p + z * z / (2.0 * n);
        let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((middle - spread) / (1.0 + z * z / n)).max(0.0)
    }

    fn scale(&mut self, by: f64) {
        self.seen *= by;
        self.bad *= by;
        self.silent *= by;
        self.tool_errors *= by;
    }
}

/// What is believed of an endpoint before anything is seen, in observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    pub(super) bad: f64,
    pub(super) seen: f64,
}

impl Default for Prior {
    fn default() -> Self {
        Self {
            bad: 0.02,
            seen: 2.0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one tick")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to an integer saturates"
)]
fn count(number: f64) -> u64 {
    number.max(0.0) as u64
}
