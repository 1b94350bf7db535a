//! The keys that this node knows, the refusals that it believes for a moment, and how far it is
//! in the control plane's list of changes. Pure but for its file format; time is passed in.
//! Deliberately not here: asking ([`super::lookup`]).

use crate::metrics::shed;
use serde::{Deserialize, Serialize};
use shared::clock::Moment;
use shared::id::OrgId;
use shared::key::KeyHash;
use shared::policy::Principal;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Keys that one node remembers; beyond it one that was long not verified is forgotten.
pub(super) const KEYS_MAX: usize = 200_000;
/// Refusals that one node remembers; beyond it all are forgotten: they last 2 s at most.
pub(super) const REFUSALS_MAX: usize = 100_000;
/// How many keys are compared to choose the one to forget.
const EVICT_SAMPLE: usize = 32;
/// "No such key" is never believed longer.
const NEGATIVE_MAX: Duration = Duration::from_secs(2);
/// First word of the key file: name and version of its format.
const FORMAT: &str = "godwit-keys-1";

/// Why a key is refused, by authority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    Unknown,
    Revoked,
    Disabled,
    Expired,
}

/// What the cache says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Use it.
    Fresh(Arc<Principal>),
    /// Use it, and ask again in the background.
    Stale(Arc<Principal>),
    /// Refuse it.
    Refused(Refusal),
    /// Ask.
    Unknown,
}

/// The control plane's answer, and as of which change it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) sequence: u64,
    pub(super) verdict: Result<Arc<Principal>, Refusal>,
}

/// What an answer changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Learned {
    /// Nothing: it is older than a change that was applied already. It may not know of a
    /// revocation, so ask again.
    TooOld,
    /// The key is known now.
    Known,
    /// The key is refused now.
    Refused,
    /// The key was known and is refused now.
    Denied,
}

/// A change of a key, or of all keys of an organisation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Denied(KeyHash),
    Changed(KeyHash),
    Org(OrgId),
    /// Of something else: no key.
    Other,
    /// Nobody here knows of what: a newer control plane says it.
    Unknown,
}

/// How old a key may be, and how long a refusal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    pub(super) fresh: Duration,
    pub(super) offline: Duration,
    pub(super) negative: Duration,
    pub(super) retry: Duration,
}

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    ages: Ages,
    /// All changes up to this are applied.
    sequence: u64,
    known: HashMap<KeyHash, Known>,
    /// The known keys of each organisation.
    owned: HashMap<OrgId, HashSet<KeyHash>>,
    refused: HashMap<KeyHash, Refused>,
}

#[derive(Debug)]
struct Known {
    principal: Arc<Principal>,
    /// When this node heard of it, and how old the news was then.
    heard: Moment,
    age_then: Duration,
    /// Not to be asked about again before this.
    retry: Moment,
}

#[derive(Debug)]
struct Refused {
    why: Refusal,
    until: Moment,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Saved {
    sequence: u64,
    keys: Vec<SavedKey>,
}

#[derive(Serialize, Deserialize)]
struct SavedKey {
    principal: Arc<Principal>,
    verified_unix_ms: u64,
}

impl Cache {
    /// An empty cache.
    pub(super) fn new(ages: Ages) -> Self {
        Self {
            ages: Ages {
                negative: ages.negative.min(NEGATIVE_MAX),
                ..ages
            },
            sequence: 0,
            known: HashMap::new(),
            owned: HashMap::new(),
            refused: HashMap::new(),
        }
    }

    /// How far it is in the list of changes.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many keys it knows.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, good: impl Fn(&Principal) -> bool) {
        let bad = self
            .known
            .iter()
            .filter(|(_, known)| !good(&known.principal));
        let bad: Vec<KeyHash> = bad.map(|(key, _)| *key).collect();
        for key in bad {
            self.forget(&key);
        }
    }

    /// What is known of a key. A stale one is reported as stale once per retry interval.
    pub(super) fn find(&mut self, key: &KeyHash, now: Moment, unix_s: u64) -> Found {
        if let Some(known) = self.known.get_mut(key) {
            let age = known.age(now);
            if age >= self.ages.offline {
                self.forget(key);
                return Found::Unknown;
            }
            let expires = known.principal.expires_at;
            if expires.is_some_and(|expires| expires <= unix_s) {
                return Found::Refused(Refusal::Expired);
            }
            let principal = Arc::clone(&known.principal);
            if age < self.ages.fresh || now < known.retry {
                return Found::Fresh(principal);
            }
            known.retry = now.plus(self.ages.retry);
            return Found::Stale(principal);
        }
        match self.refused.get(key) {
            Some(refused) if now < refused.until => Found::Refused(refused.why),
            Some(_) => {
                self.refused.remove(key);
                Found::Unknown
            }
            None => Found::Unknown,
        }
    }

    /// Takes an answer in, unless it is too old.
    pub(super) fn learn(&mut self, key: KeyHash, answer: &Answer, now: Moment) -> Learned {
        if answer.sequence < self.sequence {
            return Learned::TooOld;
        }
        match &answer.verdict {
            Ok(principal) => {
                self.refused.remove(&key);
                self.insert(key, principal, now, Duration::ZERO);
                Learned::Known
            }
            Err(why) => {
                let known = self.forget(&key);
                self.refuse(key, *why, now);
                if known {
                    Learned::Denied
                } else {
                    Learned::Refused
                }
            }
        }
    }

    /// Applies changes in order; those that it has are skipped. False when some are missing in
    /// between: the list must be asked for again.
    pub(super) fn apply(&mut self, changes: &[(u64, Change)], sequence: u64, now: Moment) -> bool {
        for (at, change) in changes {
            if *at <= self.sequence {
                continue;
            }
            if *at != self.sequence + 1 {
                return false;
            }
            self.sequence = *at;
            match change {
                Change::Denied(key) => {
                    self.forget(key);
                    self.refuse(*key, Refusal::Revoked, now);
                }
                Change::Changed(key) => {
                    self.forget(key);
                    self.refused.remove(key);
                }
                Change::Other => {}
                Change::Unknown => self.forget_all(),
                // Refusals don't say whose key it is; they are believed for a moment only.
                Change::Org(org) => {
                    for key in self.owned.remove(org).unwrap_or_default() {
                        self.known.remove(&key);
                    }
                }
            }
        }
        sequence <= self.sequence
    }

    /// The list of changes begins anew at `sequence`: nothing that is known can be trusted.
    pub(super) fn reset(&mut self, sequence: u64) {
        self.forget_all();
        self.sequence = sequence;
    }

    fn forget_all(&mut self) {
        self.known.clear();
        self.owned.clear();
        self.refused.clear();
    }

    /// The file's bytes. `unix_ms` is now.
    pub(super) fn save(&self, now: Moment, unix_ms: u64) -> serde_json::Result<Vec<u8>> {
        let keys = self.known.values().map(|known| SavedKey {
            principal: Arc::clone(&known.principal),
            verified_unix_ms: unix_ms.saturating_sub(whole_ms(known.age(now))),
        });
        let body = serde_json::to_vec(&Saved {
            sequence: self.sequence,
            keys: keys.collect(),
        })?;
        let checksum = crc32fast::hash(&body);
        let mut bytes = format!("{FORMAT} {checksum:08x}\n").into_bytes();
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Fills an empty cache from a file's bytes. False when they are damaged or not ours; the
    /// cache then stays empty.
    pub(super) fn load(&mut self, bytes: &[u8], now: Moment, unix_ms: u64) -> bool {
        let Some(saved) = parse(bytes) else {
            return false;
        };
        self.sequence = saved.sequence;
        for key in saved.keys.into_iter().take(KEYS_MAX) {
            // Verified in the future: the wall clock was set back, so its age is not known.
            let age = match unix_ms.checked_sub(key.verified_unix_ms) {
                Some(age_ms) => Duration::from_millis(age_ms),
                None => self.ages.fresh,
            };
            if age < self.ages.offline {
                self.insert(key.principal.key, &key.principal, now, age);
            }
        }
        true
    }

    fn insert(&mut self, key: KeyHash, principal: &Arc<Principal>, now: Moment, age: Duration) {
        if self.known.len() >= KEYS_MAX && !self.known.contains_key(&key) {
            let sample = self.known.iter().take(EVICT_SAMPLE);
            let oldest = sample.max_by_key(|(_, known)| known.age(now));
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.forget(&oldest);
                shed("keys");
            }
        }
        self.forget(&key);
        let known = Known {
            principal: Arc::clone(principal),
            heard: now,
            age_then: age,
            retry: Moment::default(),
        };
        let of = self.owned.entry(principal.org.clone()).or_default();
        of.insert(key);
        self.known.insert(key, known);
    }

    /// True when it was known.
    fn forget(&mut self, key: &KeyHash) -> bool {
        let Some(known) = self.known.remove(key) else {
            return false;
        };
        if let Some(of) = self.owned.get_mut(&known.principal.org) {
            of.remove(key);
            if of.is_empty() {
                self.owned.remove(&known.principal.org);
            }
        }
        true
    }

    fn refuse(&mut self, key: KeyHash, why: Refusal, now: Moment) {
        if self.refused.len() >= REFUSALS_MAX {
            self.refused.retain(|_, refused| now < refused.until);
            if self.refused.len() >= REFUSALS_MAX {
                self.refused.clear();
                shed("key_refusals");
            }
        }
        let until = now.plus(self.ages.negative);
        self.refused.insert(key, Refused { why, until });
    }
}

impl Known {
    fn age(&self, now: Moment) -> Duration {
        now.since(self.heard).saturating_add(self.age_then)
    }
}

fn parse(bytes: &[u8]) -> Option<Saved> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (head, body) = bytes.split_at_checked(end)?;
    let body = body.get(1..)?;
    let (format, checksum) = std::str::from_utf8(head).ok()?.split_once(' ')?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    if format != FORMAT || crc32fast::hash(body) != checksum {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
