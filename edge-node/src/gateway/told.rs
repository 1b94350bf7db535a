//! What a client that asks is told of a request's routing: OpenRouter's router metadata and our own
//! explanation, as members of an answer, of a stream's last chunk or of an error's body.

use super::explain::plan_json;
use crate::attempt::Reply;
use crate::failure::{FailedAttempt, Failure};
use crate::ingress::Call;
use crate::screen::Found;
use http::HeaderMap;
use serde_json::{Map, Value, json};
use shared::catalog::Parameter;
use shared::id::{EndpointId, ModelId};
use shared::routing::auto::Choice;
use shared::routing::{Plan, Refusal, View, resolved};

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

/// OpenRouter's router metadata.
#[derive(Debug)]
struct Metadata {
    requested: String,
    /// The model that was asked for first.
    primary: Option<ModelId>,
    region: String,
    /// Endpoints of the models asked for, usable or not.
    total: usize,
    available: Vec<Offered>,
    /// What content filters found, if they found anything.
    guardrails: Option<Value>,
}

#[derive(Debug)]
struct Offered {
    endpoint: EndpointId,
    model: ModelId,
    provider: String,
    /// What of the request it leaves out.
    unsupported: Vec<Parameter>,
}

impl Telling {
    /// Takes note of the plan, where the client wants to know. `region` is this node's place.
    #[must_use]
    pub fn planned(call: &Call, requested: &str, plan: &Plan, view: &View, region: &str) -> Self {
        let metadata = || Metadata {
            requested: requested.to_owned(),
            primary: resolved(&view.snapshot, &call.demand.model).map(|model| model.id.clone()),
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
            explain: call.explain.then(|| plan_json(plan, &call.demand)),
            metadata: call.metadata.then(metadata),
        }
    }

    /// Takes note of what a router became.
    #[must_use]
    pub fn routed(mut self, choice: Option<&Choice>) -> Self {
        let explain = self.explain.as_mut().and_then(Value::as_object_mut);
        if let (Some(choice), Some(explain)) = (choice, explain) {
            explain.insert("router".into(), choice.explain());
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
    pub fn refused(call: &Call, refusal: &Refusal, region: &str) -> Self {
        let metadata = match refusal {
            Refusal::NoEndpoints { excluded } if call.metadata => Some(Metadata {
                requested: call.demand.model.clone(),
                primary: None,
                region: region.to_owned(),
                total: excluded.len(),
                available: Vec::new(),
                guardrails: None,
            }),
            _ => None,
        };
        Self {
            explain: call.explain.then(|| refusal.explain()),
            metadata,
        }
    }

    /// The members of an answer, each behind a comma; empty when nothing was asked for.
    #[must_use]
    pub fn of_answer(&self, generation: &str, reply: &Reply) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: &Value| {
            text.push_str(&format!(",\"{name}\":{value}"));
        };
        if let Some(metadata) = &self.metadata {
            let served = &reply.candidate.endpoint.id;
            let mut told = metadata.tell(&reply.failed, Some(served));
            if let Some(members) = told.as_object_mut() {
                members.insert("is_byok".into(), reply.candidate.own.is_some().into());
            }
            add(METADATA, &told);
        }
        if let Some(explain) = &self.explain {
            let mut attempts: Vec<Value> = reply.failed.iter().map(attempt).collect();
            attempts.push(json!({
                "provider": reply.candidate.provider.name,
                "endpoint": reply.candidate.endpoint.id.as_str(),
                "status": 200,
                "ttft_ms": u64::try_from(reply.ttft.as_millis()).unwrap_or(u64::MAX),
            }));
            let mut told = explained(explain, attempts, generation);
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
            let attempts = failure.attempts.iter().map(attempt).collect();
            let told = explained(explain, attempts, generation);
            members.insert(EXPLAIN.to_owned(), told);
        }
        members
    }
}

fn explained(plan: &Value, attempts: Vec<Value>, generation: &str) -> Value {
    let mut told = plan.clone();
    if let Some(members) = told.as_object_mut() {
        members.insert("attempts".into(), Value::Array(attempts));
        members.insert("generation".into(), generation.into());
    }
    told
}

/// The names of parameters.
pub(super) fn words(parameters: &[Parameter]) -> Value {
    parameters.iter().map(|one| one.as_str()).collect()
}

fn attempt(attempt: &FailedAttempt) -> Value {
    json!({ "provider": attempt.provider, "status": attempt.status, "code": attempt.code })
}

impl Metadata {
    fn tell(&self, failed: &[FailedAttempt], served: Option<&EndpointId>) -> Value {
        let mut tried = vec![false; self.available.len()];
        let mut attempts = Vec::with_capacity(failed.len() + 1);
        for one in failed {
            // An endpoint is tried once: the provider's first one that was not tried yet.
            let mut offers = self.available.iter().zip(&mut tried);
            let model = offers
                .find(|(offer, tried)| !**tried && offer.provider == one.provider)
                .map(|(offer, tried)| {
                    *tried = true;
                    offer.model.as_str()
                });
            attempts.push(json!({
                "provider": one.provider, "model": model, "status": one.status,
            }));
        }
        let is_served = |offer: &&Offered| Some(&offer.endpoint) == served;
        let selected = self.available.iter().find(is_served);
        if let Some(offer) = selected {
            attempts.push(json!({
                "provider": offer.provider, "model": offer.model.as_str(), "status": 200,
            }));
        }
        let available: Vec<Value> = self
            .available
            .iter()
            .map(|offer| {
                let mut told = json!({
                    "provider": offer.provider,
                    "model": offer.model.as_str(),
                    "selected": is_served(&offer),
                });
                if let Some(members) = told.as_object_mut()
                    && !offer.unsupported.is_empty()
                {
                    let words = words(&offer.unsupported);
                    members.insert("unsupported_parameters".into(), words);
                }
                told
            })
            .collect();
        let by = selected.map_or("none", |offer| &offer.provider);
        json!({
            "requested": self.requested,
            "strategy": self.strategy(selected),
            "region": self.region,
            "summary": format!("available={}, selected={by}", self.available.len()),
            "attempt": attempts.len(),
            "is_byok": false,
            "endpoints": { "total": self.total, "available": available },
            "attempts": attempts,
            "pipeline": self.guardrails.iter().collect::<Vec<_>>(),
        })
    }

    fn strategy(&self, selected: Option<&Offered>) -> &'static str {
        match self.requested.as_str() {
            "godwit/auto" | "openrouter/auto" => "auto",
            "godwit/free" | "openrouter/free" => "free",
            _ => {
                let served = selected.map(|offer| &offer.model);
                let other =
                    served.is_some() && self.primary.is_some() && served != self.primary.as_ref();
                if other { "fallback" } else { "direct" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn both_names_and_any_case_ask_for_metadata() {
        let check = |name: &'static str, value: &'static str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            assert_eq!(asks_for_metadata(&headers), expect, "{name}: {value}");
        };
        check("x-openrouter-metadata", "enabled", true);
        check("x-openrouter-metadata", "Enabled", true);
        check("x-openrouter-experimental-metadata", "enabled", true);
        check("x-openrouter-metadata", "true", false);
        check("x-openrouter", "enabled", false);
    }

    #[test]
    fn attempts_and_the_one_that_served_are_named() {
        let offered = |endpoint: &str, model: &str, provider: &str| Offered {
            endpoint: endpoint.into(),
            model: model.into(),
            provider: provider.to_owned(),
            unsupported: match provider {
                "Q" => vec![Parameter::ResponseFormat],
                _ => Vec::new(),
            },
        };
        let metadata = Metadata {
            requested: "a/b".to_owned(),
            primary: Some("a/b".into()),
            region: "fra1".to_owned(),
            total: 5,
            available: vec![
                offered("a/b@p", "a/b", "P"),
                offered("a/c@p", "a/c", "P"),
                offered("a/c@q", "a/c", "Q"),
            ],
            guardrails: None,
        };
        let failed = |provider: &str| FailedAttempt {
            provider: provider.to_owned(),
            status: 429,
            code: "rate_limit".to_owned(),
        };
        let both = [failed("P"), failed("P")];
        let told = metadata.tell(&both, Some(&"a/c@q".into()));
        assert_eq!(told["strategy"], "fallback");
        assert_eq!(told["attempt"], 3);
        assert_eq!(told["summary"], "available=3, selected=Q");
        assert_eq!(told["endpoints"]["total"], 5);
        let available = &told["endpoints"]["available"];
        assert_eq!(available[2]["selected"], true);
        assert_eq!(
            available[2]["unsupported_parameters"],
            json!(["response_format"])
        );
        assert_eq!(available[0].get("unsupported_parameters"), None);
        let models: Vec<_> = told["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["model"])
            .collect();
        assert_eq!(models, ["a/b", "a/c", "a/c"]);
        assert_eq!(told["attempts"][2]["status"], 200);
        let none = metadata.tell(&[], None);
        assert_eq!(
            (&none["attempt"], &none["strategy"]),
            (&json!(0), &json!("direct"))
        );
        assert_eq!(
            metadata.tell(&[], Some(&"a/b@p".into()))["strategy"],
            "direct"
        );
    }
}
