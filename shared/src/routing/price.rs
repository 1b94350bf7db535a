//! What a request would really cost at an endpoint: a prompt that is still in its cache is cheaper
//! to read there, and so a conversation stays where it was, unless another place is cheaper all the
//! same. For the order of candidates only; never for a charge.

use super::{Demand, Tuning};
use crate::catalog::{Endpoint, Pricing};
use crate::ranking::Mode;

/// USD of a request of which a part `hit` (0..=1) of the prompt comes from the cache.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub fn effective(pricing: &Pricing, prompt_tokens: u64, completion_tokens: u64, hit: f64) -> f64 {
    let mut rates = (pricing.prompt, pricing.input_cache_read, pricing.completion);
    let rules = pricing.overrides.iter();
    for rule in rules.filter(|rule| prompt_tokens > rule.min_prompt_tokens) {
        rates.0 = rule.prompt.unwrap_or(rates.0);
        rates.1 = rule.input_cache_read.or(rates.1);
        rates.2 = rule.completion.unwrap_or(rates.2);
    }
    let (fresh, cached, completion) = rates;
    let hit = hit.clamp(0.0, 1.0);
    let cached = cached.unwrap_or(fresh).to_f64_lossy();
    let each = (1.0 - hit) * fresh.to_f64_lossy() + hit * cached;
    prompt_tokens as f64 * each + completion_tokens as f64 * completion.to_f64_lossy()
}

/// By how much a share grows because the endpoint may still have the conversation in its cache:
/// what the score would give it for the lower price.
#[inline]
pub(super) fn stickiness(tuning: &Tuning, demand: &Demand, endpoint: &Endpoint, mode: Mode) -> f64 {
    let mut sticky = demand.sticky.iter();
    let Some(sticky) = sticky.find(|it| it.endpoint == endpoint.id) else {
        return 1.0;
    };
    let usual = tuning.usual_completion;
    let completion = demand.max_tokens.map_or(usual, |most| most.min(usual));
    let cost = |hit| effective(&endpoint.pricing, demand.prompt_tokens, completion, hit);
    let (cold, warm) = (cost(0.0), cost(sticky.hit_ratio()));
    // Where reading the cache costs as much as the prompt, or more, there is nothing to stay for.
    if warm <= 0.0 || warm >= cold {
        return 1.0;
    }
    let grows = (cold / warm).powf(tuning.price_power_of(mode));
    grows.min(tuning.sticky_most)
}
