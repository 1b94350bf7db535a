//! An offer: what one line of a price list says about one model at one provider of ours.

use crate::catalog::{EffortWord, Modality, Pricing};
use crate::id::ProviderSlug;

/// A price list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum List {
    /// LiteLLM's `model_prices_and_context_window.json`.
    LiteLlm,
    /// models.dev's `api.json`.
    ModelsDev,
}

impl List {
    /// As decisions and provenance write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm",
            Self::ModelsDev => "models.dev",
        }
    }
}

/// One line of a list, for one of our providers.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) list: List,
    /// The line's key: LiteLLM's key, or `provider/model` of models.dev.
    pub(super) key: String,
    pub(super) provider: ProviderSlug,
    /// The model's name in the provider's API.
    pub(super) provider_model: String,
    /// The same without words that are not the model's.
    pub(super) model_name: String,
    pub(super) vendor_dots: bool,
    /// The list's preferred one for this provider.
    pub(super) preferred: bool,
    pub(super) base_model: Option<String>,
    pub(super) name: Option<String>,
    /// `YYYY-MM-DD`.
    pub(super) released: Option<String>,
    pub(super) pricing: Pricing,
    pub(super) context: Option<u64>,
    pub(super) max_prompt: Option<u64>,
    pub(super) max_completion: Option<u64>,
    pub(super) input: Option<Vec<Modality>>,
    pub(super) output: Option<Vec<Modality>>,
    pub(super) can: Abilities,
    pub(super) thinking: Thinking,
}

/// How the list says that thinking is asked for.
#[derive(Clone, Default, Debug)]
pub(super) struct Thinking {
    /// The words of `reasoning_effort`.
    pub(super) efforts: Vec<EffortWord>,
    /// It can be switched.
    pub(super) toggle: bool,
    /// It can be bounded in tokens.
    pub(super) budget: bool,
}

/// What the list says that the model can do; none is not told.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Abilities {
    pub(super) tools: Option<bool>,
    pub(super) tool_choice: Option<bool>,
    pub(super) parallel_tools: Option<bool>,
    pub(super) schema: Option<bool>,
    pub(super) sampling: Option<bool>,
    pub(super) reasoning: Option<bool>,
    pub(super) effort: Option<bool>,
    pub(super) search: Option<bool>,
}

/// Why a line gives no offer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Skip {
    Gone,
    NotChat,
    NoPrice,
    Free,
    Pattern,
    Inexact,
    Absurd,
    NoContext,
    SecondBest,
    Decided,
}

impl Skip {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "marked as gone",
            Self::NotChat => "not a chat model, or another API than the provider's row speaks",
            Self::NoPrice => "no price per token",
            Self::Free => "a price of zero: a trial, or not told",
            Self::Pattern => "excluded by the provider's patterns",
            Self::Inexact => "a price that can't be kept exactly",
            Self::Absurd => "more than 2,000 USD per million tokens",
            Self::NoContext => "no context length",
            Self::SecondBest => "another line of the same offer was taken",
            Self::Decided => "left out by a decision",
        }
    }
}
