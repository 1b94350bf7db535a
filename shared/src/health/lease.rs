//! What one node may send one endpoint: its part of what the whole fleet may.

/// This node's part of an endpoint's capacity; none is not limited.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Lease {
    /// Requests per second.
    pub requests: Option<f64>,
    /// Tokens per second, prompts and answers together.
    pub tokens: Option<f64>,
    /// Requests under way at a time.
    pub in_flight: Option<f64>,
}

impl Lease {
    /// So many requests per second, and nothing else is limited.
    #[must_use]
    pub const fn of_requests(per_second: f64) -> Self {
        Self {
            requests: Some(per_second),
            tokens: None,
            in_flight: None,
        }
    }

    /// This part of what flows; what is under way takes as long as it takes.
    #[must_use]
    pub(crate) fn cut_to(self, part: f64) -> Self {
        Self {
            requests: self.requests.map(|rate| rate * part),
            tokens: self.tokens.map(|rate| rate * part),
            ..self
        }
    }

    /// True when it says how much may flow.
    #[must_use]
    pub const fn limits_flow(&self) -> bool {
        self.requests.is_some() || self.tokens.is_some()
    }

    /// What is left of the requests that may be under way, as a part of what may: from 1, while
    /// there is room to spare, to 0.
    #[must_use]
    pub fn room(&self, in_flight: u32, spare: f64) -> f64 {
        let Some(most) = self.in_flight else {
            return 1.0;
        };
        let left = 1.0 - f64::from(in_flight) / most.max(1.0);
        (left / spare.max(1e-3)).clamp(0.0, 1.0)
    }
}
