//! Which models a client of the listing wants besides those that take and give the right kinds of
//! content, and in which order: prices, sizes, makers, providers, policies. Pure; what the fleet
//! measured is asked of the caller. Popularity and benchmarks are not known here.

use crate::catalog::{DataRegion, Endpoint, Model, text_enum};
use crate::money::Price;
use crate::snapshot::Snapshot;
use std::sync::Arc;

text_enum! {
    /// The orders of the listing that there are facts for; OpenRouter's words.
    Sort {
        /// The youngest first.
        Newest = "newest",
        /// By the cheapest endpoint's prompt, then completion.
        PriceUp = "pricing-low-to-high",
        /// The same, the other way.
        PriceDown = "pricing-high-to-low",
        /// The longest context first.
        Context = "context-high-to-low",
        /// The fastest endpoint's median first; what is not measured comes last.
        Throughput = "throughput-high-to-low",
        /// The soonest endpoint's median first; what is not measured comes last.
        Latency = "latency-low-to-high",
    }
}

/// What the fleet measured of an endpoint: tenths of tokens per second and milliseconds to the
/// first token, medians; 0 is unknown.
pub type Measured<'a> = &'a dyn Fn(&Endpoint) -> (u32, u32);

/// Bounds and an order; nothing is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// At least so many tokens of context.
    pub context: Option<u64>,
    /// USD per prompt token of the cheapest endpoint: at least, at most.
    pub prompt: (Option<Price>, Option<Price>),
    /// USD per completion token of the cheapest endpoint: at least, at most.
    pub completion: (Option<Price>, Option<Price>),
    /// The tokenizer's family.
    pub tokenizer: Option<String>,
    /// One of these authors; empty is any.
    pub authors: Vec<String>,
    /// At one of these providers, by slug or name; empty is any.
    pub providers: Vec<String>,
    /// The author permits, or is not known to permit, training on its text.
    pub distillable: Option<bool>,
    /// At some provider with zero data retention.
    pub zdr: bool,
    /// At some endpoint that surely serves there.
    pub region: Option<DataRegion>,
    /// Created not before, not after, in seconds since 1970.
    pub created: (Option<u64>, Option<u64>),
    /// The order; none is by id.
    pub sort: Option<Sort>,
}

impl Choice {
    /// True when it leaves nothing out.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        let sort = self.sort;
        *self
            == Self {
                sort,
                ..Self::default()
            }
    }

    pub(super) fn takes(&self, snapshot: &Snapshot, model: &Model) -> bool {
        self.takes_all() || (self.fits(model) && self.is_served(snapshot, model))
    }

    fn fits(&self, model: &Model) -> bool {
        let author = model.id.as_str().split('/').next().unwrap_or_default();
        let is_named = |all: &[String], name: &str| {
            all.is_empty() || all.iter().any(|it| it.eq_ignore_ascii_case(name))
        };
        let tokenizer = self.tokenizer.as_ref();
        self.context
            .is_none_or(|least| model.context_length >= least)
            && tokenizer.is_none_or(|it| it.eq_ignore_ascii_case(&model.tokenizer))
            && is_named(&self.authors, author)
            && self.distillable.is_none_or(|it| it == model.distillable)
            && within(self.created, model.created)
    }

    fn is_served(&self, snapshot: &Snapshot, model: &Model) -> bool {
        let endpoints = super::endpoints(snapshot, model);
        let cheapest = super::cheapest(&endpoints);
        let price = |of: fn(&Endpoint) -> Price| cheapest.map(|it| of(it)).unwrap_or_default();
        let priced = within(self.prompt, price(|it| it.pricing.prompt))
            && within(self.completion, price(|it| it.pricing.completion));
        let served = self.providers.is_empty() && !self.zdr && self.region.is_none();
        priced && (served || endpoints.iter().any(|it| self.takes_endpoint(snapshot, it)))
    }

    fn takes_endpoint(&self, snapshot: &Snapshot, endpoint: &Endpoint) -> bool {
        let Some(provider) = snapshot.provider(endpoint.provider.as_str()) else {
            return false;
        };
        let data = provider.data_policy;
        let named = |word: &String| {
            word.eq_ignore_ascii_case(provider.slug.as_str())
                || word.eq_ignore_ascii_case(&provider.name)
        };
        (self.providers.is_empty() || self.providers.iter().any(named))
            && (!self.zdr || (!data.training && data.retention_days == Some(0)))
            && self
                .region
                .is_none_or(|region| region.contains(endpoint, provider))
    }

    /// Puts models in order; equal ones stay as they stand.
    pub(super) fn arrange(
        &self,
        models: &mut [&Arc<Model>],
        snapshot: &Snapshot,
        measured: Measured<'_>,
    ) {
        let price = |model: &Model| {
            let endpoints = super::endpoints(snapshot, model);
            let cheapest = super::cheapest(&endpoints);
            cheapest.map(|it| (it.pricing.prompt, it.pricing.completion))
        };
        let best = |model: &Model, of: fn((u32, u32)) -> u32| {
            let endpoints = super::endpoints(snapshot, model);
            let known = endpoints.iter().map(|it| of(measured(it)));
            known.filter(|it| *it > 0).min().unwrap_or(u32::MAX)
        };
        let reverse = std::cmp::Reverse::<u64>;
        match self.sort {
            None => {}
            Some(Sort::Newest) => models.sort_by_key(|it| reverse(it.created)),
            Some(Sort::Context) => models.sort_by_key(|it| reverse(it.context_length)),
            // Who serves nothing comes last in either direction.
            Some(Sort::PriceUp) => {
                models.sort_by_cached_key(|it| price(it).map_or((1, None), |it| (0, Some(it))));
            }
            Some(Sort::PriceDown) => {
                models.sort_by_cached_key(|it| std::cmp::Reverse(price(it)));
            }
            Some(Sort::Latency) => models.sort_by_cached_key(|it| best(it, |known| known.1)),
            Some(Sort::Throughput) => models.sort_by_cached_key(|it| {
                best(it, |known| match known.0 {
                    0 => 0,
                    tenths => u32::MAX - tenths,
                })
            }),
        }
    }
}

fn within<T: Copy + PartialOrd>((least, most): (Option<T>, Option<T>), value: T) -> bool {
    least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::id::Version;
    use crate::snapshot::tests::catalog;

    fn snapshot() -> Snapshot {
        let mut catalog: Catalog = catalog(3, 3, 1);
        for (at, (created, context, price)) in [
            (10, 300, "0.000003"),
            (30, 100, "0.000001"),
            (20, 200, "0.000002"),
        ]
        .iter()
        .enumerate()
        {
            let model = Arc::make_mut(&mut catalog.models[at]);
            (model.created, model.context_length) = (*created, 1000 * context);
            model.distillable = at == 1;
            let endpoint = Arc::make_mut(&mut catalog.endpoints[at]);
            endpoint.provider = format!("p{at}").into();
            endpoint.pricing.prompt = price.parse().unwrap();
        }
        let german = Arc::make_mut(&mut catalog.providers[2]);
        german.datacenters = vec!["DE".to_owned()];
        let keeps = Arc::make_mut(&mut catalog.providers[0]);
        keeps.data_policy.retention_days = None;
        Snapshot::from_catalog(Version::default(), &catalog).unwrap()
    }

    fn listed(choice: &Choice) -> String {
        let snapshot = snapshot();
        let all = snapshot.models().iter();
        let mut models: Vec<_> = all.filter(|it| choice.takes(&snapshot, it)).collect();
        let measured = |endpoint: &Endpoint| match endpoint.provider.as_str() {
            "p0" => (500, 300),
            "p1" => (900, 100),
            _ => (0, 0),
        };
        choice.arrange(&mut models, &snapshot, &measured);
        let ids: Vec<_> = models.iter().map(|it| &it.id.as_str()[..2]).collect();
        ids.join(" ")
    }

    #[test]
    fn each_bound_and_each_order() {
        let check = |change: fn(&mut Choice), expect: &str| {
            let mut choice = Choice::default();
            change(&mut choice);
            assert_eq!(listed(&choice), expect, "{choice:?}");
        };
        check(|_| {}, "m0 m1 m2");
        check(|it| it.context = Some(200_000), "m0 m2");
        check(|it| it.prompt.1 = "0.000002".parse().ok(), "m1 m2");
        check(|it| it.prompt.0 = "0.000002".parse().ok(), "m0 m2");
        check(|it| it.authors = vec!["M1".to_owned()], "m1");
        check(
            |it| it.providers = vec!["p0".to_owned(), "provider 2".to_owned()],
            "m0 m2",
        );
        check(|it| it.distillable = Some(true), "m1");
        check(|it| it.distillable = Some(false), "m0 m2");
        check(|it| it.zdr = true, "m1 m2");
        check(|it| it.region = Some(DataRegion::Eu), "m2");
        check(|it| it.created = (Some(15), Some(25)), "m2");
        check(|it| it.tokenizer = Some("gpt".to_owned()), "");
        check(|it| it.sort = Some(Sort::Newest), "m1 m2 m0");
        check(|it| it.sort = Some(Sort::Context), "m0 m2 m1");
        check(|it| it.sort = Some(Sort::PriceUp), "m1 m2 m0");
        check(|it| it.sort = Some(Sort::PriceDown), "m0 m2 m1");
        check(|it| it.sort = Some(Sort::Latency), "m1 m0 m2");
        check(|it| it.sort = Some(Sort::Throughput), "m1 m0 m2");
    }
}
