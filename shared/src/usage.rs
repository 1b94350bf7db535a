//! What a request used, in native tokens, and what that costs. Pure.
//!
//! Conventions (OpenAI's): `prompt` includes cached and written tokens, `completion` includes
//! reasoning. Dialects whose counts exclude each other (Anthropic, Bedrock) add them up first.

use crate::catalog::Pricing;
use crate::money::{Amount, Price};
use serde::{Deserialize, Serialize};

/// Counts of one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All prompt tokens.
    pub prompt: u64,
    /// Of these: read from a cache.
    pub cache_read: u64,
    /// Of these: written to a 5-minute cache.
    pub cache_write: u64,
    /// Of these: written to a 1-hour cache.
    pub cache_write_1h: u64,
    /// Of these: audio.
    pub prompt_audio: u64,
    /// Of these: pictures.
    pub prompt_image: u64,
    /// Of these: not charged, such as a provider's own template; cached ones first.
    pub prompt_free: u64,
    /// All completion tokens.
    pub completion: u64,
    /// Of these: reasoning.
    pub reasoning: u64,
    /// Of these: audio.
    pub completion_audio: u64,
    /// Of these: images.
    pub completion_image: u64,
    /// Of these: not charged; reasoning first.
    pub completion_free: u64,
    /// Calls of the provider's own web search.
    pub web_searches: u64,
    /// Uses of the provider's own maps.
    pub maps: u64,
    /// Tokens of what the provider has read to cite it; not in `prompt`.
    pub citations: u64,
    /// Pages that the provider fetched; not charged, as the prompt tokens that they become are.
    pub fetches: u64,
    /// Searches of files at the provider; no list has a price for them.
    pub file_searches: u64,
    /// Runs of code at the provider; their price is by the container, which no answer counts.
    pub code_runs: u64,
    /// In how many units the fixed price of a request is charged (Cohere's search units); 0 is one.
    pub search_units: u64,
    /// Pictures of the prompt, where each has a price of its own.
    pub images: u64,
    /// True when the provider reported nothing and the counts are our estimate.
    pub estimated: bool,
}

/// Beyond so many times the model's context no count is believed. A provider's own tools read the
/// prompt again at each step, which is counted each time; nothing comes to more than that.
const CONTEXTS_MAX: u64 = 16;
/// Where the model's context is not known.
const CONTEXT_UNKNOWN: u64 = 1_000_000;

impl Usage {
    /// False for counts that can't be, such as a negative number that was read as a huge one.
    /// `context`: the model's, in tokens; zero when it is not known.
    #[must_use]
    pub fn is_plausible(&self, context: u64) -> bool {
        let context = if context == 0 {
            CONTEXT_UNKNOWN
        } else {
            context
        };
        let most = context.saturating_mul(CONTEXTS_MAX);
        let things = [
            self.web_searches,
            self.maps,
            self.fetches,
            self.file_searches,
            self.code_runs,
            self.search_units,
            self.images,
        ];
        let tokens = [self.prompt, self.completion, self.citations];
        tokens.iter().all(|it| *it <= most) && things.iter().all(|it| *it <= most)
    }

    /// What the provider's own tools were used for, in OpenRouter's words where it has some; those
    /// that were used.
    pub fn server_tools(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let all = [
            ("web_search_requests", self.web_searches),
            ("web_fetch_requests", self.fetches),
            ("file_search_requests", self.file_searches),
            ("code_execution_requests", self.code_runs),
            ("maps_requests", self.maps),
            ("citation_tokens", self.citations),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }
}

/// What one request costs, by line. The total is the sum of the lines, each rounded once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Prompt tokens of every class.
    pub prompt: Amount,
    /// Completion tokens of every class.
    pub completion: Amount,
    /// The fixed price of a request and of server tools.
    pub request: Amount,
    /// The provider bills an own key of the organisation: here the fee alone is charged.
    pub own_key: bool,
}

impl Cost {
    /// All lines together.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.prompt + self.completion + self.request
    }

    /// What is left when no token is charged: the fixed price, and the searches that were done.
    #[must_use]
    pub const fn without_tokens(self) -> Self {
        Self {
            prompt: Amount::ZERO,
            completion: Amount::ZERO,
            ..self
        }
    }
}

/// What `usage` costs at `pricing`: each token once, at the price of its class. Parts larger than
/// their whole (which providers do report) are clamped.
#[must_use]
pub fn cost(usage: &Usage, pricing: &Pricing) -> Cost {
    let price = pricing.at(usage.prompt);
    let mut prompt_left = usage.prompt;
    let mut prompt = Amount::ZERO;
    let free = Price::default();
    prompt += take(&mut prompt_left, usage.prompt_free, free);
    let write = price.input_cache_write.unwrap_or(price.prompt);
    for (part, rate) in [
        (
            usage.cache_read.saturating_sub(usage.prompt_free),
            price.input_cache_read.unwrap_or(price.prompt),
        ),
        (
            usage.cache_write_1h,
            price.input_cache_write_1h.unwrap_or(write),
        ),
        (usage.cache_write, write),
        (usage.prompt_audio, price.audio.unwrap_or(price.prompt)),
        (
            usage.prompt_image,
            price.image_token.unwrap_or(price.prompt),
        ),
    ] {
        prompt += take(&mut prompt_left, part, rate);
    }
    prompt += price.prompt.cost(prompt_left);
    prompt += price.image.unwrap_or_default().cost(usage.images);
    prompt += price.citation.unwrap_or_default().cost(usage.citations);

    let mut completion_left = usage.completion;
    let mut completion = Amount::ZERO;
    completion += take(&mut completion_left, usage.completion_free, free);
    for (part, rate) in [
        (
            usage.reasoning.saturating_sub(usage.completion_free),
            price.internal_reasoning.unwrap_or(price.completion),
        ),
        (
            usage.completion_audio,
            price.audio_output.unwrap_or(price.completion),
        ),
        (
            usage.completion_image,
            price.image_output.unwrap_or(price.completion),
        ),
    ] {
        completion += take(&mut completion_left, part, rate);
    }
    completion += price.completion.cost(completion_left);

    let searches = price
        .web_search
        .unwrap_or_default()
        .cost(usage.web_searches)
        + price.maps.unwrap_or_default().cost(usage.maps);
    let units = usage.search_units.max(1);
    Cost {
        prompt,
        completion,
        request: price.request.unwrap_or_default().cost(units) + searches,
        own_key: false,
    }
}

fn take(left: &mut u64, part: u64, rate: Price) -> Amount {
    let part = part.min(*left);
    *left -= part;
    rate.cost(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pricing() -> Pricing {
        let price = |text: &str| text.parse::<Price>().unwrap();
        Pricing {
            prompt: price("0.000003"),
            completion: price("0.000015"),
            input_cache_read: Some(price("0.0000003")),
            input_cache_write: Some(price("0.00000375")),
            ..Pricing::default()
        }
    }

    #[test]
    fn each_token_is_charged_once() {
        let usage = Usage {
            prompt: 1000,
            cache_read: 600,
            cache_write: 100,
            completion: 50,
            reasoning: 20,
            ..Usage::default()
        };
        let cost = cost(&usage, &pricing());
        assert_eq!(cost.prompt.to_string(), "0.001455");
        assert_eq!(cost.completion.to_string(), "0.00075");
        assert_eq!(cost.total().to_string(), "0.002205");
    }

    #[test]
    fn what_is_not_charged_costs_nothing() {
        // A template of 1,516 tokens, cached for the most part, around a prompt of 47.
        let usage = Usage {
            prompt: 1563,
            cache_read: 1376,
            prompt_free: 1516,
            completion: 22,
            completion_free: 14,
            reasoning: 10,
            ..Usage::default()
        };
        let cost = cost(&usage, &pricing());
        assert_eq!(cost.prompt.to_string(), "0.000141");
        assert_eq!(cost.completion.to_string(), "0.00012");
    }

    #[test]
    fn a_request_is_charged_by_its_units() {
        let mut pricing = pricing();
        pricing.request = Some("0.002".parse().unwrap());
        let with = |search_units| Usage {
            search_units,
            ..Usage::default()
        };
        assert_eq!(cost(&with(0), &pricing).total().to_string(), "0.002");
        assert_eq!(cost(&with(3), &pricing).total().to_string(), "0.006");
    }

    #[test]
    fn tools_of_the_providers_own_are_charged_where_they_have_a_price() {
        let usage = Usage {
            web_searches: 2,
            maps: 1,
            citations: 1000,
            fetches: 3,
            file_searches: 4,
            code_runs: 5,
            ..Usage::default()
        };
        assert_eq!(cost(&usage, &pricing()).total(), Amount::ZERO);
        let mut pricing = pricing();
        pricing.web_search = Some("0.01".parse().unwrap());
        pricing.maps = Some("0.025".parse().unwrap());
        pricing.citation = Some("0.000002".parse().unwrap());
        let cost = cost(&usage, &pricing);
        assert_eq!(cost.request.to_string(), "0.045");
        assert_eq!(cost.prompt.to_string(), "0.002");
        let told: Vec<_> = usage.server_tools().collect();
        assert_eq!(told[1], ("web_fetch_requests", 3));
        assert_eq!(told.len(), 6);
    }

    #[test]
    fn pictures_are_charged_one_by_one_where_they_have_a_price() {
        let usage = Usage {
            images: 3,
            ..Usage::default()
        };
        assert_eq!(cost(&usage, &pricing()).total(), Amount::ZERO);
        let mut pricing = pricing();
        pricing.image = Some("0.0001".parse().unwrap());
        assert_eq!(cost(&usage, &pricing).prompt.to_string(), "0.0003");
    }

    #[test]
    fn parts_larger_than_the_whole_are_clamped() {
        let usage = Usage {
            prompt: 7,
            cache_read: 163,
            ..Usage::default()
        };
        assert_eq!(cost(&usage, &pricing()).total().to_string(), "0.0000021");
    }

    #[test]
    fn a_long_prompt_takes_the_override() {
        use crate::catalog::PriceOverride;
        let mut pricing = pricing();
        pricing.overrides.push(PriceOverride {
            min_prompt_tokens: 1000,
            prompt: Some("0.000006".parse().unwrap()),
            ..PriceOverride::default()
        });
        let at = |prompt| {
            cost(
                &Usage {
                    prompt,
                    ..Usage::default()
                },
                &pricing,
            )
            .total()
        };
        assert_eq!(at(1000).to_string(), "0.003");
        assert_eq!(at(1001).to_string(), "0.006006");
    }
}
