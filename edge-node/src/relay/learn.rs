//! What an answer tells of its endpoint after its first content: how fast it is, early and at its
//! end, whether it came whole, what it used. An endpoint that drips must be known before its
//! streams end.

use crate::attempt::Reply;
use crate::ingress::Call;
use crate::message::Progress;
use crate::node::Node;
use shared::money::Amount;
use shared::usage::Usage;
use shared::window::{Observation, Outcome};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A stream is measured so long after its first content.
const MEASURED_AFTER: Duration = Duration::from_millis(1500);
/// Bytes of text in a token, where nobody has counted.
const BYTES_PER_TOKEN: u64 = 4;

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
    pub(super) fn measure(&mut self, node: &Node, reply: &Reply) {
        self.due = None;
        let seconds = self.since.elapsed().as_secs_f64();
        let bytes = reply.translator.progress().output_bytes;
        let tokens = bytes.saturating_sub(self.before) as f64 / BYTES_PER_TOKEN as f64;
        if seconds > 0.0 {
            node.sampled(&reply.candidate, tokens / seconds);
        }
    }
}

/// The answer came whole.
pub(super) fn whole(node: &Node, call: &Call, reply: &Reply, (usage, charged): (&Usage, Amount)) {
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
        tool_error: reply.translator.progress().tool_error,
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

/// What the provider reported, else our own estimate, marked as such.
pub(super) fn usage_of(call: &Call, progress: &Progress) -> Usage {
    let estimate = Usage {
        prompt: call.demand.prompt_tokens,
        completion: progress.output_bytes.div_ceil(BYTES_PER_TOKEN),
        estimated: true,
        ..Usage::default()
    };
    match progress.usage {
        // A count that came before the end (Anthropic's first event) says nothing of the output.
        Some(usage) if !progress.done && usage.completion < estimate.completion => Usage {
            completion: estimate.completion,
            estimated: true,
            ..usage
        },
        Some(usage) => usage,
        None => estimate,
    }
}
