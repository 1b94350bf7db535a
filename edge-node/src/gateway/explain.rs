//! What is told of a request: to the client that asks (`x-godwit-explain`), to the metrics and to
//! the log, once. Observes only; no step decides by it.

use super::route::Route;
use super::told::{Telling, words};
use crate::account::Receipt;
use crate::attempt::Reply;
use crate::egress::Marks;
use crate::failure::{Failure, Fault};
use crate::ingress::Call;
use crate::metrics;
use crate::node::Node;
use crate::screen::Found;
use ::metrics::{counter, histogram};
use serde_json::{Map, Value, json};
use shared::id::GenerationId;
use shared::money::Amount;
use shared::routing::auto::Choice;
use shared::routing::{Candidate, Demand, Plan, Record};
use std::future::Future;
use std::time::{Duration, Instant};

/// One request's story.
pub struct Story {
    /// The request's own randomness.
    pub seed: u64,
    /// When it came in.
    pub started_unix_ms: u64,
    generation: GenerationId,
    api: &'static str,
    begun: Instant,
    waited: Duration,
    sent_after: Option<Duration>,
    model: String,
    stream: bool,
    choice: Option<Choice>,
    found: Found,
    telling: Telling,
    /// The model and the provider's name of who answers.
    answerer: Option<(String, String)>,
    receipt: Option<Receipt>,
}

impl Story {
    /// Begins with the head.
    #[must_use]
    pub fn begin(
        route: Option<&Route>,
        generation: GenerationId,
        seed: u64,
        started_unix_ms: u64,
    ) -> Self {
        Self {
            seed,
            started_unix_ms,
            generation,
            api: route.map_or("other", Route::api),
            begun: Instant::now(),
            waited: Duration::ZERO,
            sent_after: None,
            model: String::new(),
            stream: false,
            choice: None,
            found: Found::default(),
            telling: Telling::default(),
            answerer: None,
            receipt: None,
        }
    }

    /// Waits for somebody else; the time does not count as ours.
    pub async fn waiting<T>(&mut self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        self.waited += begun.elapsed();
        done
    }

    /// Notes what the client asked for.
    pub fn asked(&mut self, call: &Call) {
        let written = call.written.as_ref();
        self.model.clone_from(written.unwrap_or(&call.demand.model));
        self.stream = call.stream;
    }

    /// Notes what content filters found.
    pub fn screened(&mut self, found: Found) {
        self.found = found;
    }

    /// What content filters found.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Notes what a router became.
    pub fn chose(&mut self, choice: Option<Choice>) {
        self.choice = choice;
    }

    /// What a router became; none when the client named its models.
    #[must_use]
    pub fn choice(&self) -> Option<&Choice> {
        self.choice.as_ref()
    }

    /// Notes what the client is to be told of the plan, or of why there is none.
    pub fn tells(&mut self, telling: Telling) {
        self.telling = telling;
    }

    /// The request's first upstream byte is due.
    pub fn sent_upstream(&mut self) {
        self.sent_after = Some(self.begun.elapsed());
    }

    /// Notes who answers.
    pub fn answers(&mut self, candidate: &Candidate) {
        let model = candidate.endpoint.model.to_string();
        self.answerer = Some((model, candidate.provider.name.clone()));
    }

    /// The marks of what goes to the client: of who answers, as soon as that is known.
    #[must_use]
    pub fn marks(&self) -> Marks<'_> {
        let answerer = self.answerer.as_ref();
        Marks {
            model: answerer.map_or(&self.model, |(model, _)| model),
            provider: answerer.map(|(_, provider)| provider.as_str()),
            created: self.started_unix_ms / 1000,
        }
    }

    /// Notes what is charged.
    pub fn settled(&mut self, receipt: &Receipt) {
        self.receipt = Some(receipt.clone());
    }

    /// Time since the head.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The model that the client asked for.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// True when the client asked for a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stream
    }

    /// What the client asked to be told of the routing: members of its answer, each behind a comma.
    #[must_use]
    pub fn tell(&self, reply: &Reply) -> String {
        self.telling.of_answer(self.generation.as_str(), reply)
    }

    /// The same for an error's body.
    #[must_use]
    pub fn tell_failure(&self, failure: &Failure) -> Map<String, Value> {
        self.telling.of_failure(self.generation.as_str(), failure)
    }

    /// Counts the request and writes its line in the log.
    pub fn report(self, node: &Node, failure: Option<&Failure>) {
        let status = failure.map_or(200, |failure| failure.status);
        let fault = failure.map_or("none", |failure| failure.fault.as_str());
        let class = match status / 100 {
            2 => "2xx",
            4 => "4xx",
            _ => "5xx",
        };
        counter!(metrics::REQUESTS, "api" => self.api, "status_class" => class, "fault" => fault)
            .increment(1);
        let took = self.begun.elapsed();
        histogram!(metrics::REQUEST_DURATION, "api" => self.api).record(took.as_secs_f64());
        if let Some(sent_after) = self.sent_after {
            histogram!(metrics::OVERHEAD)
                .record(sent_after.saturating_sub(self.waited).as_secs_f64());
        }
        if let Some(receipt) = &self.receipt {
            count_usage(node, receipt);
        }
        self.log(status, fault, failure);
    }

    fn log(&self, status: u16, fault: &str, failure: Option<&Failure>) {
        if !self.found.is_empty() {
            let (flagged, redacted) = (&self.found.flagged, &self.found.redacted);
            tracing::info!(
                id = self.generation.as_str(),
                ?flagged,
                ?redacted,
                "guardrail"
            );
        }
        let took = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let endpoint = self
            .receipt
            .as_ref()
            .and_then(|receipt| receipt.endpoint.clone());
        let endpoint = endpoint.as_ref().map_or("", |endpoint| endpoint.as_str());
        let (id, model) = (self.generation.as_str(), self.model.as_str());
        match failure {
            // Only what this node did wrong wakes a human.
            Some(failure) if matches!(failure.fault, Fault::Gateway) && status == 500 => {
                tracing::error!(id, model, endpoint, status, took, "{}", failure.message);
            }
            Some(failure) => {
                let reason = failure.reason;
                tracing::info!(
                    id,
                    model,
                    endpoint,
                    status,
                    fault,
                    reason,
                    took,
                    "request failed"
                );
            }
            None => tracing::debug!(id, model, endpoint, status, took, "request served"),
        }
    }
}

fn count_usage(node: &Node, receipt: &Receipt) {
    let (Some(id), Some(model), Some(provider)) =
        (&receipt.endpoint, &receipt.model, &receipt.provider)
    else {
        return;
    };
    let meters = node.meters.of(id, model.as_str(), provider.as_str());
    let cost = if receipt.own_key {
        Amount::ZERO
    } else {
        receipt.cost
    };
    meters.count(&receipt.usage, cost);
}

/// A plan as people read it.
#[must_use]
pub fn plan_json(plan: &Plan, demand: &Demand) -> Value {
    let candidates: Vec<Value> = plan
        .candidates
        .iter()
        .map(|candidate| {
            json!({
                "endpoint": candidate.endpoint.id.as_str(),
                "provider": candidate.provider.name,
                "model": candidate.endpoint.model.as_str(),
                "share": candidate.share,
                // What the share was made of: the fleet's weight, and this node's own evidence.
                "score": candidate.weight(),
                "penalty": candidate.local.penalty,
                "reason": candidate.reason.as_str(),
                // Sent by the client, and left out for this endpoint.
                "unsupported_parameters": words(&candidate.unsupported(demand)),
                "byok": candidate.own.as_ref().map(|own| own.id.as_str()),
            })
        })
        .collect();
    let excluded: Vec<Value> = plan
        .excluded
        .iter()
        .map(|e| json!({ "endpoint": e.endpoint.as_str(), "reason": e.why.as_str() }))
        .collect();
    json!({
        "candidates": candidates,
        "excluded": excluded,
        "catalogue_version": plan.snapshot_version.to_string(),
        "ranking_version": plan.ranking_version.to_string(),
        // A string: a seed has 64 bits, and a JSON number's reader may keep only 53.
        "seed": plan.seed.to_string(),
        // With the same tables, caller and body it makes the plan again: see `/debug/plan`.
        "replay": Record::of(plan).to_json(),
    })
}
