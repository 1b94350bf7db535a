//! pydantic's genai-prices as a second opinion: where the same provider and id has another price.
//! Nothing is taken from it.

use super::json::Object;
use crate::catalog::Catalog;
use serde_json::value::RawValue;

/// The list's provider ids and ours, where they differ.
const PROVIDERS: &[(&str, &str)] = &[
    ("google", "google-ai-studio"),
    ("aws", "amazon-bedrock"),
    ("x-ai", "xai"),
    ("zhipuai", "z-ai"),
];

/// Prices are per 10^6 tokens.
const MILLION: u8 = 6;

/// A line per endpoint whose plain prompt or completion price differs.
pub(super) fn compare(text: &str, catalog: &Catalog) -> Result<Vec<String>, serde_json::Error> {
    let providers: Vec<&RawValue> = serde_json::from_str(text)?;
    let mut lines = Vec::new();
    for provider in providers {
        let provider = Object::parse(provider.get())?;
        let id = provider.text("id").unwrap_or_default();
        let slug = PROVIDERS
            .iter()
            .find(|(theirs, _)| *theirs == id)
            .map_or(id.as_str(), |(_, ours)| ours);
        for model in provider.objects("models") {
            let name = model.text("id").unwrap_or_default();
            // A list of conditional prices is no single price.
            let Some(prices) = model.object("prices") else {
                continue;
            };
            let theirs = |key: &str| prices.price(key, MILLION).ok().flatten();
            let (prompt, completion) = (theirs("input_mtok"), theirs("output_mtok"));
            let ours = catalog.endpoints.iter().find(|endpoint| {
                endpoint.provider.as_str() == slug
                    && endpoint.provider_model.eq_ignore_ascii_case(&name)
            });
            let Some(endpoint) = ours else { continue };
            let pricing = &endpoint.pricing;
            let differs = prompt.is_some_and(|p| p != pricing.prompt)
                || completion.is_some_and(|c| c != pricing.completion);
            if let (true, Some(prompt), Some(completion)) = (differs, prompt, completion) {
                let (p, c) = (pricing.prompt, pricing.completion);
                lines.push(format!(
                    "{}: {p}/{c} here, {prompt}/{completion} there",
                    endpoint.id
                ));
            }
        }
    }
    lines.sort();
    Ok(lines)
}
