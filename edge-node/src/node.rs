//! All that a request may read: one view, what this node saw itself, keys, money, the way out.

use crate::account::Accounts;
use crate::admission::Admission;
use crate::auth::KeyRing;
use crate::catalogue::Rendered;
use crate::credential::Credentials;
use crate::metrics::{EndpointMeters, Meters};
use crate::report::Reporter;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use shared::catalog::{Endpoint, Provider};
use shared::clock::Clock;
use shared::health::{Board, Handle};
use shared::id::{BootEpoch, EndpointId, GenerationId, NodeId, Pop, Region};
use shared::policy::Principal;
use shared::routing::{self, Demand, Plan, Refusal, View};
use shared::window::Observation;
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
    /// What is told to the control plane.
    pub reporter: Arc<Reporter>,
    /// The way to the providers.
    pub upstream: Arc<dyn Upstream>,
    /// Our keys at the providers.
    pub credentials: Arc<Credentials>,
    /// Limits.
    pub admission: Arc<Admission>,
    /// The long listings, rendered.
    pub rendered: Rendered,
    /// The counters of each endpoint.
    pub meters: Meters,
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

    /// The counters of an endpoint.
    #[must_use]
    pub fn meters_of(&self, endpoint: &Endpoint) -> Arc<EndpointMeters> {
        let (model, provider) = (endpoint.model.as_str(), endpoint.provider.as_str());
        self.meters.of(&endpoint.id, model, provider)
    }

    /// Takes note of how an attempt went: here at once, in the fleet with the next report.
    pub fn observe(&self, endpoint: &EndpointId, observation: &Observation) {
        let now = self.clock.now();
        let draw = fastrand::f64();
        let handle = Handle::of(endpoint);
        let change = self.health.observe(handle, &observation.outcome, now, draw);
        self.reporter.record(endpoint, observation, change);
    }
}
