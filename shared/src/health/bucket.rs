//! A token bucket whose rate and size are given with each call, because both follow the fleet.

use crate::clock::Moment;

/// Limits of providers begin anew each minute.
const DEBT_S: f64 = 60.0;

/// Tokens; a bucket that was never touched is full.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Bucket {
    /// What is there, and since when; may be below zero.
    level: Option<(f64, Moment)>,
}

impl Bucket {
    /// With so many tokens.
    pub(super) fn with(tokens: f64, now: Moment) -> Self {
        Self {
            level: Some((tokens, now)),
        }
    }

    /// The tokens that are there now.
    #[inline]
    pub(super) fn level(&self, per_s: f64, most: f64, now: Moment) -> f64 {
        self.level.map_or(most, |(tokens, since)| {
            (tokens + now.since(since).as_secs_f64() * per_s).min(most)
        })
    }

    /// Puts tokens in (or, below zero, takes them without asking: what is owed is forgotten beyond
    /// what a minute brings, as providers forget it).
    pub(super) fn add(&mut self, tokens: f64, per_s: f64, most: f64, now: Moment) {
        let level = (self.level(per_s, most, now) + tokens).min(most);
        let level = level.max(-(DEBT_S * per_s + most));
        let since = self.level.map_or(now, |(_, since)| since.max(now));
        self.level = Some((level, since));
    }

    /// Takes one token, if there is one.
    pub(super) fn take(&mut self, per_s: f64, most: f64, now: Moment) -> bool {
        let is_there = self.level(per_s, most, now) >= 1.0;
        if is_there {
            self.add(-1.0, per_s, most, now);
        }
        is_there
    }
}
