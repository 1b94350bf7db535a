//! Which models the lists of rules are about. A model has an id and may have a canonical slug, both
//! are names of it; a variant of the catalogue, such as `:free`, is a model of its own. An
//! allowlist names exactly; what is ignored is ignored with its variants, under every name.

use super::Rules;
use crate::catalog::Model;
use crate::id::ModelId;

impl Rules {
    /// May this model be used, as far as the allowlist says. `is_it` tells whether a name that is
    /// not the model's id stands for it: a canonical slug may be another model's id.
    pub fn allows_model(&self, model: &Model, is_it: impl FnOnce(&str) -> bool) -> bool {
        let Some(allowed) = &self.allowed_models else {
            return true;
        };
        let slug = model.canonical_slug.as_deref();
        lists(allowed, model.id.as_str())
            || slug.is_some_and(|slug| lists(allowed, slug) && is_it(slug))
    }

    /// Is this model ignored.
    #[must_use]
    pub fn ignores_model(&self, model: &Model) -> bool {
        let ignored = &self.ignored_models;
        let named = |name: &str| lists(ignored, name) || lists(ignored, base(name));
        !ignored.is_empty()
            && (named(model.id.as_str()) || model.canonical_slug.as_deref().is_some_and(named))
    }
}

/// A name without the variant.
pub(super) fn base(name: &str) -> &str {
    name.split_once(':').map_or(name, |(base, _)| base)
}

/// Is the name in the list, which is sorted and in lower case?
fn lists(sorted: &[ModelId], name: &str) -> bool {
    let lower = || name.bytes().map(|byte| byte.to_ascii_lowercase());
    sorted
        .binary_search_by(|known| known.as_str().bytes().cmp(lower()))
        .is_ok()
}
