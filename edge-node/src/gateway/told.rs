//! What a client that asks is told of a request's routing: OpenRouter's router metadata and our own
//! explanation, as members of an answer, of a stream's last chunk or of an error's body.

mod metadata;

use super::explain::plan_json;
use crate::attempt::Reply;
use crate::failure::{FailedAttempt, Failure};
use crate::ingress::Call;
use crate::screen::Found;
use http::HeaderMap;
use metadata::{Metadata, Offered, Served, Unmet};
use serde_json::{Map, Value, json};
use shared::catalog::Parameter;
use shared::id::ModelId;
use shared::routing::auto::Choice;
use shared::routing::{Demand, Plan, Refusal, View, resolved};

/// The member of OpenRouter's metadata.
const METADATA: &str = "openrouter_metadata";
/// The member of our explanation.
const EXPLAIN: &str = "godwit_explain";
/// The headers that ask for metadata: the name, and what it was called first.
const METADATA_HEADERS: [&str; 2] = [
    "x-openrouter-metadata",
    "x-openrouter-experimental-metadata",
];

/// Does the client ask for router metadata? A word that is not known asks for nothing.
#[must_use]
pub fn asks_for_metadata(headers: &HeaderMap) -> bool {
    let mut values = METADATA_HEADERS
        .iter()
        .filter_map(|name| headers.get(*name));
    values.any(|value| value.as_bytes().eq_ignore_ascii_case(b"enabled"))
}

/// What is to be told, as far as it is known.
#[derive(Debug, Default)]
pub struct Telling {
    explain: Option<Value>,
    metadata: Option<Metadata>,
}

impl Telling {
    /// Takes note of the plan, where the client wants to know. `region` is this node's place.
    #[must_use]
    pub fn planned(call: &Call, requested: &str, plan: &Plan, view: &View, region: &str) -> Self {
        let unmet = if call.explain || call.metadata {
            unmet(&call.demand, view)
        } else {
            Vec::new()
        };
        let explain = call.explain.then(|| {
            let mut told = plan_json(plan, &call.demand);
            add_unmet(&mut told, &unmet);
            told
        });
        let metadata = || Metadata {
            requested: requested.to_owned(),
            primary: primary(&call.demand, view),
            router: None,
            unmet,
            region: region.to_owned(),
            total: plan.candidates.len() + plan.excluded.len(),
            available: plan
                .candidates
                .iter()
                .map(|candidate| Offered {
                    endpoint: candidate.endpoint.id.clone(),
                    model: candidate.endpoint.model.clone(),
                    provider: candidate.provider.name.clone(),
                    unsupported: candidate.unsupported(&call.demand),
                })
                .collect(),
            guardrails: None,
        };
        Self {
            explain,
            metadata: call.metadata.then(metadata),
        }
    }

    /// Takes note of what a router became.
    #[must_use]
    pub fn routed(mut self, choice: Option<&Choice>) -> Self {
        let Some(choice) = choice else {
            return self;
        };
        if let Some(explain) = self.explain.as_mut().and_then(Value::as_object_mut) {
            explain.insert("router".into(), choice.explain());
        }
        let metadata = self.metadata.as_mut();
        if let Some(metadata) = metadata.filter(|_| choice.is_first) {
            metadata.router = Some((choice.router.as_str(), choice.models.clone()));
        }
        self
    }

    /// Takes note of what content filters found.
    #[must_use]
    pub fn screened(mut self, found: &Found) -> Self {
        if found.is_empty() {
            return self;
        }
        let explain = self.explain.as_mut().and_then(Value::as_object_mut);
        if let Some(explain) = explain {
            explain.insert("guardrails".into(), found.tell());
        }
        if let Some(metadata) = &mut self.metadata {
            let mut told = found.tell();
            if let Some(members) = told.as_object_mut() {
                members.insert("type".into(), "guardrail".into());
            }
            metadata.guardrails = Some(told);
        }
        self
    }

    /// Takes note of why there is no plan. Of a model that nobody knows there is no metadata.
    #[must_use]
    pub fn refused(
        call: &Call,
        requested: &str,
        refusal: &Refusal,
        view: &View,
        region: &str,
    ) -> Self {
        let metadata = match refusal {
            Refusal::NoEndpoints { excluded } if call.metadata => Some(Metadata {
                requested: requested.to_owned(),
                primary: primary(&call.demand, view),
                router: None,
                unmet: unmet(&call.demand, view),
                region: region.to_owned(),
                total: excluded.len(),
                available: Vec::new(),
                guardrails: None,
            }),
            _ => None,
        };
        let explain = call.explain.then(|| {
            let mut told = refusal.explain();
            add_unmet(&mut told, &unmet(&call.demand, view));
            told
        });
        Self { explain, metadata }
    }

    /// The members of an answer, each behind a comma; empty when nothing was asked for.
    #[must_use]
    pub fn of_answer(&self, generation: &str, reply: &Reply) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: &Value| {
            text.push_str(&format!(",\"{name}\":{value}"));
        };
        if let Some(metadata) = &self.metadata {
            let mut tried = reply.failed.clone();
            tried.extend(reply.called_off.iter().map(FailedAttempt::called_off));
            let endpoint = &reply.candidate.endpoint;
            let served = Served {
                endpoint: &endpoint.id,
                model: &endpoint.model,
                provider: &reply.candidate.provider.name,
                own: reply.candidate.own.is_some(),
            };
            add(METADATA, &metadata.tell(&tried, Some(&served)));
        }
        if let Some(explain) = &self.explain {
            let sent = reply.failed.iter().filter(|it| it.sent);
            let mut attempts: Vec<Value> = sent.map(attempt).collect();
            attempts.push(json!({
                "provider": reply.candidate.provider.name,
                "endpoint": reply.candidate.endpoint.id.as_str(),
                "status": 200,
                "ttft_ms": u64::try_from(reply.ttft.as_millis()).unwrap_or(u64::MAX),
            }));
            let mut told = explained(explain, (attempts, &reply.failed), generation);
            if let Some(members) = told.as_object_mut()
                && !reply.called_off.is_empty()
            {
                let others = reply.called_off.iter();
                let others = others.map(|it| Value::from(it.endpoint.id.as_str()));
                members.insert("called_off".into(), others.collect());
            }
            add(EXPLAIN, &told);
        }
        text
    }

    /// The members of an error's body. What we broke ourselves is not explained.
    #[must_use]
    pub fn of_failure(&self, generation: &str, failure: &Failure) -> Map<String, Value> {
        let mut members = Map::new();
        if failure.status == 500 {
            return members;
        }
        if let Some(metadata) = &self.metadata {
            let told = metadata.tell(&failure.attempts, None);
            members.insert(METADATA.to_owned(), told);
        }
        if let Some(explain) = &self.explain {
            let sent = failure.attempts.iter().filter(|it| it.sent);
            let attempts = sent.map(attempt).collect();
            let told = explained(explain, (attempts, &failure.attempts), generation);
            members.insert(EXPLAIN.to_owned(), told);
        }
        members
    }
}

fn primary(demand: &Demand, view: &View) -> Option<ModelId> {
    resolved(&view.snapshot, &demand.model).map(|model| model.id.clone())
}

/// The names that stand for no model, or for one that gives something else than is asked for: the
/// request goes on to the next name, and its client is told.
fn unmet(demand: &Demand, view: &View) -> Vec<Unmet> {
    let names = std::iter::once(&demand.model).chain(&demand.fallback_models);
    let why = |name: &str| match resolved(&view.snapshot, name) {
        None => Some("model_not_found"),
        Some(model) => (!demand.gets(model)).then_some("wrong_endpoint"),
    };
    let unmet = names.filter_map(|name| Some((name.clone(), why(name)?)));
    unmet.collect()
}

fn add_unmet(told: &mut Value, unmet: &[Unmet]) {
    if let Some(members) = told.as_object_mut()
        && !unmet.is_empty()
    {
        let unmet = unmet.iter();
        let unmet = unmet.map(|(model, why)| json!({ "model": model, "reason": why }));
        members.insert("passed_over_models".into(), unmet.collect());
    }
}

fn explained(
    plan: &Value,
    (attempts, failed): (Vec<Value>, &[FailedAttempt]),
    generation: &str,
) -> Value {
    let mut told = plan.clone();
    if let Some(members) = told.as_object_mut() {
        members.insert("attempts".into(), Value::Array(attempts));
        members.insert("generation".into(), generation.into());
        let unsent = failed.iter().filter(|it| !it.sent);
        let unsent: Vec<Value> = unsent.map(attempt).collect();
        if !unsent.is_empty() {
            members.insert("not_sent".into(), Value::Array(unsent));
        }
    }
    told
}

/// The names of parameters.
pub(super) fn words(parameters: &[Parameter]) -> Value {
    parameters.iter().map(|one| one.as_str()).collect()
}

fn attempt(attempt: &FailedAttempt) -> Value {
    json!({
        "provider": attempt.provider,
        "endpoint": attempt.endpoint.as_str(),
        "status": attempt.status,
        "code": attempt.code,
    })
}

#[cfg(test)]
mod tests;
