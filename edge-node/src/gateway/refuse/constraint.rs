//! What excluded the endpoints of a request that has none left, and who can change that.

use super::requested;
use crate::failure::Failure;
use serde_json::json;
use shared::routing::{Demand, Exclude, Exclusion};

/// OpenRouter's words for what excluded endpoints, and the one constraint where it is the only one;
/// where there are several, what the client may change.
pub(super) fn note(excluded: &[&Exclusion], demand: &Demand, failure: &mut Failure) {
    let more = &mut failure.unavailable;
    more.insert("requested_models".into(), requested(demand));
    let mut words: Vec<&str> = excluded.iter().filter_map(|one| word(one.why)).collect();
    words.sort_unstable();
    words.dedup();
    if !words.is_empty() {
        more.insert("excluded_by".into(), words.into());
    }
    let mut fields: Vec<&str> = Vec::new();
    for exclusion in excluded {
        let field = field(exclusion.why, demand);
        fields.extend(field.filter(|field| !fields.contains(field)));
    }
    let alike = excluded.windows(2).all(|two| match two {
        [one, other] => one.why == other.why,
        _ => true,
    });
    if let ([field], true) = (fields.as_slice(), alike) {
        let detail = match excluded.len() {
            1 => "it excludes the only endpoint".to_owned(),
            all => format!("it excludes all {all} endpoints"),
        };
        more.insert(
            "constraint".into(),
            json!({ "field": field, "detail": detail }),
        );
    } else if !fields.is_empty() {
        let hint = format!("to have an endpoint left, change {}", fields.join(" or "));
        failure.metadata.insert("hint".into(), hint.into());
    } else if excluded.iter().any(|one| is_the_accounts(one.why, demand)) {
        let hint = "the key's guardrails or its organisation's settings exclude what there is; who set \
                    them can change that";
        failure.metadata.insert("hint".into(), hint.into());
    }
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

/// Is it the key's or its organisation's doing, and not the request's?
fn is_the_accounts(why: Exclude, demand: &Demand) -> bool {
    let asked = &demand.preferences;
    match why {
        Exclude::AllowedModels
        | Exclude::IgnoredModels
        | Exclude::AllowedProviders
        | Exclude::OwnKeyOnly
        | Exclude::Publication => true,
        Exclude::Ignore => asked.ignore.is_empty(),
        Exclude::Training => !asked.data_collection_deny,
        Exclude::Zdr => !asked.zdr,
        Exclude::DataRegion => demand.region.is_none(),
        _ => false,
    }
}
