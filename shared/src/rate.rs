//! Requests per minute over the whole fleet. A minute of a limit is parted: the control plane
//! ([`fleet`]) gives edges shares of it by demand, and an edge ([`local`]) lets through what its
//! share of this minute holds, without asking. Whatever is lost, late or cut off, the edges
//! together let no more through than the limit. Pure; time is passed in, in milliseconds since 1970.
//!
//! An edge that lives with the control plane *waives* each minute ahead of it: in that minute it
//! uses nothing but the shares that it is given for it. In a minute that it has not waived, because
//! it is cut off, it uses as much as it was given for the last minute that it has waived; the
//! control plane keeps that much for it as long as it has not heard otherwise.

pub mod fleet;
pub mod local;

use crate::id::LimitId;
use crate::limit::{NoWindow, Scope};
use std::fmt;
use std::str::FromStr;

/// How long a minute lasts, in milliseconds.
const MINUTE_MS: u64 = 60_000;
/// An edge that is cut off keeps its share for so many minutes: as long as a key is good without
/// the control plane.
pub const KEPT_MINUTES: u64 = 24 * 60;

/// How far an edge's clock may be ahead of the control plane's, in minutes.
const AHEAD_MAX: u64 = 2;

/// One minute since 1970, UTC, by the clock of the edge that a request came to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Minute(pub u64);

impl Minute {
    /// The minute that `unix_ms` is in.
    #[must_use]
    pub const fn of(unix_ms: u64) -> Self {
        Self(unix_ms / MINUTE_MS)
    }

    /// When it ends, in milliseconds since 1970.
    #[must_use]
    pub const fn end_ms(self) -> u64 {
        self.0.saturating_add(1).saturating_mul(MINUTE_MS)
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// What is limited: a key, or what an organisation asks of free models. Written `scope:id`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subject {
    /// What it is about.
    pub scope: Scope,
    /// Of that, which.
    pub id: LimitId,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scope, self.id)
    }
}

impl FromStr for Subject {
    type Err = NoWindow;
    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let (scope, id) = text.split_once(':').ok_or(NoWindow)?;
        let scope = Scope::ALL.into_iter().find(|one| one.as_str() == scope);
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(NoWindow);
        }
        Ok(Self {
            scope: scope.ok_or(NoWindow)?,
            id: id.into(),
        })
    }
}

/// What an edge says of one limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Of what.
    pub subject: Subject,
    /// Requests per minute, as the edge knows the limit.
    pub limit: u32,
    /// Of which minute a share is wished.
    pub minute: Minute,
    /// What the edge has of that minute, or has used of it while it was cut off.
    pub holds: u32,
    /// How much it would like to have.
    pub wanted: u32,
    /// How many requests wait for it.
    pub waiting: u32,
    /// How many requests came in the minute before, where `minute` has not begun; else in it.
    pub demand: u32,
}

/// What an edge says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ask {
    /// Up to here the edge uses what it is given, and nothing that it keeps.
    pub waived: Minute,
    /// What it wishes.
    pub wishes: Vec<Wish>,
}

/// What it is told of one wish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// Of what.
    pub subject: Subject,
    /// Of which minute.
    pub minute: Minute,
    /// All that the edge has of it; never less than it was told before.
    pub share: u32,
    /// What nobody has.
    pub left: u32,
}

/// What free variants of models allow an organisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreeTier;

impl FreeTier {
    /// Requests per minute.
    pub const PER_MINUTE: u32 = 20;
    /// Requests per day of who has bought less than [`FreeTier::PAID_FROM_USD`].
    pub const PER_DAY: u32 = 50;
    /// Requests per day of who has bought as much.
    pub const PER_DAY_PAID: u32 = 1_000;
    /// Credits that must have been bought ever for the larger number, in USD.
    pub const PAID_FROM_USD: i128 = 10;

    /// True of a free variant's id.
    #[must_use]
    pub fn has(model: &str) -> bool {
        model.ends_with(":free")
    }
}

#[cfg(test)]
mod tests;
