//! Offers, and the models they are of, made a catalogue: one endpoint per provider, precision and
//! speed tier of a model.

use super::card::Card;
use super::decisions::Decisions;
use super::join::{Registry, offer_name, slug_name};
use super::name::Tail;
use super::offer::{List, Offer, Skip};
use super::parameters;
use super::profile;
use super::report::Report;
use crate::catalog::{
    Catalog, Dialect, EffortWord, Endpoint, Model, Provider, Quantization, Quirk,
};
use crate::id::{EndpointId, ModelId};
use crate::money::Price;
use std::collections::BTreeMap;
use std::sync::Arc;

/// No model costs more than 2,000 USD per million tokens; what seems to is a slip of units.
const ABSURD: &str = "0.002";

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
        let needless = profile::needless(offers, self.decisions);
        let mut fit: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for (at, (offer, model)) in offers.iter().zip(models).enumerate() {
            let Some(model) = model else { continue };
            if needless.contains(&at) {
                self.skip(offer, Skip::SecondBest);
                continue;
            }
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

    /// The best offer of each place, speed tier and precision, with its tag.
    fn variants(
        &mut self,
        card: &Card,
        provider: &Provider,
        places: &[usize],
    ) -> Vec<(String, &'a Offer)> {
        let model = slug_name(card);
        type Tier<'t> = (Option<&'t str>, Option<&'t str>);
        let mut tiers: BTreeMap<Tier<'_>, BTreeMap<Quantization, Vec<&'a Offer>>> = BTreeMap::new();
        for offer in places.iter().filter_map(|at| self.offers.get(*at)) {
            let name = offer_name(offer);
            let precision = name.quantization(&model).unwrap_or(Quantization::Unknown);
            let place = profile::of(offer).map(|(place, _)| place);
            let tier = tiers.entry((place, name.speed(&model))).or_default();
            tier.entry(precision).or_default().push(offer);
        }
        let mut chosen = Vec::new();
        for ((place, speed), tier) in tiers {
            let several = tier.len() > 1;
            for (precision, mut rivals) in tier {
                let mut tag = provider.slug.to_string();
                let told =
                    (several && precision != Quantization::Unknown).then_some(precision.as_str());
                for part in [place, speed, told].into_iter().flatten() {
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
        let (slug, id) = (provider.slug.as_str(), &offer.provider_model);
        let mut supported_parameters = parameters::of(card, offer.can, provider.dialect);
        supported_parameters.retain(|it| !self.decisions.refuses(slug, id, *it));
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
            supported_parameters,
            quirks: self.quirks(provider, offer, limits),
            efforts: self.efforts(provider, offer, limits),
            pricing: offer.pricing.clone(),
        })
    }

    /// What the offer demands beyond its provider's dialect; `twin` tells how it thinks.
    fn quirks(&self, provider: &Provider, offer: &Offer, twin: &Offer) -> Vec<Quirk> {
        let mut quirks = self.decisions.quirks(provider, &offer.provider_model);
        let slug = provider.slug.as_str();
        quirks.extend(self.decisions.switches(slug, &twin.thinking));
        quirks.retain(|quirk| !provider.quirks.contains(quirk));
        quirks.sort_unstable();
        quirks.dedup();
        quirks
    }

    /// The words for how hard to think, where the dialect has such words.
    fn efforts(&self, provider: &Provider, offer: &Offer, twin: &Offer) -> Vec<EffortWord> {
        match provider.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::AzureOpenai => {}
            _ => return Vec::new(),
        }
        if twin.thinking.efforts.is_empty() {
            self.decisions.efforts(&offer.provider_model)
        } else {
            twin.thinking.efforts.clone()
        }
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
