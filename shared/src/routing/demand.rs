//! What a request asks of an endpoint, as far as routing is concerned: made by the edge's ingress,
//! read by the planner. No bodies and no credentials are here.

use crate::catalog::{DataRegion, Modality, Model, Parameter, Quantization, Tier};
use crate::id::EndpointId;
use crate::money::Price;
use crate::ranking::Mode;

/// What one request needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The model that is asked for first, as the client wrote it.
    pub model: String,
    /// Models to fall back to, in order, without `model` and without repetitions.
    pub fallback_models: Vec<String>,
    /// An estimate, in tokens.
    pub prompt_tokens: u64,
    /// The longest answer that the client wants, in tokens.
    pub max_tokens: Option<u64>,
    /// Kinds of content in the messages; sorted, without repetitions.
    pub input: Vec<Modality>,
    /// What the model must give, one of these; empty is anything.
    pub output: Vec<Modality>,
    /// The longest text by itself, in tokens, where a request has several and each must fit the
    /// context alone.
    pub longest_text: Option<u64>,
    /// Parameters that the request sets; sorted, without repetitions.
    pub parameters: Vec<Parameter>,
    /// What the client prefers and forbids.
    pub preferences: Preferences,
    /// True when the request declares tools.
    pub needs_tools: bool,
    /// What the draw by share goes by; a client's `sort` is stricter and comes first.
    pub mode: Mode,
    /// The service tier that is asked for; none is the default.
    pub tier: Option<Tier>,
    /// Only endpoints that surely serve there.
    pub region: Option<DataRegion>,
    /// Who served this conversation last; at most one for each model.
    pub sticky: Vec<Sticky>,
}

impl Demand {
    /// Does the model give what is asked for?
    #[must_use]
    pub fn gets(&self, model: &Model) -> bool {
        let mut given = model.output_modalities.iter();
        self.output.is_empty() || given.any(|kind| self.output.contains(kind))
    }
}

/// An endpoint that may still have a conversation's prompt in its cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Which.
    pub endpoint: EndpointId,
    /// The part of the last prompt that came from the cache, 1/65535.
    pub hit: u16,
    /// The client named the session: it goes on there, cache or not.
    pub pinned: bool,
}

impl Sticky {
    /// The part of the last prompt that came from the cache, 0..=1.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        f64::from(self.hit) / f64::from(u16::MAX)
    }
}

/// How a workspace sorts where the request, its model's suffix and its tier say nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultSort {
    /// Strictly by this.
    By(Mode),
    /// Those whose tool calls can be relied on first.
    Exacto,
}

/// OpenRouter's `provider` object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Slugs to try first, in this order.
    pub order: Vec<String>,
    /// Slugs that may serve; empty is all.
    pub only: Vec<String>,
    /// Slugs that may not serve.
    pub ignore: Vec<String>,
    /// May another endpoint than the first choice serve.
    pub allow_fallbacks: bool,
    /// Only endpoints that support every parameter that the request sets.
    pub require_parameters: bool,
    /// No endpoints that train on prompts; a policy that isn't known counts as one that does.
    pub data_collection_deny: bool,
    /// Only endpoints with zero data retention.
    pub zdr: bool,
    /// Only models whose author permits to train others on their text.
    pub distillable: bool,
    /// Precisions that may serve; empty is all.
    pub quantizations: Vec<Quantization>,
    /// The order to prefer; none is the default balance.
    pub sort: Option<Mode>,
    /// `sort: exacto`: those whose tool calls can be relied on first. Excludes `sort`.
    pub exacto: bool,
    /// What the workspace prefers where nothing else sorts.
    pub default_sort: Option<DefaultSort>,
    /// Over which endpoints to sort; none is model by model.
    pub partition: Option<Partition>,
    /// The most that it may cost.
    pub max_price: MaxPrice,
    /// Slower endpoints come last: tenths of tokens per second.
    pub min_throughput: Cutoffs,
    /// Slower endpoints come last: milliseconds to the first token.
    pub max_latency: Cutoffs,
    /// What is sent along to the endpoints that a slug names: JSON objects, as they came.
    pub options: Vec<(String, String)>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            only: Vec::new(),
            ignore: Vec::new(),
            allow_fallbacks: true,
            require_parameters: false,
            data_collection_deny: false,
            zdr: false,
            distillable: false,
            quantizations: Vec::new(),
            sort: None,
            exacto: false,
            default_sort: None,
            partition: None,
            max_price: MaxPrice::default(),
            min_throughput: Cutoffs::default(),
            max_latency: Cutoffs::default(),
            options: Vec::new(),
        }
    }
}

/// Over which endpoints a strict order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// One model's after the other's.
    Model,
    /// Those of all models together.
    None,
}

/// Upper bounds in USD per unit: token, request, image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxPrice {
    /// Per prompt token.
    pub prompt: Option<Price>,
    /// Per completion token.
    pub completion: Option<Price>,
    /// Per request.
    pub request: Option<Price>,
    /// Per input image.
    pub image: Option<Price>,
    /// Per input audio token.
    pub audio: Option<Price>,
}

impl MaxPrice {
    /// True when there is a bound.
    #[must_use]
    #[inline]
    pub fn any(&self) -> bool {
        self.prompt.is_some()
            || self.completion.is_some()
            || self.request.is_some()
            || self.image.is_some()
            || self.audio.is_some()
    }
}

/// Bounds on percentiles of the last five minutes; all that are given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// On the median.
    pub p50: Option<u32>,
    /// On the 75th percentile.
    pub p75: Option<u32>,
    /// On the 90th percentile.
    pub p90: Option<u32>,
    /// On the 99th percentile.
    pub p99: Option<u32>,
}

impl Cutoffs {
    /// True when there is a bound.
    #[must_use]
    #[inline]
    pub fn any(&self) -> bool {
        self.p50.is_some() || self.p75.is_some() || self.p90.is_some() || self.p99.is_some()
    }
}
