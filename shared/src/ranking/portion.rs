//! One edge's part of the fleet's demand, from which its capacity leases follow: an endpoint that
//! takes no more than so many requests per second is shared out among the edges by what each has
//! to send. The parts of all edges sum to one, so that the leases sum to the learned cap, and a
//! little more because no edge uses all of its own at every moment.

use crate::id::ModelId;
use std::collections::BTreeMap;

/// The most models for which a portion may differ.
pub const PORTION_MODELS_MAX: usize = 20_000;
/// What the leases of all edges sum to, as a multiple of the cap.
pub const LEASE_MARGIN: f64 = 1.15;
/// A whole, as a portion counts it.
const WHOLE: f64 = 1e6;

/// One edge's part of the fleet's demand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Portion {
    /// Of all requests, in millionths; 0 is unknown, and then nothing is limited.
    pub usual: u32,
    /// Of the requests for a model, where that is another part than usual, in millionths.
    pub models: BTreeMap<ModelId, u32>,
}

/// The change between two portions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortionDelta {
    /// The new usual one, if it changes.
    pub usual: Option<u32>,
    /// Models to put.
    pub models: Vec<(ModelId, u32)>,
    /// Models to take away.
    pub removals: Vec<ModelId>,
}

impl Portion {
    /// The part of the requests for a model, 0..=1; none is unknown.
    #[must_use]
    pub fn of(&self, model: &ModelId) -> Option<f64> {
        let millionths = self.models.get(model).copied().unwrap_or(self.usual);
        (millionths > 0).then(|| f64::from(millionths) / WHOLE)
    }

    /// What this edge may send an endpoint of `model` that takes `cap` from all of them.
    #[must_use]
    pub fn lease(&self, model: &ModelId, cap: f64) -> Option<f64> {
        self.of(model).map(|part| LEASE_MARGIN * cap * part)
    }

    /// What turns `older` into this.
    #[must_use]
    pub fn diff(&self, older: &Self) -> PortionDelta {
        let changed = |(model, part): &(&ModelId, &u32)| older.models.get(*model) != Some(*part);
        let gone = |model: &&ModelId| !self.models.contains_key(*model);
        PortionDelta {
            usual: (self.usual != older.usual).then_some(self.usual),
            models: self
                .models
                .iter()
                .filter(changed)
                .map(|(model, part)| (model.clone(), *part))
                .collect(),
            removals: older.models.keys().filter(gone).cloned().collect(),
        }
    }

    /// Takes a change in.
    pub fn apply(&mut self, delta: PortionDelta) {
        if let Some(usual) = delta.usual {
            self.usual = usual;
        }
        for model in &delta.removals {
            self.models.remove(model);
        }
        self.models.extend(delta.models);
    }
}

impl PortionDelta {
    /// True when nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.usual.is_none() && self.models.is_empty() && self.removals.is_empty()
    }
}

/// A part as a portion writes it: rounded, and never to nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 1..=1000000"
)]
pub(super) fn millionths(part: f64) -> u32 {
    (part * WHOLE).round().clamp(1.0, WHOLE) as u32
}
