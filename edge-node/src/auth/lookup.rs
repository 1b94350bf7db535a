//! One question per unknown key, whatever the number of requests that wait for it: a flight. The
//! number of flights is bounded, each has a deadline, and a flight outlives the clients that wait
//! for it. Deliberately not here: what to do when nobody can say.

use super::KeyRing;
use super::cache::{Answer, Learned, Refusal};
use crate::control::{ControlClient, Unanswered};
use crate::metrics::shed;
use metrics::counter;
use shared::key::KeyHash;
use shared::policy::Principal;
use shared::proto::discovery::discovery_client::DiscoveryClient;
use shared::proto::discovery::{LookupKeyRequest, LookupKeyResponse};
use shared::task::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Look-ups in flight; further unknown keys are answered with 503.
pub(super) const LOOKUPS_MAX: usize = 256;
/// Of these, for keys that are known and only revalidated.
const REVALIDATIONS_MAX: usize = 64;
/// Questions per flight: an answer from before a change is asked for again.
const TRIES: usize = 4;
/// Counter: key look-ups by outcome.
pub const KEY_LOOKUPS: &str = "godwit_key_lookups_total";

/// How a flight ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Landed {
    /// By authority.
    Verdict(Result<Arc<Principal>, Refusal>),
    /// Nobody could say in time.
    Unavailable,
}

/// The flights.
#[derive(Default)]
pub(super) struct Flights {
    pub(super) flying: Mutex<HashMap<KeyHash, watch::Receiver<Option<Landed>>>>,
}

impl KeyRing {
    /// Waits for the verdict on a key that is not known.
    pub(super) async fn look_up(self: &Arc<Self>, key: KeyHash) -> Landed {
        let deadline = Instant::now() + self.timers.lookup;
        let Some(mut flight) = self.flight(key, LOOKUPS_MAX) else {
            shed("key_lookups");
            return Landed::Unavailable;
        };
        match timeout_at(deadline, flight.wait_for(Option::is_some)).await {
            Ok(Ok(landed)) => landed.clone().unwrap_or(Landed::Unavailable),
            _ => Landed::Unavailable,
        }
    }

    /// Asks about a known key in the background, if there is room.
    pub(super) fn revalidate(self: &Arc<Self>, key: KeyHash) {
        let _ = self.flight(key, REVALIDATIONS_MAX);
    }

    /// The flight for this key, started if need be.
    fn flight(
        self: &Arc<Self>,
        key: KeyHash,
        most: usize,
    ) -> Option<watch::Receiver<Option<Landed>>> {
        let mut flying = lock(&self.flights.flying);
        if let Some(flight) = flying.get(&key) {
            return Some(flight.clone());
        }
        if flying.len() >= most {
            return None;
        }
        let (landing, flight) = watch::channel(None);
        flying.insert(key, flight.clone());
        drop(flying);
        let ring = Arc::clone(self);
        self.tasks.spawn("key look-up", async move {
            let landed = ring.fly(key).await;
            lock(&ring.flights.flying).remove(&key);
            landing.send_replace(Some(landed));
        });
        Some(flight)
    }

    async fn fly(&self, key: KeyHash) -> Landed {
        let Some(control) = &self.control else {
            return Landed::Unavailable;
        };
        let deadline = Instant::now() + self.timers.lookup;
        for _ in 0..TRIES {
            let answer = match self.ask(control, key, deadline).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::warn!(%error, "key look-up without an answer");
                    counter!(KEY_LOOKUPS, "outcome" => "unavailable").increment(1);
                    return Landed::Unavailable;
                }
            };
            let learned = lock(&self.cache).learn(key, &answer, self.clock.now());
            let outcome = match learned {
                Learned::TooOld => {
                    counter!(KEY_LOOKUPS, "outcome" => "outdated").increment(1);
                    continue;
                }
                Learned::Known => "found",
                Learned::Refused | Learned::Denied => "refused",
            };
            counter!(KEY_LOOKUPS, "outcome" => outcome).increment(1);
            if learned != Learned::Refused {
                self.saving.touched(learned == Learned::Denied);
            }
            return Landed::Verdict(answer.verdict);
        }
        Landed::Unavailable
    }

    async fn ask(
        &self,
        control: &ControlClient,
        key: KeyHash,
        deadline: Instant,
    ) -> Result<Answer, LookupError> {
        let request = LookupKeyRequest {
            key_hash: key.0.to_vec(),
            seal_key: self.own_keys.public().to_vec(),
        };
        let call = |channel| async move { DiscoveryClient::new(channel).lookup_key(request).await };
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = control.ask(left, call).await?;
        read_answer(answer, key)
    }
}

#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("not understood: {0}")]
    Meaning(String),
}

fn read_answer(answer: LookupKeyResponse, key: KeyHash) -> Result<Answer, LookupError> {
    let verdict = match answer.key {
        Some(record) => {
            let principal = Principal::try_from(record)
                .map_err(|error| LookupError::Meaning(error.to_string()))?;
            if principal.key != key {
                return Err(LookupError::Meaning("it is about another key".to_owned()));
            }
            Ok(Arc::new(principal))
        }
        None => Err(match answer.refusal.as_str() {
            "revoked" => Refusal::Revoked,
            "disabled" => Refusal::Disabled,
            "expired" => Refusal::Expired,
            _ => Refusal::Unknown,
        }),
    };
    Ok(Answer {
        sequence: answer.account_sequence,
        verdict,
    })
}
