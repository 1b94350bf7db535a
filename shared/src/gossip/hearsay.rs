//! How much a peer's word counts. One peer alone can keep an endpoint from being used for a third
//! of the time at most; a second peer, or what this node has seen itself, is needed for more. So a
//! peer that lies, or whose own line is broken, condemns nobody for ever.

use super::News;
use crate::clock::Moment;
use crate::health::Handle;
use std::collections::HashMap;
use std::time::Duration;

/// The longest pause that a peer's word makes, counted from its arrival.
pub const HEARD_MAX: Duration = Duration::from_secs(10);
/// In so long …
const ALONE_WINDOW: Duration = Duration::from_secs(30);
/// … one peer alone has so much to say of one endpoint.
const ALONE_MAX: Duration = Duration::from_secs(10);
/// A failing share of what this node saw itself that supports a peer's word, 0..1.
const OWN_PENALTY_MIN: f64 = 0.1;
/// The most endpoints of which somebody's word is kept.
const ENDPOINTS_MAX: usize = 4096;

/// Whose word was heard of which endpoint.
#[derive(Debug, Default)]
pub struct Hearsay {
    heard: HashMap<Handle, Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Who opened the window.
    first: u64,
    /// Somebody else has said so, too, in this window.
    confirmed: bool,
    opened: Moment,
    until: Moment,
    /// Paused so far on one peer's word.
    alone: Duration,
}

impl Hearsay {
    /// Until when to leave the endpoint alone, on the word of `peer` (any number of its own);
    /// `own_penalty` is the share of what this node saw lately that failed. None when the word
    /// does not count.
    pub fn hear(
        &mut self,
        peer: u64,
        news: &News,
        own_penalty: f64,
        now: Moment,
    ) -> Option<Moment> {
        let News { endpoint, left } = *news;
        self.make_room(endpoint, now)?;
        let fresh = Heard {
            first: peer,
            confirmed: false,
            opened: now,
            until: now,
            alone: Duration::ZERO,
        };
        let heard = self.heard.entry(endpoint).or_insert(fresh);
        if now.since(heard.opened) > ALONE_WINDOW {
            *heard = fresh;
        }
        heard.confirmed |= heard.first != peer;
        let supported = heard.confirmed || own_penalty >= OWN_PENALTY_MIN;
        let from = heard.until.max(now);
        let wanted = now.plus(left.min(HEARD_MAX));
        let more = wanted.since(from);
        let more = if supported {
            more
        } else {
            more.min(ALONE_MAX.saturating_sub(heard.alone))
        };
        if more.is_zero() {
            return None;
        }
        if !supported {
            heard.alone += more;
        }
        heard.until = from.plus(more);
        Some(heard.until)
    }

    fn make_room(&mut self, endpoint: Handle, now: Moment) -> Option<()> {
        if self.heard.len() < ENDPOINTS_MAX || self.heard.contains_key(&endpoint) {
            return Some(());
        }
        self.heard
            .retain(|_, heard| now.since(heard.opened) <= ALONE_WINDOW);
        (self.heard.len() < ENDPOINTS_MAX).then_some(())
    }
}
