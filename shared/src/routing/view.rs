//! All that a request may read: the catalogue and what the fleet knows, fixed for its whole life.

use crate::clock::Moment;
use crate::id::NodeId;
use crate::ranking::{RankingRow, RankingTable};
use crate::snapshot::{EndpointIndex, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// The least share of a model's requests that a node gives to an endpoint that it probes: a few
/// per second are enough, and a failed one costs its request a retry.
pub const PROBE_SHARE: f64 = 0.25;

/// What is free counts as that cheap, in USD per token.
const PRICE_MIN: f64 = 1e-10;

/// One snapshot and one ranking table. Made once per push, read by every request.
#[derive(Clone, Debug)]
pub struct View {
    /// The catalogue.
    pub snapshot: Arc<Snapshot>,
    /// What the fleet knows.
    pub ranking: Arc<RankingTable>,
    /// The ranking's row of each endpoint, by [`EndpointIndex`].
    rows: Vec<Option<RankingRow>>,
    /// Requests per second, by [`EndpointIndex`].
    leases: Vec<Option<f64>>,
    /// USD per token of a usual mix, by [`EndpointIndex`].
    prices: Vec<f64>,
    node: Option<NodeId>,
    received: Option<Moment>,
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
        let endpoints = snapshot.endpoints().iter();
        let (rows, leases) = endpoints
            .map(|endpoint| {
                let row = ranking.rows.get(&endpoint.id);
                let lease = row.and_then(|row| ranking.lease(&endpoint.model, row));
                (row.cloned(), lease)
            })
            .unzip();
        let prices = snapshot.endpoints().iter();
        let prices = prices.map(|it| it.pricing.blended()).collect();
        Self {
            snapshot,
            ranking,
            rows,
            leases,
            prices,
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

    /// What the fleet knows of an endpoint.
    #[must_use]
    pub fn row(&self, endpoint: EndpointIndex) -> Option<&RankingRow> {
        self.rows.get(usize::try_from(endpoint.0).ok()?)?.as_ref()
    }

    /// How old the ranking is.
    #[must_use]
    pub fn ranking_age(&self, now: Moment) -> Duration {
        self.received.map_or(Duration::ZERO, |at| now.since(at))
    }

    /// USD per token of a usual mix: what `sort: price` goes by.
    #[must_use]
    pub(super) fn price(&self, endpoint: EndpointIndex) -> f64 {
        let at = usize::try_from(endpoint.0).ok();
        at.and_then(|at| self.prices.get(at))
            .copied()
            .unwrap_or(f64::INFINITY)
    }

    /// The weight of an endpoint of which the fleet knows nothing: half the price, four times the
    /// traffic.
    #[must_use]
    pub(super) fn prior(&self, endpoint: EndpointIndex) -> f64 {
        self.price(endpoint).max(PRICE_MIN).powi(-2)
    }

    /// Does this node send the endpoint's next probe?
    #[must_use]
    pub(super) fn probes(&self, endpoint: EndpointIndex) -> bool {
        let probe = self.row(endpoint).and_then(|row| row.probe.as_ref());
        probe.is_some_and(|probe| Some(&probe.node) == self.node.as_ref())
    }

    /// What this node may send the endpoint, in requests per second: its lease of what the
    /// endpoint takes from the whole fleet. None is not limited.
    #[must_use]
    pub fn lease(&self, endpoint: EndpointIndex) -> Option<f64> {
        let at = usize::try_from(endpoint.0).ok()?;
        self.leases.get(at).copied().flatten()
    }
}
