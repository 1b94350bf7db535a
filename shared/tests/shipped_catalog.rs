//! The catalogue in deploy/catalog: it is valid, as large as it says, and quick to load.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use shared::catalog::{Quirk, file};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn the_shipped_catalogue_is_valid_large_and_quick_to_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalog");
    let start = Instant::now();
    let files = file::read_dir(&folder).unwrap();
    let catalog = file::parse(&files).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );

    assert!(
        catalog.models.len() >= 400,
        "{} models",
        catalog.models.len()
    );
    let mut offers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut providers = BTreeSet::new();
    for endpoint in &catalog.endpoints {
        offers
            .entry(&endpoint.model)
            .or_default()
            .insert(&endpoint.provider);
        providers.insert(&endpoint.provider);
    }
    assert!(providers.len() >= 60, "{} providers", providers.len());
    assert_eq!(
        providers.len(),
        catalog.providers.len(),
        "a provider without an endpoint"
    );
    let joined = offers
        .values()
        .filter(|providers| providers.len() > 1)
        .count();
    assert!(joined >= 200, "{joined} models at several providers");
}

#[test]
fn equal_catalogues_have_equal_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalog");
    let catalog = file::parse(&file::read_dir(&folder).unwrap()).unwrap();
    let written = file::to_toml(&catalog);
    assert_eq!(file::parse(&written).unwrap(), catalog);
    assert_eq!(file::to_toml(&catalog), written);
}

#[test]
fn what_models_demand_is_said_of_their_offers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalog");
    let catalog = file::parse(&file::read_dir(&folder).unwrap()).unwrap();
    let provider = |slug: &str| {
        let mut providers = catalog.providers.iter();
        providers.find(|it| it.slug.as_str() == slug).unwrap()
    };
    let back = Quirk::ReasoningContentBack;
    for maker in ["deepseek", "moonshotai"] {
        assert!(provider(maker).quirks.contains(&back), "{maker}");
    }
    let mut count = 0;
    for endpoint in &catalog.endpoints {
        let (id, host) = (&endpoint.id, endpoint.provider.as_str());
        let own = &provider(host).quirks;
        let repeats = endpoint.quirks.iter().any(|quirk| own.contains(quirk));
        assert!(!repeats, "{id} repeats its provider");
        let thinks = ["deepseek-v4", "kimi-k2.6", "kimi-k3"];
        let thinks = thinks
            .iter()
            .any(|part| endpoint.model.as_str().contains(part));
        if thinks && ["fireworks", "novita", "siliconflow"].contains(&host) {
            assert!(endpoint.has(back, provider(host)), "{id}");
            let filled = Quirk::ReasoningContentFilled;
            if endpoint.model.as_str().contains("kimi-k2.6") {
                assert!(endpoint.has(filled, provider(host)), "{id}");
            }
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn models_that_refuse_an_old_name_are_told_by_the_new_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalog");
    let catalog = file::parse(&file::read_dir(&folder).unwrap()).unwrap();
    let starts = ["gpt-5", "gpt-6", "o1", "o3", "o4"];
    // Who serves OpenAI's models under OpenAI's own rules.
    let own = ["openai", "azure", "azure-foundry"];
    let mut seen = 0;
    for endpoint in &catalog.endpoints {
        let model = endpoint.provider_model.as_str();
        if !own.contains(&endpoint.provider.as_str())
            || !starts.iter().any(|s| model.starts_with(s))
        {
            continue;
        }
        let mut providers = catalog.providers.iter();
        let provider = providers.find(|p| p.slug == endpoint.provider).unwrap();
        let quirks = [&provider.quirks, &endpoint.quirks];
        let told = quirks
            .iter()
            .any(|q| q.contains(&Quirk::MaxCompletionTokens));
        assert!(told, "{}", endpoint.id);
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}
