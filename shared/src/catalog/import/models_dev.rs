//! models.dev's listing: USD per million tokens, models under their providers.

use super::decisions::{Decisions, Source};
use super::json::Object;
use super::offer::{Abilities, List, Offer, Skip, Thinking};
use super::report::Report;
use crate::catalog::{EffortWord, Modality, PriceOverride, Pricing};
use std::collections::BTreeMap;

/// Prices are per 10^6 tokens.
const MILLION: u8 = 6;

/// All offers of the list at the providers of `decisions`.
pub(super) fn read(
    text: &str,
    decisions: &Decisions,
    report: &mut Report,
) -> Result<Vec<Offer>, serde_json::Error> {
    let list = Object::parse(text)?;
    let mut offers = Vec::new();
    for (provider, entry) in list.members() {
        report.seen(List::ModelsDev, provider);
        let Some(models) = entry.object("models") else {
            continue;
        };
        let provider_name = provider.to_owned();
        for source in decisions
            .sources
            .iter()
            .filter(|s| s.models_dev.contains(&provider_name))
        {
            for (id, line) in models.members() {
                let key = format!("{provider}/{id}");
                match offer(id, &key, &line, source) {
                    Ok(offer) => offers.push(offer),
                    Err(skip) => report.skipped(List::ModelsDev, &source.provider, &key, skip),
                }
            }
        }
    }
    Ok(offers)
}

fn offer(id: &str, key: &str, line: &Object<'_>, source: &Source) -> Result<Offer, Skip> {
    let modalities = line.object("modalities");
    let modality = |key: &str| {
        modalities
            .as_ref()
            .and_then(|m| m.texts(key))
            .map(|texts| kinds(&texts))
    };
    let output = modality("output");
    let chat = source.mode == "chat"
        && output
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&Modality::Text));
    if !chat {
        return Err(Skip::NotChat);
    }
    if !source.wants(id) {
        return Err(Skip::Pattern);
    }
    // A model that is reached in another way than its provider's others.
    let elsewhere = line
        .object("provider")
        .is_some_and(|own| own.raw("npm").is_some() || own.raw("shape").is_some());
    if elsewhere && !source.provider.starts_with("google-vertex") {
        return Err(Skip::NotChat);
    }
    if line.text("status").as_deref() == Some("deprecated") {
        return Err(Skip::Gone);
    }
    let cost = line.object("cost").ok_or(Skip::NoPrice)?;
    let limit = line.object("limit");
    let limit = |key: &str| {
        limit
            .as_ref()
            .and_then(|l| l.integer(key))
            .filter(|tokens| *tokens > 0)
    };
    Ok(Offer {
        list: List::ModelsDev,
        key: key.to_owned(),
        provider: source.provider.as_str().into(),
        provider_model: id.to_owned(),
        model_name: source.model_name(id).to_owned(),
        vendor_dots: source.vendor_dots,
        preferred: source.prefer == List::ModelsDev.as_str(),
        base_model: line.text("base_model"),
        name: line.text("name"),
        released: line.text("release_date"),
        pricing: pricing(&cost)?,
        context: limit("context"),
        max_prompt: limit("input"),
        max_completion: limit("output"),
        input: modality("input"),
        output,
        can: abilities(line),
        thinking: thinking(line),
    })
}

fn pricing(cost: &Object<'_>) -> Result<Pricing, Skip> {
    let read = |key: &str| cost.price(key, MILLION).map_err(|_| Skip::Inexact);
    let told = |key: &str| read(key).map(|price| price.filter(|price| !price.is_zero()));
    let prompt = read("input")?.ok_or(Skip::NoPrice)?;
    let completion = read("output")?.ok_or(Skip::NoPrice)?;
    let misspelt_read = told("cache_input")?.or(told("cached_input")?);
    Ok(Pricing {
        prompt,
        completion,
        audio: told("input_audio")?,
        audio_output: told("output_audio")?,
        internal_reasoning: told("reasoning")?.filter(|price| *price != completion),
        input_cache_read: told("cache_read")?.or(misspelt_read),
        input_cache_write: told("cache_write")?.or(told("cached_write")?),
        overrides: overrides(cost)?,
        ..Pricing::default()
    })
}

fn overrides(cost: &Object<'_>) -> Result<Vec<PriceOverride>, Skip> {
    let mut steps = BTreeMap::new();
    for step in cost.objects("tiers") {
        let Some(tokens) = step.object("tier").and_then(|tier| tier.integer("size")) else {
            continue;
        };
        let told = |key: &str| {
            let price = step.price(key, MILLION).map_err(|_| Skip::Inexact)?;
            Ok(price.filter(|price| !price.is_zero()))
        };
        let rule = PriceOverride {
            min_prompt_tokens: tokens,
            prompt: told("input")?,
            completion: told("output")?,
            input_cache_read: told("cache_read")?,
            input_cache_write: told("cache_write")?,
            ..PriceOverride::default()
        };
        let changes = rule.prompt.is_some() || rule.completion.is_some();
        if tokens > 0 && changes {
            steps.insert(tokens, rule);
        }
    }
    Ok(steps.into_values().collect())
}

/// The listing's words for kinds of content; others are skipped.
pub(super) fn kinds(texts: &[String]) -> Vec<Modality> {
    let kind = |text: &String| match text.as_str() {
        "pdf" => Some(Modality::File),
        other => Modality::parse(other),
    };
    let mut kinds: Vec<_> = texts.iter().filter_map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn abilities(line: &Object<'_>) -> Abilities {
    let options = line.objects("reasoning_options");
    let effort = options
        .iter()
        .any(|option| option.text("type").as_deref() == Some("effort"));
    Abilities {
        tools: line.flag("tool_call"),
        schema: line.flag("structured_output"),
        sampling: line.flag("temperature"),
        reasoning: line.flag("reasoning"),
        effort: effort.then_some(true),
        ..Abilities::default()
    }
}

fn thinking(line: &Object<'_>) -> Thinking {
    let mut thinking = Thinking::default();
    for option in line.objects("reasoning_options") {
        match option.text("type").as_deref() {
            Some("effort") => {
                let words = option.texts("values").unwrap_or_default();
                thinking.efforts = words.iter().filter_map(|w| EffortWord::parse(w)).collect();
                thinking.efforts.sort_unstable();
            }
            Some("toggle") => thinking.toggle = true,
            Some("budget_tokens") => thinking.budget = true,
            _ => {}
        }
    }
    thinking
}
