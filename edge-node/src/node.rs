//! All that a request may read: one view, what this node saw itself, keys, money, the way out.

use crate::account::Accounts;
use crate::admission::Admission;
use crate::auth::KeyRing;
use crate::catalogue::Rendered;
use crate::credential::Credentials;
use crate::dialect;
use crate::gateway::forward::Forwarder;
use crate::gossip::Gossip;
use crate::ingress::Call;
use crate::metrics::{EndpointMeters, Meters};
use crate::report::Reporter;
use crate::screen::Screens;
use crate::session::{Sessions, Thread};
use crate::tokens::Tokens;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use http::HeaderMap;
use shared::catalog::{Endpoint, Provider};
use shared::clock::Clock;
use shared::health::{Board, Departure, Handle, StateChange};
use shared::id::{BootEpoch, GenerationId, NodeId, Pop, Region};
use shared::policy::Principal;
use shared::routing::{self, Candidate, Demand, Plan, Record, Refusal, View};
use shared::window::{Observation, Outcome, Sign};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Unique in the fleet.
    pub node: NodeId,
    /// Where it stands.
    pub pop: Pop,
    /// Whose latencies it shares.
    pub region: Region,
    /// This run.
    pub epoch: BootEpoch,
}

/// The request path's own intervals.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    /// Between two comments to a waiting client of a stream.
    pub keep_alive: Duration,
    /// How long a client may refuse to read before it is cut off.
    pub write_stall: Duration,
    /// How long a head may take to arrive.
    pub head: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(5),
            write_stall: Duration::from_secs(30),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
        }
    }
}

/// The node.
pub struct Node {
    /// Who it is.
    pub identity: Identity,
    /// The table in use; replaced whole.
    pub view: Arc<ArcSwap<View>>,
    /// What this node saw of endpoints.
    pub health: Arc<Board>,
    /// Who may call.
    pub keys: Arc<KeyRing>,
    /// Whose money it is.
    pub accounts: Arc<Accounts>,
    /// The way of management requests.
    pub forwarder: Forwarder,
    /// What is told to the control plane.
    pub reporter: Arc<Reporter>,
    /// What the point of presence is told.
    pub gossip: Option<Arc<Gossip>>,
    /// The way to the providers.
    pub upstream: Arc<dyn Upstream>,
    /// What guardrails look for in prompts.
    pub screens: Screens,
    /// Who served which conversation.
    pub sessions: Sessions,
    /// Our keys at the providers.
    pub credentials: Arc<Credentials>,
    /// Limits.
    pub admission: Arc<Admission>,
    /// The long listings, rendered.
    pub rendered: Rendered,
    /// The counters of each endpoint.
    pub meters: Meters,
    /// How many tokens there are, where no provider counts.
    pub tokens: Tokens,
    /// The time.
    pub clock: Clock,
    /// Intervals.
    pub timers: Timers,
    /// Seeds drawn so far; with the boot epoch, each request's own.
    pub seeds: AtomicU64,
}

impl Node {
    /// The view for one request, from its start to its end.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// A new request's id and seed. Unique over nodes and restarts: random bits of the process
    /// and a counter.
    #[must_use]
    pub fn next_request(&self) -> (GenerationId, u64) {
        let count = self.seeds.fetch_add(1, Ordering::Relaxed);
        let seed = fastrand::u64(..) ^ count;
        let id = format!(
            "gen-{}-{:016x}{:06x}",
            self.clock.unix_s(),
            seed,
            count & 0x00ff_ffff
        );
        (GenerationId::from(id), seed)
    }

    /// The conversation that a call goes on with, if any; who served it last becomes a part of what
    /// the call demands.
    pub fn recall(&self, principal: &Principal, view: &View, call: &mut Call) -> Option<Thread> {
        let thread = self.sessions.thread(&principal.org, call)?;
        let now = self.clock.now();
        call.demand.sticky = self.sessions.recall(thread, &call.demand, view, now);
        Some(thread)
    }

    /// The order in which to try endpoints.
    ///
    /// # Errors
    /// No such model, or nothing that fits.
    pub fn plan(
        &self,
        view: &View,
        principal: &Principal,
        demand: &Demand,
        seed: u64,
    ) -> Result<Plan, Refusal> {
        let usable = |provider: &Provider| self.credentials.usable(provider);
        let now = self.clock.now();
        routing::plan(view, &*self.health, &usable, principal, demand, now, seed)
    }

    /// Makes a recorded decision again, from the same tables.
    ///
    /// # Errors
    /// As [`Node::plan`].
    pub fn replay(
        &self,
        view: &View,
        principal: &Principal,
        demand: &Demand,
        record: &Record,
    ) -> Result<Plan, Refusal> {
        let usable = |provider: &Provider| self.credentials.usable(provider);
        record.replay(view, &usable, principal, demand)
    }

    /// The counters of an endpoint.
    #[must_use]
    pub fn meters_of(&self, endpoint: &Endpoint) -> Arc<EndpointMeters> {
        let (model, provider) = (endpoint.model.as_str(), endpoint.provider.as_str());
        self.meters.of(&endpoint.id, model, provider)
    }

    /// Takes note of an attempt that leaves; it counts as under way until the guard is dropped.
    #[must_use]
    pub fn depart(&self, candidate: &Candidate, first: bool) -> Departed {
        let departure = Departure {
            lease: candidate.lease,
            first,
            probe: candidate.probe,
        };
        let (handle, now) = (candidate.handle, self.clock.now());
        self.health.departed(handle, &departure, now);
        let sign = Sign::Sent { first };
        self.reporter.note(&candidate.endpoint.id, &sign, None);
        Departed {
            health: Arc::clone(&self.health),
            clock: self.clock.clone(),
            handle,
        }
    }

    /// Takes note of an attempt's first content: here at once, in the fleet with the next report.
    pub fn answered(&self, candidate: &Candidate, ttft: Option<Duration>) {
        let now = self.clock.now();
        let change = self.health.answered(candidate.handle, ttft, now);
        let sign = Sign::Answered { ttft };
        self.reporter.note(&candidate.endpoint.id, &sign, change);
    }

    /// Takes note of how fast a stream is while it lasts.
    pub fn sampled(&self, candidate: &Candidate, tokens_per_second: f64) {
        let sign = Sign::Speed { tokens_per_second };
        self.reporter.note(&candidate.endpoint.id, &sign, None);
    }

    /// Takes note of what an answer's headers say of the provider's limits.
    pub fn allowed(&self, candidate: &Candidate, headers: &HeaderMap) {
        let (requests, tokens) = dialect::allowances(headers);
        let now = self.clock.now();
        self.health.allowed(candidate.handle, requests, tokens, now);
    }

    /// Takes note of how an attempt went: here at once, in the fleet with the next report. A good
    /// end adds nothing here to what its beginning said.
    pub fn observe(&self, candidate: &Candidate, observation: &Observation) {
        let outcome = &observation.outcome;
        let known = observation.noted && *outcome == Outcome::Ok;
        let change = (!known)
            .then(|| {
                let (now, draw) = (self.clock.now(), fastrand::f64());
                self.health.observe(candidate.handle, outcome, now, draw)
            })
            .flatten();
        if let (Some(StateChange::Paused(until)), Some(gossip)) = (change, &self.gossip) {
            gossip.announce(candidate.handle, until);
        }
        self.reporter
            .record(&candidate.endpoint.id, observation, change);
    }
}

/// An attempt that is under way.
pub struct Departed {
    health: Arc<Board>,
    clock: Clock,
    handle: Handle,
}

impl Drop for Departed {
    fn drop(&mut self) {
        self.health.ended(self.handle, self.clock.now());
    }
}
