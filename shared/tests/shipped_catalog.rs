//! The catalogue in deploy/catalog: it is valid, as large as it says, and quick to load.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use shared::catalog::file;
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
