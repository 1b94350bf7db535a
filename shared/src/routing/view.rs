//! All that a request may read: the catalogue and what the fleet knows, fixed for its whole life.

use crate::clock::Moment;
use crate::ranking::{RankingRow, RankingTable};
use crate::snapshot::{EndpointIndex, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// One snapshot and one ranking table. Made once per push, read by every request.
#[derive(Clone, Debug)]
pub struct View {
    /// The catalogue.
    pub snapshot: Arc<Snapshot>,
    /// What the fleet knows.
    pub ranking: Arc<RankingTable>,
    /// The ranking's row of each endpoint, by [`EndpointIndex`].
    rows: Vec<Option<RankingRow>>,
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
        let rows = endpoints
            .map(|endpoint| ranking.rows.get(&endpoint.id).cloned())
            .collect();
        Self {
            snapshot,
            ranking,
            rows,
            received: None,
        }
    }

    /// The view with the time at which its ranking came: from then on it loses weight.
    #[must_use]
    pub fn received_at(mut self, received: Moment) -> Self {
        self.received = Some(received);
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
}
