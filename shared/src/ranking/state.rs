//! Whether an endpoint gets traffic: closed, open (shut off), half open (probed), ramp (growing).
//! Hold times double with each relapse and are forgotten slowly. Pure transitions; what the
//! verdict rests on is [`super::verdict`]'s concern.

use super::verdict::Verdict;
use super::{ShareTuning, Tuning, VerdictTuning};
use crate::catalog::text_enum;
use crate::clock::Moment;
use crate::health::half_life;
use crate::id::Pop;
use std::collections::BTreeSet;
use std::time::Duration;

text_enum! {
    /// Whether an endpoint gets traffic.
    State {
        /// By its score.
        Closed = "closed",
        /// None: it fails.
        Open = "open",
        /// Probes only: it may have recovered, or one observer says that it fails.
        HalfOpen = "half_open",
        /// A growing share: it has recovered.
        Ramp = "ramp",
        /// No new requests, says the operator.
        Draining = "draining",
        /// No requests at all, says the operator.
        Disabled = "disabled",
    }
}

impl State {
    /// True for what an operator has taken out of service: no emergency overrides that.
    #[must_use]
    #[inline]
    pub const fn is_withdrawn(self) -> bool {
        matches!(self, Self::Draining | Self::Disabled)
    }
}

/// A decline asks for as many proofs as so many relapses do.
const DECLINED: f64 = 3.0;

/// Who was probed for so long without an answer or a silence is asked for by nobody: it has proved
/// nothing, but is forgotten as one that was never seen.
const UNASKED: Duration = Duration::from_secs(600);
/// So many more silences than answers are a failure: a single one comes by chance.
const SILENCES: u64 = 2;

/// What probes and other requests brought since the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) ok: u64,
    pub(super) failed: u64,
    /// Attempts that were silent for longer than nearly all good ones; they may answer yet.
    pub(super) silent: u64,
}

/// The state of one endpoint, in the fleet or in one region.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Machine {
    phase: Phase,
    /// How often it was shut off, forgotten by half-life.
    relapses: f64,
    relapses_at: Moment,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Moment,
    },
    HalfOpen {
        since: Moment,
        ok: u64,
        silent: u64,
        /// Who accuses it; empty after a hold.
        accusers: BTreeSet<Pop>,
    },
    Ramp {
        limit: f64,
        updated: Moment,
    },
}

impl Machine {
    /// One step. True when the endpoint has just proved itself: old failures no longer count.
    pub(super) fn step(
        &mut self,
        verdict: &Verdict,
        answers: Answers,
        tuning: &Tuning,
        now: Moment,
    ) -> bool {
        let accused = self.accusers().is_some();
        match &mut self.phase {
            Phase::Closed => self.judge(verdict, tuning, now),
            Phase::Open { until } => {
                if now >= *until {
                    self.phase = Phase::probing(now, BTreeSet::new());
                }
            }
            Phase::HalfOpen { ok, silent, .. } => {
                (*ok, *silent) = (*ok + answers.ok, *silent + answers.silent);
                // Whoever waits for a probe is given another's answer before it can fail: that
                // several were silent and never answered says as much.
                let mute = *silent >= *ok + SILENCES;
                // After a hold the verdict still rests on what was seen before it: only a fresh
                // failure counts.
                let confirmed = accused && *verdict == Verdict::Sick;
                if answers.failed == 0 && !mute && !confirmed {
                    return self.prove(tuning, now);
                }
                if accused {
                    self.shut(&tuning.verdict, now);
                } else {
                    self.hold_on(&tuning.verdict, now);
                }
            }
            Phase::Ramp { limit, updated } => {
                *limit = Ramp::over(now.since(*updated), &tuning.share).of(*limit);
                *updated = now;
                let done = *limit >= 1.0;
                if done {
                    self.phase = Phase::Closed;
                }
                self.judge(verdict, tuning, now);
            }
        }
        false
    }

    /// The state as a row shows it.
    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::Ramp { .. } => State::Ramp,
        }
    }

    /// The largest share that it may have.
    pub(super) fn limit(&self, tuning: &Tuning) -> f64 {
        match self.phase {
            Phase::Closed => 1.0,
            Phase::Open { .. } => 0.0,
            Phase::HalfOpen { .. } => tuning.share.floor,
            Phase::Ramp { limit, .. } => limit.min(1.0),
        }
    }

    /// Who accuses it, where it is probed because of one accuser.
    pub(super) fn accusers(&self) -> Option<&BTreeSet<Pop>> {
        match &self.phase {
            Phase::HalfOpen { accusers, .. } if !accusers.is_empty() => Some(accusers),
            _ => None,
        }
    }

    /// How long it is probed already.
    pub(super) fn probing(&self, now: Moment) -> Option<Duration> {
        match &self.phase {
            Phase::HalfOpen { since, .. } => Some(now.since(*since)),
            _ => None,
        }
    }

    /// Until when it is shut off.
    pub(super) fn held_until(&self) -> Option<Moment> {
        match self.phase {
            Phase::Open { until } => Some(until),
            _ => None,
        }
    }

    /// True when nothing is remembered.
    pub(super) fn is_blank(&self, tuning: &Tuning, now: Moment) -> bool {
        let well = match &self.phase {
            Phase::Closed => true,
            Phase::HalfOpen {
                since,
                ok: 0,
                silent: 0,
                ..
            } => now.since(*since) >= UNASKED,
            Phase::HalfOpen { .. } | Phase::Open { .. } | Phase::Ramp { .. } => false,
        };
        well && self.relapses(&tuning.verdict, now) < 0.05
    }

    fn judge(&mut self, verdict: &Verdict, tuning: &Tuning, now: Moment) {
        match verdict {
            Verdict::Well => {}
            Verdict::Suspect(accusers) => self.phase = Phase::probing(now, accusers.clone()),
            Verdict::Sick => self.shut(&tuning.verdict, now),
            Verdict::Declining => {
                self.shut(&tuning.verdict, now);
                // Who fails now and then succeeds twice in a row by chance.
                self.relapses = self.relapses.max(DECLINED);
            }
        }
    }

    /// It was well, and fails: a relapse.
    fn shut(&mut self, tuning: &VerdictTuning, now: Moment) {
        let relapses = self.relapses(tuning, now);
        self.hold(relapses, tuning, now);
        self.relapses = relapses + 1.0;
        self.relapses_at = now;
    }

    /// It failed while it was tried out: it has not been well since it was shut off, so that this
    /// is no relapse. A long outage is not remembered as many.
    fn hold_on(&mut self, tuning: &VerdictTuning, now: Moment) {
        let before = self.relapses(tuning, now) - 1.0;
        self.hold(before.max(0.0), tuning, now);
    }

    fn hold(&mut self, relapses: f64, tuning: &VerdictTuning, now: Moment) {
        let hold = tuning.hold.mul_f64(relapses.min(30.0).exp2());
        self.phase = Phase::Open {
            until: now.plus(hold.min(tuning.hold_max)),
        };
    }

    /// Only an answer proves anything: time alone does not.
    fn prove(&mut self, tuning: &Tuning, now: Moment) -> bool {
        let relapses = self.relapses(&tuning.verdict, now);
        let Phase::HalfOpen {
            since,
            ok,
            accusers,
            ..
        } = &self.phase
        else {
            return false;
        };
        let doublings = (relapses - 1.0).clamp(0.0, 3.0);
        let proved =
            count(*ok) >= (f64::from(tuning.verdict.probe_successes) * doublings.exp2()).floor();
        let waited = now.since(*since) >= tuning.verdict.probe_patience;
        if waited && *ok == 0 {
            if !accusers.is_empty() {
                // Nobody else asks for it: from now on its accusers' own requests tell.
                self.phase = Phase::probing(now, BTreeSet::new());
            }
            return false;
        }
        if !proved && !waited {
            return false;
        }
        // Who was only accused never lost its place; who was shut off comes back slowly.
        self.phase = if accusers.is_empty() {
            Phase::Ramp {
                limit: tuning.share.ramp_start,
                updated: now,
            }
        } else {
            Phase::Closed
        };
        true
    }

    fn relapses(&self, tuning: &VerdictTuning, now: Moment) -> f64 {
        self.relapses * half_life(now.since(self.relapses_at), tuning.record_half_life)
    }
}

/// How far shares may grow in some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    factor: f64,
    step: f64,
}

impl Ramp {
    pub(super) fn over(elapsed: Duration, tuning: &ShareTuning) -> Self {
        let periods = elapsed.as_secs_f64() / tuning.ramp_period.as_secs_f64();
        Self {
            factor: tuning.ramp_factor.powf(periods),
            step: tuning.ramp_step * periods,
        }
    }

    /// What a share may have grown to.
    pub(super) fn of(self, share: f64) -> f64 {
        share * self.factor + self.step
    }
}

impl Phase {
    fn probing(since: Moment, accusers: BTreeSet<Pop>) -> Self {
        Self::HalfOpen {
            since,
            ok: 0,
            silent: 0,
            accusers,
        }
    }
}

fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
