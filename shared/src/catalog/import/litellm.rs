//! LiteLLM's price list: USD per token, one line per offer.

use super::decisions::{Decisions, Source};
use super::json::Object;
use super::offer::{Abilities, List, Offer, Skip, Thinking};
use super::report::Report;
use crate::catalog::{Modality, PriceOverride, Pricing};
use crate::money::Price;
use std::collections::{BTreeMap, BTreeSet};

/// Providers and their ids, in lower case, that the list has but not as a living chat model.
pub(super) type Refused = BTreeSet<(String, String)>;

/// All offers of the list at the providers of `decisions`, and what it says is none.
pub(super) fn read(
    text: &str,
    decisions: &Decisions,
    report: &mut Report,
) -> Result<(Vec<Offer>, Refused), serde_json::Error> {
    let list = Object::parse(text)?;
    let mut offers = Vec::new();
    let mut refused = Refused::new();
    for (key, line) in list.members().filter(|(key, _)| *key != "sample_spec") {
        let provider = line.text("litellm_provider").unwrap_or_default();
        report.seen(List::LiteLlm, &provider);
        for source in decisions
            .sources
            .iter()
            .filter(|s| s.litellm.contains(&provider))
        {
            match offer(key, &line, source, decisions) {
                Ok(offer) => offers.push(offer),
                Err(skip) => {
                    if matches!(skip, Skip::Gone | Skip::NotChat) {
                        let id = provider_model(key, &source.litellm).to_ascii_lowercase();
                        refused.insert((source.provider.clone(), id));
                    }
                    report.skipped(List::LiteLlm, &source.provider, key, skip);
                }
            }
        }
    }
    Ok((offers, refused))
}

fn offer(
    key: &str,
    line: &Object<'_>,
    source: &Source,
    decisions: &Decisions,
) -> Result<Offer, Skip> {
    let elsewhere = || {
        let paths = line.texts("supported_endpoints").unwrap_or_default();
        !paths.is_empty() && !paths.iter().any(|path| path.ends_with("/chat/completions"))
    };
    let is_chat = source.mode == "chat";
    if line.text("mode").as_deref() != Some(source.mode.as_str()) || (is_chat && elsewhere()) {
        return Err(Skip::NotChat);
    }
    let provider_model = provider_model(key, &source.litellm);
    let told = line.text("source").unwrap_or_default();
    if !source.wants(provider_model) || !told.contains(&source.litellm_source) {
        return Err(Skip::Pattern);
    }
    if line
        .text("deprecation_date")
        .is_some_and(|date| date <= decisions.as_of)
    {
        return Err(Skip::Gone);
    }
    let pricing = pricing(line)?;
    let input = line.integer("max_input_tokens");
    let output = line.integer("max_output_tokens");
    Ok(Offer {
        list: List::LiteLlm,
        key: key.to_owned(),
        provider: source.provider.as_str().into(),
        provider_model: provider_model.to_owned(),
        model_name: source.model_name(provider_model).to_owned(),
        vendor_dots: source.vendor_dots,
        preferred: source.prefer != List::ModelsDev.as_str(),
        base_model: None,
        name: None,
        released: None,
        pricing,
        context: input.max(output).filter(|tokens| *tokens > 0),
        max_prompt: None,
        max_completion: output.filter(|tokens| *tokens > 0),
        input: modalities(line),
        output: Some(vec![Modality::Text]),
        can: abilities(line),
        thinking: Thinking::default(),
    })
}

/// The key without the list's own prefix; a model's name may itself have slashes.
fn provider_model<'a>(key: &'a str, providers: &[String]) -> &'a str {
    let first = key.split('/').next().unwrap_or_default();
    let names = providers.iter().flat_map(|name| {
        let short = name.split('-').next().unwrap_or_default();
        [name.as_str(), short]
    });
    let prefix = names.chain(["amazon-nova", "gemini", "perplexity", "cohere"]);
    let own = prefix.into_iter().any(|name| name == first);
    match key.split_once('/') {
        Some((_, rest)) if own => rest,
        _ => key,
    }
}

fn pricing(line: &Object<'_>) -> Result<Pricing, Skip> {
    let tiers = line.objects("tiered_pricing");
    let first = tiers
        .iter()
        .find(|tier| tier.integers("range").first() == Some(&0));
    let base = first.unwrap_or(line);
    let read = |object: &Object<'_>, key: &str| object.price(key, 0).map_err(|_| Skip::Inexact);
    let told = |key: &str| read(base, key).map(|price| price.filter(|price| !price.is_zero()));
    let prompt = read(base, "input_cost_per_token")?.ok_or(Skip::NoPrice)?;
    let completion = read(base, "output_cost_per_token")?.ok_or(Skip::NoPrice)?;
    let hit = told("input_cost_per_token_cache_hit")?;
    let search = line.object("search_context_cost_per_query");
    let search = search.map(|costs| read(&costs, "search_context_size_medium"));
    let mut pricing = Pricing {
        prompt,
        completion,
        request: told("input_cost_per_request")?,
        image: told("input_cost_per_image")?,
        image_token: told("input_cost_per_image_token")?.filter(|price| *price != prompt),
        image_output: told("output_cost_per_image_token")?,
        audio: told("input_cost_per_audio_token")?,
        audio_output: told("output_cost_per_audio_token")?,
        input_audio_cache: told("cache_read_input_audio_token_cost")?,
        web_search: search
            .transpose()?
            .flatten()
            .filter(|price| !price.is_zero()),
        maps: told("google_maps_grounding_cost_per_query")?,
        citation: told("citation_cost_per_token")?,
        internal_reasoning: told("output_cost_per_reasoning_token")?
            .filter(|price| *price != completion),
        input_cache_read: told("cache_read_input_token_cost")?.or(hit),
        input_cache_write: told("cache_creation_input_token_cost")?,
        input_cache_write_1h: told("cache_creation_input_token_cost_above_1hr")?,
        overrides: Vec::new(),
    };
    pricing.overrides = match first {
        Some(_) => steps(&tiers)?,
        None => thresholds(line)?,
    };
    Ok(pricing)
}

/// `tiered_pricing`: one object per range of prompt tokens.
fn steps(tiers: &[Object<'_>]) -> Result<Vec<PriceOverride>, Skip> {
    let mut steps = BTreeMap::new();
    for tier in tiers {
        let start = tier.integers("range").first().copied().unwrap_or(0);
        let told = |key: &str| tier.price(key, 0).map_err(|_| Skip::Inexact);
        let completion = told("output_cost_per_token")?;
        let step = PriceOverride {
            min_prompt_tokens: start,
            prompt: told("input_cost_per_token")?,
            completion,
            internal_reasoning: told("output_cost_per_reasoning_token")?
                .filter(|p| Some(*p) != completion),
            input_cache_read: told("cache_read_input_token_cost")?.filter(|p| !p.is_zero()),
            input_cache_write: told("cache_creation_input_token_cost")?.filter(|p| !p.is_zero()),
            input_cache_write_1h: None,
        };
        if start > 0 {
            steps.insert(start, step);
        }
    }
    Ok(steps.into_values().collect())
}

/// Members such as `input_cost_per_token_above_200k_tokens`.
fn thresholds(line: &Object<'_>) -> Result<Vec<PriceOverride>, Skip> {
    let mut steps: BTreeMap<u64, PriceOverride> = BTreeMap::new();
    for key in line.keys() {
        let Some((name, above)) = key.split_once("_above_") else {
            continue;
        };
        let (hour, above) = match above.strip_prefix("1hr_above_") {
            Some(rest) => (true, rest),
            None => (false, above),
        };
        let thousands = above
            .strip_suffix("k_tokens")
            .and_then(|n| n.parse::<u64>().ok());
        let Some(thousands) = thousands else { continue };
        let price = line.price(key, 0).map_err(|_| Skip::Inexact)?;
        let threshold = thousands * 1000;
        let step = steps.entry(threshold).or_default();
        step.min_prompt_tokens = threshold;
        if let Some(field) = field(step, name, hour) {
            *field = price.filter(|price| !price.is_zero());
        }
    }
    steps.retain(|tokens, step| {
        let nothing = PriceOverride {
            min_prompt_tokens: *tokens,
            ..PriceOverride::default()
        };
        *step != nothing
    });
    Ok(steps.into_values().collect())
}

fn field<'a>(step: &'a mut PriceOverride, name: &str, hour: bool) -> Option<&'a mut Option<Price>> {
    match (name, hour) {
        ("input_cost_per_token", false) => Some(&mut step.prompt),
        ("output_cost_per_token", false) => Some(&mut step.completion),
        ("output_cost_per_reasoning_token", false) => Some(&mut step.internal_reasoning),
        ("cache_read_input_token_cost", false) => Some(&mut step.input_cache_read),
        ("cache_creation_input_token_cost", false) => Some(&mut step.input_cache_write),
        ("cache_creation_input_token_cost", true) => Some(&mut step.input_cache_write_1h),
        _ => None,
    }
}

fn modalities(line: &Object<'_>) -> Option<Vec<Modality>> {
    let yes = |key: &str| line.flag(key) == Some(true);
    let told = line.texts("supported_modalities").unwrap_or_default();
    let has = |name: &str| told.iter().any(|text| text == name);
    let mut input = vec![Modality::Text];
    let known = [
        (
            Modality::Image,
            yes("supports_vision") || yes("supports_image_input") || has("image"),
        ),
        (Modality::File, yes("supports_pdf_input")),
        (Modality::Audio, yes("supports_audio_input") || has("audio")),
        (Modality::Video, yes("supports_video_input") || has("video")),
    ];
    input.extend(
        known
            .iter()
            .filter(|(_, yes)| *yes)
            .map(|(modality, _)| *modality),
    );
    Some(input)
}

fn abilities(line: &Object<'_>) -> Abilities {
    let effort = line.keys().any(|key| {
        key.ends_with("_reasoning_effort")
            && key != "default_reasoning_effort"
            && line.flag(key) == Some(true)
    });
    Abilities {
        tools: line.flag("supports_function_calling"),
        tool_choice: line.flag("supports_tool_choice"),
        parallel_tools: line.flag("supports_parallel_function_calling"),
        schema: line.flag("supports_response_schema"),
        sampling: line.flag("supports_sampling_params"),
        reasoning: line.flag("supports_reasoning"),
        effort: effort.then_some(true),
        search: line.flag("supports_web_search"),
    }
}
