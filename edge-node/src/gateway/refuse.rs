//! Why a request can't be planned, in the words that clients match on. Pure.

use crate::failure::{ErrorType, Failure, Fault};
use serde_json::Value;
use shared::catalog::Modality;
use shared::routing::{Demand, Exclude, Exclusion, Refusal, View};
use std::collections::BTreeMap;

/// The most exclusions that an error names one by one.
const NAMED_MAX: usize = 16;

/// Without a table nothing can be said of any model.
pub(super) fn no_table(view: &View) -> Result<(), Failure> {
    if !view.snapshot.models().is_empty() {
        return Ok(());
    }
    let text = "this node has no catalogue yet; try again in a moment";
    let kind = ErrorType::ProviderOverloaded;
    Err(
        Failure::new(Fault::ControlPlane, 503, kind, "no_table", text)
            .with_retry_after(std::time::Duration::from_secs(1)),
    )
}

/// No such model, or no endpoint of it that fits.
pub(crate) fn no_plan(refusal: &Refusal, demand: &Demand) -> Failure {
    match refusal {
        Refusal::ModelNotFound { model, nearest } => {
            let mut text = format!("{} is not a valid model ID", bounded(model));
            if !nearest.is_empty() {
                text.push_str(&format!("; did you mean {}?", nearest.join(" or ")));
            }
            let mut failure = Failure::invalid("model", text);
            failure.reason = "model_not_found";
            failure.availability = Some("model_not_found");
            failure
        }
        Refusal::WrongOutput { model, gives } => wrong_output(model.as_str(), gives),
        Refusal::NoEndpoints { excluded } => no_endpoints(excluded, demand),
    }
}

/// The model is for another API.
fn wrong_output(model: &str, gives: &[Modality]) -> Failure {
    let path = |kind: &Modality| match kind {
        Modality::Text | Modality::Image | Modality::Audio => Some("chat/completions"),
        Modality::Embeddings => Some("embeddings"),
        Modality::Rerank => Some("rerank"),
        Modality::File | Modality::Video | Modality::Speech | Modality::Transcription => None,
    };
    let words: Vec<&str> = gives.iter().map(|kind| kind.as_str()).collect();
    let mut text = format!(
        "{model} gives {}, not what this path is for",
        words.join(", ")
    );
    if let Some(path) = gives.iter().find_map(path) {
        text.push_str(&format!("; use /{path}"));
    }
    let mut failure = Failure::invalid("model", text);
    failure.reason = "wrong_endpoint";
    failure.availability = Some("wrong_endpoint");
    failure
}

fn no_endpoints(excluded: &[Exclusion], demand: &Demand) -> Failure {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for exclusion in excluded {
        *reasons.entry(exclusion.why.as_str()).or_default() += 1;
    }
    let only = |why: Exclude| {
        !excluded.is_empty() && excluded.iter().all(|exclusion| exclusion.why == why)
    };
    let model = bounded(&demand.model);
    let (code, text) = if excluded.is_empty() {
        ("no_endpoints", format!("No endpoints found for {model}."))
    } else if only(Exclude::Training) || only(Exclude::Zdr) {
        (
            "privacy_restricted",
            "No endpoints found matching your data policy".to_owned(),
        )
    } else {
        let counts: Vec<String> = reasons
            .iter()
            .map(|(reason, count)| format!("{reason} ({count})"))
            .collect();
        let text = format!(
            "No endpoints found for {model}: excluded by {}",
            counts.join(", ")
        );
        ("constraint_filtered", text)
    };
    let kind = ErrorType::NotFound;
    let mut failure = Failure::new(Fault::Caller, 404, kind, "no_endpoints", text);
    failure.availability = Some(code);
    if excluded
        .iter()
        .any(|exclusion| exclusion.why == Exclude::NotServed)
    {
        let hint = "not_served: no credential for the provider is set on this node";
        failure.metadata.insert("hint".into(), hint.into());
    }
    let named = excluded.iter().take(NAMED_MAX);
    let named: Vec<Value> = named
        .map(|e| serde_json::json!({ "endpoint": e.endpoint.as_str(), "reason": e.why.as_str() }))
        .collect();
    failure
        .metadata
        .insert("excluded".into(), Value::Array(named));
    failure
}

/// A client's text, short enough for an error message.
fn bounded(text: &str) -> String {
    const MAX: usize = 128;
    if text.len() <= MAX {
        return text.to_owned();
    }
    let cut: String = text.chars().take(MAX).collect();
    format!("{cut}…")
}
