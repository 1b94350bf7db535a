//! Who calls: the credential's hash against the keys that this node knows, and one question to
//! the control plane for a key that it does not. A 401 needs an authoritative no; when nobody can
//! say, the answer is 503. Deliberately not here: what a key may use (routing, admission).

mod cache;
mod file;
mod lookup;

pub use lookup::KEY_LOOKUPS;

use crate::control::ControlClient;
use crate::credential::own::OwnKeys;
use crate::failure::{ErrorType, Failure, Fault};
use crate::timers::Timers;
use cache::{Ages, Cache, Change, Found, Refusal};
use file::{Saving, keep_file, load};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use lookup::{Flights, Landed};
use shared::clock::Clock;
use shared::key::{KEY_LENGTH_MAX, KeyHash};
use shared::policy::{KeyKind, Principal};
use shared::proto::discovery::account_event::Body;
use shared::proto::discovery::{AccountEvent, AccountUpdate};
use shared::task::{Tasks, lock};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The other header that may carry the key; Anthropic's SDKs send it.
const X_API_KEY: &str = "x-api-key";
/// How every 401 for want of a credential ends.
const HOW_TO: &str =
    "send the header `Authorization: Bearer sk-gw-v1-…` or `x-api-key: sk-gw-v1-…`";
/// A 503 for want of a verdict says to come back after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The keys that this node knows.
pub struct KeyRing {
    cache: Mutex<Cache>,
    flights: Flights,
    control: Option<Arc<ControlClient>>,
    clock: Clock,
    timers: Timers,
    tasks: Tasks,
    saving: Saving,
    /// What credentials that come with a key are sealed to.
    own_keys: Arc<OwnKeys>,
}

/// What a key ring keeps, and under which key of the node's.
pub struct Kept {
    /// Where; none keeps nothing.
    pub file: Option<PathBuf>,
    /// Opens the provider keys that come along.
    pub own_keys: Arc<OwnKeys>,
}

impl From<Option<PathBuf>> for Kept {
    fn from(file: Option<PathBuf>) -> Self {
        let own_keys = OwnKeys::new(None);
        Self { file, own_keys }
    }
}

/// Changes between what is known and what came are missing: the list of changes must be asked for
/// from [`KeyRing::account_sequence`] on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("changes after {0} are missing")]
pub struct Gap(pub u64);

impl KeyRing {
    /// A key ring, filled from `file` when there is a good one and kept there: hashes and what
    /// they may do, never a key. Without `control` only what the file says is known.
    #[must_use]
    pub fn open(
        kept: impl Into<Kept>,
        control: Option<Arc<ControlClient>>,
        clock: Clock,
        timers: &Timers,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let mut cache = Cache::new(Ages {
            fresh: timers.key_fresh,
            offline: timers.key_offline,
            negative: timers.key_negative,
            retry: timers.key_retry,
        });
        let Kept { file, own_keys } = kept.into();
        if let Some(file) = &file {
            load(&mut cache, file, &clock);
            // What was sealed to another key of this node is asked for again.
            cache.keep(|principal| own_keys.opens(&principal.policy.credentials));
        }
        let ring = Arc::new(Self {
            cache: Mutex::new(cache),
            flights: Flights::default(),
            control,
            clock,
            timers: timers.clone(),
            tasks: tasks.clone(),
            saving: Saving::default(),
            own_keys,
        });
        if let Some(file) = file {
            let saver = keep_file(Arc::clone(&ring), file, tasks.stop_signal());
            tasks.spawn("key file", saver);
        }
        ring
    }

    /// Who sent these headers, for inference. Waits only for a key that is not known, and never
    /// beyond the look-up deadline.
    ///
    /// # Errors
    /// 401 without a valid key, 403 for a management key, 503 when nobody can say.
    pub async fn authenticate(
        self: &Arc<Self>,
        headers: &HeaderMap,
    ) -> Result<Arc<Principal>, Failure> {
        let key = KeyHash::of(credential(headers)?);
        let found = lock(&self.cache).find(&key, self.clock.now(), self.clock.unix_s());
        let verdict = match found {
            Found::Fresh(principal) => Ok(principal),
            Found::Stale(principal) => {
                self.revalidate(key);
                Ok(principal)
            }
            Found::Refused(why) => Err(why),
            Found::Unknown => match self.look_up(key).await {
                Landed::Verdict(verdict) => verdict,
                Landed::Unavailable => return Err(nobody_can_say()),
            },
        };
        self.may_infer(verdict)
    }

    /// Asks about a key that is known: what is known of it has turned out to be old.
    ///
    /// # Errors
    /// As [`KeyRing::authenticate`].
    pub async fn ask_again(self: &Arc<Self>, key: KeyHash) -> Result<Arc<Principal>, Failure> {
        match self.look_up(key).await {
            Landed::Verdict(verdict) => self.may_infer(verdict),
            Landed::Unavailable => Err(nobody_can_say()),
        }
    }

    fn may_infer(
        &self,
        verdict: Result<Arc<Principal>, Refusal>,
    ) -> Result<Arc<Principal>, Failure> {
        let principal = verdict.map_err(refused)?;
        let expires = principal.expires_at;
        if expires.is_some_and(|expires| expires <= self.clock.unix_s()) {
            return Err(refused(Refusal::Expired));
        }
        match principal.kind {
            KeyKind::Inference => Ok(principal),
            KeyKind::Management => Err(management_key()),
        }
    }

    /// The last change that was applied, for the hello of the discovery stream.
    #[must_use]
    pub fn account_sequence(&self) -> u64 {
        lock(&self.cache).sequence()
    }

    /// How many keys are known.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.cache).len()
    }

    /// True when no key is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Applies changes from the discovery stream. Changes that were applied before are skipped; one
    /// of a kind that this version does not know may be about any key: all are asked about again.
    ///
    /// # Errors
    /// When changes are missing; what came before them is applied.
    pub fn apply(&self, update: &AccountUpdate) -> Result<(), Gap> {
        let read = |event: &AccountEvent| (event.sequence, read_change(event));
        let changes: Vec<_> = update.events.iter().map(read).collect();
        let now = self.clock.now();
        let mut cache = lock(&self.cache);
        if update.reset {
            let before = update.events.first().map(|event| event.sequence);
            cache.reset(before.map_or(update.sequence, |first| first.saturating_sub(1)));
        }
        let whole = cache.apply(&changes, update.sequence, now);
        let sequence = cache.sequence();
        drop(cache);
        // What may have become stricter is on disk soon, for a restart without a control plane.
        let stricter =
            |(_, change): &(u64, Change)| !matches!(change, Change::Changed(_) | Change::Other);
        if update.reset || !changes.is_empty() {
            self.saving
                .touched(update.reset || changes.iter().any(stricter));
        }
        if whole { Ok(()) } else { Err(Gap(sequence)) }
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

/// The key in the headers: a bearer token, else `x-api-key`.
///
/// # Errors
/// 401 when there is none, or what is there can't be one.
pub(crate) fn credential(headers: &HeaderMap) -> Result<&str, Failure> {
    let mut bearers = headers.get_all(AUTHORIZATION).iter();
    let authorization = bearers.next();
    if bearers.next().is_some() {
        return Err(unauthenticated(format!(
            "more than one Authorization header; {HOW_TO}"
        )));
    }
    let mut api_keys = headers.get_all(X_API_KEY).iter();
    let api_key = api_keys.next();
    if api_keys.next().is_some() {
        return Err(unauthenticated(format!(
            "more than one x-api-key header; {HOW_TO}"
        )));
    }
    let bearer = authorization.map(|value| bearer(value.as_bytes()));
    let key = match (bearer, api_key) {
        (Some(Some(key)), _) => key,
        (_, Some(key)) => key.as_bytes().trim_ascii(),
        (Some(None), None) => {
            let text = format!("the Authorization header is not a bearer token; {HOW_TO}");
            return Err(unauthenticated(text));
        }
        (None, None) => return Err(unauthenticated(format!("no API key; {HOW_TO}"))),
    };
    if key.is_empty() {
        return Err(unauthenticated(format!("the API key is empty; {HOW_TO}")));
    }
    let readable = key.len() <= KEY_LENGTH_MAX && key.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(key) {
        Ok(key) if readable => Ok(key),
        _ => {
            let text = format!("the API key is malformed (too long, or odd characters); {HOW_TO}");
            Err(unauthenticated(text))
        }
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.trim_ascii().split_at_checked("bearer".len())?;
    let separated = rest.first().is_none_or(u8::is_ascii_whitespace);
    (scheme.eq_ignore_ascii_case(b"bearer") && separated).then(|| rest.trim_ascii())
}

fn unauthenticated(message: String) -> Failure {
    Failure::new(
        Fault::Account,
        401,
        ErrorType::Authentication,
        "unauthenticated",
        message,
    )
}

fn refused(why: Refusal) -> Failure {
    let message = match why {
        Refusal::Unknown => "this API key does not exist; check it, or make a new one",
        Refusal::Revoked => "this API key has been revoked; use another, or make a new one",
        Refusal::Disabled => "this API key is disabled; enable it, or use another",
        Refusal::Expired => "this API key has expired; make a new one",
    };
    unauthenticated(message.to_owned())
}

fn management_key() -> Failure {
    let message = "a management key can't be used for inference; use an inference key";
    Failure::new(
        Fault::Account,
        403,
        ErrorType::PermissionDenied,
        "management_key",
        message,
    )
}

fn nobody_can_say() -> Failure {
    let message = "the API key can't be checked at the moment; this says nothing about the key, \
                   try again";
    Failure::new(
        Fault::ControlPlane,
        503,
        ErrorType::ProviderOverloaded,
        "key_lookup",
        message,
    )
    .with_retry_after(RETRY_AFTER)
}

fn read_change(event: &AccountEvent) -> Change {
    let hash = |bytes: &[u8]| bytes.try_into().map(KeyHash).ok();
    let change = match &event.body {
        Some(Body::KeyDenied(key)) => hash(key).map(Change::Denied),
        Some(Body::KeyChanged(key)) => hash(key).map(Change::Changed),
        Some(Body::OrgChanged(org)) => Some(Change::Org(org.as_str().into())),
        Some(Body::LeasesRecalled(_)) => Some(Change::Other),
        None => None,
    };
    change.unwrap_or_else(|| {
        tracing::warn!(
            sequence = event.sequence,
            "a change of an unknown kind, from a newer control plane: all keys are asked about \
             again; upgrade this node"
        );
        Change::Unknown
    })
}

#[cfg(test)]
mod tests;
