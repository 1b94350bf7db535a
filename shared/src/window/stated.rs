//! What a provider said of its own limits while it answered. Merging keeps the strictest word, so
//! that it may be done in any order and twice.

use std::time::Duration;

/// No account's limit is larger than this, per minute: a header that says so is not believed.
pub const STATED_MAX: u64 = 1_000_000_000_000;

/// A provider's own word of the account's limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stated {
    /// Requests per minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens per minute.
    pub tokens_per_minute: Option<u64>,
    /// The rest that it asked for when it turned a request away.
    pub retry_after: Option<Duration>,
}

impl Stated {
    /// Takes another word in: of limits the least, of rests the longest. Associative, commutative
    /// and idempotent.
    pub fn merge(&mut self, other: &Self) {
        let least = |mine: Option<u64>, theirs: Option<u64>| match (mine, theirs) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.requests_per_minute = least(self.requests_per_minute, other.requests_per_minute);
        self.tokens_per_minute = least(self.tokens_per_minute, other.tokens_per_minute);
        self.retry_after = self.retry_after.max(other.retry_after);
    }

    /// True when nothing was said.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }

    /// Without what can't be: nothing at all, or more than anybody has.
    #[must_use]
    pub fn believed(self) -> Self {
        let likely = |limit: &u64| (1..=STATED_MAX).contains(limit);
        Self {
            requests_per_minute: self.requests_per_minute.filter(likely),
            tokens_per_minute: self.tokens_per_minute.filter(likely),
            ..self
        }
    }
}
