//! Why a request can't be planned, in the words that clients match on. Pure.

use crate::failure::{ErrorType, Failure, Fault};
use serde_json::{Map, Value, json};
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
    let all = |whys: &[Exclude]| {
        !excluded.is_empty()
            && excluded
                .iter()
                .all(|exclusion| whys.contains(&exclusion.why))
    };
    let model = bounded(&demand.model);
    let kind = ErrorType::NotFound;
    let mut failure = Failure::new(Fault::Caller, 404, kind, "no_endpoints", String::new());
    let code = if excluded.is_empty() {
        failure.message = format!("No endpoints found for {model}.");
        "no_endpoints"
    } else if all(&[Exclude::DataRegion]) {
        failure.status = 403;
        failure.error_type = ErrorType::PermissionDenied;
        failure.message = format!("No endpoints of {model} are known to serve in this region");
        "region_restricted"
    } else if all(&[Exclude::Training, Exclude::Publication, Exclude::Zdr]) {
        failure.message = "No endpoints found matching your data policy".to_owned();
        "privacy_restricted"
    } else {
        failure.message = if all(&[Exclude::Tools]) {
            "No endpoints found that support tool use".to_owned()
        } else if all(&[Exclude::Only]) {
            only_others(excluded, demand)
        } else {
            format!(
                "No endpoints found for {model}: excluded by {}",
                counted(excluded)
            )
        };
        "constraint_filtered"
    };
    failure.availability = Some(code);
    constraints(excluded, demand, &mut failure.unavailable);
    if excluded
        .iter()
        .any(|exclusion| exclusion.why == Exclude::NotServed)
    {
        let hint = "not_served: no credential for the provider is set on this node";
        failure.metadata.insert("hint".into(), hint.into());
    }
    let named = excluded.iter().take(NAMED_MAX);
    let named: Vec<Value> = named
        .map(|e| json!({ "endpoint": e.endpoint.as_str(), "reason": e.why.as_str() }))
        .collect();
    failure
        .metadata
        .insert("excluded".into(), Value::Array(named));
    failure
}

/// The reasons, each with how many it excludes.
fn counted(excluded: &[Exclusion]) -> String {
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
fn only_others(excluded: &[Exclusion], demand: &Demand) -> String {
    let tag = |exclusion: &Exclusion| {
        let id = exclusion.endpoint.as_str();
        id.rsplit_once('@').map_or(id, |(_, tag)| tag).to_owned()
    };
    let serving: Vec<String> = excluded.iter().take(NAMED_MAX).map(tag).collect();
    let only = demand.preferences.only.iter().take(NAMED_MAX);
    let only: Vec<String> = only.map(|word| bounded(word)).collect();
    format!(
        "No allowed providers are available for the selected model. Providers serving {}: {}, but \
         your request's provider.only preference permits only: {}.",
        bounded(&demand.model),
        serving.join(", "),
        only.join(", ")
    )
}

/// OpenRouter's words for what excluded endpoints, and the one constraint where it is the only one.
fn constraints(excluded: &[Exclusion], demand: &Demand, more: &mut Map<String, Value>) {
    more.insert("requested_models".into(), requested(demand));
    let mut words: Vec<&str> = excluded.iter().filter_map(|one| word(one.why)).collect();
    words.sort_unstable();
    words.dedup();
    if !words.is_empty() {
        more.insert("excluded_by".into(), words.into());
    }
    let first = excluded.first().map(|one| one.why);
    if let Some(why) = first
        && excluded.iter().all(|one| one.why == why)
        && let Some(field) = field(why, demand)
    {
        let detail = format!("it excludes all {} endpoints", excluded.len());
        more.insert(
            "constraint".into(),
            json!({ "field": field, "detail": detail }),
        );
    }
}

/// What a failed request was after, and who failed it.
pub(super) fn described(mut failure: Failure, demand: &Demand) -> Failure {
    if failure.status == 503 && failure.availability.is_none() && failure.fault == Fault::Provider {
        failure.availability = Some("temporarily_unavailable");
    }
    if failure.availability.is_some() {
        let more = &mut failure.unavailable;
        more.insert("requested_models".into(), requested(demand));
        let mut affected: Vec<&str> = failure.attempts.iter().map(|it| &*it.provider).collect();
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

/// OpenRouter's word, where it has one.
fn word(why: Exclude) -> Option<&'static str> {
    match why {
        Exclude::AllowedProviders | Exclude::Only | Exclude::Ignore => Some("allowed_providers"),
        Exclude::MaxTokens => Some("context_length"),
        Exclude::Training
        | Exclude::Publication
        | Exclude::Zdr
        | Exclude::DataRegion
        | Exclude::Quantization
        | Exclude::MaxPrice
        | Exclude::ContextLength
        | Exclude::RequireParameters => Some(why.as_str()),
        Exclude::AllowedModels
        | Exclude::IgnoredModels
        | Exclude::OwnKeyOnly
        | Exclude::ServiceTier
        | Exclude::Disabled
        | Exclude::NotServed
        | Exclude::Distillable
        | Exclude::Modality
        | Exclude::Tools
        | Exclude::NoFallbacks
        | Exclude::Credits => None,
    }
}

/// The member of the request that excludes; none where it is the account's or nobody's.
fn field(why: Exclude, demand: &Demand) -> Option<&'static str> {
    let asked = &demand.preferences;
    Some(match why {
        Exclude::Only => "provider.only",
        Exclude::Ignore if !asked.ignore.is_empty() => "provider.ignore",
        Exclude::Training if asked.data_collection_deny => "provider.data_collection",
        Exclude::Zdr if asked.zdr => "provider.zdr",
        Exclude::Distillable => "provider.enforce_distillable_text",
        Exclude::Quantization => "provider.quantizations",
        Exclude::MaxPrice => "provider.max_price",
        Exclude::RequireParameters => "provider.require_parameters",
        Exclude::NoFallbacks => "provider.allow_fallbacks",
        Exclude::MaxTokens => "max_tokens",
        Exclude::ServiceTier => "service_tier",
        Exclude::Tools => "tools",
        _ => return None,
    })
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
mod tests {
    use super::*;

    fn refused(whys: &[Exclude]) -> Value {
        let excluded: Vec<Exclusion> = whys
            .iter()
            .enumerate()
            .map(|(at, why)| Exclusion {
                endpoint: format!("a/b@p{at}").as_str().into(),
                why: *why,
            })
            .collect();
        let mut demand = Demand {
            model: "a/b".to_owned(),
            fallback_models: vec!["a/c".to_owned()],
            ..Demand::default()
        };
        demand.preferences.only = vec!["q".to_owned()];
        no_plan(&Refusal::NoEndpoints { excluded }, &demand).error_object()
    }

    #[test]
    fn refusals_say_what_excluded_whom_in_known_words() {
        let check = |whys: &[Exclude], status: u16, code: &str, text: &str, words: Value| {
            let error = refused(whys);
            assert_eq!(error["code"], status, "{whys:?}");
            let availability = &error["availability"];
            assert_eq!(availability["code"], code, "{whys:?}");
            assert_eq!(availability["retryable"], false);
            assert_eq!(availability["requested_models"], json!(["a/b", "a/c"]));
            assert_eq!(
                availability.get("excluded_by").unwrap_or(&Value::Null),
                &words
            );
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(text), "{message}");
        };
        use Exclude as E;
        let nothing = Value::Null;
        check(
            &[],
            404,
            "no_endpoints",
            "No endpoints found for a/b",
            nothing.clone(),
        );
        let privacy = "No endpoints found matching your data policy";
        let words = json!(["data_policy:training", "data_policy:zdr"]);
        check(
            &[E::Training, E::Zdr],
            404,
            "privacy_restricted",
            privacy,
            words,
        );
        let tools = "No endpoints found that support tool use";
        check(
            &[E::Tools, E::Tools],
            404,
            "constraint_filtered",
            tools,
            nothing,
        );
        let only = "Providers serving a/b: p0, p1, but your request's provider.only preference permits only: q.";
        let words = json!(["allowed_providers"]);
        check(&[E::Only, E::Only], 404, "constraint_filtered", only, words);
        let mixed = "excluded by max_price (2), quantization (1)";
        let words = json!(["max_price", "quantization"]);
        let whys = [E::MaxPrice, E::Quantization, E::MaxPrice];
        check(&whys, 404, "constraint_filtered", mixed, words);
        let words = json!(["data_region"]);
        check(&[E::DataRegion], 403, "region_restricted", "region", words);
    }

    #[test]
    fn one_constraint_is_named() {
        let error = refused(&[Exclude::MaxPrice, Exclude::MaxPrice]);
        let constraint = &error["availability"]["constraint"];
        assert_eq!(constraint["field"], "provider.max_price");
        let error = refused(&[Exclude::MaxPrice, Exclude::Zdr]);
        assert_eq!(error["availability"].get("constraint"), None);
    }
}
