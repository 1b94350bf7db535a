//! All that a request may read: one view, what this node saw itself, keys, money, the way out.

use crate::account::Accounts;
use crate::admission::Admission;
use crate::auth::KeyRing;
use crate::catalogue::Rendered;
use crate::credential::own::{Authorized, OwnKeys};
use crate::credential::{Credentials, Unsigned};
use crate::dialect;
use crate::duty::Standing;
use crate::failure::{Failure, Fault, Retry};
use crate::gateway::forward::Forwarder;
use crate::gossip::Gossip;
use crate::ingress::Call;
use crate::metrics::{EndpointMeters, Meters};
use crate::rates::Rates;
use crate::report::Reporter;
use crate::screen::Screens;
use crate::session::{Sessions, Thread};
use crate::tokens::Tokens;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use http::HeaderMap;
use shared::catalog::{Endpoint, Provider};
use shared::clock::Clock;
use shared::health::{Allowance, Board, Boards, Handle, StateChange};
use shared::id::{BootEpoch, GenerationId, NodeId, Pop, Region};
use shared::policy::Principal;
use shared::routing::{self, Candidate, Demand, Exclude, Exclusion, Plan, Record, Refusal, View};
use shared::window::{Observation, Outcome, Sign, Stated};
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
    /// What operators want of it.
    pub standing: Arc<Standing>,
    /// The table in use; replaced whole.
    pub view: Arc<ArcSwap<View>>,
    /// What this node saw of endpoints.
    pub health: Arc<Board>,
    /// What this node saw of them with organisations' own keys. Nobody else is told: what a key's
    /// owner meets with says nothing of the endpoint to others.
    pub own_health: Arc<Board>,
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
    /// Organisations' own.
    pub own_keys: Arc<OwnKeys>,
    /// Limits.
    pub admission: Arc<Admission>,
    /// Requests per minute, shared with the other edges.
    pub rates: Arc<Rates>,
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
        let health = self.boards();
        routing::plan(view, &health, &usable, principal, demand, now, seed)
    }

    /// What this node saw, as plans read it.
    #[must_use]
    pub fn boards(&self) -> Boards<'_> {
        Boards {
            shared: &self.health,
            own: &self.own_health,
        }
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

    /// Authenticates a request at its candidate: with the organisation's own key where that is
    /// what the candidate stands for, else with the platform's.
    ///
    /// # Errors
    /// When the own key can't be used; another candidate may help.
    pub async fn authorize(
        &self,
        candidate: &Candidate,
        request: &Unsigned<'_>,
    ) -> Result<Authorized, Failure> {
        let provider = &candidate.provider;
        let Some(own) = &candidate.own else {
            // It was there when the candidate was planned, and may have ended since.
            let base_url = self.credentials.base_url(provider);
            let headers = self.credentials.headers(provider, request);
            let (Some(base_url), Some(headers)) = (base_url, headers) else {
                return Err(Failure::credential_pending(&provider.name));
            };
            return Ok(Authorized {
                base_url: base_url.into_owned(),
                headers,
            });
        };
        let (keys, clock) = (&self.own_keys, &self.clock);
        let authorized = match keys.refresh(own, &*self.upstream, clock).await {
            Ok(()) => keys.authorize(own, provider, request, clock),
            Err(error) => Err(error),
        };
        authorized.map_err(|error| {
            tracing::warn!(credential = own.id, %error, "an own provider key can't be used");
            let text = format!("your own key at {} can't be used: {error}", provider.name);
            let mut failure = Failure::provider(502, "own_key", text);
            failure.fault = Fault::ProviderKey;
            failure.with_retry(Retry::OtherEndpoint)
        })
    }

    /// Why nothing can be planned: where but for a credential that is set and not good at this moment
    /// there would be somebody, that is told, because the same request may succeed soon.
    #[must_use]
    pub fn refused(&self, view: &View, refusal: &Refusal, demand: &Demand) -> Failure {
        let pending = |exclusion: &Exclusion| {
            let index = view.snapshot.index_of(&exclusion.endpoint)?;
            let slug = &view.snapshot.endpoint(index)?.provider;
            let mut providers = view.snapshot.providers().iter();
            let provider = providers.find(|it| it.slug == *slug)?;
            let waits =
                exclusion.why == Exclude::NotServed && self.credentials.is_pending(provider);
            waits.then(|| Failure::credential_pending(&provider.name))
        };
        let pending = match refusal {
            Refusal::NoEndpoints { excluded } => excluded.iter().find_map(pending),
            _ => None,
        };
        pending.unwrap_or_else(|| crate::gateway::no_plan(refusal, demand))
    }

    /// The counters of an endpoint.
    #[must_use]
    pub fn meters_of(&self, endpoint: &Endpoint) -> Arc<EndpointMeters> {
        let (model, provider) = (endpoint.model.as_str(), endpoint.provider.as_str());
        self.meters.of(&endpoint.id, model, provider)
    }

    /// Takes note of an attempt that leaves, unless it is with an own key; it counts as under way
    /// until the guard is dropped.
    #[must_use]
    pub fn depart(&self, candidate: &Candidate, first: bool) -> Departed {
        if candidate.own.is_some() {
            return Departed { under_way: None };
        }
        let departure = candidate.departure(first);
        let (handle, now) = (candidate.handle, self.clock.now());
        self.health.departed(handle, &departure, now);
        let sign = Sign::Sent { first };
        self.reporter.note(&candidate.endpoint.id, &sign, None);
        Departed {
            under_way: Some((Arc::clone(&self.health), self.clock.clone(), handle)),
        }
    }

    /// Takes note of an attempt's first content: here at once, in the fleet with the next report.
    pub fn answered(&self, candidate: &Candidate, ttft: Option<Duration>) {
        let now = self.clock.now();
        if candidate.own.is_some() {
            self.own_health.answered(candidate.handle, None, now);
            return;
        }
        let change = self.health.answered(candidate.handle, ttft, now);
        let sign = Sign::Answered { ttft };
        self.reporter.note(&candidate.endpoint.id, &sign, change);
    }

    /// Takes note of how fast a stream is while it lasts.
    pub fn sampled(&self, candidate: &Candidate, tokens_per_second: f64) {
        if candidate.own.is_some() {
            return;
        }
        let sign = Sign::Speed { tokens_per_second };
        self.reporter.note(&candidate.endpoint.id, &sign, None);
    }

    /// Takes note of what an answer's headers say of the provider's limits.
    pub fn allowed(&self, candidate: &Candidate, headers: &HeaderMap) {
        if candidate.own.is_some() {
            return;
        }
        let (requests, tokens) = dialect::allowances(headers);
        let now = self.clock.now();
        self.health.allowed(candidate.handle, requests, tokens, now);
        let per_minute = |allowance: Option<Allowance>| allowance?.per_minute();
        let stated = Stated {
            requests_per_minute: per_minute(requests),
            tokens_per_minute: per_minute(tokens),
            retry_after: None,
        };
        let stated = stated.believed();
        if !stated.is_silent() {
            let sign = Sign::Limits(stated);
            self.reporter.note(&candidate.endpoint.id, &sign, None);
        }
    }

    /// Takes note of how an attempt went: here at once, in the fleet with the next report. A good
    /// end adds nothing here to what its beginning said.
    pub fn observe(&self, candidate: &Candidate, observation: &Observation) {
        let outcome = &observation.outcome;
        if candidate.own.is_some() {
            self.observe_own(candidate.handle, outcome);
            return;
        }
        let used = match outcome {
            Outcome::Ok => {
                let usage = &observation.usage;
                Some(usage.prompt.saturating_add(usage.completion))
            }
            // Who answers nothing has counted nothing.
            Outcome::HardFail | Outcome::Overload { .. } | Outcome::RateLimited { .. } => Some(0),
            Outcome::Timeout | Outcome::Silence | Outcome::Truncated | Outcome::Neutral => None,
        };
        if let Some(used) = used {
            let (departure, now) = (candidate.departure(false), self.clock.now());
            self.health.spent(candidate.handle, &departure, used, now);
        }
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

impl Node {
    /// An own key was refused: until its owner has mended it, few requests need to learn that anew.
    pub fn own_key_refused(&self, candidate: &Candidate) {
        let (now, draw) = (self.clock.now(), fastrand::f64());
        self.own_health.refused(candidate.handle, now, draw);
    }

    /// How an attempt with an own key went is known here and nowhere else.
    fn observe_own(&self, handle: Handle, outcome: &Outcome) {
        let counted = match outcome {
            // Its owner wants it used, also where it is slow. A good end adds nothing.
            Outcome::Silence | Outcome::Neutral | Outcome::Ok => return,
            // What its owner's limit leaves, nobody knows but the provider; where that names no
            // time, only several refusals in a row say that there is nothing.
            Outcome::Overload { retry_after: None }
            | Outcome::RateLimited { retry_after: None } => &Outcome::HardFail,
            other => other,
        };
        let (now, draw) = (self.clock.now(), fastrand::f64());
        self.own_health.observe(handle, counted, now, draw);
    }
}

/// An attempt that is under way.
pub struct Departed {
    /// None with an own key, which the fleet's health knows nothing of.
    under_way: Option<(Arc<Board>, Clock, Handle)>,
}

impl Drop for Departed {
    fn drop(&mut self) {
        if let Some((health, clock, handle)) = &self.under_way {
            health.ended(*handle, clock.now());
        }
    }
}
