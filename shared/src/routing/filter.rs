//! Hard filters: who can't or mustn't serve the request, each with the first reason found. What
//! the client merely prefers is [`super::order`]'s concern.

use super::resolve::Wanted;
use super::view::Known;
use super::{Context, Demand, Exclude, Exclusion};
use crate::byok::SealedCredential;
use crate::catalog::{Endpoint, Model, Parameter, Pricing, Provider, Quantization, Tier};
use crate::guardrail::Place;
use crate::policy::KeyPolicy;
use crate::snapshot::EndpointIndex;
use smallvec::SmallVec;
use std::sync::Arc;

/// An estimate of a prompt's tokens is rarely off by more than one part of so many.
const ESTIMATE_OFF: u64 = 10;

/// A model's endpoints; as many as most models have need no allocation.
pub(super) type Offers<'a> = SmallVec<[Offer<'a>; 16]>;

/// An endpoint that may serve the request.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    pub(super) index: EndpointIndex,
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) provider: &'a Arc<Provider>,
    pub(super) known: &'a Known,
    /// With which of the organisation's own keys, and its place among them.
    pub(super) own: Option<(usize, &'a Arc<SealedCredential>)>,
}

/// Adds the endpoints of a model that may serve the request to `offers`, and the others to
/// `excluded`.
pub(super) fn filter<'a>(
    context: &Context<'a>,
    wanted: &Wanted<'_>,
    offers: &mut Offers<'a>,
    excluded: &mut Vec<Exclusion>,
) {
    let indexes = wanted.endpoints;
    let flex_only = context.demand.tier == Some(Tier::Flex) && has_flex(context, indexes);
    let before = offers.len();
    offers.reserve(indexes.len());
    for index in indexes {
        let Some(offer) = offer(context, *index) else {
            continue;
        };
        let why = why_not(context, wanted, &offer, flex_only);
        match why.or_else(|| with_own_keys(context, &offer, offers)) {
            None => {}
            Some(why) => excluded.push(Exclusion {
                endpoint: offer.endpoint.id.clone(),
                why,
            }),
        }
    }
    let mut added = offers.iter().skip(before);
    if context.demand.needs_tools && added.all(|it| lacks(it.endpoint, Parameter::Tools)) {
        excluded.extend(offers.drain(before..).map(|offer| Exclusion {
            endpoint: offer.endpoint.id.clone(),
            why: Exclude::Tools,
        }));
    }
}

fn offer<'a>(context: &Context<'a>, index: EndpointIndex) -> Option<Offer<'a>> {
    let known = context.view.known(index)?;
    Some(Offer {
        index,
        endpoint: &known.offered.endpoint,
        provider: &known.offered.provider,
        known,
        own: None,
    })
}

/// Those of the caller's own keys that are for the provider.
fn own_keys<'a>(
    context: &Context<'a>,
    provider: &Provider,
) -> impl Iterator<Item = (usize, &'a Arc<SealedCredential>)> {
    let all = context.principal.policy.credentials.iter().enumerate();
    all.filter(|(_, key)| key.provider == provider.slug)
}

/// Adds the endpoint once for each own key, after all rules have been kept: a key exempts nobody
/// from them. The shared one stays beside them unless a key forbids it.
fn with_own_keys<'a>(
    context: &Context<'a>,
    offer: &Offer<'a>,
    offers: &mut Offers<'a>,
) -> Option<Exclude> {
    if context.principal.policy.credentials.is_empty() {
        // Then the shared one can be used: [`by_service`] has asked.
        offers.push(*offer);
        return None;
    }
    let (before, mut required) = (offers.len(), false);
    for (place, key) in own_keys(context, offer.provider) {
        required |= key.required;
        if key.is_for(&offer.endpoint.model) {
            let own = Some((place, key));
            offers.push(Offer { own, ..*offer });
        }
    }
    let has_own = offers.len() > before;
    if required {
        return (!has_own).then_some(Exclude::OwnKeyOnly);
    }
    if !(context.usable)(offer.provider) {
        return (!has_own).then_some(Exclude::NotServed);
    }
    offers.push(Offer {
        own: None,
        ..*offer
    });
    None
}

/// Has the model an endpoint of the flex tier that is served from here? Without one, who asks for
/// the tier gets the default.
fn has_flex(context: &Context<'_>, indexes: &[EndpointIndex]) -> bool {
    let mut offers = indexes.iter().filter_map(|index| offer(context, *index));
    offers
        .any(|offer| offer.known.tier == Some(Tier::Flex) && by_service(context, &offer).is_none())
}

/// Does the client's word name this endpoint? A provider's slug or name stands for all its tags,
/// and a tag for its variants, also those of a service tier.
pub(super) fn names(word: &str, offer: &Offer<'_>) -> bool {
    is_named(word, offer.endpoint, offer.provider)
}

/// The same of an endpoint and its provider.
pub(super) fn is_named(word: &str, endpoint: &Endpoint, provider: &Provider) -> bool {
    begins(&endpoint.tag, word)
        || word.eq_ignore_ascii_case(provider.slug.as_str())
        || word.eq_ignore_ascii_case(&provider.name)
        || names_tier(word, endpoint)
}

/// Does the word name the endpoint's service tier: its whole tag, or its provider and the tier?
fn names_tier(word: &str, endpoint: &Endpoint) -> bool {
    let Some((base, tier)) = word.rsplit_once('/') else {
        return false;
    };
    let named = endpoint
        .tier()
        .is_some_and(|own| own.as_str().eq_ignore_ascii_case(tier));
    named && begins(endpoint.tag_without_tier(), base)
}

/// Is it the word, or one of its variants after a slash?
fn begins(tag: &str, word: &str) -> bool {
    let Some((head, rest)) = tag.split_at_checked(word.len()) else {
        return false;
    };
    head.eq_ignore_ascii_case(word) && (rest.is_empty() || rest.starts_with('/'))
}

fn why_not(
    context: &Context<'_>,
    wanted: &Wanted<'_>,
    offer: &Offer<'_>,
    flex_only: bool,
) -> Option<Exclude> {
    let policy = &context.principal.policy;
    by_key(policy, wanted.model, offer)
        .or_else(|| by_rules(context, wanted.model, offer))
        .or_else(|| by_choice(context.demand, offer))
        .or_else(|| by_tier(context.demand, wanted, offer, flex_only))
        .or_else(|| by_service(context, offer))
        .or_else(|| by_region(context.demand, offer))
        .or_else(|| by_data_policy(context, wanted.model, offer.provider))
        .or_else(|| by_offer(context, offer.endpoint))
        .or_else(|| by_size(context.demand, offer.endpoint))
        .or_else(|| by_ability(context.demand, wanted.model, offer.endpoint))
}

fn by_key(policy: &KeyPolicy, model: &Model, offer: &Offer<'_>) -> Option<Exclude> {
    let slug = &offer.provider.slug;
    if !policy.allowed_models.is_empty() && !policy.allowed_models.contains(&model.id) {
        return Some(Exclude::AllowedModels);
    }
    if !policy.allowed_providers.is_empty() && !policy.allowed_providers.contains(slug) {
        return Some(Exclude::AllowedProviders);
    }
    policy
        .ignored_providers
        .contains(slug)
        .then_some(Exclude::Ignore)
}

/// What the key's guardrails say of the model and the provider. Nothing that a request says is read
/// here, so nothing that it says can loosen it.
fn by_rules(context: &Context<'_>, model: &Model, offer: &Offer<'_>) -> Option<Exclude> {
    let rules = context.principal.policy.rules.as_deref()?;
    let is_it = |name: &str| {
        let named = context.view.snapshot.model(name);
        named.is_some_and(|named| named.id == model.id)
    };
    if !rules.allows_model(model, is_it) {
        return Some(Exclude::AllowedModels);
    }
    if rules.ignores_model(model) {
        return Some(Exclude::IgnoredModels);
    }
    let listed = |words: &[String]| words.iter().any(|word| names(word, offer));
    if rules
        .allowed_providers
        .as_deref()
        .is_some_and(|all| !listed(all))
    {
        return Some(Exclude::AllowedProviders);
    }
    if listed(&rules.ignored_providers) {
        return Some(Exclude::Ignore);
    }
    let inside = |place: &Place| {
        let region = place.region();
        region.is_none_or(|it| it.contains(offer.endpoint, offer.provider))
    };
    let regions = rules.regions.as_ref();
    if regions.is_some_and(|all| !all.iter().any(inside)) {
        return Some(Exclude::DataRegion);
    }
    let free = offer.known.price <= 0.0;
    let data = offer.provider.data_policy;
    let untrained = if free {
        rules.no_free_training
    } else {
        rules.no_paid_training
    };
    if data.training && untrained {
        return Some(Exclude::Training);
    }
    if data.training && free && rules.no_free_publication {
        return Some(Exclude::Publication);
    }
    (rules.zdr.holds_for(model.id.as_str()) && keeps(offer.provider)).then_some(Exclude::Zdr)
}

/// What is trained on is kept; what is not known is kept.
fn keeps(provider: &Provider) -> bool {
    provider.data_policy.training || provider.data_policy.retention_days != Some(0)
}

fn by_choice(demand: &Demand, offer: &Offer<'_>) -> Option<Exclude> {
    let chosen = &demand.preferences;
    if chosen.ignore.iter().any(|word| names(word, offer)) {
        return Some(Exclude::Ignore);
    }
    let unnamed = !chosen.only.is_empty() && !chosen.only.iter().any(|word| names(word, offer));
    unnamed.then_some(Exclude::Only)
}

/// Who asks for flex gets nothing else, where there is any; the other tiers join the default.
fn by_tier(
    demand: &Demand,
    wanted: &Wanted<'_>,
    offer: &Offer<'_>,
    flex_only: bool,
) -> Option<Exclude> {
    let own = offer.known.tier;
    if flex_only && own != Some(Tier::Flex) {
        return Some(Exclude::ServiceTier);
    }
    let own = own?;
    let chosen = &demand.preferences;
    let asked = demand.tier == Some(own) || wanted.tier == Some(own);
    let mut words = chosen.only.iter().chain(&chosen.order);
    let admitted = asked || words.any(|word| names_tier(word, offer.endpoint));
    (!admitted).then_some(Exclude::ServiceTier)
}

fn by_region(demand: &Demand, offer: &Offer<'_>) -> Option<Exclude> {
    let outside = !demand.region?.contains(offer.endpoint, offer.provider);
    outside.then_some(Exclude::DataRegion)
}

fn by_service(context: &Context<'_>, offer: &Offer<'_>) -> Option<Exclude> {
    let row = offer.known.row.as_ref();
    if row.is_some_and(|row| row.state.is_withdrawn()) {
        return Some(Exclude::Disabled);
    }
    let served = (context.usable)(offer.provider);
    let served = served || own_keys(context, offer.provider).next().is_some();
    (!served).then_some(Exclude::NotServed)
}

fn by_data_policy(context: &Context<'_>, model: &Model, provider: &Provider) -> Option<Exclude> {
    let (preferences, policy) = (&context.demand.preferences, &context.principal.policy);
    let data = provider.data_policy;
    if (preferences.data_collection_deny || policy.no_training) && data.training {
        return Some(Exclude::Training);
    }
    if (preferences.zdr || policy.zdr) && keeps(provider) {
        return Some(Exclude::Zdr);
    }
    (preferences.distillable && !model.distillable).then_some(Exclude::Distillable)
}

fn by_offer(context: &Context<'_>, endpoint: &Endpoint) -> Option<Exclude> {
    let demand = context.demand;
    let wanted = &demand.preferences.quantizations;
    let served = endpoint.quantization;
    if !wanted.is_empty() && !wanted.iter().any(|one| includes(*one, served)) {
        return Some(Exclude::Quantization);
    }
    let most = context.max_price?;
    let tiered: Pricing;
    let pricing = if endpoint.pricing.overrides.is_empty() {
        &endpoint.pricing
    } else {
        tiered = endpoint.pricing.at(demand.prompt_tokens);
        &tiered
    };
    let dearer = [
        (most.prompt, pricing.prompt),
        (most.completion, pricing.completion),
        (most.request, pricing.request.unwrap_or_default()),
        (most.image, pricing.image.unwrap_or_default()),
        (most.audio, pricing.audio.unwrap_or_default()),
    ];
    let dearer = dearer
        .into_iter()
        .any(|(most, price)| most.is_some_and(|most| price > most));
    dearer.then_some(Exclude::MaxPrice)
}

/// `fp4` and `fp8` stand for their microscaled kin, too.
fn includes(wanted: Quantization, served: Quantization) -> bool {
    wanted == served
        || match wanted {
            Quantization::Fp4 => matches!(served, Quantization::Mxfp4 | Quantization::Nvfp4),
            Quantization::Fp8 => served == Quantization::Mxfp8,
            _ => false,
        }
}

/// The tokens that must fit an endpoint's context at once; an estimate.
fn prompt_of(demand: &Demand) -> u64 {
    demand.longest_text.unwrap_or(demand.prompt_tokens)
}

/// The longest prompt that an endpoint takes beside the answer that is asked for, in tokens.
pub(super) fn room(demand: &Demand, endpoint: &Endpoint) -> u64 {
    let answer = demand.max_tokens.unwrap_or_default().max(1);
    let longest = endpoint.max_prompt_tokens.unwrap_or(u64::MAX);
    endpoint.context_length.saturating_sub(answer).min(longest)
}

/// May the prompt be too long for it, as far as an estimate can tell?
#[inline]
pub(super) fn is_tight(demand: &Demand, endpoint: &Endpoint) -> bool {
    let prompt = prompt_of(demand);
    prompt.saturating_add(prompt / ESTIMATE_OFF) > room(demand, endpoint)
}

fn by_size(demand: &Demand, endpoint: &Endpoint) -> Option<Exclude> {
    // The count is an estimate: only what is surely too long is refused here. What may be comes
    // after those that surely take it, and the provider's refusal, which has counted, moves it on.
    let prompt = prompt_of(demand) / 5 * 4;
    let longest_prompt = endpoint.max_prompt_tokens.unwrap_or(u64::MAX);
    let longest_answer = endpoint.max_completion_tokens.unwrap_or(u64::MAX);
    let answer = demand.max_tokens.unwrap_or(0);
    if prompt > longest_prompt || prompt >= endpoint.context_length {
        return Some(Exclude::ContextLength);
    }
    if answer > longest_answer {
        return Some(Exclude::MaxTokens);
    }
    (prompt.saturating_add(answer) > endpoint.context_length).then_some(Exclude::ContextLength)
}

fn by_ability(demand: &Demand, model: &Model, endpoint: &Endpoint) -> Option<Exclude> {
    let takes = |kind| model.input_modalities.contains(kind);
    if !demand.input.iter().all(takes) {
        return Some(Exclude::Modality);
    }
    let lacks = demand.preferences.require_parameters
        && !demand.parameters.iter().all(|one| supports(endpoint, *one));
    lacks.then_some(Exclude::RequireParameters)
}

/// Is it known not to support the parameter? One that names none has told nothing.
pub(super) fn lacks(endpoint: &Endpoint, parameter: Parameter) -> bool {
    !endpoint.supported_parameters.is_empty() && !supports(endpoint, parameter)
}

/// The two names of the longest answer stand for each other: the dialect sends the right one.
pub(super) fn supports(endpoint: &Endpoint, parameter: Parameter) -> bool {
    let has = |one| endpoint.supported_parameters.contains(&one);
    has(parameter)
        || match parameter {
            Parameter::MaxTokens => has(Parameter::MaxCompletionTokens),
            Parameter::MaxCompletionTokens => has(Parameter::MaxTokens),
            _ => false,
        }
}
