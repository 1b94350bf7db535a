//! What an edge saw of its endpoints since its last report. Merging is addition, so that windows
//! may be combined in any order and anywhere; exactly-once is the receiver's concern. Traffic on
//! an organisation's own credentials is never recorded here.

mod outbox;
mod stated;

pub use outbox::{Outbox, UNACKED_MAX};
pub use stated::{STATED_MAX, Stated};

use crate::id::{BootEpoch, EndpointId, NodeId, Pop, Region};
use crate::money::Amount;
use crate::sketch::Sketch;
use crate::usage::Usage;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most endpoints that one report names; the rest is merged into [`OTHER`].
pub const CELLS_MAX: usize = 2000;
/// The name under which a full report counts further endpoints.
pub const OTHER: &str = "other";

/// How an attempt at an endpoint ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A whole answer.
    Ok,
    /// 5xx, connect, TLS, bad content: the provider's fault.
    HardFail,
    /// No first byte before the deadline.
    Timeout,
    /// No first byte for longer than nearly all others: half a failure. The attempt goes on and
    /// ends in an outcome of its own.
    Silence,
    /// 503/529: at its capacity.
    Overload {
        /// What the provider asked for.
        retry_after: Option<Duration>,
    },
    /// 429.
    RateLimited {
        /// What the provider asked for.
        retry_after: Option<Duration>,
    },
    /// Cut after the first byte.
    Truncated,
    /// The caller's, the account's or the client's doing: says nothing about the endpoint.
    Neutral,
}

impl Outcome {
    /// How much of a failure it is, 0..=1; `None` when it is no evidence of health at all.
    #[must_use]
    pub fn badness(&self) -> Option<f64> {
        match self {
            Self::Ok => Some(0.0),
            Self::HardFail | Self::Timeout | Self::Truncated => Some(1.0),
            Self::Silence => Some(0.5),
            Self::Overload { .. } | Self::RateLimited { .. } | Self::Neutral => None,
        }
    }
}

/// One attempt, as the edge saw it.
#[derive(Clone, PartialEq, Debug)]
pub struct Observation {
    /// How it ended.
    pub outcome: Outcome,
    /// Request sent to first content byte.
    pub ttft: Option<Duration>,
    /// Output tokens per second, 1.5 s into the stream or at its end.
    pub tokens_per_second: Option<f64>,
    /// The same of an answer that came whole, over all the time that it took: less than a stream's,
    /// by the time to its first token.
    pub whole_tokens_per_second: Option<f64>,
    /// What it used.
    pub usage: Usage,
    /// What it was charged.
    pub cost: Amount,
    /// True for a request's first attempt.
    pub first_attempt: bool,
    /// A tool call that can't be parsed or doesn't fit its schema.
    pub tool_error: bool,
    /// The answer ended in tool calls, sound or not.
    pub tool_calls: bool,
    /// That it was sent and began to answer has been noted by [`Sign`]s, its first token's time
    /// with it, and is not counted again.
    pub noted: bool,
}

/// What is known of an attempt before it ends. A stream takes longer than the fleet may take to
/// learn of its beginning.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Sign {
    /// It leaves.
    Sent {
        /// It is its request's first.
        first: bool,
    },
    /// The first content has come.
    Answered {
        /// After so long; none where the time says nothing, as of a whole answer.
        ttft: Option<Duration>,
    },
    /// How fast it is, some time into the stream.
    Speed {
        /// Completion tokens per second.
        tokens_per_second: f64,
    },
    /// What its headers state of the account's limits.
    Limits(Stated),
}

impl Observation {
    /// An attempt of which nothing is known but how it ended.
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            ttft: None,
            tokens_per_second: None,
            whole_tokens_per_second: None,
            usage: Usage::default(),
            cost: Amount::ZERO,
            first_attempt: false,
            tool_error: false,
            tool_calls: false,
            noted: false,
        }
    }
}

/// Counts of one endpoint. All but [`Window::stated`] are additive and saturate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// Whole answers.
    pub ok: u64,
    /// [`Outcome::HardFail`].
    pub hard_fail: u64,
    /// [`Outcome::Timeout`].
    pub timeout: u64,
    /// [`Outcome::Silence`].
    pub silence: u64,
    /// [`Outcome::Overload`].
    pub overload: u64,
    /// [`Outcome::RateLimited`].
    pub rate_limited: u64,
    /// [`Outcome::Truncated`].
    pub truncated: u64,
    /// Attempts with a broken tool call.
    pub tool_errors: u64,
    /// Whole answers that ended in tool calls.
    pub tool_calls: u64,
    /// Times that the node began to leave the endpoint alone, after failures in a row.
    pub openings: u64,
    /// All prompt tokens.
    pub prompt_tokens: u64,
    /// All completion tokens.
    pub completion_tokens: u64,
    /// What was charged.
    pub cost: Amount,
    /// Attempts that were their request's first, as they are sent.
    pub first_attempts: u64,
    /// Attempts, as they are sent.
    pub sent: u64,
    /// Attempts that began to answer, as they do; how they end is counted apart.
    pub answered: u64,
    /// Milliseconds.
    pub ttft: Sketch,
    /// Tokens per second of streams.
    pub throughput: Sketch,
    /// Tokens per second of answers that came whole, over all the time that they took.
    pub whole_throughput: Sketch,
    /// What the provider said of its limits.
    pub stated: Stated,
}

impl Window {
    /// Counts one attempt.
    pub fn record(&mut self, seen: &Observation) {
        let counter = match seen.outcome {
            Outcome::Ok => Some(&mut self.ok),
            Outcome::HardFail => Some(&mut self.hard_fail),
            Outcome::Timeout => Some(&mut self.timeout),
            Outcome::Silence => Some(&mut self.silence),
            Outcome::Overload { .. } => Some(&mut self.overload),
            Outcome::RateLimited { .. } => Some(&mut self.rate_limited),
            Outcome::Truncated => Some(&mut self.truncated),
            Outcome::Neutral => None,
        };
        if let Some(counter) = counter {
            add(counter, 1);
        }
        if let Outcome::Overload { retry_after } | Outcome::RateLimited { retry_after } =
            seen.outcome
        {
            self.stated.retry_after = self.stated.retry_after.max(retry_after);
        }
        add(&mut self.tool_errors, u64::from(seen.tool_error));
        add(&mut self.tool_calls, u64::from(seen.tool_calls));
        add(&mut self.prompt_tokens, seen.usage.prompt);
        add(&mut self.completion_tokens, seen.usage.completion);
        self.cost += seen.cost;
        if let Some(speed) = seen.tokens_per_second {
            self.throughput.add_value(speed);
        }
        if let Some(speed) = seen.whole_tokens_per_second {
            self.whole_throughput.add_value(speed);
        }
        if seen.noted {
            return;
        }
        // A silence and its attempt's end are two observations of one attempt.
        if seen.outcome != Outcome::Silence {
            let first = seen.first_attempt;
            self.note(&Sign::Sent { first });
        }
        if matches!(seen.outcome, Outcome::Ok | Outcome::Truncated) {
            self.note(&Sign::Answered { ttft: seen.ttft });
        } else if let Some(ttft) = seen.ttft {
            self.ttft.add(ttft);
        }
    }

    /// Counts a sign of an attempt that goes on.
    pub fn note(&mut self, sign: &Sign) {
        match sign {
            Sign::Sent { first } => {
                add(&mut self.sent, 1);
                add(&mut self.first_attempts, u64::from(*first));
            }
            Sign::Answered { ttft } => {
                add(&mut self.answered, 1);
                if let Some(ttft) = ttft {
                    self.ttft.add(*ttft);
                }
            }
            Sign::Speed { tokens_per_second } => self.throughput.add_value(*tokens_per_second),
            Sign::Limits(stated) => self.stated.merge(stated),
        }
    }

    /// Adds all that `other` counted. Associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.ok, other.ok),
            (&mut self.hard_fail, other.hard_fail),
            (&mut self.timeout, other.timeout),
            (&mut self.silence, other.silence),
            (&mut self.overload, other.overload),
            (&mut self.rate_limited, other.rate_limited),
            (&mut self.truncated, other.truncated),
            (&mut self.tool_errors, other.tool_errors),
            (&mut self.tool_calls, other.tool_calls),
            (&mut self.openings, other.openings),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
            (&mut self.first_attempts, other.first_attempts),
            (&mut self.sent, other.sent),
            (&mut self.answered, other.answered),
        ] {
            add(mine, theirs);
        }
        self.cost += other.cost;
        self.ttft.merge(&other.ttft);
        self.throughput.merge(&other.throughput);
        self.whole_throughput.merge(&other.whole_throughput);
        self.stated.merge(&other.stated);
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.hard_fail
            .saturating_add(self.timeout)
            .saturating_add(self.truncated)
    }

    /// Attempts that the provider turned away for want of capacity.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.overload.saturating_add(self.rate_limited)
    }

    /// Failures and all observations that say something about health. A silence is an observation
    /// of its own that is half a failure, so that an endpoint that swallows everything is known
    /// long before its first timeout. What was cut counts as a success when it begins and as a
    /// failure when it breaks.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of one window")]
    pub fn health(&self) -> (f64, f64) {
        let bad = self.failures() as f64 + 0.5 * self.silence as f64;
        let ended = self.hard_fail as f64 + self.timeout as f64;
        (bad, self.answered as f64 + ended + self.silence as f64)
    }
}

fn add(counter: &mut u64, more: u64) {
    *counter = counter.saturating_add(more);
}

/// All windows that are open on one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Windows {
    cells: BTreeMap<EndpointId, Window>,
    overflowed: u64,
}

impl Windows {
    /// Counts one attempt at an endpoint. Beyond [`CELLS_MAX`] endpoints it counts under
    /// [`OTHER`].
    pub fn record(&mut self, endpoint: &EndpointId, seen: &Observation) {
        if let Some(window) = self.cells.get_mut(endpoint) {
            window.record(seen);
            return;
        }
        self.cell(endpoint).record(seen);
    }

    /// Counts a sign of an attempt that goes on.
    pub fn note(&mut self, endpoint: &EndpointId, sign: &Sign) {
        if let Some(window) = self.cells.get_mut(endpoint) {
            window.note(sign);
            return;
        }
        self.cell(endpoint).note(sign);
    }

    /// Notes that the node leaves the endpoint alone from now on.
    pub fn opened(&mut self, endpoint: &EndpointId) {
        let window = self.cell(endpoint);
        window.openings = window.openings.saturating_add(1);
    }

    /// Puts windows back that could not be reported.
    pub fn merge(&mut self, windows: &[(EndpointId, Window)]) {
        for (endpoint, window) in windows {
            self.cell(endpoint).merge(window);
        }
    }

    /// Gives what was counted, by endpoint, and starts anew.
    #[must_use]
    pub fn take(&mut self) -> Vec<(EndpointId, Window)> {
        std::mem::take(&mut self.cells).into_iter().collect()
    }

    /// True when nothing was counted since the last [`Windows::take`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// How many records went to [`OTHER`] so far.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    fn cell(&mut self, endpoint: &EndpointId) -> &mut Window {
        let full = self.cells.len() >= CELLS_MAX - 1 && !self.cells.contains_key(endpoint);
        let key = if full {
            self.overflowed = self.overflowed.saturating_add(1);
            EndpointId::from(OTHER)
        } else {
            endpoint.clone()
        };
        self.cells.entry(key).or_default()
    }
}

/// One node's windows on their way to the control plane. (node, epoch, sequence) is its identity:
/// it is merged exactly once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Who saw it.
    pub node: NodeId,
    /// Where the node is.
    pub pop: Pop,
    /// Whose latency evidence it shares.
    pub region: Region,
    /// The node's run.
    pub epoch: BootEpoch,
    /// Contiguous from 1 in an epoch.
    pub sequence: u64,
    /// By endpoint.
    pub windows: Vec<(EndpointId, Window)>,
    /// A local state changed: rank at once.
    pub alarming: bool,
}

#[cfg(test)]
pub(crate) mod tests;
