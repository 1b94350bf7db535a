//! Which endpoint served a conversation last, so that it finds its prompt in that endpoint's cache.
//! Hashes are kept, no text; the table is bounded, and forgets who is silent for ten minutes. It
//! decides nothing: what it remembers is an input of the plan.

use crate::account::Receipt;
use crate::ingress::Call;
use crate::ingress::conversation::Conversation;
use crate::metrics::shed;
use crate::wire::json::Span;
use shared::catalog::Pricing;
use shared::clock::Moment;
use shared::id::{EndpointId, ModelId, OrgId};
use shared::routing::{Demand, Sticky, View, resolved};
use shared::usage::Usage;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Conversations that are remembered; more are shed until others have been silent long enough.
pub const SESSIONS_MAX: usize = 1 << 18;
/// How long a silent conversation is remembered.
pub const SESSION_IDLE: Duration = Duration::from_secs(600);
/// Of a long text only so many bytes are hashed.
const HASHED_MAX: usize = 8192;
/// Parts of the table that lock by themselves.
const SHARDS: usize = 64;
/// A full part looks for silent conversations at most this often.
const SWEEP: Duration = Duration::from_secs(5);

/// What a node remembers of conversations.
pub struct Sessions {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    known: HashMap<u64, Kept>,
    swept: Moment,
}

/// Of one model's part in a conversation.
struct Kept {
    endpoint: EndpointId,
    /// The part of the next prompt that may be cached, 1/65535.
    hit: u16,
    heard: Moment,
}

/// A conversation of an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    key: u64,
    /// The client named the session.
    named: bool,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Sessions {
    /// The conversation that a call belongs to, where it says so.
    #[must_use]
    pub fn thread(&self, org: &OrgId, call: &Call) -> Option<Thread> {
        let conversation = call.conversation.as_ref()?;
        let mut hash = self.hasher.build_hasher();
        org.hash(&mut hash);
        std::mem::discriminant(conversation).hash(&mut hash);
        let text = |span: Span| call.body.get(span.start..span.end).unwrap_or_default();
        match conversation {
            Conversation::Named(id) => id.hash(&mut hash),
            Conversation::CacheKey(key) => text(*key).hash(&mut hash),
            Conversation::Begins(instructions, first) => {
                if let Some(instructions) = instructions {
                    beginning(text(*instructions), &mut hash);
                }
                beginning(text(*first), &mut hash);
            }
        }
        Some(Thread {
            key: hash.finish(),
            named: matches!(conversation, Conversation::Named(_)),
        })
    }

    /// Who served the conversation last, for each of the models asked for.
    #[must_use]
    pub fn recall(&self, thread: Thread, demand: &Demand, view: &View, now: Moment) -> Vec<Sticky> {
        let names = std::iter::once(&demand.model).chain(&demand.fallback_models);
        let models = names.filter_map(|name| resolved(&view.snapshot, name));
        let kept = models.filter_map(|model| self.kept(thread, &model.id, now));
        kept.collect()
    }

    /// A request of the conversation was served, as the receipt says.
    pub fn served(&self, thread: Thread, receipt: &Receipt, view: &View, now: Moment) {
        let (Some(model), Some(id)) = (&receipt.model, &receipt.endpoint) else {
            return;
        };
        let endpoint = view.snapshot.index_of(id);
        let endpoint = endpoint.and_then(|index| view.snapshot.endpoint(index));
        let Some(endpoint) = endpoint else {
            return;
        };
        let hit = cached(&receipt.usage);
        let begins = thread.named || (hit > 0 && pays(&endpoint.pricing));
        self.keep((thread.key(&self.hasher, model), now), id, hit, begins);
    }

    fn kept(&self, thread: Thread, model: &ModelId, now: Moment) -> Option<Sticky> {
        let key = thread.key(&self.hasher, model);
        let shard = self.shard(key)?;
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = shard.known.get(&key)?;
        (now.since(kept.heard) < SESSION_IDLE).then(|| Sticky {
            endpoint: kept.endpoint.clone(),
            hit: kept.hit,
            pinned: thread.named,
        })
    }

    /// What does not begin a memory refreshes one that says the same.
    fn keep(&self, (key, now): (u64, Moment), endpoint: &EndpointId, hit: u16, begins: bool) {
        let Some(shard) = self.shard(key) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = shard.known.get_mut(&key) {
            if begins || kept.endpoint == *endpoint {
                kept.endpoint.clone_from(endpoint);
                (kept.hit, kept.heard) = (hit, now);
            }
            return;
        }
        if !begins || !shard.has_room(now) {
            return;
        }
        let (endpoint, heard) = (endpoint.clone(), now);
        shard.known.insert(
            key,
            Kept {
                endpoint,
                hit,
                heard,
            },
        );
    }

    fn shard(&self, key: u64) -> Option<&Mutex<Shard>> {
        let place = usize::try_from(key % SHARDS as u64).ok()?;
        self.shards.get(place)
    }
}

impl Shard {
    fn has_room(&mut self, now: Moment) -> bool {
        let most = SESSIONS_MAX / SHARDS;
        if self.known.len() >= most && now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.known
                .retain(|_, kept| now.since(kept.heard) < SESSION_IDLE);
        }
        let has_room = self.known.len() < most;
        if !has_room {
            shed("sessions");
        }
        has_room
    }
}

impl Thread {
    fn key(self, hasher: &RandomState, model: &ModelId) -> u64 {
        hasher.hash_one((self.key, model.as_str()))
    }
}

/// Hashes a text's beginning. Cache marks don't count: clients move them as they go on.
fn beginning(text: &[u8], hash: &mut impl Hasher) {
    const MARK: &[u8] = b"\"cache_control\"";
    let (mut rest, mut left) = (text, HASHED_MAX);
    while !rest.is_empty() && left > 0 {
        let mark = memchr::memmem::find(rest, MARK);
        let (piece, after) = rest.split_at(mark.unwrap_or(rest.len()));
        // The comma before a mark goes with it.
        let piece = match mark {
            Some(_) => trimmed(piece),
            None => piece,
        };
        let piece = piece.get(..left).unwrap_or(piece);
        hash.write(piece);
        left -= piece.len();
        let end = memchr::memchr(b'}', after).map_or(after.len(), |at| at + 1);
        rest = after.get(end..).unwrap_or_default();
    }
    hash.write_u8(0xff);
}

fn trimmed(piece: &[u8]) -> &[u8] {
    let piece = piece.trim_ascii_end();
    piece.strip_suffix(b",").unwrap_or(piece)
}

/// The part of the prompt that the provider's cache holds now, 1/65535.
fn cached(usage: &Usage) -> u16 {
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    let held = usage.cache_read.saturating_add(written).min(usage.prompt);
    let part = held.saturating_mul(u64::from(u16::MAX)) / usage.prompt.max(1);
    u16::try_from(part).unwrap_or(u16::MAX)
}

/// Is reading the cache cheaper than the prompt?
fn pays(pricing: &Pricing) -> bool {
    pricing
        .input_cache_read
        .is_some_and(|price| price < pricing.prompt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::{Api, Surface, parse};
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn thread(
        sessions: &Sessions,
        api: Api,
        org: &str,
        header: &str,
        body: &str,
    ) -> Option<Thread> {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            let name = HeaderName::from_static("x-session-id");
            headers.insert(name, HeaderValue::from_str(header).unwrap());
        }
        let call = parse(api, Surface::OpenRouter, &headers, body.to_owned().into()).unwrap();
        sessions.thread(&org.into(), &call)
    }

    #[test]
    fn a_conversation_is_known_by_its_name_else_by_how_it_began() {
        let sessions = Sessions::default();
        let chat = |org: &str, header: &str, more: &str, rest: &str| {
            let body = format!(
                r#"{{"model":"a/b"{more},"messages":[{{"role":"system","content":"be"}},{{"role":"user","content":"hi"}}{rest}]}}"#
            );
            thread(&sessions, Api::Chat, org, header, &body).unwrap()
        };
        let plain = chat("o", "", "", "");
        assert!(!plain.named);
        let longer = r#",{"role":"assistant","content":"x"},{"role":"user","content":"y"}"#;
        assert_eq!(plain, chat("o", "", "", longer), "it goes on");
        assert_ne!(plain, chat("p", "", "", ""), "another account");
        let named = chat("o", "s1", "", "");
        assert!(named.named);
        let body = r#","session_id":"s1","prompt_cache_key":"k""#;
        assert_eq!(named, chat("o", "other", body, longer), "the body wins");
        let keyed = chat("o", "", r#","prompt_cache_key":"k""#, "");
        assert!(!keyed.named);
        assert_ne!(keyed, plain);
        assert_eq!(keyed, chat("o", "", r#","prompt_cache_key":"k""#, longer));
    }

    #[test]
    fn marks_for_caches_do_not_make_another_conversation() {
        let sessions = Sessions::default();
        let of = |content: &str| {
            let body = format!(
                r#"{{"model":"a/b","max_tokens":9,"system":"be","messages":[{{"role":"user","content":{content}}}]}}"#
            );
            thread(&sessions, Api::Messages, "o", "", &body).unwrap()
        };
        let plain = of(r#"[{"type":"text","text":"hi"}]"#);
        let marked = r#"[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]"#;
        assert_eq!(plain, of(marked));
        assert_ne!(plain, of(r#"[{"type":"text","text":"ho"}]"#));
        let input = |text: &str| {
            let body = format!(r#"{{"model":"a/b","instructions":"be","input":{text}}}"#);
            thread(&sessions, Api::Responses, "o", "", &body)
        };
        let items = r#"[{"role":"developer","content":"x"},{"role":"user","content":"hi"}]"#;
        assert!(input("\"hi\"").is_some() && input(items).is_some());
        assert_ne!(input("\"hi\""), input("\"ho\""));
        let rank = r#"{"model":"a/b","query":"q","documents":["d"]}"#;
        assert_eq!(thread(&sessions, Api::Rerank, "o", "", rank), None);
    }

    #[test]
    fn what_is_remembered_begins_goes_on_moves_and_ends() {
        let sessions = Sessions::default();
        let at = |seconds: u64| Moment::default().plus(Duration::from_secs(seconds));
        let model = ModelId::from("a/b");
        let thread = Thread {
            key: 1,
            named: false,
        };
        let key = thread.key(&sessions.hasher, &model);
        let known = |now: u64| {
            sessions
                .kept(thread, &model, at(now))
                .map(|it| it.endpoint.to_string())
        };
        let serve = |now, endpoint: &str, begins| {
            sessions.keep((key, at(now)), &endpoint.into(), 7, begins);
        };
        serve(1, "a/b@p", false);
        assert_eq!(known(1), None, "nothing was cached");
        serve(2, "a/b@p", true);
        assert_eq!(known(601).as_deref(), Some("a/b@p"));
        serve(600, "a/b@p", false);
        assert_eq!(
            known(1199).as_deref(),
            Some("a/b@p"),
            "each success refreshes"
        );
        serve(1199, "a/b@q", false);
        assert_eq!(known(1199).as_deref(), Some("a/b@p"));
        assert_eq!(known(1200), None, "silent for too long");
        serve(1201, "a/b@q", true);
        assert_eq!(known(1202).as_deref(), Some("a/b@q"), "it has moved");
        let other = ModelId::from("a/c");
        assert!(sessions.kept(thread, &other, at(1202)).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_silent() {
        let mut shard = Shard::default();
        let at = |seconds: u64| Moment::default().plus(Duration::from_secs(seconds));
        for key in 0..(SESSIONS_MAX / SHARDS) as u64 {
            assert!(shard.has_room(at(0)));
            let (endpoint, heard) = (EndpointId::from("a/b@p"), at(0));
            shard.known.insert(
                key,
                Kept {
                    endpoint,
                    hit: 0,
                    heard,
                },
            );
        }
        assert!(!shard.has_room(at(10)));
        assert!(shard.has_room(at(611)));
        assert!(shard.known.is_empty());
    }

    #[test]
    fn what_is_cached_is_a_part_of_the_prompt() {
        let check = |read, write, prompt, expect: u16| {
            let usage = Usage {
                prompt,
                cache_read: read,
                cache_write: write,
                ..Usage::default()
            };
            assert_eq!(cached(&usage), expect);
        };
        check(0, 0, 100, 0);
        check(50, 50, 100, u16::MAX);
        check(50, 0, 100, u16::MAX / 2);
        check(500, 0, 100, u16::MAX);
        check(1, 0, 0, 0);
    }
}
