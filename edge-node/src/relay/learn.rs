//! What an answer tells of its endpoint after its first content: how fast it is, early and at its
//! end, whether it came whole, what it used. An endpoint that drips must be known before its
//! streams end.

use crate::attempt::Reply;
use crate::ingress::Call;
use crate::message::Finish;
use crate::node::Node;
use shared::money::Amount;
use shared::routing::View;
use shared::usage::Usage;
use shared::window::{Observation, Outcome};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Of a shorter whole answer most of the time was the one to its first token.
const WHOLE_TOKENS_MIN: u64 = 16;
/// A stream is measured so long after its first content.
const MEASURED_AFTER: Duration = Duration::from_millis(1500);

/// Measures a stream once, early.
pub(super) struct Speed {
    due: Option<Pin<Box<Sleep>>>,
    since: Instant,
    /// What came at once, which says nothing of a rate.
    before: u64,
}

impl Speed {
    /// Of a stream whose first content is there now.
    pub(super) fn new(reply: &Reply) -> Self {
        Self {
            due: Some(Box::pin(tokio::time::sleep(MEASURED_AFTER))),
            since: Instant::now(),
            before: reply.translator.progress().output_bytes,
        }
    }

    /// Resolves when it is time to measure; never again after that. Cancel-safe.
    pub(super) async fn due(&mut self) {
        match &mut self.due {
            Some(due) => due.await,
            None => std::future::pending().await,
        }
    }

    /// Tells the fleet how fast the stream is.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no exact digits")]
    pub(super) fn measure(&mut self, node: &Node, view: &View, reply: &Reply) {
        self.due = None;
        let seconds = self.since.elapsed().as_secs_f64();
        let bytes = reply.translator.progress().output_bytes;
        let model = reply.candidate.endpoint.model.as_str();
        let tokens = node
            .tokens
            .answer(view, model, bytes.saturating_sub(self.before));
        if seconds > 0.0 {
            node.sampled(&reply.candidate, tokens as f64 / seconds);
        }
    }
}

/// The answer came whole.
pub(super) fn whole(
    (node, view): (&Node, &View),
    call: &Call,
    reply: &Reply,
    (usage, charged): (&Usage, Amount),
) {
    let progress = reply.translator.progress();
    let model = reply.candidate.endpoint.model.as_str();
    node.tokens.learn(view, model, call, progress);
    let took = reply.begun.elapsed();
    let (rate, whole_rate) = if call.stream {
        let streaming = took.saturating_sub(reply.ttft);
        (rate(usage.completion, 2, streaming), None)
    } else {
        (None, rate(usage.completion, WHOLE_TOKENS_MIN, took))
    };
    let meters = node.meters_of(&reply.candidate.endpoint);
    if let Some(rate) = rate {
        meters.throughput.record(rate);
    }
    meters.served.increment(1);
    let observation = Observation {
        tokens_per_second: rate,
        whole_tokens_per_second: whole_rate,
        usage: *usage,
        cost: charged,
        tool_error: progress.tool_error,
        tool_calls: matches!(
            progress.finish_reason,
            Some(Finish::ToolCalls | Finish::FunctionCall)
        ),
        noted: true,
        ..Observation::of(Outcome::Ok)
    };
    node.observe(&reply.candidate, &observation);
}

/// Tokens per second; none of fewer than tell of a rate.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no exact digits")]
fn rate(tokens: u64, least: u64, took: Duration) -> Option<f64> {
    let measurable = tokens >= least && !took.is_zero();
    measurable.then(|| tokens as f64 / took.as_secs_f64())
}

/// The answer broke off after its first content.
pub(super) fn broken(node: &Node, reply: &Reply) {
    let observation = Observation {
        noted: true,
        ..Observation::of(Outcome::Truncated)
    };
    node.observe(&reply.candidate, &observation);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_tokens_and_time() {
        let second = Duration::from_secs(1);
        assert_eq!(rate(80, WHOLE_TOKENS_MIN, 2 * second), Some(40.0));
        assert_eq!(rate(WHOLE_TOKENS_MIN - 1, WHOLE_TOKENS_MIN, second), None);
        assert_eq!(rate(2, 2, second), Some(2.0));
        assert_eq!(rate(1, 2, second), None);
        assert_eq!(rate(100, 2, Duration::ZERO), None);
    }
}
