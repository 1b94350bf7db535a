//! Log-ins that have been begun and not ended: what the provider's answer must fit to. In memory,
//! for a named time and in a named number, each for one answer and for the browser that began it.
//! When there are too many, the oldest goes: whoever begins many keeps nobody out for long.

use crate::metrics;
use openidconnect::{Nonce, PkceCodeVerifier};
use shared::clock::Moment;
use shared::key::KeyHash;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

/// How long somebody may take at the provider.
pub const PENDING_LIFE: Duration = Duration::from_secs(600);
/// Log-ins at one time; one more ends the oldest.
pub const PENDING_MAX: usize = 10_000;

/// What was begun.
pub(super) struct Begun {
    /// The hash of what the browser holds.
    pub(super) browser: KeyHash,
    /// What the token must repeat.
    pub(super) nonce: Nonce,
    /// What only we know, of which the provider knows the hash.
    pub(super) verifier: PkceCodeVerifier,
}

/// Why an answer fits to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unfit {
    /// Nothing was begun with this state, or it has ended.
    Unknown,
    /// It was begun in another browser.
    Browser,
}

/// All of them.
#[derive(Default)]
pub(super) struct Pending(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// By the hash of the state.
    begun: HashMap<KeyHash, Begun>,
    /// In the order of their beginning, with those that have ended since.
    order: VecDeque<(KeyHash, Moment)>,
}

impl Pending {
    /// Keeps what was begun now, under its state.
    pub(super) fn add(&self, state: &str, begun: Begun, now: Moment) {
        let mut held = shared::task::lock(&self.0);
        held.expire(now);
        while held.order.len() >= PENDING_MAX {
            if held.end_oldest() {
                metrics::shed("pending_log_ins");
            }
        }
        let state = KeyHash::of(state);
        held.order.push_back((state, now));
        held.begun.insert(state, begun);
    }

    /// What was begun with this state in this browser: for once.
    pub(super) fn take(
        &self,
        state: &str,
        browser: Option<&str>,
        now: Moment,
    ) -> Result<Begun, Unfit> {
        let mut held = shared::task::lock(&self.0);
        held.expire(now);
        // Hashes are compared, so that the time tells nothing of what is expected.
        let state = KeyHash::of(state);
        let browser = browser.map(KeyHash::of);
        let begun = held.begun.get(&state).ok_or(Unfit::Unknown)?;
        if browser != Some(begun.browser) {
            return Err(Unfit::Browser);
        }
        held.begun.remove(&state).ok_or(Unfit::Unknown)
    }
}

impl Held {
    fn expire(&mut self, now: Moment) {
        let is_over = |begun: &Moment| now.since(*begun) >= PENDING_LIFE;
        while self.order.front().is_some_and(|(_, begun)| is_over(begun)) {
            self.end_oldest();
        }
    }

    /// True when it had not ended.
    fn end_oldest(&mut self) -> bool {
        let oldest = self.order.pop_front();
        oldest.is_some_and(|(state, _)| self.begun.remove(&state).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(browser: &str) -> Begun {
        Begun {
            browser: KeyHash::of(browser),
            nonce: Nonce::new("n".to_owned()),
            verifier: PkceCodeVerifier::new("v".repeat(43)),
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn once_in_the_same_browser_in_time() {
        let pending = Pending::default();
        pending.add("s", begun("b"), at(0));
        let take = |state, browser, now| pending.take(state, browser, now).err();
        assert_eq!(take("s", None, at(1)), Some(Unfit::Browser));
        assert_eq!(take("s", Some("c"), at(1)), Some(Unfit::Browser));
        assert_eq!(take("t", Some("b"), at(1)), Some(Unfit::Unknown));
        assert_eq!(take("s", Some("b"), at(599)), None);
        assert_eq!(take("s", Some("b"), at(599)), Some(Unfit::Unknown));
        pending.add("s", begun("b"), at(600));
        assert_eq!(take("s", Some("b"), at(1200)), Some(Unfit::Unknown));
    }

    #[test]
    fn one_too_many_ends_the_oldest() {
        let pending = Pending::default();
        for number in 0..PENDING_MAX + 2 {
            pending.add(&number.to_string(), begun("b"), at(0));
        }
        let take = |number: usize| pending.take(&number.to_string(), Some("b"), at(1)).err();
        assert_eq!(take(1), Some(Unfit::Unknown));
        assert_eq!(take(2), None);
        assert_eq!(take(PENDING_MAX + 1), None);
        assert_eq!(shared::task::lock(&pending.0).order.len(), PENDING_MAX);
    }
}
