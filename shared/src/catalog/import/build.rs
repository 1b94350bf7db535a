//! Offers, and the models they are of, made a catalogue: one endpoint per provider, precision and
//! speed tier of a model.

use super::card::Card;
use super::decisions::Decisions;
use super::join::{Registry, offer_name, slug_name};
use super::name::Tail;
use super::offer::{List, Offer, Skip};
use super::parameters;
use super::report::Report;
use crate::catalog::{Catalog, Endpoint, Model, Pricing, Provider, Quantization};
use crate::id::{EndpointId, ModelId};
use crate::money::Price;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// No model costs more than 2,000 USD per million tokens; what seems to is a slip of units.
const ABSURD: &str = "0.002";
/// From this many digits on, a price shows that its source computed with floats.
const NOISY_DIGITS: usize = 15;

/// Where an endpoint's price comes from: the list and its line.
pub(super) type Provenance = BTreeMap<EndpointId, (List, String)>;

pub(super) struct Builder<'a> {
    pub(super) decisions: &'a Decisions,
    pub(super) registry: &'a Registry<'a>,
    pub(super) providers: &'a [Arc<Provider>],
    pub(super) offers: &'a [Offer],
    pub(super) report: &'a mut Report,
}

impl<'a> Builder<'a> {
    /// The catalogue of all offers that are fit for it; `models` has each offer's model.
    pub(super) fn build(mut self, models: &[Option<String>]) -> (Catalog, Provenance) {
        let mut provenance = Provenance::new();
        let mut endpoints = Vec::new();
        for ((model, provider), places) in self.fit(models) {
            let card = self.registry.cards.get(&model);
            let provider = self.providers.iter().find(|p| p.slug.as_str() == provider);
            let (Some(card), Some(provider)) = (card, provider) else {
                continue;
            };
            for (tag, offer) in self.variants(card, provider, &places) {
                match self.endpoint(card, provider, tag, offer) {
                    Ok(endpoint) => {
                        let line = (offer.list, offer.key.clone());
                        provenance.insert(endpoint.id.clone(), line);
                        endpoints.push(Arc::new(endpoint));
                    }
                    Err(skip) => self.skip(offer, skip),
                }
            }
        }
        endpoints.sort_by(|a, b| (&a.model, &a.tag).cmp(&(&b.model, &b.tag)));
        let catalog = Catalog {
            providers: self.providers.to_vec(),
            models: self.models(&endpoints),
            endpoints,
            auto: None,
        };
        (catalog, provenance)
    }

    /// The places of fit offers, by model and provider.
    fn fit(&mut self, models: &[Option<String>]) -> BTreeMap<(String, String), Vec<usize>> {
        let offers = self.offers;
        let mut fit: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for (at, (offer, model)) in offers.iter().zip(models).enumerate() {
            let Some(model) = model else { continue };
            match self.model_of(offer, model) {
                Ok(model) => {
                    let key = (model, offer.provider.to_string());
                    fit.entry(key).or_default().push(at);
                }
                Err(skip) => self.skip(offer, skip),
            }
        }
        fit
    }

    /// The model under which an offer counts: a free one is another model.
    fn model_of(&self, offer: &Offer, model: &str) -> Result<String, Skip> {
        if self
            .decisions
            .drops(offer.provider.as_str(), &offer.provider_model)
        {
            return Err(Skip::Decided);
        }
        let pricing = &offer.pricing;
        match (pricing.prompt.is_zero(), pricing.completion.is_zero()) {
            (false, false) => {}
            (true, true) if self.registry.is_listed(&format!("{model}:free")) => {
                return Ok(format!("{model}:free"));
            }
            _ => return Err(Skip::Free),
        }
        let absurd = ABSURD.parse().unwrap_or(Price::ZERO);
        if pricing.prompt > absurd || pricing.completion > absurd {
            return Err(Skip::Absurd);
        }
        Ok(model.to_owned())
    }

    /// The best offer of each speed tier and precision, with its tag.
    fn variants(
        &mut self,
        card: &Card,
        provider: &Provider,
        places: &[usize],
    ) -> Vec<(String, &'a Offer)> {
        let model = slug_name(card);
        let mut tiers: BTreeMap<Option<&str>, BTreeMap<Quantization, Vec<&'a Offer>>> =
            BTreeMap::new();
        for offer in places.iter().filter_map(|at| self.offers.get(*at)) {
            let name = offer_name(offer);
            let precision = name.quantization(&model).unwrap_or(Quantization::Unknown);
            let tier = tiers.entry(name.speed(&model)).or_default();
            tier.entry(precision).or_default().push(offer);
        }
        let mut chosen = Vec::new();
        for (speed, tier) in tiers {
            let several = tier.len() > 1;
            for (precision, mut rivals) in tier {
                let mut tag = provider.slug.to_string();
                let told =
                    (several && precision != Quantization::Unknown).then_some(precision.as_str());
                for part in [speed, told].into_iter().flatten() {
                    tag = format!("{tag}/{part}");
                }
                rivals.sort_by_key(|offer| rank(offer));
                let mut rivals = rivals.into_iter();
                chosen.extend(rivals.next().map(|offer| (tag, offer)));
                rivals.for_each(|offer| self.skip(offer, Skip::SecondBest));
            }
        }
        chosen
    }

    fn endpoint(
        &self,
        card: &Card,
        provider: &Provider,
        tag: String,
        offer: &Offer,
    ) -> Result<Endpoint, Skip> {
        let limits = self.limits(offer);
        let usual = Some(card.model.context_length).filter(|tokens| *tokens > 0);
        let mut context = limits.context.or(usual).ok_or(Skip::NoContext)?;
        let mut max_prompt = limits.max_prompt;
        // LiteLLM's figure is the prompt's bound where prompt and answer together make the context.
        let answer = limits.max_completion.unwrap_or(0);
        if let Some(usual) = usual
            && context < usual
            && context + answer >= usual
        {
            max_prompt = max_prompt.or(Some(context));
            context = usual;
        }
        let name = offer_name(offer);
        let precision = name.quantization(&slug_name(card));
        Ok(Endpoint {
            id: EndpointId::of(&card.model.id, &tag),
            model: card.model.id.clone(),
            provider: provider.slug.clone(),
            tag,
            provider_model: offer.provider_model.clone(),
            context_length: context,
            max_completion_tokens: limits.max_completion.map(|tokens| tokens.min(context)),
            max_prompt_tokens: max_prompt.filter(|tokens| *tokens < context),
            quantization: precision.unwrap_or(Quantization::Unknown),
            supported_parameters: parameters::of(card, offer.can, provider.dialect),
            quirks: self.decisions.quirks(provider, &offer.provider_model),
            pricing: offer.pricing.clone(),
        })
    }

    /// The lengths of the other list's line for the same offer where that is models.dev's, which
    /// has context and prompt apart.
    fn limits(&self, offer: &'a Offer) -> &'a Offer {
        let twin = self.offers.iter().find(|other| {
            other.list == List::ModelsDev
                && other.provider == offer.provider
                && other
                    .provider_model
                    .eq_ignore_ascii_case(&offer.provider_model)
                && other.context.is_some()
        });
        twin.unwrap_or(offer)
    }

    /// The models that are served; a context length that no list tells is the longest endpoint's.
    fn models(&self, endpoints: &[Arc<Endpoint>]) -> Vec<Arc<Model>> {
        let mut longest: BTreeMap<&ModelId, u64> = BTreeMap::new();
        for endpoint in endpoints {
            let length = longest.entry(&endpoint.model).or_default();
            *length = endpoint.context_length.max(*length);
        }
        let cards = longest.into_iter().filter_map(|(id, length)| {
            let mut model = self.registry.cards.get(id.as_str())?.model.clone();
            if model.context_length == 0 {
                model.context_length = length;
            }
            Some(Arc::new(model))
        });
        cards.collect()
    }

    fn skip(&mut self, offer: &Offer, skip: Skip) {
        self.report
            .skipped(offer.list, offer.provider.as_str(), &offer.key, skip);
    }
}

/// The smaller, the better: the list that is preferred here, then an id without a date, then the
/// shorter one.
fn rank(offer: &Offer) -> (bool, bool, usize, String) {
    let name = offer_name(offer);
    let dated = name.cut(&[Tail::Serving, Tail::Date]) != name.cut(&[Tail::Serving]);
    let id = &offer.provider_model;
    (!offer.preferred, dated, id.len(), id.clone())
}

/// Fills in the report's counts and its list of prices to look at.
pub(super) fn review(catalog: &Catalog, decisions: &Decisions, report: &mut Report) {
    let mut by_model: BTreeMap<&ModelId, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &catalog.endpoints {
        by_model.entry(&endpoint.model).or_default().push(endpoint);
    }
    let providers = |endpoints: &[&Endpoint]| {
        let slugs: BTreeSet<_> = endpoints
            .iter()
            .map(|endpoint| &endpoint.provider)
            .collect();
        slugs.len()
    };
    report.models = catalog.models.len();
    report.endpoints = catalog.endpoints.len();
    report.shared_models = by_model.values().filter(|list| providers(list) > 1).count();
    let used: BTreeSet<_> = catalog
        .endpoints
        .iter()
        .map(|endpoint| &endpoint.provider)
        .collect();
    report.providers = used.len();
    let idle = catalog
        .providers
        .iter()
        .filter(|provider| !used.contains(&provider.slug));
    report.idle_providers = idle.map(|provider| provider.slug.to_string()).collect();
    for (model, endpoints) in by_model {
        let decided = decisions
            .spreads
            .iter()
            .any(|spread| spread.models.iter().any(|id| id == model.as_str()));
        if !decided {
            report.suspicious.extend(spread(model, &endpoints));
        }
    }
    let prices = catalog
        .endpoints
        .iter()
        .flat_map(|endpoint| all_prices(&endpoint.pricing));
    report.noisy_prices = prices
        .filter(|price| digits(*price) >= NOISY_DIGITS)
        .count();
}

/// A line about a model whose dearest offer is more than eight times its cheapest.
fn spread(model: &ModelId, endpoints: &[&Endpoint]) -> Option<String> {
    let far = |pick: fn(&Pricing) -> Price| {
        let priced = || {
            endpoints
                .iter()
                .map(|endpoint| (pick(&endpoint.pricing), *endpoint))
        };
        let (low, cheap) = priced()
            .filter(|(price, _)| !price.is_zero())
            .min_by_key(|(price, _)| *price)?;
        let (high, dear) = priced().max_by_key(|(price, _)| *price)?;
        let ratio = high.to_f64_lossy() / low.to_f64_lossy();
        let names = format!(
            "{} {low} ({}), {} {high} ({})",
            cheap.tag, cheap.provider_model, dear.tag, dear.provider_model
        );
        (ratio > 8.0).then(|| format!("{model}: {names}"))
    };
    far(|pricing| pricing.prompt).or_else(|| far(|pricing| pricing.completion))
}

fn digits(price: Price) -> usize {
    let text = price.to_string();
    let significant = text.trim_start_matches(['0', '.']);
    significant.bytes().filter(u8::is_ascii_digit).count()
}

/// Every price of an endpoint, the base ones first.
fn all_prices(pricing: &Pricing) -> Vec<Price> {
    let base = [
        Some(pricing.prompt),
        Some(pricing.completion),
        pricing.request,
        pricing.image,
        pricing.image_token,
        pricing.image_output,
        pricing.audio,
        pricing.audio_output,
        pricing.input_audio_cache,
        pricing.web_search,
        pricing.internal_reasoning,
        pricing.input_cache_read,
        pricing.input_cache_write,
        pricing.input_cache_write_1h,
    ];
    let steps = pricing.overrides.iter().flat_map(|rule| {
        [
            rule.prompt,
            rule.completion,
            rule.internal_reasoning,
            rule.input_cache_read,
            rule.input_cache_write,
            rule.input_cache_write_1h,
        ]
    });
    base.into_iter().chain(steps).flatten().collect()
}
