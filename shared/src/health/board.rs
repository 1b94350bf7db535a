//! The health of all endpoints on one node, shared by all requests. Locks are per shard and held
//! for arithmetic only.

use super::{LocalHealth, LocalVerdict, StateChange, Tuning};
use crate::clock::Moment;
use crate::id::EndpointId;
use crate::task::lock;
use crate::window::Outcome;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most endpoints that a board keeps; further ones count as healthy.
pub const BOARD_MAX: usize = 65_536;
const SHARDS: usize = 32;

/// What this node knows of all its endpoints.
#[derive(Debug)]
pub struct Board {
    tuning: Tuning,
    shards: Vec<Mutex<HashMap<EndpointId, LocalHealth>>>,
    shed: AtomicU64,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Tuning::default())
    }
}

impl Board {
    /// A board that has seen nothing.
    #[must_use]
    pub fn new(tuning: Tuning) -> Self {
        Self {
            tuning,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shed: AtomicU64::new(0),
        }
    }

    /// Takes an outcome into account; `jitter` is random in 0..1. True when the fleet should hear
    /// of it at once.
    pub fn observe(
        &self,
        endpoint: &EndpointId,
        outcome: &Outcome,
        now: Moment,
        jitter: f64,
    ) -> bool {
        self.change(endpoint, outcome, now, jitter).is_some()
    }

    /// As [`Board::observe`], with what has changed.
    pub fn change(
        &self,
        endpoint: &EndpointId,
        outcome: &Outcome,
        now: Moment,
        jitter: f64,
    ) -> Option<StateChange> {
        let mut shard = lock(self.shard(endpoint)?);
        if let Some(health) = shard.get_mut(endpoint) {
            return health.observe(&self.tuning, outcome, now, jitter);
        }
        if shard.len() >= BOARD_MAX / SHARDS {
            self.shed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let health = shard.entry(endpoint.clone()).or_default();
        health.observe(&self.tuning, outcome, now, jitter)
    }

    /// What a plan must know; an endpoint never seen is healthy.
    #[must_use]
    pub fn read(&self, endpoint: &EndpointId, now: Moment) -> LocalVerdict {
        let Some(shard) = self.shard(endpoint) else {
            return LocalVerdict::default();
        };
        let shard = lock(shard);
        let health = shard.get(endpoint);
        health.map_or_else(LocalVerdict::default, |health| {
            health.verdict(&self.tuning, now)
        })
    }

    /// Forgets the endpoints of which `keep` says no, e.g. those that left the catalogue.
    pub fn retain(&self, keep: impl Fn(&EndpointId) -> bool) {
        for shard in &self.shards {
            lock(shard).retain(|endpoint, _| keep(endpoint));
        }
    }

    /// Outcomes that were not kept because the board was full.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    fn shard(&self, endpoint: &EndpointId) -> Option<&Mutex<HashMap<EndpointId, LocalHealth>>> {
        // FNV-1a: spreading is all it is for.
        let hash = endpoint
            .as_str()
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
        let at = usize::try_from(hash).unwrap_or_default() % SHARDS;
        self.shards.get(at)
    }
}
