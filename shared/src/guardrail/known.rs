//! Names that a guardrail may use: those of the catalogue. A mistyped name in an ignore list would
//! ignore nothing, and nobody would see it.

use super::Guardrail;
use super::model::base;
use crate::snapshot::Snapshot;
use std::collections::HashSet;

impl Guardrail {
    /// Checks that the catalogue knows the models and providers in the lists, in any case. What
    /// `before` had may stay: the catalogue may have lost it since.
    ///
    /// # Errors
    /// In words: the member, its first unknown name and what to do.
    pub fn check_names(&self, before: &Self, catalog: &Snapshot) -> Result<(), String> {
        let new = |list: &Option<Vec<String>>, old: &Option<Vec<String>>| -> Vec<(usize, String)> {
            let all = list.iter().flatten().enumerate();
            let fresh = all.filter(|(_, word)| !old.iter().flatten().any(|it| it == *word));
            fresh
                .map(|(at, word)| (at, word.to_ascii_lowercase()))
                .collect()
        };
        let unknown = |member: &str, words: &[(usize, String)], known: &HashSet<String>| {
            let found = words.iter().find(|(_, word)| !known.contains(word));
            found.map_or(Ok(()), |(at, word)| {
                Err(format!(
                    "{member}[{at}]: the catalogue has no {word:?}; GET /models and GET \
                     /providers tell the names that it has"
                ))
            })
        };
        let allowed = new(&self.allowed_models, &before.allowed_models);
        let ignored = new(&self.ignored_models, &before.ignored_models);
        if !(allowed.is_empty() && ignored.is_empty()) {
            let mut names = models(catalog);
            unknown("allowed_models", &allowed, &names)?;
            let bases: Vec<_> = names.iter().map(|name| base(name).to_owned()).collect();
            names.extend(bases);
            unknown("ignored_models", &ignored, &names)?;
        }
        let allowed = new(&self.allowed_providers, &before.allowed_providers);
        let ignored = new(&self.ignored_providers, &before.ignored_providers);
        if !(allowed.is_empty() && ignored.is_empty()) {
            let names = providers(catalog);
            unknown("allowed_providers", &allowed, &names)?;
            unknown("ignored_providers", &ignored, &names)?;
        }
        Ok(())
    }
}

/// Ids and canonical slugs, in lower case.
fn models(catalog: &Snapshot) -> HashSet<String> {
    let models = catalog.models().iter();
    let names = models.flat_map(|model| {
        let slug = model.canonical_slug.as_deref();
        std::iter::once(model.id.as_str()).chain(slug)
    });
    names.map(str::to_ascii_lowercase).collect()
}

/// Slugs and names of providers, tags of endpoints and what tags begin with, in lower case; as
/// words of requests are read.
fn providers(catalog: &Snapshot) -> HashSet<String> {
    let mut names = HashSet::new();
    for provider in catalog.providers() {
        names.insert(provider.slug.as_str().to_ascii_lowercase());
        names.insert(provider.name.to_ascii_lowercase());
    }
    for endpoint in catalog.endpoints() {
        let tag = endpoint.tag.to_ascii_lowercase();
        if let Some(tier) = endpoint.tier() {
            let base = endpoint.tag_without_tier().to_ascii_lowercase();
            let of_tier = beginnings(&base).map(|word| format!("{word}/{}", tier.as_str()));
            names.extend(of_tier);
        }
        names.extend(beginnings(&tag).map(str::to_owned));
    }
    names
}

/// A tag, and each part of it that ends before a slash.
fn beginnings(tag: &str) -> impl Iterator<Item = &str> {
    let ends = tag.match_indices('/').filter_map(|(at, _)| tag.get(..at));
    ends.chain(std::iter::once(tag))
}
