//! What all edges do together: which endpoints they use, and which of them breaks when.

use super::Settings;
use shared::clock::Moment;
use shared::id::EndpointId;
use shared::task::lock;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

pub(super) const EDGES_PER_POP: usize = 4;
/// Edges that see an outage.
const WITNESSES: usize = 20;

/// What all edges do.
pub(super) struct Plan {
    pub(super) endpoints: Vec<EndpointId>,
    /// Endpoints that an edge reports of in a second.
    pub(super) used: usize,
    outage_every: Duration,
    /// When the first outage begins.
    begun: OnceLock<Moment>,
    /// What was told of first, and when, in Unix milliseconds.
    outages: Mutex<Vec<Outage>>,
}

/// An endpoint that has broken.
#[derive(Clone)]
pub(super) struct Outage {
    pub(super) turn: usize,
    pub(super) endpoint: EndpointId,
    /// When the first edge told of it.
    pub(super) unix_ms: u64,
}

impl Plan {
    pub(super) fn new(settings: &Settings, models: usize, providers: usize) -> Self {
        let of_model = |model: usize| {
            (0..providers)
                .map(move |provider| EndpointId::from(format!("lab/model-{model}@p{provider}")))
        };
        let mut endpoints: Vec<EndpointId> = (0..models).flat_map(of_model).collect();
        endpoints.truncate(settings.endpoints);
        Self {
            endpoints,
            used: settings.used,
            outage_every: settings.outage_every,
            begun: OnceLock::new(),
            outages: Mutex::default(),
        }
    }

    /// From now on one endpoint after the other is broken.
    pub(super) fn begin_outages(&self, now: Moment) {
        self.begun.get_or_init(|| now);
    }

    /// The endpoint that is broken now, and which outage that is.
    pub(super) fn broken(&self, now: Moment) -> Option<(usize, &EndpointId)> {
        let elapsed = now.since(*self.begun.get()?);
        let every = self.outage_every.as_millis().max(1);
        let turn = usize::try_from(elapsed.as_millis() / every).ok()?;
        let at = (turn * 7919) % self.endpoints.len().max(1);
        Some((turn, self.endpoints.get(at)?))
    }

    /// Does this edge see three failures of it at once, and leave it alone?
    pub(super) const fn is_witness(number: usize) -> bool {
        let every = EDGES_PER_POP + 1;
        number.is_multiple_of(every) && number / every < WITNESSES
    }

    /// An edge tells of an outage now; the first one's time counts.
    pub(super) fn told(&self, turn: usize, endpoint: &EndpointId, unix_ms: u64) {
        let mut outages = lock(&self.outages);
        if outages.iter().all(|outage| outage.turn != turn) {
            outages.push(Outage {
                turn,
                endpoint: endpoint.clone(),
                unix_ms,
            });
        }
    }

    /// The outages but for the first `known`.
    pub(super) fn outages(&self, known: usize) -> Vec<Outage> {
        let outages = lock(&self.outages);
        outages.get(known..).unwrap_or_default().to_vec()
    }
}
