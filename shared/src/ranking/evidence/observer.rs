//! What one edge saw of one endpoint, and what it brought of it since the last tick.

use super::{Crowd, Fading, Pooled};
use crate::clock::Moment;
use crate::ranking::VerdictTuning;
use crate::ranking::roster::{NodeIx, PopIx, RegionIx};
use crate::ranking::state::Answers;
use crate::window::Window;

/// What counts of all attempts after a turn, as a multiple of the failures: two of three failed.
const TURN_SEEN: f64 = 1.5;
/// Who has less than this left to say, and no complaint, is one of the crowd: far too little to be
/// an observer, and who sends a request every few seconds stays above it.
const CROWD: f64 = 0.5;

/// What one edge saw of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ranking) struct Observer {
    pub(in crate::ranking) node: NodeIx,
    pub(in crate::ranking) pop: PopIx,
    pub(in crate::ranking) region: RegionIx,
    /// Now.
    pub(in crate::ranking) lately: Pooled,
    /// Over about a minute.
    pub(in crate::ranking) decline: Pooled,
    /// How much of that counts, 0..=1: nobody counts more than a few times the median.
    pub(in crate::ranking) weight: f64,
    /// When it last saw anything of the endpoint.
    pub(in crate::ranking) last: Moment,
    /// What came since the last tick or, until anything does, between it and the one before.
    brought: Brought,
    /// A tick has taken that in.
    counted: bool,
}

/// What an edge brought, whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ranking) struct Brought {
    /// Attempts that began to answer.
    answered: u32,
    /// Failures instead of an answer.
    ended: u32,
    /// Failures after an answer began.
    truncated: u32,
    silence: u32,
    tool_errors: u32,
    tool_calls: u32,
    openings: u32,
    /// Requests whose first attempt it was.
    pub(in crate::ranking) requests: u32,
    /// Attempts that were turned away for want of capacity.
    pub(in crate::ranking) turned_away: u32,
    /// Answers that came whole.
    pub(in crate::ranking) whole: u32,
    /// Their tokens, prompts included.
    pub(in crate::ranking) tokens: u64,
}

impl Observer {
    pub(super) fn new(from: (NodeIx, PopIx, RegionIx), now: Moment) -> Self {
        let (node, pop, region) = from;
        Self {
            node,
            pop,
            region,
            lately: Pooled::default(),
            decline: Pooled::default(),
            weight: 1.0,
            last: now,
            brought: Brought::default(),
            counted: false,
        }
    }

    pub(super) fn add(&mut self, window: &Window, now: Moment) {
        if self.counted {
            (self.brought, self.counted) = (Brought::default(), false);
        }
        if self.brought.add(window) {
            self.last = self.last.max(now);
        }
    }

    pub(super) fn fold(&mut self, fading: Fading, tuning: &VerdictTuning) {
        self.lately.scale(fading.lately);
        self.decline.scale(fading.decline);
        if self.counted {
            self.brought = Brought::default();
            return;
        }
        self.counted = true;
        let brought = self.brought.health();
        self.lately.add(&brought, 1.0);
        self.decline.add(&brought, 1.0);
        if self.brought.openings > 0 {
            self.turned(tuning);
        }
    }

    /// Between the last tick and the one before.
    pub(in crate::ranking) const fn brought(&self) -> &Brought {
        &self.brought
    }

    /// Has it no complaint, nothing new and too little to be heard by itself?
    pub(super) fn is_one_of_many(&self) -> bool {
        self.lately.seen < CROWD
            && self.brought == Brought::default()
            && !self.lately.complains()
            && !self.decline.complains()
    }

    /// What is left of what it saw becomes a part of its region's sum.
    pub(super) fn join(&self, crowd: &mut Vec<Crowd>) {
        let at = self.region.at();
        if crowd.len() <= at {
            crowd.resize(at + 1, Crowd::default());
        }
        if let Some(crowd) = crowd.get_mut(at) {
            crowd.lately.add(&self.lately, 1.0);
            crowd.decline.add(&self.decline, 1.0);
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
    pub(in crate::ranking) const fn accepted(&self) -> u32 {
        self.answered
    }

    pub(in crate::ranking) const fn answers(&self) -> Answers {
        Answers {
            ok: self.answered as u64,
            failed: self.ended as u64 + self.truncated as u64,
            silent: self.silence as u64,
        }
    }

    /// True when it tells of health.
    fn add(&mut self, window: &Window) -> bool {
        let ended = window.hard_fail.saturating_add(window.timeout);
        for (sum, more) in [
            (&mut self.answered, window.answered),
            (&mut self.ended, ended),
            (&mut self.truncated, window.truncated),
            (&mut self.silence, window.silence),
            (&mut self.tool_errors, window.tool_errors),
            (&mut self.tool_calls, window.tool_calls),
            (&mut self.openings, window.openings),
            (&mut self.requests, window.first_attempts),
            (&mut self.turned_away, window.turned_away()),
            (&mut self.whole, window.ok),
        ] {
            *sum = sum.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        }
        let tokens = window
            .prompt_tokens
            .saturating_add(window.completion_tokens);
        self.tokens = self.tokens.saturating_add(tokens);
        let health = [window.answered, ended, window.truncated];
        let signs = [window.silence, window.tool_errors];
        health.iter().chain(&signs).any(|count| *count > 0)
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
            tool_calls: f64::from(self.tool_calls),
        }
    }
}
