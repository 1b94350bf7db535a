//! From what the client wrote to models of the catalogue: exact ids first, so that a catalogue
//! suffix such as `:free` is just a model; then suffixes that route, in any order with at most one
//! of the catalogue.

use super::{Demand, Refusal};
use crate::catalog::{Model, Tier};
use crate::ranking::Mode;
use crate::snapshot::{EndpointIndex, Snapshot};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;

/// The most suggestions for an unknown model.
const NEAREST_MAX: usize = 3;
/// The most fallback models that are looked at.
const MODELS_MAX: usize = 32;
/// Longer names get no suggestions: comparing them would cost too much.
const NAME_MAX: usize = 100;

/// A model that the client asks for, and how.
pub(super) struct Wanted<'a> {
    pub(super) model: &'a Arc<Model>,
    /// All that offer it.
    pub(super) endpoints: &'a [EndpointIndex],
    /// The strict order that a suffix asks for.
    pub(super) sort: Option<Mode>,
    /// The suffix asks for those whose tool calls can be relied on.
    pub(super) exacto: bool,
    /// The service tier that a suffix admits.
    pub(super) tier: Option<Tier>,
    /// All models are asked for with the same order.
    pub(super) alike: bool,
}

impl<'a> Wanted<'a> {
    /// A model as a suffix that routes asks for it.
    pub(super) fn of(
        (model, endpoints): (&'a Arc<Model>, &'a [EndpointIndex]),
        routes: Option<&str>,
    ) -> Self {
        let (sort, tier) = match routes {
            Some("nitro") => (Some(Mode::Throughput), Some(Tier::Priority)),
            Some("floor") => (Some(Mode::Price), Some(Tier::Flex)),
            _ => (None, None),
        };
        Self {
            model,
            endpoints,
            sort,
            exacto: routes == Some("exacto"),
            tier,
            alike: false,
        }
    }
}

/// Models; as many as most requests name need no allocation.
pub(super) type Models<'a> = SmallVec<[Wanted<'a>; 4]>;

/// The models asked for, in order, without repetitions. Unknown ones are passed over as long as
/// there is a known one, and so are those that give something else than is asked for: a fallback is
/// for that, too.
pub(super) fn resolve<'a>(snapshot: &'a Snapshot, demand: &Demand) -> Result<Models<'a>, Refusal> {
    let mut all = Models::new();
    let names = std::iter::once(&demand.model).chain(&demand.fallback_models);
    for name in names.take(MODELS_MAX) {
        let Some(wanted) = find(snapshot, name) else {
            continue;
        };
        if all.iter().all(|known| known.model.id != wanted.model.id) {
            all.push(wanted);
        }
    }
    if all.is_empty() {
        return Err(Refusal::ModelNotFound {
            model: demand.model.clone(),
            nearest: nearest(snapshot, &demand.model),
        });
    }
    let gives = |wanted: &Wanted<'_>| demand.gets(wanted.model);
    if let Some(first) = all.first()
        && !all.iter().any(gives)
    {
        return Err(Refusal::WrongOutput {
            model: first.model.id.clone(),
            gives: first.model.output_modalities.clone(),
        });
    }
    all.retain(|wanted| gives(wanted));
    let order = |wanted: &Wanted<'_>| (wanted.sort, wanted.exacto);
    let first = all.first().map(order);
    let alike = all.iter().all(|wanted| Some(order(wanted)) == first);
    for wanted in &mut all {
        wanted.alike = alike;
    }
    Ok(all)
}

/// The model that a name stands for, suffixes that route included.
#[must_use]
pub fn resolved<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Arc<Model>> {
    snapshot.model(name).or_else(|| {
        let suffixes = Suffixes::of(name)?;
        suffixes.routes?;
        snapshot.model(&suffixes.name())
    })
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Option<Wanted<'a>> {
    if let Some(found) = snapshot.model_with_endpoints(name) {
        return Some(Wanted::of(found, None));
    }
    let suffixes = Suffixes::of(name)?;
    suffixes.routes?;
    let found = snapshot.model_with_endpoints(&suffixes.name())?;
    Some(Wanted::of(found, suffixes.routes))
}

/// A name whose suffixes are taken apart.
pub(super) struct Suffixes<'a> {
    /// Without any.
    base: &'a str,
    /// The one of the catalogue.
    pub(super) variant: Option<&'a str>,
    /// The last one that routes: it wins.
    pub(super) routes: Option<&'a str>,
}

impl<'a> Suffixes<'a> {
    /// None when there is more than one of the catalogue.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let (base, rest) = match name.split_once(':') {
            Some((base, rest)) => (base, Some(rest)),
            None => (name, None),
        };
        let (mut variant, mut routes) = (None, None);
        for suffix in rest.into_iter().flat_map(|rest| rest.split(':')) {
            match suffix {
                "nitro" | "floor" | "exacto" => routes = Some(suffix),
                _ if variant.is_none() => variant = Some(suffix),
                _ => return None,
            }
        }
        Some(Self {
            base,
            variant,
            routes,
        })
    }

    /// Without those that route.
    fn name(&self) -> Cow<'a, str> {
        match self.variant {
            None => Cow::Borrowed(self.base),
            Some(variant) => Cow::Owned(format!("{}:{variant}", self.base)),
        }
    }
}

fn nearest(snapshot: &Snapshot, name: &str) -> Vec<String> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Vec::new();
    }
    let name = name.to_ascii_lowercase();
    let slug = |id: &str| {
        id.rsplit('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let wanted = slug(&name);
    let mut scored: Vec<_> = snapshot
        .models()
        .iter()
        .filter_map(|model| {
            let id = model.id.as_str().to_ascii_lowercase();
            let known = slug(&id);
            let distance = if known == wanted {
                0
            } else if known.contains(&wanted) || wanted.contains(&known) {
                1 + known.len().abs_diff(wanted.len()) / 4
            } else {
                distance(wanted.as_bytes(), known.as_bytes())
            };
            (distance <= (wanted.len().max(known.len()) / 3).max(2))
                .then_some((distance, &model.id))
        })
        .collect();
    scored.sort();
    let best = scored.into_iter().take(NEAREST_MAX);
    best.map(|(_, id)| id.to_string()).collect()
}

/// Levenshtein's, one row at a time.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, from) in a.iter().enumerate() {
        let mut left = at + 1;
        let mut diagonal = at;
        for (cell, to) in row.iter_mut().skip(1).zip(b) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expect) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expect, "{a} {b}");
        }
    }
}
