//! What people decided about the lists: `decisions.toml`, which is part of the program.

use super::offer::Thinking;
use crate::catalog::{Dialect, EffortWord, Parameter, Provider, Quirk};
use serde::Deserialize;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// The file's text.
const TEXT: &str = include_str!("decisions.toml");

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Decisions {
    /// `YYYY-MM-DD`.
    pub(super) as_of: String,
    pub(super) sources: Vec<Source>,
    pub(super) left_out: Vec<LeftOut>,
    /// First word of a name to the model's author.
    pub(super) authors: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) aliases: Vec<Alias>,
    #[serde(default)]
    refusals: Vec<Refusal>,
    #[serde(default)]
    efforts: Vec<Efforts>,
    #[serde(default)]
    pub(super) drops: Vec<Drop>,
    #[serde(default)]
    pub(super) spreads: Vec<Spread>,
    #[serde(default)]
    quirks: Vec<Quirks>,
}

/// A provider of ours and its names in the lists.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) provider: String,
    #[serde(default)]
    pub(super) litellm: Vec<String>,
    #[serde(default)]
    pub(super) models_dev: Vec<String>,
    #[serde(default)]
    pub(super) prefer: String,
    #[serde(default)]
    pub(super) keep: Vec<String>,
    #[serde(default)]
    pub(super) drop: Vec<String>,
    #[serde(default)]
    pub(super) strip: Vec<String>,
    #[serde(default)]
    pub(super) vendor_dots: bool,
    #[serde(default)]
    pub(super) profiled: Vec<String>,
    #[serde(default)]
    toggle: String,
    #[serde(default)]
    budget: String,
    #[serde(default)]
    pub(super) litellm_source: String,
    #[serde(default = "chat")]
    pub(super) mode: String,
}

/// Names of the lists that are no providers of ours.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct LeftOut {
    #[expect(
        dead_code,
        reason = "for the reader of the file; the reason must be there"
    )]
    reason: String,
    #[serde(default)]
    pub(super) litellm: Vec<String>,
    #[serde(default)]
    pub(super) models_dev: Vec<String>,
}

/// Names that mean a model which they do not look like.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Alias {
    pub(super) names: Vec<String>,
    pub(super) model: String,
    /// Only at these providers; at all when empty.
    #[serde(default)]
    pub(super) providers: Vec<String>,
    #[expect(
        dead_code,
        reason = "for the reader of the file; the reason must be there"
    )]
    reason: String,
}

/// Offers that are left out.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Drop {
    /// Patterns; all when empty.
    #[serde(default)]
    providers: Vec<String>,
    models: Vec<String>,
    #[expect(
        dead_code,
        reason = "for the reader of the file; the reason must be there"
    )]
    reason: String,
}

/// Parameters that a provider refuses or ignores, whatever the lists say of its models.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// Patterns.
    providers: Vec<String>,
    /// Patterns of the provider's own ids; all when empty.
    #[serde(default)]
    models: Vec<String>,
    parameters: Vec<String>,
    #[expect(
        dead_code,
        reason = "for the reader of the file; the reason must be there"
    )]
    reason: String,
}

/// The words of `reasoning_effort` of models that are served alike everywhere.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Efforts {
    /// Patterns of the providers' own ids.
    models: Vec<String>,
    words: Vec<String>,
    #[expect(
        dead_code,
        reason = "for the reader of the file; the reason must be there"
    )]
    reason: String,
}

/// Models whose prices were looked at and differ for a reason.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Spread {
    pub(super) models: Vec<String>,
    #[expect(
        dead_code,
        reason = "for the reader of the file; the reason must be there"
    )]
    reason: String,
}

/// What offers of a model demand beyond their provider's dialect.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Quirks {
    quirk: String,
    /// Patterns; all when empty.
    #[serde(default)]
    providers: Vec<String>,
    /// Patterns of the provider's own ids.
    models: Vec<String>,
    #[expect(
        dead_code,
        reason = "for the reader of the file; the reason must be there"
    )]
    reason: String,
}

fn chat() -> String {
    "chat".to_owned()
}

impl Decisions {
    pub(super) fn shipped() -> Result<Self, toml::de::Error> {
        toml::from_str(TEXT)
    }

    /// Does the provider not take this parameter for its model of that id?
    pub(super) fn refuses(&self, provider: &str, id: &str, parameter: Parameter) -> bool {
        self.refusals.iter().any(|row| {
            row.providers.iter().any(|pattern| fits(pattern, provider))
                && (row.models.is_empty() || row.models.iter().any(|pattern| fits(pattern, id)))
                && row.parameters.iter().any(|word| word == parameter.as_str())
        })
    }

    /// The words of `reasoning_effort` that this model knows wherever it is served.
    pub(super) fn efforts(&self, id: &str) -> Vec<EffortWord> {
        let mut rows = self.efforts.iter();
        let row = rows.find(|row| row.models.iter().any(|pattern| fits(pattern, id)));
        let words = row.into_iter().flat_map(|row| &row.words);
        words.filter_map(|word| EffortWord::parse(word)).collect()
    }

    /// How a provider's thinking is switched and bounded, as far as its offer says that it can be.
    pub(super) fn switches(&self, provider: &str, thinking: &Thinking) -> Vec<Quirk> {
        let mut sources = self.sources.iter();
        let Some(source) = sources.find(|source| source.provider == provider) else {
            return Vec::new();
        };
        let told = [
            (thinking.toggle, &source.toggle),
            (thinking.budget, &source.budget),
        ];
        let told = told.into_iter().filter(|(can, _)| *can);
        told.filter_map(|(_, word)| Quirk::parse(word)).collect()
    }

    /// Is the id of no use without an inference profile before it?
    pub(super) fn is_profiled(&self, provider: &str, id: &str) -> bool {
        let mut sources = self.sources.iter().filter(|s| s.provider == provider);
        sources.any(|source| source.profiled.iter().any(|pattern| fits(pattern, id)))
    }

    pub(super) fn drops(&self, provider: &str, id: &str) -> bool {
        self.drops.iter().any(|drop| {
            let here =
                drop.providers.is_empty() || drop.providers.iter().any(|p| fits(p, provider));
            here && drop.models.iter().any(|pattern| fits(pattern, id))
        })
    }

    /// Deviations of a provider's offer that are not its provider's already.
    pub(super) fn quirks(&self, provider: &Provider, id: &str) -> Vec<Quirk> {
        let slug = provider.slug.as_str();
        let meant = self.quirks.iter().filter(|row| {
            let here = row.providers.is_empty() || row.providers.iter().any(|p| fits(p, slug));
            here && row.models.iter().any(|pattern| fits(pattern, id))
        });
        // The words are those of one dialect.
        let meant = meant.filter(|_| provider.dialect == Dialect::OpenaiChat);
        let quirks = meant.filter_map(|row| Quirk::parse(&row.quirk));
        quirks
            .filter(|quirk| !provider.quirks.contains(quirk))
            .collect()
    }
}

impl Source {
    /// True when the patterns let the provider's id through.
    pub(super) fn wants(&self, id: &str) -> bool {
        let kept = self.keep.is_empty() || self.keep.iter().any(|pattern| fits(pattern, id));
        kept && !self.drop.iter().any(|pattern| fits(pattern, id))
    }

    /// The id without words that are not the model's.
    pub(super) fn model_name<'a>(&self, id: &'a str) -> &'a str {
        self.strip
            .iter()
            .find_map(|word| id.strip_prefix(word.as_str()))
            .unwrap_or(id)
    }
}

/// A pattern in which `*` stands for anything, letter case aside.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}
