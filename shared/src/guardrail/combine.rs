//! Several guardrails into what holds: allowlists intersect, ignore lists unite, zero retention and
//! bans are any's, filters unite and the strongest action wins, budgets stay apart. Associative up
//! to order, commutative, and never looser than a part.

use super::words::both;
use super::{
    Budget, BuiltinFilter, Check, ContentFilter, Filter, Guardrail, Place, Rules, Scope, Zdr,
};
use crate::id::ModelId;
use std::collections::BTreeMap;

/// What stands in the place of a redacted text whose filter has no label.
const DEFAULT_LABEL: &str = "REDACTED";

/// A guardrail that applies.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Its id.
    pub id: &'a str,
    /// How it came to apply: `key`, `member`, `workspace` or `organization`.
    pub assigned: &'a str,
    /// What it says.
    pub guardrail: &'a Guardrail,
}

/// What holds under all of these.
#[must_use]
pub fn combine(layers: &[Layer<'_>]) -> Rules {
    let parts = layers.iter().map(of_one);
    parts.fold(Rules::default(), |all, one| all.and(one))
}

/// What one guardrail says by itself.
fn of_one(layer: &Layer<'_>) -> Rules {
    let it = layer.guardrail;
    let models = |list: &Option<Vec<String>>| {
        let words = list.as_ref()?.iter();
        // As they are compared: in lower case.
        let words = words.map(|id| ModelId::from(id.to_ascii_lowercase()));
        Some(sorted(words.collect()))
    };
    let words = |list: &Option<Vec<String>>| {
        let words = list.as_ref()?.iter();
        Some(sorted(
            words.map(|word| word.to_ascii_lowercase()).collect(),
        ))
    };
    let budget = it.limit_usd.map(|limit| Budget {
        guardrail: layer.id.to_owned(),
        assigned: layer.assigned.to_owned(),
        limit,
        reset: it.reset_interval,
        include_byok: it.include_byok_in_budgets.unwrap_or(false),
    });
    let regions = it.allowed_data_regions.clone().map(sorted);
    Rules {
        allowed_models: models(&it.allowed_models),
        ignored_models: models(&it.ignored_models).unwrap_or_default(),
        allowed_providers: words(&it.allowed_providers),
        ignored_providers: words(&it.ignored_providers).unwrap_or_default(),
        zdr: it.zdr(),
        no_paid_training: it.enable_paid_model_training == Some(false),
        no_free_training: it.enable_free_model_training == Some(false),
        no_free_publication: it.enable_free_model_publication == Some(false),
        // Anywhere is no rule.
        regions: regions.filter(|all| !all.contains(&Place::Global)),
        filters: filters_of(it),
        budgets: budget.into_iter().collect(),
    }
}

fn filters_of(guardrail: &Guardrail) -> Vec<Filter> {
    let own = guardrail.content_filters.iter().flatten();
    let own = own.map(
        |ContentFilter {
             pattern,
             action,
             label,
         }| {
            let label = label.as_deref().filter(|label| !label.is_empty());
            Filter {
                check: Check::Pattern(pattern.clone()),
                action: *action,
                label: label.unwrap_or(DEFAULT_LABEL).to_owned(),
            }
        },
    );
    let builtin = guardrail.content_filter_builtins.iter().flatten();
    let builtin = builtin.map(
        |BuiltinFilter {
             slug,
             action,
             scan_scope,
         }| Filter {
            check: Check::Builtin {
                slug: *slug,
                scope: scan_scope.unwrap_or(Scope::UserOnly),
            },
            action: *action,
            label: slug.as_str().to_owned(),
        },
    );
    strongest(own.chain(builtin))
}

/// Each check once, with its strongest action; of equals the first label.
fn strongest(filters: impl Iterator<Item = Filter>) -> Vec<Filter> {
    let mut all: BTreeMap<Check, Filter> = BTreeMap::new();
    for filter in filters {
        match all.get_mut(&filter.check) {
            Some(known) => {
                let stronger = filter.action > known.action;
                let named_before = filter.action == known.action && filter.label < known.label;
                if stronger || named_before {
                    *known = filter;
                }
            }
            None => {
                all.insert(filter.check.clone(), filter);
            }
        }
    }
    all.into_values().collect()
}

impl Rules {
    /// What holds under both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut budgets = self.budgets;
        budgets.extend(other.budgets);
        let mut ignored_models = self.ignored_models;
        ignored_models.extend(other.ignored_models);
        let mut ignored_providers = self.ignored_providers;
        ignored_providers.extend(other.ignored_providers);
        Self {
            allowed_models: intersection(self.allowed_models, other.allowed_models, common),
            ignored_models: sorted(ignored_models),
            allowed_providers: intersection(self.allowed_providers, other.allowed_providers, both),
            ignored_providers: sorted(ignored_providers),
            zdr: self.zdr.or(other.zdr),
            no_paid_training: self.no_paid_training || other.no_paid_training,
            no_free_training: self.no_free_training || other.no_free_training,
            no_free_publication: self.no_free_publication || other.no_free_publication,
            regions: intersection(self.regions, other.regions, common),
            filters: strongest(self.filters.into_iter().chain(other.filters)),
            budgets: sorted(budgets),
        }
    }
}

impl Zdr {
    const fn or(self, other: Self) -> Self {
        Self {
            anthropic: self.anthropic || other.anthropic,
            openai: self.openai || other.openai,
            google: self.google || other.google,
            xai: self.xai || other.xai,
            other: self.other || other.other,
        }
    }
}

/// No list is no rule; two lists leave what both allow.
fn intersection<T: Ord>(
    one: Option<Vec<T>>,
    other: Option<Vec<T>>,
    both: fn(&[T], &[T]) -> Vec<T>,
) -> Option<Vec<T>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(sorted(both(&one, &other))),
        (one, None) => one,
        (None, other) => other,
    }
}

fn common<T: Ord + Clone>(one: &[T], other: &[T]) -> Vec<T> {
    one.iter()
        .filter(|it| other.contains(it))
        .cloned()
        .collect()
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
