//! Requests per minute, as the fleet shares them ([`shared::rate`]): a request passes on this
//! node's own share without asking, and waits, never beyond a deadline, only where that is used up
//! and another may have something left. Refusals name the limit, its window and what helps.

use crate::failure::{ErrorType, Failure, Fault, RateLimit};
use crate::metrics;
use shared::clock::Clock;
use shared::id::OrgId;
use shared::limit::Scope;
use shared::policy::Principal;
use shared::rate::local::{Local, Take};
use shared::rate::{Ask, FreeTier, Minute, Share, Subject};
use shared::task::lock;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often it is looked whether something is to be said that no request has asked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A 503 for want of an answer says to come back after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// This node's shares.
#[derive(Debug)]
pub struct Rates {
    local: Mutex<Local>,
    clock: Clock,
    patience: Duration,
    wake: Notify,
    /// Counts answers.
    answers: watch::Sender<u64>,
}

/// The line to the control plane, while it is open.
pub(crate) struct Line<'a>(&'a Rates);

impl Rates {
    /// No shares yet. A request waits for one up to `patience`.
    #[must_use]
    pub fn new(clock: Clock, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            local: Mutex::default(),
            clock,
            patience,
            wake: Notify::new(),
            answers: watch::Sender::new(0),
        })
    }

    /// Counts a request of the key, where it has a limit.
    ///
    /// # Errors
    /// 429 when this minute of the limit is used up, 503 when nobody can say.
    pub async fn key(&self, principal: &Principal) -> Result<(), Failure> {
        let Some(limit) = principal.policy.requests_per_minute else {
            return Ok(());
        };
        let subject = Subject {
            scope: Scope::Key,
            id: principal.key.to_string().into(),
        };
        self.pass(&subject, limit).await
    }

    /// Counts a request of the organisation's to a free variant.
    ///
    /// # Errors
    /// As [`Rates::key`].
    pub async fn free(&self, org: &OrgId) -> Result<(), Failure> {
        let subject = Subject {
            scope: Scope::Free,
            id: org.as_str().into(),
        };
        self.pass(&subject, FreeTier::PER_MINUTE).await
    }

    async fn pass(&self, subject: &Subject, limit: u32) -> Result<(), Failure> {
        let deadline = Instant::now() + self.patience;
        let mut answers = None;
        loop {
            let now_ms = self.clock.unix_ms();
            let again = answers.is_some();
            // Subscribed before it is looked: no answer is missed in between.
            let mut answer = answers.take().unwrap_or_else(|| self.answers.subscribe());
            answer.mark_unchanged();
            let (take, changed) = {
                let mut local = lock(&self.local);
                let take = local.take(subject, limit, again, now_ms);
                (take, local.take_changed())
            };
            if changed {
                self.wake.notify_one();
            }
            match take {
                Take::Passed => return Ok(()),
                Take::Refused => return Err(used_up(subject, limit, now_ms)),
                Take::Unknown => return Err(unknown("can't be checked without the control plane")),
                Take::Crowded => {
                    metrics::shed("rate_subjects");
                    return Err(unknown("can't be counted on this node now"));
                }
                Take::Wait => {}
            }
            if tokio::time::timeout_at(deadline, answer.changed())
                .await
                .is_err()
            {
                metrics::shed("rate_share_wait");
                return Err(unknown("can't be checked now"));
            }
            answers = Some(answer);
        }
    }

    /// The control plane has answered.
    pub(crate) fn answered(&self, shares: &[Share]) {
        let changed = {
            let mut local = lock(&self.local);
            local.answered(shares, self.clock.unix_ms());
            local.take_changed()
        };
        if changed {
            self.wake.notify_one();
        }
        self.answers.send_modify(|count| *count += 1);
    }

    /// The control plane listens as long as this lives.
    pub(crate) fn line(&self) -> Line<'_> {
        lock(&self.local).connected(self.clock.unix_ms());
        Line(self)
    }
}

impl Line<'_> {
    /// Waits for something to say.
    pub(crate) async fn next(&self) -> Ask {
        loop {
            if let Some(ask) = lock(&self.0.local).ask(self.0.clock.unix_ms()) {
                return ask;
            }
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        lock(&self.0.local).disconnected();
        // Who waits need not wait any longer.
        self.0.answers.send_modify(|count| *count += 1);
    }
}

fn used_up(subject: &Subject, limit: u32, now_ms: u64) -> Failure {
    let reset_unix_ms = Minute::of(now_ms).end_ms();
    let (source, text, hint) = match subject.scope {
        Scope::Free => (
            "free_models_per_min",
            format!(
                "Rate limit exceeded: free-models-per-min: {limit} requests a minute to free \
                 models over all keys of the organisation. Wait, or use a paid model"
            ),
            "wait until the next minute or use a paid model",
        ),
        _ => (
            "key_requests_per_min",
            format!(
                "Rate limit exceeded: this key may send {limit} requests a minute. Wait, or ask \
                 for a higher limit"
            ),
            "wait until the next minute or raise the key's requests_per_minute",
        ),
    };
    metrics::shed("rate");
    let kind = ErrorType::RateLimitExceeded;
    let mut failure = Failure::new(Fault::Account, 429, kind, "rate_limit", text);
    let limited = serde_json::json!({
        "scope": subject.scope.as_str(),
        "id": subject.id.as_str(),
        "interval": "minute",
        "requests": limit,
        "resets_at_unix_s": reset_unix_ms / 1000,
    });
    let metadata = &mut failure.metadata;
    metadata.insert("limit".into(), limited);
    metadata.insert("limit_source".into(), source.into());
    metadata.insert("remedy_hint".into(), hint.into());
    let wait = Duration::from_millis(reset_unix_ms.saturating_sub(now_ms));
    let limit = u64::from(limit);
    failure.with_retry_after(wait).with_rate(RateLimit {
        limit,
        reset_unix_ms,
    })
}

fn unknown(why: &str) -> Failure {
    let text = format!("the limit of requests per minute {why}; try again");
    let kind = ErrorType::Server;
    let fault = Fault::ControlPlane;
    Failure::new(fault, 503, kind, "rate_unknown", text).with_retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::key::KeyHash;
    use shared::policy::{KeyKind, KeyPolicy};
    use shared::rate::fleet::Fleet;
    use shared::record::Origin;

    fn principal() -> Principal {
        Principal {
            org: "org_1".into(),
            key: KeyHash::of("k"),
            key_name: "k".into(),
            kind: KeyKind::Inference,
            expires_at: None,
            policy: KeyPolicy {
                requests_per_minute: Some(2),
                ..KeyPolicy::default()
            },
        }
    }

    fn run() -> Origin {
        Origin {
            node: "edge-1".into(),
            epoch: shared::id::BootEpoch(1),
        }
    }

    #[tokio::test]
    async fn a_key_waits_for_its_share_and_is_refused_when_that_is_all() {
        let rates = Rates::new(Clock::system(), Duration::from_secs(5));
        let mut fleet = Fleet::default();
        let line = rates.line();
        let caller = principal();
        let served = async {
            let mut failures = Vec::new();
            for _ in 0..4 {
                failures.extend(rates.key(&caller).await.err());
            }
            failures
        };
        let control = async {
            loop {
                let ask = line.next().await;
                let now = Minute::of(rates.clock.unix_ms());
                rates.answered(&fleet.hear(&run(), &ask, now));
            }
        };
        let failures: Vec<Failure> = tokio::select! {
            failures = served => failures,
            () = control => Vec::new(),
        };
        // Four, where the minute has ended in between.
        assert!(matches!(failures.len(), 0..=2), "{failures:?}");
        let Some(failure) = failures.first() else {
            return;
        };
        assert_eq!(failure.status, 429);
        let told = failure.error_object();
        let metadata = &told["metadata"];
        assert_eq!(metadata["limit"]["interval"], "minute");
        assert_eq!(metadata["limit"]["requests"], 2);
        assert_eq!(metadata["headers"]["x-ratelimit-limit"], "2");
        assert_eq!(metadata["headers"]["x-ratelimit-remaining"], "0");
        assert!(failure.retry_after.unwrap() <= Duration::from_secs(60));
    }

    #[tokio::test]
    async fn without_a_control_plane_and_a_share_nobody_can_say() {
        let rates = Rates::new(Clock::system(), Duration::from_millis(20));
        let failure = rates.key(&principal()).await.unwrap_err();
        assert_eq!((failure.status, failure.reason), (503, "rate_unknown"));
        let line = rates.line();
        let failure = rates.key(&principal()).await.unwrap_err();
        assert_eq!(failure.status, 503, "nobody answers");
        drop(line);
        let free = rates.free(&"org_1".into()).await.unwrap_err();
        assert_eq!(free.status, 503);
    }
}
