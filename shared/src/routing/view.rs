//! All that a request may read: the catalogue and what the fleet knows, fixed for its whole life.

use super::{Demand, Offered, Pace, Patience, Reason, Task, Tuning};
use crate::catalog::{Endpoint, Provider, Tier};
use crate::clock::Moment;
use crate::health::{Handle, Lease};
use crate::id::NodeId;
use crate::ranking::{Mode, RankingRow, RankingTable, State, prior};
use crate::snapshot::{EndpointIndex, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// The least share of who is closed by its score: rounded down, not shut.
const SHARE_LEAST: f64 = 1e-5;

/// One snapshot and one ranking table. Made once per push, read by every request.
#[derive(Clone, Debug)]
pub struct View {
    /// The catalogue.
    pub snapshot: Arc<Snapshot>,
    /// What the fleet knows.
    pub ranking: Arc<RankingTable>,
    /// The numbers that decisions go by.
    pub tuning: Tuning,
    /// By [`EndpointIndex`].
    known: Vec<Known>,
    node: Option<NodeId>,
    received: Option<Moment>,
}

/// What is looked up once per push instead of once per request.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) offered: Arc<Offered>,
    /// The service tier that its tag names.
    pub(super) tier: Option<Tier>,
    /// Its place on the board.
    pub(super) handle: Handle,
    /// USD per token of a usual mix: what `sort: price` goes by.
    pub(super) price: f64,
    /// The weight of an endpoint of which the fleet knows nothing: half the price, four times the
    /// traffic.
    pub(super) prior: f64,
    /// What this node may send it.
    pub(super) lease: Lease,
    /// What the fleet knows of it.
    pub(super) row: Option<RankingRow>,
    /// What the fleet gives it, where it knows it.
    pub(super) given: Option<Given>,
    /// The fleet is only trying it out.
    pub(super) on_trial: bool,
    /// The median time to its first token as the fleet knows it, in seconds; 0 is unknown.
    pub(super) ttft: f64,
}

/// An endpoint's shares of its model's traffic, 0..=1, by [`Mode::index`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pushed: [f64; 4],
    /// What its long record deserves; 0 is unknown.
    record: [f64; 4],
    /// Its weight against the best one's 1, without floors and limits; none while it is tried out:
    /// it gets the share that it is given, and no more.
    weight: [f64; 4],
}

impl Given {
    fn of(row: &RankingRow) -> Self {
        let modes = [Mode::Balanced, Mode::Price, Mode::Latency, Mode::Throughput];
        let least = match row.state {
            State::Closed | State::Ramp | State::HalfOpen => SHARE_LEAST,
            State::Open | State::Draining | State::Disabled => 0.0,
        };
        Self {
            pushed: modes.map(|mode| row.share_of(mode).max(least)),
            record: modes.map(|mode| row.long_run_of(mode)),
            weight: match row.state {
                State::Closed => modes.map(|mode| row.weight_of(mode)),
                _ => [0.0; 4],
            },
        }
    }

    /// The share in a ranking of which such a part, 0..=1, has faded. What the price deserves,
    /// `prior`, stands for a record that is not known.
    #[inline]
    pub(super) fn share(&self, mode: Mode, faded: f64, prior: f64) -> f64 {
        (1.0 - faded) * at(&self.pushed, mode) + faded * self.lasting(mode, prior)
    }

    /// The weight by which those who may serve a request take what is missing of their shares.
    #[inline]
    pub(super) fn weight(&self, mode: Mode, faded: f64, prior: f64) -> f64 {
        (1.0 - faded) * at(&self.weight, mode) + faded * self.lasting(mode, prior)
    }

    fn lasting(&self, mode: Mode, prior: f64) -> f64 {
        let record = Some(at(&self.record, mode)).filter(|share| *share > 0.0);
        record.unwrap_or(prior)
    }
}

fn at(all: &[f64; 4], mode: Mode) -> f64 {
    all.get(mode.index()).copied().unwrap_or_default()
}

impl Default for View {
    fn default() -> Self {
        Self::new(Arc::default(), Arc::default())
    }
}

impl View {
    /// A view whose ranking never ages; see [`View::received_at`].
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, ranking: Arc<RankingTable>) -> Self {
        let endpoints = snapshot.endpoints().iter().zip(0..);
        let known = endpoints.filter_map(|(endpoint, at)| {
            let price = endpoint.pricing.blended();
            let row = ranking.rows.get(&endpoint.id);
            // A snapshot has the provider of every endpoint that it has: nobody is left out.
            let provider = snapshot.provider_of(EndpointIndex(at))?;
            Some(Known {
                offered: Arc::new(Offered {
                    endpoint: endpoint.clone(),
                    provider: provider.clone(),
                }),
                tier: endpoint.tier(),
                handle: Handle::of(&endpoint.id),
                price,
                prior: prior(price),
                lease: lease(&ranking, endpoint, provider),
                given: row.map(Given::of),
                on_trial: row.is_some_and(|row| matches!(row.state, State::HalfOpen | State::Ramp)),
                ttft: row.map_or(0.0, |row| f64::from(row.ttft_ms.p50) / 1e3),
                row: row.cloned(),
            })
        });
        Self {
            known: known.collect(),
            snapshot,
            ranking,
            tuning: Tuning::default(),
            node: None,
            received: None,
        }
    }

    /// The view with the time at which its ranking came: from then on it loses weight.
    #[must_use]
    pub fn received_at(mut self, received: Moment) -> Self {
        self.received = Some(received);
        self
    }

    /// The view of that node: it sends the probes that the ranking leaves to it.
    #[must_use]
    pub fn of_node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// The view with other numbers to go by.
    #[must_use]
    pub fn tuned(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// What the fleet knows of an endpoint.
    #[must_use]
    #[inline]
    pub fn row(&self, endpoint: EndpointIndex) -> Option<&RankingRow> {
        self.known(endpoint)?.row.as_ref()
    }

    /// How old the ranking is.
    #[must_use]
    #[inline]
    pub fn ranking_age(&self, now: Moment) -> Duration {
        self.received.map_or(Duration::ZERO, |at| now.since(at))
    }

    /// The moment at which the ranking is so old.
    #[must_use]
    pub fn moment_at_age(&self, age: Duration) -> Moment {
        self.received.unwrap_or_default().plus(age)
    }

    /// What this node may send the endpoint: its lease of what the endpoint takes from the whole
    /// fleet.
    #[must_use]
    pub fn lease(&self, endpoint: EndpointIndex, now: Moment) -> Lease {
        let known = self.known(endpoint);
        let part = self.lease_part(now);
        known.map_or_else(Lease::default, |known| known.lease.cut_to(part))
    }

    /// How long to wait for an endpoint's first content.
    #[must_use]
    pub fn patience(
        &self,
        candidate: &super::Candidate,
        demand: &Demand,
        stream: bool,
    ) -> Patience {
        let row = self.row(candidate.index);
        let p95 = row.map_or(0, |row| row.ttft_ms_p95);
        let speed = row.map_or(0, |row| row.throughput_tenths.p50);
        let pace = Pace {
            ttft_p95: (p95 > 0).then(|| Duration::from_millis(u64::from(p95))),
            tokens_per_second: (speed > 0).then(|| f64::from(speed) / 10.0),
        };
        let mode = match candidate.reason {
            Reason::Sorted(mode) | Reason::Unmeasured(mode) => mode,
            _ => demand.preferences.sort.unwrap_or(demand.mode),
        };
        let task = Task {
            mode,
            stream,
            prompt_tokens: demand.prompt_tokens,
            max_tokens: demand.max_tokens,
            probe: candidate.probe.is_some(),
        };
        Patience::of(&self.tuning, &pace, &task, &candidate.provider.timeouts)
    }

    #[inline]
    pub(super) fn known(&self, endpoint: EndpointIndex) -> Option<&Known> {
        self.known.get(usize::try_from(endpoint.0).ok()?)
    }

    /// The part of a lease that this node may use: others may have got the rest of an old one.
    pub(super) fn lease_part(&self, now: Moment) -> f64 {
        if self.ranking_age(now) > self.tuning.lease_stale {
            self.tuning.lease_stale_part
        } else {
            1.0
        }
    }

    /// How sharply local failures cut a share now.
    pub(super) fn penalty_power(&self, now: Moment) -> i32 {
        if self.ranking_age(now) > self.tuning.ranking_fresh {
            self.tuning.penalty_power_alone
        } else {
            self.tuning.penalty_power
        }
    }

    /// The part of its weight that the ranking has lost to the long record, 0..=1.
    pub(super) fn faded(&self, now: Moment) -> f64 {
        let age = self.ranking_age(now);
        let stale = age.saturating_sub(self.tuning.ranking_fresh).as_secs_f64();
        (stale / self.tuning.ranking_fades.as_secs_f64().max(1e-3)).min(1.0)
    }

    /// The number of this node's probe lease for the endpoint.
    #[inline]
    pub(super) fn probe_of(&self, known: &Known) -> Option<u32> {
        let lease = known.row.as_ref()?.probe.as_ref()?;
        (Some(&lease.node) == self.node.as_ref()).then_some(lease.number)
    }
}

/// The node's part of what the endpoint takes: of what flows by the ranking, of what may be under
/// way by the catalogue. The latter without the margin of the former: a provider that serves all
/// that it can at a time is slow before it turns anybody away, and nobody waits for a second to
/// even out.
fn lease(ranking: &RankingTable, endpoint: &Endpoint, provider: &Provider) -> Lease {
    let row = ranking.rows.get(&endpoint.id);
    let flow = row.map(|row| ranking.lease(&endpoint.model, row));
    let concurrent = provider.limits.concurrent.map(f64::from);
    let part = row.map_or(1.0, RankingRow::account_part);
    let of_node = |most: f64| Some(most * part * ranking.portion.of(&endpoint.model)?);
    Lease {
        in_flight: concurrent.and_then(of_node),
        ..flow.unwrap_or_default()
    }
}
