//! Which model an offer is of. Evidence in order: a decision, the exact name of a listed model, the
//! base model that models.dev's people noted, the name without what its tail says of serving, a
//! group of identity.json, and last the same name at other providers.

use super::card::{Card, Cards, from_offers};
use super::decisions::Decisions;
use super::name::{CUTS, Name, Tail};
use super::offer::{List, Offer};
use super::report::Report;
use crate::catalog::Modality;
use std::collections::{BTreeMap, BTreeSet};

/// What stays of a name that no list knows.
const PLAIN: &[Tail] = &[Tail::Serving, Tail::Date, Tail::Instruct];
const PLAIN_SLOW: &[Tail] = &[Tail::Serving, Tail::Date, Tail::Instruct, Tail::Speed];

/// The known models by the keys of their names.
pub(super) struct Registry<'d> {
    decisions: &'d Decisions,
    pub(super) cards: Cards,
    keys: BTreeMap<String, String>,
    /// Models that a list describes, not only offers.
    listed: BTreeSet<String>,
}

impl<'d> Registry<'d> {
    /// Listed models first, then the neutral ones that none of them is.
    pub(super) fn new(decisions: &'d Decisions, listed: Vec<Card>, neutral: Vec<Card>) -> Self {
        let mut registry = Self {
            decisions,
            cards: Cards::new(),
            keys: BTreeMap::new(),
            listed: BTreeSet::new(),
        };
        registry.add(listed);
        let unknown = |card: &Card| registry.find(&slug_name(card), CUTS).is_none();
        let new: Vec<_> = neutral.into_iter().filter(unknown).collect();
        registry.add(new);
        registry
    }

    pub(super) fn is_listed(&self, id: &str) -> bool {
        self.listed.contains(id)
    }

    /// The model of each offer, by the offer's place.
    pub(super) fn join(
        &mut self,
        offers: &[Offer],
        groups: &BTreeMap<String, Vec<(List, String)>>,
        report: &mut Report,
    ) -> Vec<Option<String>> {
        let mut models: Vec<_> = offers.iter().map(|offer| self.of(offer)).collect();
        self.join_groups(offers, groups, &mut models, report);
        self.join_rest(offers, &mut models);
        models
    }

    fn add(&mut self, cards: Vec<Card>) {
        // Exact names before shortened ones, so that no shortened name hides an exact one.
        let variants = |card: &Card| card.model.id.as_str().contains(':');
        for card in cards.iter().filter(|card| !variants(card)) {
            let id = card.model.id.to_string();
            self.keys.entry(slug_name(card).key()).or_insert(id);
        }
        for card in cards.iter().filter(|card| !variants(card)) {
            if let Some(weights) = &card.model.hugging_face_id {
                let key = Name::read(weights, false).key();
                let id = card.model.id.to_string();
                self.keys.entry(key).or_insert(id);
            }
        }
        let mut shortened: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for card in cards.iter().filter(|card| !variants(card)) {
            let weights = card.model.hugging_face_id.as_deref().unwrap_or_default();
            for name in [slug_name(card), Name::read(weights, false)] {
                let key = name.cut(PLAIN).key();
                shortened
                    .entry(key)
                    .or_default()
                    .insert(card.model.id.to_string());
            }
        }
        for (key, ids) in shortened {
            if let (1, Some(id)) = (ids.len(), ids.first()) {
                self.keys.entry(key).or_insert_with(|| id.clone());
            }
        }
        for card in cards {
            let id = card.model.id.to_string();
            self.listed.insert(id.clone());
            self.cards.entry(id).or_insert(card);
        }
    }

    fn of(&self, offer: &Offer) -> Option<String> {
        let name = offer_name(offer);
        let keys = [name.key(), name.cut(&[Tail::Serving]).key()];
        let alias = self.decisions.aliases.iter().find(|alias| {
            let provider = offer.provider.as_str();
            let here =
                alias.providers.is_empty() || alias.providers.iter().any(|slug| slug == provider);
            here && alias
                .names
                .iter()
                .any(|text| keys.contains(&Name::read(text, false).key()))
        });
        if let Some(alias) = alias {
            return Some(alias.model.clone());
        }
        let base = || {
            let base = Name::read(offer.base_model.as_ref()?, false);
            self.find(&base, CUTS).filter(|_| name.may_be(&base))
        };
        self.find(&name, &[&[]])
            .or_else(base)
            .or_else(|| self.find(&name, CUTS))
    }

    fn find(&self, name: &Name, cuts: &[&[Tail]]) -> Option<String> {
        cuts.iter()
            .find_map(|cut| self.keys.get(&name.cut(cut).key()).cloned())
    }

    /// Offers without a model take the one of their group, when that is one and the marks agree.
    fn join_groups(
        &self,
        offers: &[Offer],
        groups: &BTreeMap<String, Vec<(List, String)>>,
        models: &mut [Option<String>],
        report: &mut Report,
    ) {
        let mut places: BTreeMap<(List, &str), Vec<usize>> = BTreeMap::new();
        for (at, offer) in offers.iter().enumerate() {
            let id = match offer.list {
                List::LiteLlm => offer.key.as_str(),
                List::ModelsDev => offer.provider_model.as_str(),
            };
            places.entry((offer.list, id)).or_default().push(at);
        }
        for (group, members) in groups {
            let here = members
                .iter()
                .filter_map(|(list, id)| places.get(&(*list, id.as_str())));
            let here: BTreeSet<usize> = here.flatten().copied().collect();
            // A name without a number is no identity: "auto", "chat", "qwen".
            if !group.bytes().any(|b| b.is_ascii_digit()) {
                continue;
            }
            let known: BTreeSet<String> = here
                .iter()
                .filter_map(|at| models.get(*at)?.clone())
                .collect();
            if known.len() > 1 {
                let ids: Vec<_> = known.iter().map(String::as_str).collect();
                report
                    .identity
                    .push(format!("{group} is several models: {}", ids.join(", ")));
                continue;
            }
            let Some(id) = known.first() else { continue };
            for at in here {
                let (Some(offer), Some(model @ None)) = (offers.get(at), models.get_mut(at)) else {
                    continue;
                };
                let card = self.cards.get(id).map(slug_name);
                if card.is_some_and(|card| {
                    card.cut(PLAIN_SLOW).marks() == offer_name(offer).cut(PLAIN_SLOW).marks()
                }) {
                    report
                        .identity
                        .push(format!("{group}: {} is {id}", offer.key));
                    *model = Some(id.clone());
                }
            }
        }
    }

    /// The others: one model per plain name, described by its offers.
    fn join_rest(&mut self, offers: &[Offer], models: &mut [Option<String>]) {
        let plain: BTreeSet<String> = offers
            .iter()
            .map(offer_name)
            .filter(|name| name.cut(PLAIN) == name.cut(PLAIN_SLOW))
            .map(|name| name.cut(PLAIN).key())
            .collect();
        let mut clusters: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, offer) in offers.iter().enumerate() {
            if models.get(at).is_some_and(Option::is_none) {
                let name = offer_name(offer);
                let slow = name.cut(PLAIN_SLOW).key();
                let key = if plain.contains(&slow) {
                    slow
                } else {
                    name.cut(PLAIN).key()
                };
                clusters.entry(key).or_default().push(at);
            }
        }
        self.describe_decided(offers, models);
        for (key, places) in clusters {
            let members: Vec<_> = places.iter().filter_map(|at| offers.get(*at)).collect();
            let text_only = |offer: &&&Offer| {
                offer
                    .output
                    .as_ref()
                    .is_none_or(|kinds| kinds.contains(&Modality::Text))
            };
            if members.iter().filter(text_only).count() == 0 {
                continue;
            }
            let id = self.new_id(&key, &members);
            let card = from_offers(&id, &members);
            self.cards.entry(id.clone()).or_insert(card);
            for at in places {
                if let Some(model) = models.get_mut(at) {
                    *model = Some(id.clone());
                }
            }
        }
    }

    /// Models that only a decision names get their cards from their offers, too.
    fn describe_decided(&mut self, offers: &[Offer], models: &[Option<String>]) {
        let mut members: BTreeMap<&String, Vec<&Offer>> = BTreeMap::new();
        for (offer, model) in offers.iter().zip(models) {
            if let Some(id) = model.as_ref().filter(|id| !self.cards.contains_key(*id)) {
                members.entry(id).or_default().push(offer);
            }
        }
        for (id, members) in members {
            self.cards.insert(id.clone(), from_offers(id, &members));
        }
    }

    /// `author/slug` of the offers of one key: the name that most of them have, less what it says
    /// of serving and speed.
    fn new_id(&self, key: &str, offers: &[&Offer]) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for offer in offers {
            let name = offer_name(offer);
            let tier: &[Tail] = if name.cut(PLAIN).key() == key {
                &[]
            } else {
                &[Tail::Speed]
            };
            let name = name.cut(&[&[Tail::Serving, Tail::Date], tier].concat());
            let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            *counts
                .entry(name.slug().chars().filter(fits).collect())
                .or_default() += 1;
        }
        let most = counts
            .iter()
            .max_by_key(|(slug, count)| (slug.contains('.'), **count, slug.len()));
        let slug = most.map_or(key, |(slug, _)| slug.as_str());
        let mut names = offers.iter().map(|offer| offer_name(offer));
        let author = names.find_map(|name| author(self.decisions, name.family()));
        let author = author.or_else(|| offers.iter().find_map(|offer| self.organisation(offer)));
        let author = author.or_else(|| offers.first().map(|offer| offer.provider.to_string()));
        format!("{}/{slug}", author.unwrap_or_default())
    }

    /// `Org/Name` as Hugging Face writes it.
    fn organisation(&self, offer: &Offer) -> Option<String> {
        let (organisation, rest) = offer.model_name.split_once('/')?;
        let organisation = organisation.to_ascii_lowercase();
        let word = organisation.starts_with(|c: char| c.is_ascii_alphanumeric())
            && organisation
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let listed = || {
            self.cards
                .keys()
                .any(|id| id.split('/').next() == Some(organisation.as_str()))
        };
        (word && !rest.contains('/') && (organisation.len() > 3 || listed()))
            .then_some(organisation)
    }
}

/// Who makes the models whose names begin with `word`, digits at its end aside.
pub(super) fn author(decisions: &Decisions, word: &str) -> Option<String> {
    let family = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let found = decisions
        .authors
        .get(word)
        .or_else(|| decisions.authors.get(family));
    found.cloned()
}

pub(super) fn offer_name(offer: &Offer) -> Name {
    Name::read(&offer.model_name, offer.vendor_dots)
}

pub(super) fn slug_name(card: &Card) -> Name {
    let id = card.model.id.as_str();
    let slug = id.split_once('/').map_or(id, |(_, slug)| slug);
    Name::read(slug.split(':').next().unwrap_or(slug), false)
}
