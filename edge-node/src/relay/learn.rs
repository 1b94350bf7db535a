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
    let streaming = reply.begun.elapsed().saturating_sub(reply.ttft);
    let measurable = call.stream && usage.completion > 1 && !streaming.is_zero();
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no exact digits")]
    let rate = measurable.then(|| usage.completion as f64 / streaming.as_secs_f64());
    let meters = node.meters_of(&reply.candidate.endpoint);
    if let Some(rate) = rate {
        meters.throughput.record(rate);
    }
    meters.served.increment(1);
    let observation = Observation {
        tokens_per_second: rate,
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

/// The answer broke off after its first content.
pub(super) fn broken(node: &Node, reply: &Reply) {
    let observation = Observation {
        noted: true,
        ..Observation::of(Outcome::Truncated)
    };
    node.observe(&reply.candidate, &observation);
}
