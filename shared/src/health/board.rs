//! The health of all endpoints on one node, shared by all requests and all threads: what one sees
//! fail, the next one avoids. Locks are per shard and held for arithmetic only. The time is passed
//! in, so that a simulation may have as many boards as it has nodes.

use super::bucket::Bucket;
use super::evidence::BuildAsItIs;
use super::{Allowance, Ask, Evidence, Handle, Lease, Local, LocalHealth, StateChange, Tuning};
use crate::clock::Moment;
use crate::task::lock;
use crate::window::Outcome;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most endpoints that a board keeps; further ones count as healthy.
pub const BOARD_MAX: usize = 65_536;
/// The same of endpoints as organisations' own keys meet with them.
pub const OWN_KEYS_MAX: usize = 16_384;
const SHARDS: usize = 64;

/// A full shard looks for what it may forget no more often than this.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<Handle, LocalHealth, BuildAsItIs>,
    swept: Option<Moment>,
}

/// What this node knows of all its endpoints.
#[derive(Debug)]
pub struct Board {
    tuning: Tuning,
    most: usize,
    shards: Vec<Mutex<Shard>>,
    hedges: Mutex<Bucket>,
    shed: AtomicU64,
}

/// A request that leaves for an endpoint.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Departure {
    /// What this node may send the endpoint.
    pub lease: Lease,
    /// An estimate of the tokens that it will take, prompt and answer.
    pub tokens: u64,
    /// It is its request's first attempt.
    pub first: bool,
}

/// What an attempt must be given before it may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Need {
    /// A token of the endpoint's retry budget.
    pub retry: bool,
    /// The probe lease of that number.
    pub probe: Option<u32>,
}

/// Why an attempt may not leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// The retry budget is used up.
    Retries,
    /// Another request has the probe lease.
    Probe,
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
        Self::with_most(BOARD_MAX, tuning)
    }

    /// A board that has seen nothing of organisations' own keys.
    #[must_use]
    pub fn of_own_keys(tuning: Tuning) -> Self {
        Self::with_most(OWN_KEYS_MAX, tuning)
    }

    fn with_most(most: usize, tuning: Tuning) -> Self {
        Self {
            tuning,
            most,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hedges: Mutex::new(Bucket::with(tuning.hedge_start, Moment::default())),
            shed: AtomicU64::new(0),
        }
    }

    /// What it goes by.
    #[must_use]
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// A request for this node's endpoints has come in: the hedge budget grows.
    pub fn arrived(&self, now: Moment) {
        let (ratio, most) = (self.tuning.hedge_ratio, self.tuning.hedge_burst);
        lock(&self.hedges).add(ratio, 0.0, most, now);
    }

    /// Takes from this node's hedge budget; false when there is nothing left.
    pub fn take_hedge(&self, now: Moment) -> bool {
        lock(&self.hedges).take(0.0, self.tuning.hedge_burst, now)
    }

    /// Gives an attempt what it needs to leave, all of it or nothing. A probe lease is given once,
    /// however many requests planned with it: who comes later is planned anew.
    ///
    /// # Errors
    /// What can't be given. On a full board nothing is noted, and so no probe is sent.
    pub fn give(&self, endpoint: Handle, need: &Need, now: Moment) -> Result<(), Denied> {
        let given = self.with(endpoint, now, |it| it.give(&self.tuning, need, now));
        given.unwrap_or(match need.probe {
            Some(_) => Err(Denied::Probe),
            None => Ok(()),
        })
    }

    /// An attempt leaves for the endpoint. Each must be followed by one [`Board::ended`].
    pub fn departed(&self, endpoint: Handle, departure: &Departure, now: Moment) {
        self.with(endpoint, now, |it| {
            it.departed(&self.tuning, departure, now);
        });
    }

    /// An attempt has ended, however.
    pub fn ended(&self, endpoint: Handle, now: Moment) {
        self.with(endpoint, now, LocalHealth::ended);
    }

    /// It is known how many tokens an attempt took that had left with so many estimated: its lease
    /// gets the rest back, or owes what was more.
    pub fn spent(&self, endpoint: Handle, departure: &Departure, used: u64, now: Moment) {
        if departure.lease.tokens.is_some() && used != departure.tokens {
            self.with(endpoint, now, |it| {
                it.spent(&self.tuning, departure, used, now);
            });
        }
    }

    /// An attempt's first content has come, after so long where the time says something; what has
    /// changed by it. Its end counts only when it is a failure.
    pub fn answered(
        &self,
        endpoint: Handle,
        ttft: Option<Duration>,
        now: Moment,
    ) -> Option<StateChange> {
        self.with(endpoint, now, |it| it.answered(&self.tuning, ttft, now))?
    }

    /// Takes an outcome into account; what has changed by it. `jitter` is random in 0..1.
    pub fn observe(
        &self,
        endpoint: Handle,
        outcome: &Outcome,
        now: Moment,
        jitter: f64,
    ) -> Option<StateChange> {
        self.with(endpoint, now, |it| {
            it.observe(&self.tuning, outcome, now, jitter)
        })?
    }

    /// It refused the key: that is no matter of a moment. `jitter` is random in 0..1.
    pub fn refused(&self, endpoint: Handle, now: Moment, jitter: f64) {
        self.with(endpoint, now, |it| it.refused(&self.tuning, now, jitter));
    }

    /// Notes what an answer's headers say of requests and tokens that are left.
    pub fn allowed(
        &self,
        endpoint: Handle,
        requests: Option<Allowance>,
        tokens: Option<Allowance>,
        now: Moment,
    ) {
        if requests.is_some() || tokens.is_some() {
            self.with(endpoint, now, |it| it.allowed(requests, tokens, now));
        }
    }

    /// Another node of this point of presence leaves the endpoint alone until then.
    pub fn heard_paused(&self, endpoint: Handle, until: Moment, now: Moment) {
        self.with(endpoint, now, |it| it.heard_paused(until));
    }

    /// Outcomes that were not kept because the board was full.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// None when the board is full.
    fn with<T>(
        &self,
        endpoint: Handle,
        now: Moment,
        change: impl FnOnce(&mut LocalHealth) -> T,
    ) -> Option<T> {
        let mut shard = lock(self.shard(endpoint)?);
        if let Some(health) = shard.known.get_mut(&endpoint) {
            return Some(change(health));
        }
        if shard.known.len() >= self.most / SHARDS {
            shard.sweep(&self.tuning, now);
        }
        if shard.known.len() >= self.most / SHARDS {
            self.shed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(change(shard.known.entry(endpoint).or_default()))
    }

    fn shard(&self, endpoint: Handle) -> Option<&Mutex<Shard>> {
        // The map goes by the bits at both ends.
        let at = usize::try_from((endpoint.0 >> 32) & 0xffff).unwrap_or_default() % SHARDS;
        self.shards.get(at)
    }
}

impl Shard {
    fn sweep(&mut self, tuning: &Tuning, now: Moment) {
        if self.swept.is_some_and(|last| now < last.plus(SWEEP)) {
            return;
        }
        self.swept = Some(now);
        self.known
            .retain(|_, health| !health.is_forgotten(tuning, now));
    }
}

impl Evidence for Board {
    /// An endpoint never seen is healthy.
    fn local(&self, ask: &Ask, now: Moment) -> Local {
        let Some(shard) = self.shard(ask.handle) else {
            return Local::default();
        };
        let shard = lock(shard);
        let health = shard.known.get(&ask.handle);
        health.map_or_else(Local::default, |it| it.local(&self.tuning, ask, now))
    }
}
