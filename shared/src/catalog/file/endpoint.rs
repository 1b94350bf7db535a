//! `[[endpoints]]`: one table to one [`Endpoint`], but for what its model has to say first.

use super::model::{CONTEXT_MAX, is_word};
use super::section::Section;
use crate::catalog::{Endpoint, PriceOverride, Pricing, Quantization};
use crate::id::{EndpointId, ModelId, ProviderSlug};

/// The longest tag.
const TAG_MAX: usize = 128;
/// The most price steps of one endpoint.
const OVERRIDES_MAX: usize = 16;

/// An endpoint before its references are resolved.
pub(super) struct Draft {
    /// What it refers to, when that was readable.
    pub(super) model: Option<ModelId>,
    pub(super) provider: Option<ProviderSlug>,
    /// None when something in it was refused. A context length of 0 stands for the model's.
    pub(super) endpoint: Option<Endpoint>,
}

pub(super) fn read(mut section: Section<'_, '_>) -> Draft {
    let model = section.required_text("model").map(ModelId::from);
    let provider = section.required_text("provider").map(ProviderSlug::from);
    let endpoint = body(&mut section, model.as_ref(), provider.as_ref());
    section.finish();
    Draft {
        model,
        provider,
        endpoint,
    }
}

/// Why the bounds of a resolved endpoint contradict its context length.
pub(super) fn beyond_context(endpoint: &Endpoint) -> Option<(&'static str, String)> {
    let context = endpoint.context_length;
    let beyond = |bound: Option<u64>| bound.is_some_and(|tokens| tokens > context);
    let reason = format!("more than the context length, {context}");
    if beyond(endpoint.max_completion_tokens) {
        return Some(("max_completion_tokens", reason));
    }
    beyond(endpoint.max_prompt_tokens).then_some(("max_prompt_tokens", reason))
}

fn body(
    section: &mut Section<'_, '_>,
    model: Option<&ModelId>,
    provider: Option<&ProviderSlug>,
) -> Option<Endpoint> {
    let tag = section.text("tag");
    if let (Some(tag), Some(provider)) = (&tag, provider)
        && !is_tag(tag, provider.as_str())
    {
        let reason = format!("{tag:?} is neither {provider} nor {provider}/variant");
        section.refuse("tag", reason);
    }
    let provider_model = section.required_text("provider_model");
    let context_length = section.integer("context_length", 1..=CONTEXT_MAX);
    let max_completion_tokens = section.integer("max_completion_tokens", 1..=CONTEXT_MAX);
    let max_prompt_tokens = section.integer("max_prompt_tokens", 1..=CONTEXT_MAX);
    let quantization = section.choice("quantization");
    let supported_parameters = section.choices("supported_parameters").unwrap_or_default();
    let quirks = section.choices("quirks").unwrap_or_default();
    let efforts = section.choices("efforts").unwrap_or_default();
    section.require("pricing");
    let pricing = section.section("pricing").and_then(pricing);
    let (model, provider) = (model?.clone(), provider?.clone());
    let tag = tag.unwrap_or_else(|| provider.to_string());
    Some(Endpoint {
        id: EndpointId::of(&model, &tag),
        model,
        provider,
        tag,
        provider_model: provider_model?,
        context_length: context_length.unwrap_or(0),
        max_completion_tokens,
        max_prompt_tokens,
        quantization: quantization.unwrap_or(Quantization::Unknown),
        supported_parameters,
        quirks,
        efforts,
        pricing: pricing?,
    })
}

/// `provider`, or `provider/variant` where the variant may have several parts.
fn is_tag(tag: &str, provider: &str) -> bool {
    let Some(rest) = tag.strip_prefix(provider) else {
        return false;
    };
    let variant = rest.strip_prefix('/');
    tag.len() <= TAG_MAX
        && (rest.is_empty() || variant.is_some_and(|text| text.split('/').all(is_word)))
}

fn pricing(mut section: Section<'_, '_>) -> Option<Pricing> {
    section.require("prompt");
    section.require("completion");
    let prompt = section.price("prompt");
    let completion = section.price("completion");
    let mut pricing = Pricing {
        request: section.price("request"),
        image: section.price("image"),
        image_token: section.price("image_token"),
        image_output: section.price("image_output"),
        audio: section.price("audio"),
        audio_output: section.price("audio_output"),
        input_audio_cache: section.price("input_audio_cache"),
        web_search: section.price("web_search"),
        maps: section.price("maps"),
        citation: section.price("citation"),
        internal_reasoning: section.price("internal_reasoning"),
        input_cache_read: section.price("input_cache_read"),
        input_cache_write: section.price("input_cache_write"),
        input_cache_write_1h: section.price("input_cache_write_1h"),
        ..Pricing::default()
    };
    pricing.overrides = overrides(&mut section);
    section.finish();
    pricing.prompt = prompt?;
    pricing.completion = completion?;
    Some(pricing)
}

fn overrides(section: &mut Section<'_, '_>) -> Vec<PriceOverride> {
    let rules = section.sections("overrides");
    if rules.len() > OVERRIDES_MAX {
        section.refuse("overrides", format!("more than {OVERRIDES_MAX}"));
    }
    let mut overrides: Vec<PriceOverride> = Vec::new();
    for mut section in rules {
        section.require("min_prompt_tokens");
        let threshold = section.integer("min_prompt_tokens", 1..=CONTEXT_MAX);
        let rule = PriceOverride {
            min_prompt_tokens: threshold.unwrap_or_default(),
            prompt: section.price("prompt"),
            completion: section.price("completion"),
            internal_reasoning: section.price("internal_reasoning"),
            input_cache_read: section.price("input_cache_read"),
            input_cache_write: section.price("input_cache_write"),
            input_cache_write_1h: section.price("input_cache_write_1h"),
        };
        let last = overrides.last().map_or(0, |rule| rule.min_prompt_tokens);
        if threshold.is_some_and(|tokens| tokens <= last) {
            section.refuse("min_prompt_tokens", "thresholds must ascend");
        }
        let none = PriceOverride {
            min_prompt_tokens: rule.min_prompt_tokens,
            ..PriceOverride::default()
        };
        if rule == none {
            section.refuse("min_prompt_tokens", "changes no price");
        }
        section.finish();
        overrides.push(rule);
    }
    overrides
}
