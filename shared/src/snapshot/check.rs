//! Which resources may be served: references resolve, values keep their limits. A bad one is
//! named with a reason and left out; it never blocks a good one. Syntax is the catalogue file's
//! concern, not checked again here.

use super::{Inner, RESOURCES_MAX, Rejected, Resource, Sent};
use crate::catalog::auto::{ROW_MODELS_MAX, ROWS_MAX};
use crate::catalog::{AutoTable, Endpoint, Model, Provider};
use crate::id::{EndpointId, ModelId};
use std::collections::BTreeMap;

/// The longest text (name, id, URL) of a resource, in bytes; descriptions may be longer.
const TEXT_MAX: usize = 2048;
/// The longest list of a resource.
const LIST_MAX: usize = 256;

/// Fills the lists of `inner` with what may be served; gives the rest with the reasons.
pub(super) fn admit(inner: &mut Inner, sent: &BTreeMap<String, Sent>) -> Vec<Rejected> {
    let mut rejected = Vec::new();
    let (mut endpoints, mut auto) = (Vec::new(), None);
    for (at, (name, sent)) in sent.iter().enumerate() {
        let verdict = if at >= RESOURCES_MAX {
            Err(format!("more than {RESOURCES_MAX} resources"))
        } else {
            match &sent.resource {
                Resource::Provider(provider) => {
                    check_provider(provider).map(|()| inner.providers.push(provider.clone()))
                }
                Resource::Model(model) => {
                    check_model(model).map(|()| inner.models.push(model.clone()))
                }
                Resource::Endpoint(endpoint) => {
                    endpoints.push((name, endpoint));
                    Ok(())
                }
                Resource::Auto(table) => {
                    auto = Some((name, table));
                    Ok(())
                }
                Resource::Unreadable(unreadable) => Err(unreadable.reason.clone()),
            }
        };
        if let Err(reason) = verdict {
            rejected.push(refusal(name, reason));
        }
    }
    // "provider/a-b" sorts before "provider/a/…"; the lists are sorted by the bare id.
    inner.providers.sort_by(|a, b| a.slug.cmp(&b.slug));
    inner.models.sort_by(|a, b| a.id.cmp(&b.id));
    for (name, endpoint) in endpoints {
        match check_endpoint(inner, endpoint) {
            Ok(()) => inner.endpoints.push(endpoint.clone()),
            Err(reason) => rejected.push(refusal(name, reason)),
        }
    }
    if let Some((name, table)) = auto {
        match check_auto(inner, table) {
            Ok(()) => inner.auto = Some(table.clone()),
            Err(reason) => rejected.push(refusal(name, reason)),
        }
    }
    rejected
}

fn refusal(name: &str, reason: String) -> Rejected {
    Rejected {
        resource: name.to_owned(),
        reason,
    }
}

fn check_provider(provider: &Provider) -> Result<(), String> {
    check_text("slug", provider.slug.as_str())?;
    check_text("name", &provider.name)?;
    check_text("base_url", &provider.base_url)?;
    let url = &provider.base_url;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(format!("base_url = {url:?}: not http or https"));
    }
    let timeouts = &provider.timeouts;
    for (what, time) in [
        ("connect_ms", timeouts.connect),
        ("first_token_ms", timeouts.first_token),
        ("stall_ms", timeouts.stall),
        ("total_ms", timeouts.total),
    ] {
        if time.is_zero() {
            return Err(format!("{what} = 0: every attempt would fail"));
        }
    }
    check_list("regions", provider.regions.len())?;
    check_list("quirks", provider.quirks.len())
}

fn check_model(model: &Model) -> Result<(), String> {
    check_text("id", model.id.as_str())?;
    check_text("name", &model.name)?;
    check_list("input_modalities", model.input_modalities.len())?;
    check_list("output_modalities", model.output_modalities.len())?;
    if model.context_length == 0 {
        return Err("context_length = 0: nothing fits".to_owned());
    }
    Ok(())
}

fn check_endpoint(inner: &Inner, endpoint: &Endpoint) -> Result<(), String> {
    check_text("tag", &endpoint.tag)?;
    check_text("provider_model", &endpoint.provider_model)?;
    check_list("supported_parameters", endpoint.supported_parameters.len())?;
    check_list("quirks", endpoint.quirks.len())?;
    check_list("efforts", endpoint.efforts.len())?;
    check_list("pricing.overrides", endpoint.pricing.overrides.len())?;
    if endpoint.id != EndpointId::of(&endpoint.model, &endpoint.tag) {
        return Err(format!("id = {:?}: is not model@tag", endpoint.id));
    }
    if endpoint.context_length == 0 {
        return Err("context_length = 0: nothing fits".to_owned());
    }
    let provider = endpoint.provider.as_str();
    let providers = &inner.providers;
    if providers
        .binary_search_by(|known| known.slug.as_str().cmp(provider))
        .is_err()
    {
        return Err(format!(
            "provider = {provider:?}: there is no such provider"
        ));
    }
    let model = endpoint.model.as_str();
    let models = &inner.models;
    if models
        .binary_search_by(|known| known.id.as_str().cmp(model))
        .is_err()
    {
        return Err(format!("model = {model:?}: there is no such model"));
    }
    Ok(())
}

fn check_auto(inner: &Inner, table: &AutoTable) -> Result<(), String> {
    if table.rows.len() > ROWS_MAX {
        return Err(format!("more than {ROWS_MAX} rows"));
    }
    for row in &table.rows {
        let (task, tier) = (&row.task, row.tier);
        check_text("task", task)?;
        if row.models.is_empty() || row.models.len() > ROW_MODELS_MAX {
            let count = row.models.len();
            return Err(format!(
                "{task}, {tier}: {count} models, not 1 to {ROW_MODELS_MAX}"
            ));
        }
        let models = &inner.models;
        let unknown = |id: &&ModelId| models.binary_search_by(|model| model.id.cmp(id)).is_err();
        if let Some(missing) = row.models.iter().find(unknown) {
            return Err(format!("{task}, {tier}: there is no model {missing:?}"));
        }
    }
    Ok(())
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if text.len() > TEXT_MAX {
        return Err(format!("{what} is longer than {TEXT_MAX} bytes"));
    }
    Ok(())
}

fn check_list(what: &str, length: usize) -> Result<(), String> {
    if length > LIST_MAX {
        return Err(format!("{what} has more than {LIST_MAX} entries"));
    }
    Ok(())
}
