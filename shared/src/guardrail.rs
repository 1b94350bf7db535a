//! Guardrails: what an organisation forbids its keys, as it is written ([`Guardrail`]) and as it
//! holds for one key ([`Rules`], made by [`combine`] of all that apply). Pure; a combination is
//! never looser than any of its parts. Reading prompts and counting money are not here.

mod combine;
mod filter;
mod known;
mod model;
pub mod pattern;
mod words;

#[cfg(test)]
mod tests;

use crate::catalog::DataRegion;
use crate::id::ModelId;
use crate::key::KeyHash;
use crate::limit::{self, Limit};
use crate::money::Amount;
use crate::policy::ResetInterval;
use serde::{Deserialize, Serialize};

pub use combine::{Layer, combine};
pub use filter::{Action, Builtin, BuiltinFilter, Check, ContentFilter, Filter, Scope};
pub use words::covers;

/// Most entries of one list of models or providers.
pub const LIST_MAX: usize = 1000;
/// Most content filters of one guardrail, built-in ones apart.
pub const FILTERS_MAX: usize = 50;
/// Longest pattern of a content filter, in characters.
pub const PATTERN_MAX: usize = 1000;
/// Longest label of a content filter, in characters.
pub const LABEL_MAX: usize = 100;

/// A guardrail's rules as its owner writes them; members and words are OpenRouter's. Absent and
/// null are no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrail {
    /// The most that each key and each member under it may spend per `reset_interval`.
    #[serde(with = "words::dollars")]
    pub limit_usd: Option<Amount>,
    /// When `limit_usd` starts anew; none is never.
    pub reset_interval: Option<ResetInterval>,
    /// Requests with the organisation's own provider keys count, too.
    pub include_byok_in_budgets: Option<bool>,
    /// No other model, by ids or canonical slugs in any case; a variant such as `:free` is another.
    pub allowed_models: Option<Vec<String>>,
    /// None of these models, nor of their variants, by ids or canonical slugs in any case.
    pub ignored_models: Option<Vec<String>>,
    /// No other provider: slugs, or tags such as `google-vertex/us-east5`.
    pub allowed_providers: Option<Vec<String>>,
    /// None of these providers.
    pub ignored_providers: Option<Vec<String>>,
    /// All five of the following; kept for old clients.
    pub enforce_zdr: Option<bool>,
    /// Anthropic's models only where nothing is kept.
    pub enforce_zdr_anthropic: Option<bool>,
    /// OpenAI's.
    pub enforce_zdr_openai: Option<bool>,
    /// Google's.
    pub enforce_zdr_google: Option<bool>,
    /// xAI's.
    pub enforce_zdr_xai: Option<bool>,
    /// Everybody else's.
    pub enforce_zdr_other: Option<bool>,
    /// False: no endpoint that costs something and trains on prompts.
    pub enable_paid_model_training: Option<bool>,
    /// False: no free endpoint that trains on prompts.
    pub enable_free_model_training: Option<bool>,
    /// False: no free endpoint that may publish prompts; one that trains may.
    pub enable_free_model_publication: Option<bool>,
    /// Only endpoints that surely serve there.
    pub allowed_data_regions: Option<Vec<Place>>,
    /// Patterns of the organisation's own.
    pub content_filters: Option<Vec<ContentFilter>>,
    /// Patterns that come with Godwit.
    pub content_filter_builtins: Option<Vec<BuiltinFilter>>,
}

/// A jurisdiction, in OpenRouter's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Anywhere.
    Global,
    /// The European Union.
    Europe,
    /// The United States.
    Us,
}

impl Place {
    /// As the catalogue knows it; none is anywhere.
    #[must_use]
    pub const fn region(self) -> Option<DataRegion> {
        match self {
            Self::Global => None,
            Self::Europe => Some(DataRegion::Eu),
            Self::Us => Some(DataRegion::Us),
        }
    }
}

/// What holds for one key: the combination of its guardrails. Lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// No other model, in lower case; an empty list allows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_models: Option<Vec<ModelId>>,
    /// None of these models, in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_models: Vec<ModelId>,
    /// No other provider; an empty list allows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_providers: Option<Vec<String>>,
    /// None of these providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_providers: Vec<String>,
    /// Whose models are served only where nothing is kept.
    pub zdr: Zdr,
    /// No endpoint that costs something and trains on prompts.
    pub no_paid_training: bool,
    /// No free endpoint that trains on prompts.
    pub no_free_training: bool,
    /// No free endpoint that may publish prompts.
    pub no_free_publication: bool,
    /// Only endpoints that surely serve in one of these; an empty list allows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<Place>>,
    /// What is looked for in prompts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Each counts for itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
}

/// Of whose models nothing may be kept. The groups are the models' authors: what Anthropic's models
/// are told may be kept by nobody, Anthropic or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Zdr {
    /// Anthropic's.
    pub anthropic: bool,
    /// OpenAI's.
    pub openai: bool,
    /// Google's.
    pub google: bool,
    /// xAI's.
    pub xai: bool,
    /// Everybody else's.
    pub other: bool,
}

impl Zdr {
    /// Does it hold for this model?
    #[must_use]
    pub fn holds_for(&self, model: &str) -> bool {
        match model.split('/').next().unwrap_or_default() {
            "anthropic" => self.anthropic,
            "openai" => self.openai,
            "google" => self.google,
            "x-ai" | "xai" => self.xai,
            _ => self.other,
        }
    }

    /// Does it hold for anything?
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// A guardrail's limit on what a key or a member spends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Budget {
    /// The guardrail's id.
    pub guardrail: String,
    /// How the guardrail came to hold: `key`, `member`, `workspace` or `organization`.
    pub assigned: String,
    /// USD per interval.
    pub limit: Amount,
    /// When it starts anew; none is never.
    pub reset: Option<ResetInterval>,
    /// Requests with the organisation's own provider keys count, too.
    pub include_byok: bool,
}

impl Budget {
    /// What it allows a key and whoever has made it. One that was assigned to a key or to a member
    /// is theirs alone; any other is each key's and each member's, and pooled by nobody.
    pub fn limits(&self, key: KeyHash, member: &str) -> impl Iterator<Item = Limit> {
        let of = |kind: &str, id: &str| Limit {
            scope: limit::Scope::Guardrail,
            id: format!("{}/{kind}/{id}", self.guardrail).into(),
            interval: self.reset.into(),
            amount: self.limit,
            include_byok: self.include_byok,
        };
        let a_key = (self.assigned != "member").then(|| of("key", &key.to_string()));
        let has_member = self.assigned != "key" && !member.is_empty();
        let a_member = has_member.then(|| of("member", member));
        a_key.into_iter().chain(a_member)
    }
}

impl Rules {
    /// True when nothing is forbidden and nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Guardrail {
    /// Reads a guardrail's rules from JSON and checks them.
    ///
    /// # Errors
    /// In words: the member and what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, String> {
        let rules: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        rules.check()?;
        Ok(rules)
    }

    /// Checks what the types don't: sizes, words, patterns.
    ///
    /// # Errors
    /// In words: the member and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        words::models("allowed_models", self.allowed_models.as_deref(), true)?;
        words::models("ignored_models", self.ignored_models.as_deref(), false)?;
        words::providers("allowed_providers", self.allowed_providers.as_deref(), true)?;
        words::providers(
            "ignored_providers",
            self.ignored_providers.as_deref(),
            false,
        )?;
        if self
            .allowed_data_regions
            .as_ref()
            .is_some_and(Vec::is_empty)
        {
            return Err("allowed_data_regions: an empty list allows nothing; use null".to_owned());
        }
        if self.limit_usd.is_some_and(|limit| limit < Amount::ZERO) {
            return Err("limit_usd: below zero".to_owned());
        }
        if self.limit_usd.is_none() && self.reset_interval.is_some() {
            return Err("reset_interval: there is no limit_usd".to_owned());
        }
        self.check_filters()
    }

    fn check_filters(&self) -> Result<(), String> {
        let filters = self.content_filters.as_deref().unwrap_or_default();
        if filters.len() > FILTERS_MAX {
            return Err(format!("content_filters: more than {FILTERS_MAX}"));
        }
        for (at, filter) in filters.iter().enumerate() {
            let label = filter.label.as_deref().unwrap_or_default();
            if label.chars().count() > LABEL_MAX || label.chars().any(char::is_control) {
                let text = format!("content_filters[{at}].label: longer than {LABEL_MAX} or odd");
                return Err(text);
            }
            pattern::compile(&filter.pattern)
                .map_err(|error| format!("content_filters[{at}].pattern: {error}"))?;
        }
        let builtins = self.content_filter_builtins.as_deref().unwrap_or_default();
        if builtins.len() > FILTERS_MAX {
            return Err(format!("content_filter_builtins: more than {FILTERS_MAX}"));
        }
        for (at, filter) in builtins.iter().enumerate() {
            let wide = filter.scan_scope == Some(Scope::AllMessages);
            if wide && filter.slug != Builtin::PromptInjection {
                let only = Builtin::PromptInjection.as_str();
                return Err(format!(
                    "content_filter_builtins[{at}].scan_scope: all_messages is for {only} only"
                ));
            }
        }
        Ok(())
    }

    /// Of whose models nothing may be kept.
    #[must_use]
    pub fn zdr(&self) -> Zdr {
        let all = self.enforce_zdr.unwrap_or(false);
        let or = |one: Option<bool>| one.unwrap_or(false) || all;
        Zdr {
            anthropic: or(self.enforce_zdr_anthropic),
            openai: or(self.enforce_zdr_openai),
            google: or(self.enforce_zdr_google),
            xai: or(self.enforce_zdr_xai),
            other: or(self.enforce_zdr_other),
        }
    }
}
