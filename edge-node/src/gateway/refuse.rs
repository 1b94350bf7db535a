//! Why a request can't be planned, in the words that clients match on. Pure.

mod constraint;

use crate::failure::{ErrorType, Failure, Fault};
use serde_json::{Value, json};
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

fn no_endpoints(all: &[Exclusion], demand: &Demand) -> Failure {
    let excluded = telling(all, demand);
    let only = |whys: &[Exclude]| {
        !excluded.is_empty()
            && excluded
                .iter()
                .all(|exclusion| whys.contains(&exclusion.why))
    };
    let models = models_of(&excluded, demand);
    let kind = ErrorType::NotFound;
    let mut failure = Failure::new(Fault::Caller, 404, kind, "no_endpoints", String::new());
    let code = if excluded.is_empty() {
        failure.message = format!("No endpoints found for {models}.");
        "no_endpoints"
    } else if only(&[Exclude::NotServed]) {
        let hint = "not_served: no credential for the provider is set on this node";
        failure.metadata.insert("hint".into(), hint.into());
        failure.message = format!(
            "No endpoints found for {models}: this node has no credential for a provider that \
             serves it"
        );
        "no_endpoints"
    } else if only(&[Exclude::NotServed, Exclude::Disabled]) {
        failure.message =
            format!("No endpoints found for {models}: what serves it is out of service here");
        "no_endpoints"
    } else if only(&[Exclude::DataRegion]) {
        failure.status = 403;
        failure.error_type = ErrorType::PermissionDenied;
        let place = if demand.region.is_some() {
            "this region"
        } else {
            "a region that the key's guardrails allow"
        };
        failure.message = format!("No endpoints of {models} are known to serve in {place}");
        "region_restricted"
    } else if only(&[Exclude::Training, Exclude::Publication, Exclude::Zdr]) {
        failure.message = "No endpoints found matching your data policy".to_owned();
        "privacy_restricted"
    } else {
        failure.message = if only(&[Exclude::Tools]) {
            "No endpoints found that support tool use".to_owned()
        } else if only(&[Exclude::Only]) {
            only_others(&excluded, demand)
        } else {
            format!(
                "No endpoints found for {models}: excluded by {}",
                counted(&excluded)
            )
        };
        "constraint_filtered"
    };
    failure.availability = Some(code);
    constraint::note(&excluded, demand, &mut failure);
    let named = all.iter().take(NAMED_MAX);
    let named: Vec<Value> = named
        .map(|e| json!({ "endpoint": e.endpoint.as_str(), "reason": e.why.as_str() }))
        .collect();
    failure
        .metadata
        .insert("excluded".into(), Value::Array(named));
    failure
}

/// What says why nothing is left: what the client could not have had anyway says so only where
/// there is nothing else. A credential that is missing, an endpoint out of service, and a tier that
/// nobody has asked for hide no data policy and no price bound.
fn telling<'a>(excluded: &'a [Exclusion], demand: &Demand) -> Vec<&'a Exclusion> {
    let aside = |why: Exclude| match why {
        Exclude::NotServed | Exclude::Disabled => true,
        Exclude::ServiceTier => demand.tier.is_none(),
        _ => false,
    };
    let of = |is: &dyn Fn(Exclude) -> bool| -> Vec<&'a Exclusion> {
        excluded.iter().filter(|one| is(one.why)).collect()
    };
    let telling = of(&|why| !aside(why));
    if !telling.is_empty() {
        return telling;
    }
    // A tier can still be asked for.
    let tiers = of(&|why| why == Exclude::ServiceTier);
    if tiers.is_empty() {
        of(&|_| true)
    } else {
        tiers
    }
}

/// The models that endpoints belong to; what was asked for where there are none.
fn models_of(excluded: &[&Exclusion], demand: &Demand) -> String {
    let mut models: Vec<&str> = excluded.iter().map(|one| parts(one).0).collect();
    models.dedup();
    if models.is_empty() {
        return bounded(&demand.model);
    }
    models.truncate(NAMED_MAX);
    models.join(", ")
}

/// The model and the tag of an endpoint.
fn parts(exclusion: &Exclusion) -> (&str, &str) {
    let id = exclusion.endpoint.as_str();
    id.rsplit_once('@').unwrap_or((id, id))
}

/// The reasons, each with how many it excludes.
fn counted(excluded: &[&Exclusion]) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for exclusion in excluded {
        *reasons.entry(exclusion.why.as_str()).or_default() += 1;
    }
    let counts = reasons
        .iter()
        .map(|(reason, count)| format!("{reason} ({count})"));
    counts.collect::<Vec<_>>().join(", ")
}

/// The client's `only` names nobody who serves the model: clients match on these words.
fn only_others(excluded: &[&Exclusion], demand: &Demand) -> String {
    let mut serving: Vec<(&str, Vec<&str>)> = Vec::new();
    for exclusion in excluded.iter().take(NAMED_MAX) {
        let (model, tag) = parts(exclusion);
        match serving.last_mut().filter(|(last, _)| *last == model) {
            Some((_, tags)) => tags.push(tag),
            None => serving.push((model, vec![tag])),
        }
    }
    let serving = serving.iter();
    let serving = serving.map(|(model, tags)| format!("serving {model}: {}", tags.join(", ")));
    let only = demand.preferences.only.iter().take(NAMED_MAX);
    let only: Vec<String> = only.map(|word| bounded(word)).collect();
    format!(
        "No allowed providers are available for the selected model. Providers {}, but your \
         request's provider.only preference permits only: {}.",
        serving.collect::<Vec<_>>().join("; "),
        only.join(", ")
    )
}

/// What a failed request was after, and who failed it.
pub(super) fn described(mut failure: Failure, demand: &Demand) -> Failure {
    if failure.status == 503 && failure.availability.is_none() && failure.fault == Fault::Provider {
        failure.availability = Some("temporarily_unavailable");
    }
    if failure.availability.is_some() {
        let more = &mut failure.unavailable;
        more.insert("requested_models".into(), requested(demand));
        let sent = failure.attempts.iter().filter(|it| it.sent);
        let mut affected: Vec<&str> = sent.map(|it| &*it.provider).collect();
        affected.sort_unstable();
        affected.dedup();
        if !affected.is_empty() {
            more.insert("affected_providers".into(), affected.into());
        }
    }
    failure
}

fn requested(demand: &Demand) -> Value {
    let all = std::iter::once(&demand.model).chain(&demand.fallback_models);
    all.map(|model| bounded(model)).collect()
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

#[cfg(test)]
mod tests;
