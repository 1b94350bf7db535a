//! The scenario's offers as the catalogue that the production code reads.

use crate::scenario::{Kind, Offer, Scenario};
use crate::world::{OUTPUT_PRICE, PROMPT_PRICE};
use shared::catalog::file;
use shared::id::{EndpointId, Version};
use shared::snapshot::Snapshot;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A model's id.
pub(super) fn model_id(model: usize) -> String {
    format!("simulated/model-{model}")
}

/// An offer's endpoint.
pub(super) fn endpoint_id(offer: &Offer) -> EndpointId {
    let (model, provider) = (model_id(offer.model), provider_slug(offer.provider));
    EndpointId::from(format!("{model}@{provider}"))
}

fn provider_slug(provider: usize) -> String {
    format!("provider-{provider}")
}

/// The catalogue. Empty when it can't be read, which would show as no request being served.
pub(super) fn snapshot(scenario: &Scenario) -> Snapshot {
    let files = BTreeMap::from([("simulated.toml".to_owned(), text(scenario))]);
    let catalog = file::parse(&files).unwrap_or_default();
    Snapshot::from_catalog(Version::default(), &catalog).unwrap_or_default()
}

fn text(scenario: &Scenario) -> String {
    let mut text = String::new();
    for provider in 0..scenario.providers {
        let slug = provider_slug(provider);
        let _ = writeln!(
            text,
            "[[providers]]\nslug = \"{slug}\"\ndialect = \"openai-chat\"\n\
             base_url = \"http://127.0.0.1:9/v1\"\nregions = [\"us-east\"]\n\
             timeouts = {{ connect_ms = 2000, first_token_ms = 10000, stall_ms = 10000, total_ms = 600000 }}"
        );
        // With one offer each, the account's limit is the offer's.
        let offer = scenario.offers.iter().find(|it| it.provider == provider);
        if let Some(offer) = offer.filter(|_| scenario.kind == Kind::Standard) {
            let (minute, concurrent) = ((offer.limit * 60.0) as u32, offer.concurrent as u32);
            let _ = writeln!(
                text,
                "limits = {{ requests_per_minute = {minute}, concurrent = {concurrent} }}"
            );
        }
    }
    for model in 0..scenario.models {
        let id = model_id(model);
        let _ = writeln!(text, "[[models]]\nid = \"{id}\"\ncontext_length = 131072");
    }
    for offer in &scenario.offers {
        let (model, provider) = (model_id(offer.model), provider_slug(offer.provider));
        let token = offer.price / 1e6;
        let (prompt, completion) = match scenario.kind {
            Kind::Standard => (token, token),
            Kind::Extended => (PROMPT_PRICE * token, OUTPUT_PRICE * token),
        };
        let cached = prompt * offer.cached;
        let _ = writeln!(
            text,
            "[[endpoints]]\nmodel = \"{model}\"\nprovider = \"{provider}\"\n\
             provider_model = \"m\"\npricing = {{ prompt = \"{prompt:.12}\", \
             completion = \"{completion:.12}\", input_cache_read = \"{cached:.12}\" }}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offer_is_an_endpoint() {
        for kind in [Kind::Standard, Kind::Extended] {
            let scenario = Scenario::new(kind, 12, 0).unwrap();
            let snapshot = snapshot(&scenario);
            assert_eq!(snapshot.endpoints().len(), scenario.offers.len());
            for offer in &scenario.offers {
                assert!(snapshot.index_of(&endpoint_id(offer)).is_some());
            }
        }
    }
}
