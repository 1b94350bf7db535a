//! What a person should look at in a catalogue that was made: counts, prices far apart, and prices
//! that show that their source computed with floats.

use super::decisions::Decisions;
use super::report::Report;
use crate::catalog::{Catalog, Endpoint, Pricing};
use crate::id::ModelId;
use crate::money::Price;
use std::collections::{BTreeMap, BTreeSet};

/// From this many digits on, a price shows that its source computed with floats.
const NOISY_DIGITS: usize = 15;

/// Fills in the report's counts and its list of prices to look at.
pub(super) fn review(catalog: &Catalog, decisions: &Decisions, report: &mut Report) {
    let mut by_model: BTreeMap<&ModelId, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &catalog.endpoints {
        by_model.entry(&endpoint.model).or_default().push(endpoint);
    }
    let providers = |endpoints: &[&Endpoint]| {
        let slugs: BTreeSet<_> = endpoints
            .iter()
            .map(|endpoint| &endpoint.provider)
            .collect();
        slugs.len()
    };
    report.models = catalog.models.len();
    report.endpoints = catalog.endpoints.len();
    report.shared_models = by_model.values().filter(|list| providers(list) > 1).count();
    let used: BTreeSet<_> = catalog
        .endpoints
        .iter()
        .map(|endpoint| &endpoint.provider)
        .collect();
    report.providers = used.len();
    let idle = catalog
        .providers
        .iter()
        .filter(|provider| !used.contains(&provider.slug));
    report.idle_providers = idle.map(|provider| provider.slug.to_string()).collect();
    for (model, endpoints) in by_model {
        let decided = decisions
            .spreads
            .iter()
            .any(|spread| spread.models.iter().any(|id| id == model.as_str()));
        if !decided {
            report.suspicious.extend(spread(model, &endpoints));
        }
    }
    let prices = catalog
        .endpoints
        .iter()
        .flat_map(|endpoint| all_prices(&endpoint.pricing));
    report.noisy_prices = prices
        .filter(|price| digits(*price) >= NOISY_DIGITS)
        .count();
}

/// A line about a model whose dearest offer is more than eight times its cheapest.
fn spread(model: &ModelId, endpoints: &[&Endpoint]) -> Option<String> {
    let far = |pick: fn(&Pricing) -> Price| {
        let priced = || {
            endpoints
                .iter()
                .map(|endpoint| (pick(&endpoint.pricing), *endpoint))
        };
        let (low, cheap) = priced()
            .filter(|(price, _)| !price.is_zero())
            .min_by_key(|(price, _)| *price)?;
        let (high, dear) = priced().max_by_key(|(price, _)| *price)?;
        let ratio = high.to_f64_lossy() / low.to_f64_lossy();
        let names = format!(
            "{} {low} ({}), {} {high} ({})",
            cheap.tag, cheap.provider_model, dear.tag, dear.provider_model
        );
        (ratio > 8.0).then(|| format!("{model}: {names}"))
    };
    far(|pricing| pricing.prompt).or_else(|| far(|pricing| pricing.completion))
}

fn digits(price: Price) -> usize {
    let text = price.to_string();
    let significant = text.trim_start_matches(['0', '.']);
    significant.bytes().filter(u8::is_ascii_digit).count()
}

/// Every price of an endpoint, the base ones first.
fn all_prices(pricing: &Pricing) -> Vec<Price> {
    let base = [
        Some(pricing.prompt),
        Some(pricing.completion),
        pricing.request,
        pricing.image,
        pricing.image_token,
        pricing.image_output,
        pricing.audio,
        pricing.audio_output,
        pricing.input_audio_cache,
        pricing.web_search,
        pricing.maps,
        pricing.citation,
        pricing.internal_reasoning,
        pricing.input_cache_read,
        pricing.input_cache_write,
        pricing.input_cache_write_1h,
    ];
    let steps = pricing.overrides.iter().flat_map(|rule| {
        [
            rule.prompt,
            rule.completion,
            rule.internal_reasoning,
            rule.input_cache_read,
            rule.input_cache_write,
            rule.input_cache_write_1h,
        ]
    });
    base.into_iter().chain(steps).flatten().collect()
}
