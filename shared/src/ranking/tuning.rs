//! Every timer, half-life and threshold of health and ranking, in one place: tests and the
//! simulation scale them.

use crate::health;
use std::time::Duration;

/// The numbers that ranking goes by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tuning {
    /// What a node decides for itself.
    pub local: health::Tuning,
    /// After which half of what an edge saw is forgotten.
    pub evidence_half_life: Duration,
    /// An edge has seen enough to be an observer: three, less what a second forgets.
    pub observer: f64,
    /// Failures that an edge is credited with at least when it begins to leave an endpoint alone:
    /// as many in a row as that takes.
    pub turn: f64,
    /// An observer that has seen nothing for so long no longer speaks for an endpoint.
    pub observer_fresh: Duration,
    /// No observer counts more than so many times the median one.
    pub observer_clip: f64,
    /// Failing more than this is sick …
    pub sick: f64,
    /// … if so much was seen, region and fleet together.
    pub sick_evidence: f64,
    /// The first hold of an endpoint that is shut off; doubles with each one before.
    pub hold: Duration,
    /// The longest hold.
    pub hold_max: Duration,
    /// After which half of an endpoint's record of holds is forgotten.
    pub record_half_life: Duration,
    /// Successes in a row that end probing, after the first hold; doubles with each one before.
    pub probe_successes: u32,
    /// The probe goes to another node after this.
    pub probe_lease: Duration,
    /// Probing that nobody answers ends after this: without traffic nothing is ever proved.
    pub probe_patience: Duration,
    /// The share with which a recovered endpoint starts.
    pub ramp_start: f64,
    /// A recovered endpoint's share grows by this factor …
    pub ramp_factor: f64,
    /// … and this much …
    pub ramp_step: f64,
    /// … in this time.
    pub ramp_period: Duration,
    /// The share that every endpoint keeps so that it stays known.
    pub floor: f64,
    /// The time that one slice of the latency windows covers.
    pub slice: Duration,
    /// Slices that are kept: together five minutes.
    pub slices: u64,
    /// Samples that a quantile needs.
    pub samples: u64,
    /// A node that has not been heard for so long is gone.
    pub node_silence: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            local: health::Tuning::default(),
            evidence_half_life: Duration::from_secs(8),
            observer: 2.5,
            turn: 3.0,
            observer_fresh: Duration::from_secs(5),
            observer_clip: 3.0,
            sick: 0.45,
            sick_evidence: 4.0,
            hold: Duration::from_secs(2),
            hold_max: Duration::from_secs(30),
            record_half_life: Duration::from_secs(60),
            probe_successes: 2,
            probe_lease: Duration::from_secs(2),
            probe_patience: Duration::from_secs(120),
            ramp_start: 0.01,
            ramp_factor: 1.35,
            ramp_step: 0.02,
            ramp_period: Duration::from_secs(1),
            floor: 0.002,
            slice: Duration::from_secs(3),
            slices: 100,
            samples: 5,
            node_silence: Duration::from_secs(10),
        }
    }
}
