//! An endpoint: one provider's offer of one model, with its price.

use crate::catalog::{Model, Provider, Quirk, text_enum};
use crate::id::{EndpointId, ModelId, ProviderSlug};
use crate::money::Price;

text_enum! {
    /// The precision at which an endpoint serves the weights.
    Quantization {
        /// 4-bit integer.
        Int4 = "int4",
        /// 8-bit integer.
        Int8 = "int8",
        /// 4-bit float.
        Fp4 = "fp4",
        /// 4-bit float, microscaling.
        Mxfp4 = "mxfp4",
        /// 4-bit float, NVIDIA's scaling.
        Nvfp4 = "nvfp4",
        /// 6-bit float.
        Fp6 = "fp6",
        /// 8-bit float.
        Fp8 = "fp8",
        /// 8-bit float, microscaling.
        Mxfp8 = "mxfp8",
        /// 16-bit float.
        Fp16 = "fp16",
        /// 16-bit brain float.
        Bf16 = "bf16",
        /// 32-bit float.
        Fp32 = "fp32",
        /// Not told.
        Unknown = "unknown",
    }
}

text_enum! {
    /// A request parameter that an endpoint may support; OpenRouter's vocabulary.
    Parameter {
        /// `temperature`
        Temperature = "temperature",
        /// `top_p`
        TopP = "top_p",
        /// `top_k`
        TopK = "top_k",
        /// `min_p`
        MinP = "min_p",
        /// `top_a`
        TopA = "top_a",
        /// `frequency_penalty`
        FrequencyPenalty = "frequency_penalty",
        /// `presence_penalty`
        PresencePenalty = "presence_penalty",
        /// `repetition_penalty`
        RepetitionPenalty = "repetition_penalty",
        /// `max_tokens`
        MaxTokens = "max_tokens",
        /// `max_completion_tokens`
        MaxCompletionTokens = "max_completion_tokens",
        /// `logit_bias`
        LogitBias = "logit_bias",
        /// `logprobs`
        Logprobs = "logprobs",
        /// `top_logprobs`
        TopLogprobs = "top_logprobs",
        /// `prediction`
        Prediction = "prediction",
        /// `seed`
        Seed = "seed",
        /// `response_format`
        ResponseFormat = "response_format",
        /// `structured_outputs`: `response_format` of type `json_schema`
        StructuredOutputs = "structured_outputs",
        /// `stop`
        Stop = "stop",
        /// `tools`
        Tools = "tools",
        /// `tool_choice`
        ToolChoice = "tool_choice",
        /// `parallel_tool_calls`
        ParallelToolCalls = "parallel_tool_calls",
        /// `include_reasoning`
        IncludeReasoning = "include_reasoning",
        /// `reasoning`
        Reasoning = "reasoning",
        /// `reasoning_effort`
        ReasoningEffort = "reasoning_effort",
        /// `web_search_options`
        WebSearchOptions = "web_search_options",
        /// `verbosity`
        Verbosity = "verbosity",
    }
}

text_enum! {
    /// A word for how hard a model shall think, the least first.
    EffortWord {
        /// Not at all.
        None = "none",
        /// Hardly.
        Minimal = "minimal",
        /// A little.
        Low = "low",
        /// Some.
        Medium = "medium",
        /// Hard.
        High = "high",
        /// Harder.
        XHigh = "xhigh",
        /// As hard as it can.
        Max = "max",
        /// As it is made to.
        Default = "default",
    }
}

text_enum! {
    /// A way to be served that costs otherwise or waits longer than the default; the last part of
    /// an endpoint's tag, e.g. `openai/priority`.
    Tier {
        /// Cheaper, and later.
        Flex = "flex",
        /// Dearer, and faster.
        Priority = "priority",
        /// Capacity bought ahead.
        Scale = "scale",
    }
}

/// One provider's offer of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `model@tag`, unique.
    pub id: EndpointId,
    /// The model it serves.
    pub model: ModelId,
    /// Who serves it.
    pub provider: ProviderSlug,
    /// The provider's slug, or `slug/variant`, e.g. `openai/priority`; unique in the model.
    pub tag: String,
    /// The model's name in the provider's API.
    pub provider_model: String,
    /// Tokens, prompt and completion together.
    pub context_length: u64,
    /// The longest answer, where there is a bound.
    pub max_completion_tokens: Option<u64>,
    /// The longest prompt, where it is bounded apart.
    pub max_prompt_tokens: Option<u64>,
    /// The weights' precision.
    pub quantization: Quantization,
    /// Sorted, without repetitions.
    pub supported_parameters: Vec<Parameter>,
    /// Deviations of this offer from its provider's dialect, beside the provider's own: what a
    /// model demands wherever it is served.
    pub quirks: Vec<Quirk>,
    /// The words of `reasoning_effort` that it knows; not told when empty.
    pub efforts: Vec<EffortWord>,
    /// What it costs.
    pub pricing: Pricing,
}

impl Endpoint {
    /// The provider's only offer of a model, under the model's own name and without a price,
    /// everything else unknown.
    #[must_use]
    pub fn new(model: &Model, provider: &ProviderSlug) -> Self {
        Self {
            id: EndpointId::of(&model.id, provider.as_str()),
            model: model.id.clone(),
            provider: provider.clone(),
            tag: provider.as_str().to_owned(),
            provider_model: model.id.as_str().to_owned(),
            context_length: model.context_length,
            max_completion_tokens: None,
            max_prompt_tokens: None,
            quantization: Quantization::Unknown,
            supported_parameters: Vec::new(),
            quirks: Vec::new(),
            efforts: Vec::new(),
            pricing: Pricing::default(),
        }
    }

    /// True for a deviation of this offer, or of all of its provider's.
    #[must_use]
    pub fn has(&self, quirk: Quirk, provider: &Provider) -> bool {
        self.quirks.contains(&quirk) || provider.quirks.contains(&quirk)
    }

    /// The service tier that its tag names; none is the default.
    #[must_use]
    pub fn tier(&self) -> Option<Tier> {
        Tier::parse(self.tag.rsplit_once('/')?.1)
    }

    /// Its tag without the service tier.
    #[must_use]
    pub fn tag_without_tier(&self) -> &str {
        match self.tag.rsplit_once('/') {
            Some((base, last)) if Tier::parse(last).is_some() => base,
            _ => &self.tag,
        }
    }
}

/// USD per unit. `prompt` and `completion` always; the others where the provider charges them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pricing {
    /// Per prompt token.
    pub prompt: Price,
    /// Per completion token.
    pub completion: Price,
    /// Per request.
    pub request: Option<Price>,
    /// Per input image.
    pub image: Option<Price>,
    /// Per input image token.
    pub image_token: Option<Price>,
    /// Per output image token.
    pub image_output: Option<Price>,
    /// Per input audio token.
    pub audio: Option<Price>,
    /// Per output audio token.
    pub audio_output: Option<Price>,
    /// Per cached input audio token.
    pub input_audio_cache: Option<Price>,
    /// Per web search.
    pub web_search: Option<Price>,
    /// Per answer that rests on the provider's own maps.
    pub maps: Option<Price>,
    /// Per token of what the provider has read to cite it, which is not in the prompt.
    pub citation: Option<Price>,
    /// Per reasoning token; without it `completion`.
    pub internal_reasoning: Option<Price>,
    /// Per cached prompt token; without it `prompt`.
    pub input_cache_read: Option<Price>,
    /// Per prompt token written to a cache for 5 minutes; without it `prompt`.
    pub input_cache_write: Option<Price>,
    /// Per prompt token written to a cache for an hour; without it `input_cache_write`.
    pub input_cache_write_1h: Option<Price>,
    /// Other prices for long prompts, by ascending threshold.
    pub overrides: Vec<PriceOverride>,
}

/// Prices that hold when the prompt has *more than* `min_prompt_tokens`. An absent price stays as
/// it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceOverride {
    /// The threshold, exclusive.
    pub min_prompt_tokens: u64,
    /// Replaces `prompt`.
    pub prompt: Option<Price>,
    /// Replaces `completion`.
    pub completion: Option<Price>,
    /// Replaces `internal_reasoning`.
    pub internal_reasoning: Option<Price>,
    /// Replaces `input_cache_read`.
    pub input_cache_read: Option<Price>,
    /// Replaces `input_cache_write`.
    pub input_cache_write: Option<Price>,
    /// Replaces `input_cache_write_1h`.
    pub input_cache_write_1h: Option<Price>,
}

impl Pricing {
    /// The prices that hold for a prompt of that many tokens.
    #[must_use]
    pub fn at(&self, prompt_tokens: u64) -> Self {
        let mut effective = self.clone();
        effective.overrides.clear();
        for rule in self
            .overrides
            .iter()
            .filter(|rule| prompt_tokens > rule.min_prompt_tokens)
        {
            effective.prompt = rule.prompt.unwrap_or(effective.prompt);
            effective.completion = rule.completion.unwrap_or(effective.completion);
            effective.internal_reasoning = rule.internal_reasoning.or(effective.internal_reasoning);
            effective.input_cache_read = rule.input_cache_read.or(effective.input_cache_read);
            effective.input_cache_write = rule.input_cache_write.or(effective.input_cache_write);
            effective.input_cache_write_1h =
                rule.input_cache_write_1h.or(effective.input_cache_write_1h);
        }
        effective
    }

    /// USD per token of a usual mix: three prompt tokens to one of completion, a thousand to a
    /// request. For scores only; never for a charge.
    #[must_use]
    pub fn blended(&self) -> f64 {
        let request = self.request.unwrap_or_default().to_f64_lossy() / 1000.0;
        0.75 * self.prompt.to_f64_lossy() + 0.25 * self.completion.to_f64_lossy() + request
    }
}
