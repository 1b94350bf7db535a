//! What a request may cost at most, and what to ask of a provider when less is at hand. Pure.

use crate::ingress::Call;
use shared::catalog::{Endpoint, Pricing};
use shared::money::Amount;
use shared::routing::{Candidate, Demand, Exclude, Exclusion, Plan};

/// The prompt's tokens are estimated before the provider counts them; this factor makes the
/// estimate a bound for all but pathological text. What exceeds it is an overrun, which the ledger
/// books as such.
pub const PROMPT_SAFETY: u64 = 2;
/// Completion tokens that a request must be able to pay for to be worth starting.
pub const LEAST_COMPLETION: u64 = 64;
/// Completion tokens that a client who names no bound is given, where there is little, before others
/// are left anything: some 700 words, which most answers do not exceed.
pub const USEFUL_COMPLETION: u64 = 1024;

/// What is counted in other things than tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// How many answers; 0 is one.
    pub choices: u32,
    /// Pictures that go in.
    pub images: u64,
    /// Units of a ranking; 0 is one.
    pub search_units: u64,
    /// Searches of the web that the provider may make.
    pub searches: u64,
}

impl Extent {
    /// Of a call.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        Self {
            choices: call.n,
            images: call.images,
            search_units: call.search_units,
            searches: call.searches(),
        }
    }

    fn answers(self) -> u64 {
        u64::from(self.choices.max(1))
    }
}

/// The bounds of one request's price over all its candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    extent: Extent,
    /// The worst case at shared endpoints; none when there are none.
    pub shared: Option<Amount>,
    /// The worst case with own provider keys, at list prices.
    pub own: Amount,
    /// With less than this the request is refused.
    pub least: Amount,
    /// Where the client names no bound: what pays for an answer of a useful length. Where not all can
    /// be held, only a part of what there is is taken beyond it.
    pub useful: Option<Amount>,
}

/// What one candidate may cost.
struct Bounds {
    worst: Amount,
    least: Amount,
    useful: Amount,
}

impl Bounds {
    fn of(endpoint: &Endpoint, demand: &Demand, extent: Extent) -> Self {
        let prompt = prompt_cost(&endpoint.pricing, demand, extent);
        let most = most_completion(endpoint, demand);
        let with = |each: u64| {
            let tokens = each.min(most).saturating_mul(extent.answers());
            prompt + dearest_completion(&endpoint.pricing, demand, tokens)
        };
        Self {
            worst: with(most),
            least: with(LEAST_COMPLETION),
            useful: with(USEFUL_COMPLETION),
        }
    }
}

impl Quote {
    /// The dearest candidate decides, since failover may end there; each of several answers may
    /// be as long as the bound.
    #[must_use]
    pub fn of(plan: &Plan, demand: &Demand, extent: Extent) -> Self {
        Self::over(offers(plan), demand, extent)
    }

    fn over<'a>(offers: impl Iterator<Item = Offer<'a>>, demand: &Demand, extent: Extent) -> Self {
        let mut quote = Self {
            extent,
            shared: None,
            own: Amount::ZERO,
            least: Amount::ZERO,
            useful: None,
        };
        let mut useful = Amount::ZERO;
        for (endpoint, is_own) in offers {
            let bounds = Bounds::of(endpoint, demand, extent);
            if is_own {
                quote.own = quote.own.max(bounds.worst);
            } else {
                quote.shared = Some(quote.shared.unwrap_or_default().max(bounds.worst));
            }
            quote.least = quote.least.max(bounds.least);
            useful = useful.max(bounds.useful);
        }
        quote.useful = demand.max_tokens.is_none().then_some(useful);
        quote
    }

    /// Leaves the shared candidates out that `have` does not carry even at their least, the dearest
    /// of them at any rate: what is due besides the price is not known here. False, and nothing is
    /// left out, where not even the cheapest is carried, or there is none but the cheapest.
    pub fn lessen(plan: &mut Plan, demand: &Demand, extent: Extent, have: Amount) -> bool {
        let Some(most) = carried(offers(plan), demand, extent, have) else {
            return false;
        };
        leave_out(plan, |candidate| {
            let bounds = Bounds::of(&candidate.endpoint, demand, extent);
            candidate.own.is_none() && bounds.least > most
        });
        true
    }

    /// The worst case of all.
    #[must_use]
    pub fn ceiling(&self) -> Amount {
        self.shared.unwrap_or_default().max(self.own)
    }

    /// The bound on each answer's completion tokens to send to an endpoint when `held` is less than
    /// the worst case; none when what bounds it anyway may stand: the client's wish, the endpoint's
    /// longest answer or its context.
    #[must_use]
    pub fn clamp(&self, endpoint: &Endpoint, demand: &Demand, held: Amount) -> Option<u64> {
        if held >= self.ceiling() {
            return None;
        }
        let pricing = &endpoint.pricing;
        let left = (held - prompt_cost(pricing, demand, self.extent)).at_least_zero();
        let each = dearest_completion(pricing, demand, 1_000_000);
        if each <= Amount::ZERO {
            return None;
        }
        let tokens = left.0.saturating_mul(1_000_000) / each.0;
        let tokens = tokens / i128::from(self.extent.answers());
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX).max(1);
        (tokens < most_completion(endpoint, demand)).then_some(tokens)
    }
}

/// An endpoint, and whether it is asked with the organisation's own key.
type Offer<'a> = (&'a Endpoint, bool);

fn offers(plan: &Plan) -> impl Iterator<Item = Offer<'_>> {
    let candidates = plan.candidates.iter();
    candidates.map(|candidate| (&*candidate.endpoint, candidate.own.is_some()))
}

/// The most that a shared candidate may need at least and stay, once `have` does not carry all.
fn carried<'a>(
    offers: impl Iterator<Item = Offer<'a>>,
    demand: &Demand,
    extent: Extent,
    have: Amount,
) -> Option<Amount> {
    let shared = offers.filter(|(_, is_own)| !is_own);
    let least = shared.map(|(endpoint, _)| Bounds::of(endpoint, demand, extent).least);
    let bounds = least.fold(None, |bounds: Option<(Amount, Amount)>, least| {
        let (low, high) = bounds.unwrap_or((least, least));
        Some((low.min(least), high.max(least)))
    });
    let (cheapest, dearest) = bounds?;
    let some = cheapest < dearest && cheapest <= have;
    some.then(|| have.min(dearest - Amount(1)))
}

/// Excludes candidates for want of credits.
pub fn leave_out(plan: &mut Plan, which: impl Fn(&Candidate) -> bool) {
    let excluded = &mut plan.excluded;
    plan.candidates.retain(|candidate| {
        let is_out = which(candidate);
        if is_out {
            excluded.push(Exclusion {
                endpoint: candidate.endpoint.id.clone(),
                why: Exclude::Credits,
            });
        }
        !is_out
    });
}

/// The longest answer that can come: nothing is held that no bound is sent for, and a provider can't
/// give more than the context.
fn most_completion(endpoint: &Endpoint, demand: &Demand) -> u64 {
    let context = endpoint.context_length.max(1);
    let bound = demand.max_tokens.or(endpoint.max_completion_tokens);
    bound.unwrap_or(context).min(context)
}

fn prompt_cost(pricing: &Pricing, demand: &Demand, extent: Extent) -> Amount {
    let tokens = demand.prompt_tokens.saturating_mul(PROMPT_SAFETY);
    let price = pricing.at(tokens);
    let dearest = [
        price.input_cache_write,
        price.input_cache_write_1h,
        price.audio,
    ]
    .into_iter()
    .flatten()
    .fold(price.prompt, Ord::max);
    let units = extent.search_units.max(1);
    dearest.cost(tokens)
        + price.request.unwrap_or_default().cost(units)
        + price.image.unwrap_or_default().cost(extent.images)
        + price.web_search.unwrap_or_default().cost(extent.searches)
}

fn dearest_completion(pricing: &Pricing, demand: &Demand, tokens: u64) -> Amount {
    let price = pricing.at(demand.prompt_tokens.saturating_mul(PROMPT_SAFETY));
    let dearest = [
        price.internal_reasoning,
        price.audio_output,
        price.image_output,
    ]
    .into_iter()
    .flatten()
    .fold(price.completion, Ord::max);
    dearest.cost(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::fixture::Fixture;
    use proptest::prelude::*;
    use shared::catalog::Dialect;

    fn pricing() -> Pricing {
        Pricing {
            prompt: "0.000001".parse().unwrap(),
            completion: "0.00001".parse().unwrap(),
            ..Pricing::default()
        }
    }

    fn endpoint(most: Option<u64>, context: u64) -> Endpoint {
        Endpoint {
            pricing: pricing(),
            max_completion_tokens: most,
            context_length: context,
            ..Fixture::new(Dialect::OpenaiChat).endpoint
        }
    }

    #[test]
    fn the_clamp_spends_no_more_than_is_held() {
        let demand = Demand {
            prompt_tokens: 500,
            ..Demand::default()
        };
        let quote = Quote {
            extent: Extent::default(),
            shared: Some(Amount::USD),
            own: Amount::ZERO,
            least: Amount::ZERO,
            useful: None,
        };
        let large = endpoint(None, 1_000_000);
        // 0.011 USD: 0.001 for the prompt's bound, 0.01 for 1,000 tokens.
        let held = "0.011".parse().unwrap();
        assert_eq!(quote.clamp(&large, &demand, held), Some(1000));
        assert_eq!(quote.clamp(&large, &demand, Amount::USD), None);
        // What is bounded by less anyway stays as it is.
        for small in [endpoint(Some(1000), 1_000_000), endpoint(None, 900)] {
            assert_eq!(quote.clamp(&small, &demand, held), None);
        }
        let asked = Demand {
            max_tokens: Some(10),
            ..demand
        };
        assert_eq!(quote.clamp(&large, &asked, held), None);
    }

    #[test]
    fn without_a_bound_all_that_the_context_allows_is_held() {
        let demand = Demand::default();
        let asked = Demand {
            max_tokens: Some(70_000),
            ..Demand::default()
        };
        assert_eq!(most_completion(&endpoint(None, 200_000), &demand), 200_000);
        assert_eq!(most_completion(&endpoint(None, 200_000), &asked), 70_000);
        let bounded = endpoint(Some(100_000), 200_000);
        assert_eq!(most_completion(&bounded, &demand), 100_000);
        assert_eq!(most_completion(&endpoint(None, 50_000), &asked), 50_000);
    }

    proptest! {
        /// Between what a request needs to start and its worst case, all its answers together cost
        /// no more than is held.
        #[test]
        fn what_is_clamped_fits_into_the_hold(
            choices in 0..129_u32,
            prompt_tokens in 0..5_000_u64,
            max_tokens in prop::option::of(1..100_000_u64),
            longest in prop::option::of(1..100_000_u64),
            part in 0..=1_000_i128,
        ) {
            let demand = Demand { prompt_tokens, max_tokens, ..Demand::default() };
            let extent = Extent { choices, ..Extent::default() };
            let prompt = prompt_cost(&pricing(), &demand, extent);
            let answers = |each: u64| {
                let tokens = each * u64::from(choices.max(1));
                prompt + dearest_completion(&pricing(), &demand, tokens)
            };
            let endpoint = endpoint(longest, 100_000);
            let most = most_completion(&endpoint, &demand);
            let (least, worst) = (answers(most.min(LEAST_COMPLETION)), answers(most));
            let held = least + Amount((worst - least).0 * part / 1_000);
            let quote = Quote { extent, shared: Some(worst), own: Amount::ZERO, least, useful: None };
            let each = quote.clamp(&endpoint, &demand, held).unwrap_or(most);
            prop_assert!(each <= most && answers(each) <= held, "{each} each");
            prop_assert!(each >= most.min(LEAST_COMPLETION), "{each} each");
        }
    }

    /// As a plan is lessened, without the plan: what stays.
    fn lessened<'a>(all: &[Offer<'a>], demand: &Demand, have: Amount) -> Option<Vec<Offer<'a>>> {
        let extent = Extent::default();
        let most = carried(all.iter().copied(), demand, extent, have)?;
        let stays = |(endpoint, is_own): &Offer<'_>| {
            *is_own || Bounds::of(endpoint, demand, extent).least <= most
        };
        Some(all.iter().copied().filter(stays).collect())
    }

    proptest! {
        /// Whatever there is and whatever is due besides the price: the cheapest is left out by no
        /// shortage, a request is refused only where not even that is carried, and what is held in
        /// the end covers each candidate that stays, at its clamp.
        #[test]
        fn what_carries_the_cheapest_is_never_too_little(
            prices in prop::collection::vec((1_i128..1_000, any::<bool>()), 1..8),
            prompt_tokens in 0..5_000_u64,
            max_tokens in prop::option::of(1..10_000_u64),
            have in 0_i128..3_000_000_000_000,
            fee in 0_u32..200_000,
        ) {
            let demand = Demand { prompt_tokens, max_tokens, ..Demand::default() };
            let extent = Extent::default();
            let have = Amount(have);
            let endpoints: Vec<(Endpoint, bool)> = prices
                .iter()
                .map(|(price, is_own)| {
                    let price: shared::money::Price = format!("0.0000{price:03}").parse().unwrap();
                    let pricing = Pricing { prompt: price, completion: price, ..Pricing::default() };
                    (Endpoint { pricing, ..endpoint(None, 20_000) }, *is_own)
                })
                .collect();
            let mut rest: Vec<Offer<'_>> = endpoints.iter().map(|(it, is_own)| (it, *is_own)).collect();
            let gross = |amount: Amount| amount + amount.millionths(fee);
            let least = |offer: &Offer<'_>| Bounds::of(offer.0, &demand, extent).least;
            let cheapest = rest.iter().filter(|offer| !offer.1).map(least).min();
            let owns = rest.iter().filter(|offer| offer.1).count();
            let needs = |rest: &[Offer<'_>]| {
                let shared = rest.iter().filter(|offer| !offer.1).map(least).max();
                gross(shared.unwrap_or_default())
            };
            while needs(&rest) > have {
                let Some(fewer) = lessened(&rest, &demand, have) else { break };
                prop_assert!(fewer.len() < rest.len(), "it ends");
                rest = fewer;
            }
            prop_assert_eq!(rest.iter().filter(|offer| offer.1).count(), owns);
            let Some(cheapest) = cheapest else { return Ok(()) };
            prop_assert!(rest.iter().any(|offer| !offer.1 && least(offer) == cheapest));
            prop_assert_eq!(needs(&rest) <= have, gross(cheapest) <= have);
            let quote = Quote::over(rest.iter().copied(), &demand, extent);
            let held = have.min(quote.ceiling());
            for offer in rest.iter().filter(|offer| !offer.1 && gross(least(offer)) <= have) {
                let bound = quote.clamp(offer.0, &demand, held);
                let each = bound.unwrap_or_else(|| most_completion(offer.0, &demand));
                let pricing = &offer.0.pricing;
                let most = prompt_cost(pricing, &demand, extent) + dearest_completion(pricing, &demand, each);
                prop_assert!(most <= held, "{each} tokens");
            }
        }
    }

    #[test]
    fn who_names_no_bound_is_quoted_a_useful_answer() {
        let (asked, not) = (
            Demand {
                max_tokens: Some(9),
                ..Demand::default()
            },
            Demand::default(),
        );
        let (large, small) = (endpoint(None, 100_000), endpoint(None, 100));
        let useful = |endpoint: &Endpoint, demand: &Demand| {
            let all = std::iter::once((endpoint, false));
            Quote::over(all, demand, Extent::default()).useful
        };
        assert_eq!(useful(&large, &asked), None);
        let useful = |endpoint| useful(endpoint, &not).unwrap().to_string();
        assert_eq!(useful(&large), "0.01024");
        assert_eq!(useful(&small), "0.001");
    }

    #[test]
    fn units_and_pictures_are_part_of_the_prompt() {
        let mut pricing = pricing();
        pricing.request = Some("0.002".parse().unwrap());
        pricing.image = Some("0.0001".parse().unwrap());
        let of = |images, search_units| {
            let extent = Extent {
                images,
                search_units,
                ..Extent::default()
            };
            prompt_cost(&pricing, &Demand::default(), extent).to_string()
        };
        assert_eq!(of(0, 0), "0.002");
        assert_eq!(of(2, 0), "0.0022");
        assert_eq!(of(0, 7), "0.014");
    }

    #[test]
    fn searches_are_paid_for_beforehand() {
        let extent = Extent {
            searches: 3,
            ..Extent::default()
        };
        let mut pricing = pricing();
        let of = |pricing: &Pricing| prompt_cost(pricing, &Demand::default(), extent).to_string();
        assert_eq!(of(&pricing), "0");
        pricing.web_search = Some("0.01".parse().unwrap());
        assert_eq!(of(&pricing), "0.03");
    }
}
