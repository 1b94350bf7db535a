//! The catalogue as API clients see it: OpenRouter's schema, OpenAI's and Anthropic's. Pure, from
//! a snapshot; nulls where nothing is known. Filters and pages are here, HTTP is not.

pub mod choice;
mod performance;
pub mod routers;

use super::{
    Endpoint, Modality, Model, Parameter, PriceOverride, Pricing, Provider, Quantization, Quirk,
    Tier,
};
use crate::date;
use crate::money::Price;
use crate::ranking::RankingRow;
use crate::snapshot::Snapshot;
use choice::{Choice, Measured};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Models in a page when a client asks for pages.
pub const PAGE_DEFAULT: usize = 500;
/// The most models in a page.
pub const PAGE_MAX: usize = 1000;

/// Which models a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these must come out; empty is text.
    pub output: Vec<Modality>,
    /// True: whatever comes out.
    pub any_output: bool,
    /// Each of these must go in.
    pub input: Vec<Modality>,
    /// Each of these must be supported by some endpoint.
    pub parameters: Vec<String>,
    /// A part of the id or name, lower case.
    pub text: String,
    /// Further bounds, and the order.
    pub choice: Choice,
    /// First model of the page.
    pub offset: Option<usize>,
    /// Length of the page.
    pub limit: Option<usize>,
    /// The members above these two as the client wrote them, `name=value&` each: the link to the
    /// next page repeats them.
    pub written: String,
}

impl Filter {
    /// True when it is what a client gets that asks for nothing special.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, snapshot: &Snapshot, model: &Model) -> bool {
        let out = &model.output_modalities;
        let wanted = if self.output.is_empty() {
            &[Modality::Text][..]
        } else {
            &self.output
        };
        let fits = (self.any_output || wanted.iter().any(|modality| out.contains(modality)))
            && self
                .input
                .iter()
                .all(|modality| model.input_modalities.contains(modality));
        let named = || {
            let id = model.id.as_str().to_lowercase();
            id.contains(&self.text) || model.name.to_lowercase().contains(&self.text)
        };
        let able = || {
            let supported = parameters(&endpoints(snapshot, model));
            self.parameters
                .iter()
                .all(|wanted| supported.contains(wanted.as_str()))
        };
        fits && (self.text.is_empty() || named())
            && (self.parameters.is_empty() || able())
            && self.choice.takes(snapshot, model)
    }
}

/// OpenRouter's `GET /models`.
#[must_use]
pub fn models(snapshot: &Snapshot, filter: &Filter, measured: Measured<'_>) -> Value {
    let taken = snapshot.models().iter();
    let mut taken: Vec<_> = taken
        .filter(|model| filter.takes(snapshot, model))
        .collect();
    filter.choice.arrange(&mut taken, snapshot, measured);
    let paged = filter.offset.is_some() || filter.limit.is_some();
    let (skip, most) = if paged {
        let limit = filter.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
        (filter.offset.unwrap_or(0), limit)
    } else {
        (0, usize::MAX)
    };
    // What is not on the page is not rendered.
    let taken = taken.into_iter().map(Ok::<_, &routers::Router>);
    let routers = routers::ROUTERS.iter().filter(|router| router.fits(filter));
    let (mut total, mut page) = (0, Vec::new());
    for found in taken.chain(routers.map(Err)) {
        if total >= skip && page.len() < most {
            page.push(found.map_or_else(routers::Router::model, |found| model(snapshot, found)));
        }
        total += 1;
    }
    let seen = skip.saturating_add(page.len());
    let next = (!page.is_empty() && seen < total).then(|| {
        format!(
            "/api/v1/models?{}offset={seen}&limit={most}",
            filter.written
        )
    });
    json!({ "data": page, "links": { "next": next }, "total_count": total })
}

/// OpenRouter's `GET /models/count`.
#[must_use]
pub fn count(snapshot: &Snapshot, filter: &Filter) -> Value {
    let count = snapshot
        .models()
        .iter()
        .filter(|model| filter.takes(snapshot, model))
        .count();
    let routers = routers::ROUTERS.iter().filter(|router| router.fits(filter));
    let count = count + routers.count();
    json!({ "data": { "count": count } })
}

/// OpenRouter's model object. The prices are those of the cheapest endpoint.
#[must_use]
pub fn model(snapshot: &Snapshot, model: &Model) -> Value {
    let endpoints = endpoints(snapshot, model);
    let top = cheapest(&endpoints);
    let moderated = false;
    json!({
        "id": model.id.as_str(),
        "canonical_slug": model.canonical_slug.as_deref().unwrap_or(model.id.as_str()),
        "hugging_face_id": model.hugging_face_id.as_deref().unwrap_or(""),
        "name": model.name,
        "created": model.created,
        "description": model.description.as_deref().unwrap_or(""),
        "context_length": model.context_length,
        "architecture": architecture(model),
        "pricing": top.map_or_else(|| json!({}), |top| pricing(&top.pricing)),
        "top_provider": {
            "context_length": top.map(|top| top.context_length),
            "max_completion_tokens": top.and_then(|top| top.max_completion_tokens),
            "is_moderated": moderated,
        },
        "per_request_limits": null,
        "supported_parameters": parameters(&endpoints),
        "supported_voices": null,
        "default_parameters": null,
        "knowledge_cutoff": model.knowledge_cutoff,
        "expiration_date": model.expiration_date,
        "links": { "details": format!("/api/v1/models/{}/endpoints", model.id) },
    })
}

/// OpenRouter's `GET /models/{author}/{slug}/endpoints`. `status` gives an endpoint's state: 0
/// serves, below 0 does not; and what the fleet knows of it, if anything.
#[must_use]
pub fn model_endpoints<'a>(
    snapshot: &Snapshot,
    model: &Model,
    status: &dyn Fn(&Endpoint) -> (i32, Option<&'a RankingRow>),
) -> Value {
    let endpoints: Vec<Value> = endpoints(snapshot, model)
        .iter()
        .filter_map(|endpoint| {
            let provider = snapshot.provider(endpoint.provider.as_str())?;
            Some(endpoint_object(model, endpoint, provider, status(endpoint)))
        })
        .collect();
    json!({ "data": {
        "id": model.id.as_str(),
        "name": model.name,
        "created": model.created,
        "description": model.description.as_deref().unwrap_or(""),
        "architecture": architecture(model),
        "endpoints": endpoints,
    } })
}

/// OpenRouter's `GET /providers`.
#[must_use]
pub fn providers(snapshot: &Snapshot) -> Value {
    let object = |provider: &Arc<Provider>| {
        json!({
            "name": provider.name,
            "slug": provider.slug.as_str(),
            "privacy_policy_url": provider.privacy_policy_url,
            "terms_of_service_url": provider.terms_of_service_url,
            "status_page_url": provider.status_page_url,
            "headquarters": provider.headquarters,
            "datacenters": provider.datacenters,
        })
    };
    json!({ "data": snapshot.providers().iter().map(object).collect::<Vec<_>>() })
}

/// OpenAI's `GET /models`.
#[must_use]
pub fn openai_models(snapshot: &Snapshot) -> Value {
    let all: Vec<Value> = snapshot
        .models()
        .iter()
        .map(|model| openai_model(model))
        .chain(routers::ROUTERS.iter().map(routers::Router::openai_model))
        .collect();
    json!({ "object": "list", "data": all })
}

/// OpenAI's model object.
#[must_use]
pub fn openai_model(model: &Model) -> Value {
    let author = model.id.as_str().split('/').next().unwrap_or_default();
    json!({
        "id": model.id.as_str(),
        "object": "model",
        "created": model.created,
        "owned_by": author,
    })
}

/// Anthropic's `GET /models`, on one page.
#[must_use]
pub fn anthropic_models(snapshot: &Snapshot) -> Value {
    let all: Vec<Value> = snapshot
        .models()
        .iter()
        .map(|model| anthropic_model(model))
        .collect();
    let id = |model: Option<&Arc<Model>>| model.map(|model| model.id.to_string());
    json!({
        "data": all,
        "first_id": id(snapshot.models().first()),
        "last_id": id(snapshot.models().last()),
        "has_more": false,
    })
}

/// Anthropic's model object.
#[must_use]
pub fn anthropic_model(model: &Model) -> Value {
    json!({
        "type": "model",
        "id": model.id.as_str(),
        "display_name": model.name,
        "created_at": date::rfc3339(model.created),
        // Its SDK demands this one.
        "lifecycle": if model.expiration_date.is_some() { "deprecated" } else { "active" },
        "max_input_tokens": model.context_length,
    })
}

fn endpoints<'a>(snapshot: &'a Snapshot, model: &Model) -> Vec<&'a Arc<Endpoint>> {
    let indexes = snapshot.endpoints_of(model.id.as_str()).iter();
    indexes
        .filter_map(|index| snapshot.endpoint(*index))
        .collect()
}

fn cheapest<'a>(endpoints: &[&'a Arc<Endpoint>]) -> Option<&'a Arc<Endpoint>> {
    let all = endpoints.iter().copied();
    all.min_by_key(|it| (it.pricing.completion, it.pricing.prompt))
}

fn parameters(endpoints: &[&Arc<Endpoint>]) -> BTreeSet<&'static str> {
    let all = endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.supported_parameters);
    all.map(|parameter| parameter.as_str()).collect()
}

fn endpoint_object(
    model: &Model,
    endpoint: &Endpoint,
    provider: &Provider,
    (status, row): (i32, Option<&RankingRow>),
) -> Value {
    let quantization = Some(endpoint.quantization).filter(|q| *q != Quantization::Unknown);
    let parameters: Vec<&str> = endpoint
        .supported_parameters
        .iter()
        .map(|parameter| parameter.as_str())
        .collect();
    // What is accepted; what passed tests nobody knows here.
    let chooses = endpoint
        .supported_parameters
        .contains(&Parameter::ToolChoice);
    let forced = chooses && !provider.quirks.contains(&Quirk::AutoToolChoice);
    let mut object = json!({
        "name": format!("{} | {}", provider.name, model.id),
        "model_id": model.id.as_str(),
        "model_name": model.name,
        "provider_name": provider.name,
        "tag": endpoint.tag,
        "quantization": quantization.map(Quantization::as_str),
        "context_length": endpoint.context_length,
        "max_completion_tokens": endpoint.max_completion_tokens,
        "max_prompt_tokens": endpoint.max_prompt_tokens,
        "supported_parameters": parameters,
        "supports_implicit_caching": endpoint.pricing.input_cache_read.is_some(),
        "supports_voice_cloning": false,
        "supports_diarization": false,
        "supports_tool_choice": {
            "auto": chooses, "none": chooses, "required": forced, "function": forced,
        },
        "native_tools": {},
        "service_tier": endpoint.tier().map(Tier::as_str),
        "pricing": pricing(&endpoint.pricing),
        "status": status,
    });
    if let Value::Object(members) = &mut object {
        performance::tell(members, row);
    }
    object
}

fn architecture(model: &Model) -> Value {
    let words = |modalities: &[Modality]| -> Vec<&'static str> {
        modalities
            .iter()
            .map(|modality| modality.as_str())
            .collect()
    };
    let (input, output) = (
        words(&model.input_modalities),
        words(&model.output_modalities),
    );
    json!({
        "modality": format!("{}->{}", input.join("+"), output.join("+")),
        "input_modalities": input,
        "output_modalities": output,
        "tokenizer": model.tokenizer,
        "instruct_type": model.instruct_type,
    })
}

/// Prices as strings, USD per unit; `prompt` and `completion` always, the others where charged.
fn pricing(pricing: &Pricing) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, price: Option<Price>| {
        if let Some(price) = price {
            object.insert(name.to_owned(), price.to_string().into());
        }
    };
    put("prompt", Some(pricing.prompt));
    put("completion", Some(pricing.completion));
    put("request", pricing.request);
    put("image", pricing.image);
    put("image_token", pricing.image_token);
    put("image_output", pricing.image_output);
    put("audio", pricing.audio);
    put("audio_output", pricing.audio_output);
    put("input_audio_cache", pricing.input_audio_cache);
    put("web_search", pricing.web_search);
    put("internal_reasoning", pricing.internal_reasoning);
    put("input_cache_read", pricing.input_cache_read);
    put("input_cache_write", pricing.input_cache_write);
    put("input_cache_write_1h", pricing.input_cache_write_1h);
    if !pricing.overrides.is_empty() {
        let overrides = pricing.overrides.iter().map(price_override).collect();
        object.insert("overrides".to_owned(), Value::Array(overrides));
    }
    Value::Object(object)
}

fn price_override(rule: &PriceOverride) -> Value {
    let mut object = Map::new();
    object.insert(
        "min_prompt_tokens".to_owned(),
        rule.min_prompt_tokens.into(),
    );
    for (name, price) in [
        ("prompt", rule.prompt),
        ("completion", rule.completion),
        ("input_cache_read", rule.input_cache_read),
        ("input_cache_write", rule.input_cache_write),
        ("input_cache_write_1h", rule.input_cache_write_1h),
    ] {
        if let Some(price) = price {
            object.insert(name.to_owned(), price.to_string().into());
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::file;
    use crate::id::Version;
    use std::collections::BTreeMap;

    fn models(snapshot: &Snapshot, filter: &Filter) -> Value {
        super::models(snapshot, filter, &|_| (0, 0))
    }

    fn snapshot() -> Snapshot {
        let text = r#"
            [[providers]]
            slug = "acme"
            name = "Acme AI"
            dialect = "openai-chat"
            base_url = "http://127.0.0.1:1/v1"
            [[models]]
            id = "a/text"
            name = "Text"
            created = 1733506137
            context_length = 1000
            input_modalities = ["text", "image"]
            output_modalities = ["text"]
            tokenizer = "Other"
            [[models]]
            id = "a/picture"
            name = "Picture"
            created = 1
            context_length = 1000
            input_modalities = ["text"]
            output_modalities = ["image"]
            tokenizer = "Other"
            [[endpoints]]
            model = "a/text"
            provider = "acme"
            provider_model = "t"
            supported_parameters = ["tools", "seed"]
            pricing = { prompt = "0.00000012", completion = "0.0000003", input_cache_read = "0.00000006" }
            [[endpoints]]
            model = "a/picture"
            provider = "acme"
            provider_model = "p"
            pricing = { prompt = "0.1", completion = "0.2" }
        "#;
        let files = BTreeMap::from([("a.toml".to_owned(), text.to_owned())]);
        let catalog = file::parse(&files).unwrap();
        Snapshot::from_catalog(
            Version {
                epoch: 1,
                number: 1,
            },
            &catalog,
        )
        .unwrap()
    }

    #[test]
    fn prices_are_strings_and_text_is_the_default() {
        let listed = models(&snapshot(), &Filter::default());
        let data = listed["data"].as_array().unwrap();
        assert_eq!(data.len(), 1 + routers::ROUTERS.len());
        assert_eq!(data[0]["id"], "a/text");
        assert_eq!(data[0]["pricing"]["prompt"], "0.00000012");
        assert_eq!(data[0]["architecture"]["modality"], "text+image->text");
        assert!(data[0]["per_request_limits"].is_null());
        let all = Filter {
            any_output: true,
            ..Filter::default()
        };
        assert_eq!(
            models(&snapshot(), &all)["data"].as_array().unwrap().len(),
            2 + routers::ROUTERS.len()
        );
        let able = Filter {
            parameters: vec!["min_p".into()],
            ..Filter::default()
        };
        assert_eq!(count(&snapshot(), &able)["data"]["count"], 0);
    }

    #[test]
    fn pages_tell_how_many_there_are_and_where_to_go_on() {
        let page = |offset| Filter {
            any_output: true,
            offset: Some(offset),
            limit: Some(1),
            written: "output_modalities=all&".to_owned(),
            ..Filter::default()
        };
        let first = models(&snapshot(), &page(0));
        assert_eq!(first["data"].as_array().unwrap().len(), 1);
        let total = 2 + routers::ROUTERS.len();
        assert_eq!(first["total_count"], total);
        let next = "/api/v1/models?output_modalities=all&offset=1&limit=1";
        assert_eq!(first["links"]["next"], next);
        assert!(models(&snapshot(), &page(total - 1))["links"]["next"].is_null());
        assert!(models(&snapshot(), &page(9))["links"]["next"].is_null());
    }

    #[test]
    fn endpoints_name_their_provider() {
        let snapshot = snapshot();
        let model = snapshot.model("a/text").unwrap();
        let listed = model_endpoints(&snapshot, model, &|_| (0, None));
        let endpoint = &listed["data"]["endpoints"][0];
        assert_eq!(endpoint["provider_name"], "Acme AI");
        assert_eq!(endpoint["tag"], "acme");
        assert!(endpoint["quantization"].is_null());
        assert_eq!(endpoint["pricing"]["input_cache_read"], "0.00000006");
        // OpenRouter's own clients want all of these to be there.
        assert_eq!(endpoint["supports_tool_choice"]["required"], false);
        assert_eq!(endpoint["supports_diarization"], false);
        assert_eq!(endpoint["native_tools"], json!({}));
        for name in ["service_tier", "uptime_last_30m", "latency_last_30m"] {
            assert!(endpoint.get(name).is_some_and(Value::is_null), "{name}");
        }
    }
}
