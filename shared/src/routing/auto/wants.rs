//! What a router's suffixes and the client's bounds leave of the models that could stand in for it.

use super::{Options, Router, pattern};
use crate::id::ModelId;
use crate::routing::View;
use crate::routing::resolve::Suffixes;

/// Why no model stands in for a router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nothing {
    /// No model has the variant that the suffix names, or it names several.
    Variant,
    /// No model costs nothing.
    Free,
    /// The client's own bounds allow none.
    Bounds,
}

/// What the suffixes of a router ask of the models that stand in for it.
#[derive(Clone, Copy)]
pub(super) struct Wants<'a> {
    /// Only what costs nothing.
    pub(super) free: bool,
    /// Only this variant of the catalogue.
    variant: Option<&'a str>,
    /// How their endpoints are ordered.
    pub(super) routes: Option<&'a str>,
    /// It was a suffix that asked for a variant, and so a model's name stands for it, too.
    by_suffix: bool,
}

impl<'a> Wants<'a> {
    /// None when more than one variant is asked for.
    pub(super) fn of(router: Router, suffix: &'a str) -> Option<Self> {
        let suffixes = Suffixes::of(suffix)?;
        let free = suffixes.variant == Some("free");
        Some(Self {
            free: free || router == Router::Free,
            variant: suffixes.variant.filter(|_| !free),
            routes: suffixes.routes,
            by_suffix: suffixes.variant.is_some(),
        })
    }

    /// The model that is meant where this one stands; none where it has no such variant.
    pub(super) fn variant_of(&self, view: &View, id: &ModelId) -> Option<ModelId> {
        let as_variant = |id: &ModelId, word: &str| {
            if id.as_str().split(':').skip(1).any(|one| one == word) {
                return Some(id.clone());
            }
            let model = view.snapshot.model(&format!("{id}:{word}"));
            model.map(|model| model.id.clone())
        };
        let id = match self.variant {
            Some(word) => as_variant(id, word)?,
            None => id.clone(),
        };
        if !self.free || costs_nothing(view, &id) {
            return Some(id);
        }
        as_variant(&id, "free").filter(|id| costs_nothing(view, id))
    }

    /// The name of a model that is chosen.
    pub(super) fn name(&self, id: &ModelId) -> String {
        match self.routes {
            Some(word) => format!("{id}:{word}"),
            None => id.to_string(),
        }
    }

    /// Do the client's bounds allow the model?
    pub(super) fn allow(&self, options: &Options, id: &ModelId) -> bool {
        let id = id.as_str();
        let bare = id.split_once(':').filter(|_| self.by_suffix);
        let fits = |patterns: &[String]| {
            let fits = |id: &str| patterns.iter().any(|it| pattern::fits(it, id));
            fits(id) || bare.is_some_and(|(bare, _)| fits(bare))
        };
        let listed = options.allowed_models.is_empty() || fits(&options.allowed_models);
        listed && !fits(&options.excluded_models)
    }

    /// Why there is none at all.
    pub(super) fn why_nothing(self, view: &View) -> Nothing {
        let has = |wants: Self| {
            let mut models = view.snapshot.models().iter();
            models.any(|model| wants.variant_of(view, &model.id).is_some())
        };
        let paid = Self {
            free: false,
            ..self
        };
        if has(self) {
            Nothing::Bounds
        } else if self.free && has(paid) {
            Nothing::Free
        } else {
            Nothing::Variant
        }
    }
}

/// What a model's endpoints cost, USD per token of a usual mix.
pub(super) fn prices(view: &View, id: &ModelId) -> impl Iterator<Item = f64> {
    let indexes = view.snapshot.endpoints_of(id.as_str()).iter();
    indexes.filter_map(|index| Some(view.known(*index)?.price))
}

fn costs_nothing(view: &View, id: &ModelId) -> bool {
    prices(view, id).all(|price| price <= 0.0)
}
