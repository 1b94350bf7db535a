//! The answer: candidates in order and exclusions, each with its reason; or why there is no plan.

use crate::catalog::{Endpoint, Modality, Provider, text_enum};
use crate::id::{EndpointId, ModelId, Version};
use crate::ranking::Mode;
use std::sync::Arc;

/// Whom to try, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every usable endpoint once: the whole fallback order.
    pub candidates: Vec<Candidate>,
    /// Every other endpoint of the models asked for.
    pub excluded: Vec<Exclusion>,
    /// The catalogue that it was made from.
    pub snapshot_version: Version,
    /// The ranking that it was made from.
    pub ranking_version: Version,
    /// Makes it again.
    pub seed: u64,
}

/// An endpoint to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What to ask.
    pub endpoint: Arc<Endpoint>,
    /// Whom to ask.
    pub provider: Arc<Provider>,
    /// Its share of the model's traffic as corrected here, 0..=1.
    pub share: f64,
    /// Why it stands where it stands.
    pub reason: Reason,
}

/// Why a candidate stands where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Drawn at random by its share.
    Drawn,
    /// The client's `order` names it, at this place.
    Ordered(usize),
    /// The client's `sort`.
    Sorted(Mode),
    /// This node sends the next probe.
    Probe,
    /// Tools were sent and it is not known to take them.
    WithoutTools,
    /// The fleet's ranking gives it nothing: it fails.
    Open,
    /// This node leaves it alone for a while.
    Paused,
}

impl Reason {
    /// A word for logs and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Ordered(_) => "order",
            Self::Sorted(Mode::Price) => "sort:price",
            Self::Sorted(Mode::Latency) => "sort:latency",
            Self::Sorted(Mode::Throughput) => "sort:throughput",
            Self::Sorted(Mode::Balanced) => "sort:balanced",
            Self::Probe => "probe",
            Self::WithoutTools => "without_tools",
            Self::Open => "open",
            Self::Paused => "paused",
        }
    }
}

text_enum! {
    /// Why an endpoint is no candidate; OpenRouter's word (`excluded_by`) where it has one.
    Exclude {
        /// The key may not use this model.
        AllowedModels = "allowed_models",
        /// The key may not use this provider.
        AllowedProviders = "allowed_providers",
        /// The client's `only` doesn't name it.
        Only = "only",
        /// The client's or the key's `ignore` names it.
        Ignore = "ignore",
        /// Its service tier was not asked for by name.
        ServiceTier = "service_tier",
        /// An operator has taken it out of service.
        Disabled = "disabled",
        /// No credential that could be used.
        NotServed = "not_served",
        /// It trains on prompts.
        Training = "data_policy:training",
        /// It keeps prompts.
        Zdr = "data_policy:zdr",
        /// Another precision.
        Quantization = "quantization",
        /// Too dear.
        MaxPrice = "max_price",
        /// The prompt, or prompt and answer, don't fit.
        ContextLength = "context_length",
        /// The longest answer asked for is longer than its longest.
        MaxTokens = "max_tokens",
        /// The model doesn't take such content.
        Modality = "modality",
        /// A parameter that was sent is not supported.
        RequireParameters = "require_parameters",
        /// Not the first choice, and the client allows no other.
        NoFallbacks = "allow_fallbacks",
    }
}

/// An endpoint that is no candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Which.
    pub endpoint: EndpointId,
    /// Why: the first reason that was found.
    pub why: Exclude,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None of the models is in the catalogue.
    ModelNotFound {
        /// As the client wrote it.
        model: String,
        /// What it may have meant, nearest first.
        nearest: Vec<String>,
    },
    /// The models give something else than what is asked for.
    WrongOutput {
        /// The first of them.
        model: ModelId,
        /// What it gives.
        gives: Vec<Modality>,
    },
    /// There are models, but every endpoint is excluded.
    NoEndpoints {
        /// Why.
        excluded: Vec<Exclusion>,
    },
}
