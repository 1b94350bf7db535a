//! Attempts and failures of some observers together, and the probabilities that follow.

/// Complaints smaller than this have faded away.
const FADED: f64 = 0.25;

/// What a set of observers says together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::ranking) struct Pooled {
    /// Attempts.
    pub(in crate::ranking) seen: f64,
    /// Failures; a silence is half of one.
    pub(in crate::ranking) bad: f64,
    /// Silences among the attempts.
    pub(in crate::ranking) silent: f64,
    /// Broken tool calls: they cost score, not health.
    pub(in crate::ranking) tool_errors: f64,
    /// Answers that ended in tool calls.
    pub(in crate::ranking) tool_calls: f64,
}

impl Pooled {
    pub(in crate::ranking) fn add(&mut self, other: &Self, weight: f64) {
        self.seen += other.seen * weight;
        self.bad += other.bad * weight;
        self.silent += other.silent * weight;
        self.tool_errors += other.tool_errors * weight;
        self.tool_calls += other.tool_calls * weight;
    }

    /// Without what a part of it saw.
    pub(in crate::ranking) fn minus(self, part: &Self) -> Self {
        Self {
            seen: (self.seen - part.seen).max(0.0),
            bad: (self.bad - part.bad).max(0.0),
            silent: (self.silent - part.silent).max(0.0),
            tool_errors: (self.tool_errors - part.tool_errors).max(0.0),
            tool_calls: (self.tool_calls - part.tool_calls).max(0.0),
        }
    }

    /// Without silences. They condemn, but they don't score: the mark stands where a few of a
    /// hundred good answers still come later, and a little more load makes that many.
    pub(in crate::ranking) fn without_silences(self) -> Self {
        Self {
            seen: (self.seen - self.silent).max(0.0),
            bad: (self.bad - 0.5 * self.silent).max(0.0),
            silent: 0.0,
            ..self
        }
    }

    /// The share that failed.
    pub(in crate::ranking) fn failing(&self) -> f64 {
        if self.seen > 0.0 {
            (self.bad / self.seen).min(1.0)
        } else {
            f64::from(u8::from(self.bad > 0.0))
        }
    }

    /// The probability of failure over the whole fleet: what was seen, and the little that `prior`
    /// stands for.
    pub(in crate::ranking) fn failure(&self, prior: Prior) -> f64 {
        ((self.bad + prior.bad) / (self.seen + prior.seen)).min(1.0)
    }

    /// The probability of failure in a region, leaning on the fleet's where little was seen.
    pub(in crate::ranking) fn failure_given(&self, fleet: f64) -> f64 {
        ((self.bad + 3.0 * fleet) / (self.seen + 3.0)).min(1.0)
    }

    /// The share of requests that failed by a broken tool call.
    pub(in crate::ranking) fn tool_failure(&self) -> f64 {
        (self.tool_errors / (self.seen + 3.0)).min(1.0)
    }

    /// The share of tool calls that were broken. Who doesn't count them knows at least of these.
    pub(in crate::ranking) fn broken_calls(&self) -> f64 {
        (self.tool_errors / (self.tool_calls.max(self.tool_errors) + 3.0)).min(1.0)
    }

    /// The lower bound of the probability of failure, with `z` standard deviations of certainty
    /// (Wilson's).
    pub(in crate::ranking) fn failing_at_least(&self, z: f64) -> f64 {
        if self.seen <= 0.0 {
            return 0.0;
        }
        let (n, p) = (self.seen, self.failing());
        let middle = p + z * z / (2.0 * n);
        let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((middle - spread) / (1.0 + z * z / n)).max(0.0)
    }

    /// Is there a failure, a silence or a broken tool call that has not faded away?
    pub(super) fn complains(&self) -> bool {
        self.bad >= FADED || self.silent >= FADED || self.tool_errors >= FADED
    }

    pub(super) fn scale(&mut self, by: f64) {
        self.seen *= by;
        self.bad *= by;
        self.silent *= by;
        self.tool_errors *= by;
        self.tool_calls *= by;
    }
}

/// What is believed of an endpoint before anything is seen, in observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ranking) struct Prior {
    pub(in crate::ranking) bad: f64,
    pub(in crate::ranking) seen: f64,
}

impl Default for Prior {
    fn default() -> Self {
        Self {
            bad: 0.02,
            seen: 2.0,
        }
    }
}
