//! What load is to be made: how many at once or how often, of which request, for how long.

use super::Target;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// How requests are started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// So many connections, each sending its next request when the last is answered.
    Closed {
        /// Connections.
        connections: usize,
    },
    /// So many requests per second, whatever becomes of them.
    Rate {
        /// Requests per second.
        per_second: f64,
        /// Connections that they are spread over.
        connections: usize,
    },
}

impl Shape {
    /// Connections.
    #[must_use]
    pub const fn workers(self) -> usize {
        match self {
            Self::Closed { connections } | Self::Rate { connections, .. } => connections,
        }
    }
}

/// A whole load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom it hits.
    pub target: Target,
    /// The body of every request.
    pub body: Bytes,
    /// How requests are started.
    pub shape: Shape,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub window: Duration,
    /// How long one answer may take.
    pub patience: Duration,
    /// The text that every answer must have; none is not checked.
    pub expected: Option<String>,
    /// The origin of a stamping provider's stamps.
    pub stamps: Option<Instant>,
    /// Starts closed-loop workers evenly over this time, so that paced streams do not march in
    /// step.
    pub stagger: Duration,
}

/// What a tally must keep.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Most failures.
    pub errors: Option<u64>,
    /// Milliseconds.
    pub ttft_p99_ms: Option<f64>,
    /// Milliseconds.
    pub total_p99_ms: Option<f64>,
}
