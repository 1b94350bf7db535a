//! Limits before anything costs: requests in flight on the node and per key, bytes of bodies in
//! flight. Everything is local arithmetic; what is refused is counted. Deliberately not here:
//! requests per minute, which hold over the fleet ([`crate::rates`]).

pub mod body;

use crate::failure::{ErrorType, Failure, Fault};
use crate::metrics;
use dashmap::DashMap;
use shared::key::KeyHash;
use shared::policy::Principal;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Requests in flight that one key may have on a node, unless its policy says less.
pub const KEY_CONCURRENT_MAX: u32 = 4096;

/// The node's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight.
    pub requests: usize,
    /// Bytes of one body.
    pub body_bytes: usize,
    /// Bytes of all bodies in memory.
    pub bodies_bytes: usize,
    /// How long a client may take to send its body.
    pub body_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 16_384,
            body_bytes: 32 << 20,
            bodies_bytes: 1 << 30,
            body_time: Duration::from_secs(120),
        }
    }
}

/// What is in flight.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    requests: AtomicUsize,
    bodies: AtomicUsize,
    /// Requests in flight by key; the entry goes with the last one.
    keys: DashMap<KeyHash, u32>,
}

/// A place in the node, given back on drop.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    key: KeyHash,
    bytes: usize,
}

impl Admission {
    /// Nothing in flight.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            requests: AtomicUsize::new(0),
            bodies: AtomicUsize::new(0),
            keys: DashMap::new(),
        })
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Gives the caller a place.
    ///
    /// # Errors
    /// 503 when the node is full, 429 when the key has reached its own limit.
    pub fn admit(self: &Arc<Self>, principal: &Principal) -> Result<Ticket, Failure> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            metrics::shed("requests");
            return Err(busy(
                "this node has as many requests in flight as it may have",
            ));
        }
        let ticket = Ticket {
            admission: Arc::clone(self),
            key: principal.key,
            bytes: 0,
        };
        let most = principal
            .policy
            .concurrent
            .unwrap_or(KEY_CONCURRENT_MAX)
            .min(KEY_CONCURRENT_MAX);
        // Counted before the check: the ticket gives it back in any case.
        let mut running = self.keys.entry(principal.key).or_default();
        *running += 1;
        let too_many = *running > most;
        drop(running);
        if too_many {
            metrics::shed("key_concurrent");
            return Err(crowded(most));
        }
        Ok(ticket)
    }
}

impl Ticket {
    /// Sets `bytes` more of the body aside.
    ///
    /// # Errors
    /// 413 beyond the largest body, 503 when all bodies together are too large.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let limits = &self.admission.limits;
        if self.bytes + bytes > limits.body_bytes {
            metrics::shed("body_bytes");
            return Err(too_large(limits.body_bytes));
        }
        let before = self.admission.bodies.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > limits.bodies_bytes {
            metrics::shed("bodies_bytes");
            return Err(busy(
                "this node holds as many request bodies as it may hold",
            ));
        }
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.admission.requests.fetch_sub(1, Ordering::Relaxed);
        self.admission
            .bodies
            .fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(mut running) = self.admission.keys.get_mut(&self.key) {
            *running = running.saturating_sub(1);
        }
        self.admission
            .keys
            .remove_if(&self.key, |_, running| *running == 0);
    }
}

fn busy(message: &str) -> Failure {
    Failure::new(
        Fault::Gateway,
        503,
        ErrorType::ProviderOverloaded,
        "node_busy",
        message,
    )
    .with_retry_after(Duration::from_secs(1))
}

fn crowded(most: u32) -> Failure {
    let text = format!(
        "this key may have {most} requests in flight on a node. Wait until one has ended, or ask \
         for a higher limit"
    );
    let kind = ErrorType::RateLimitExceeded;
    let mut failure = Failure::new(Fault::Account, 429, kind, "key_limit", text);
    let limit = serde_json::json!({ "scope": "key", "concurrent": most });
    failure.metadata.insert("limit".into(), limit);
    failure.with_retry_after(Duration::from_secs(1))
}

fn too_large(limit: usize) -> Failure {
    let message = format!("the request body is larger than {limit} bytes");
    Failure::new(
        Fault::Caller,
        413,
        ErrorType::PayloadTooLarge,
        "body_too_large",
        message,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::policy::{KeyKind, KeyPolicy};

    fn principal(policy: KeyPolicy) -> Principal {
        Principal {
            org: "org_1".into(),
            key: KeyHash::of("k"),
            key_name: "k".into(),
            kind: KeyKind::Inference,
            expires_at: None,
            policy,
        }
    }

    #[test]
    fn places_are_given_back() {
        let admission = Admission::new(Limits {
            requests: 1,
            ..Limits::default()
        });
        let caller = principal(KeyPolicy::default());
        let ticket = admission.admit(&caller).unwrap();
        assert_eq!(admission.admit(&caller).unwrap_err().status, 503);
        drop(ticket);
        assert!(admission.admit(&caller).is_ok());
        assert_eq!(admission.in_flight(), 0);
        assert!(admission.keys.is_empty());
    }

    #[test]
    fn a_key_has_its_own_limits() {
        let admission = Admission::new(Limits::default());
        let caller = principal(KeyPolicy {
            concurrent: Some(1),
            ..KeyPolicy::default()
        });
        let _ticket = admission.admit(&caller).unwrap();
        assert_eq!(admission.admit(&caller).unwrap_err().status, 429);
    }

    #[test]
    fn bodies_are_bounded_one_by_one_and_together() {
        let limits = Limits {
            body_bytes: 10,
            bodies_bytes: 15,
            ..Limits::default()
        };
        let admission = Admission::new(limits);
        let caller = principal(KeyPolicy::default());
        let mut one = admission.admit(&caller).unwrap();
        assert!(one.grow(10).is_ok());
        assert_eq!(one.grow(1).unwrap_err().status, 413);
        let mut two = admission.admit(&caller).unwrap();
        assert_eq!(two.grow(6).unwrap_err().status, 503);
        drop((one, two));
        assert_eq!(admission.bodies.load(Ordering::Relaxed), 0);
    }
}
