//! A catalogue made of public price lists: LiteLLM's, models.dev's and OpenRouter's, joined model by
//! model. Pure: texts in, texts and a [`Report`] out; the same texts give the same bytes, and every
//! price keeps every digit that stands in its list.
//!
//! Which of the lists' providers are ours, and how doubtful names and prices were settled, is in
//! `import/decisions.toml`, each with its reason. The providers themselves (`providers.toml`) are
//! kept by hand and are an input.
//!
//! Left out by choice: models that give no text, batch, flex and priority prices, off-peak
//! windows, and prices of zero (a trial, or not told) unless OpenRouter lists the `:free` model.

mod build;
mod card;
mod decisions;
pub mod files;
mod genai;
mod join;
mod json;
mod litellm;
mod models_dev;
mod name;
mod offer;
mod parameters;
mod profile;
mod report;
mod review;
#[cfg(test)]
mod tests;

pub use offer::List;
pub use report::Report;

use crate::catalog::{Catalog, file};
use build::{Builder, Provenance};
use decisions::Decisions;
use join::Registry;
use offer::{Offer, Skip};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The lists' texts.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// `providers.toml`: who serves models.
    pub providers: &'a str,
    /// LiteLLM's `model_prices_and_context_window.json`.
    pub litellm: &'a str,
    /// models.dev's `api.json`.
    pub models_dev: &'a str,
    /// models.dev's provider-neutral models, by `author/slug`.
    pub models_dev_base: Option<&'a str>,
    /// OpenRouter's answer to `GET /api/v1/models?output_modalities=all`.
    pub openrouter: &'a str,
    /// Groups of offers of one model: key to `[{provider, model, source}]`.
    pub identity: Option<&'a str>,
    /// pydantic's genai-prices, for comparison only.
    pub genai: Option<&'a str>,
}

/// What came out.
#[derive(Debug)]
pub struct Imported {
    /// The catalogue.
    pub catalog: Catalog,
    /// The catalogue's files by name, `providers.toml` unchanged, and `provenance.tsv`: endpoint,
    /// list, line.
    pub files: BTreeMap<String, String>,
    /// What a person should read.
    pub report: Report,
}

/// Why nothing came out.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A list is no JSON.
    #[error("{list}: {reason}")]
    List {
        /// Which one.
        list: &'static str,
        /// What the parser says.
        reason: serde_json::Error,
    },
    /// `decisions.toml` is broken.
    #[error("decisions.toml: {0}")]
    Decisions(toml::de::Error),
    /// `providers.toml`, or the catalogue that was made, is refused.
    #[error("the catalogue is refused: {}", join_lines(.0))]
    Refused(Vec<file::Problem>),
}

/// Joins the lists.
///
/// # Errors
/// A list that can't be read, or providers that are refused.
pub fn import(lists: &Lists<'_>) -> Result<Imported, ImportError> {
    let decisions = Decisions::shipped().map_err(ImportError::Decisions)?;
    let providers_file =
        BTreeMap::from([("providers.toml".to_owned(), lists.providers.to_owned())]);
    let providers = file::parse(&providers_file)
        .map_err(ImportError::Refused)?
        .providers;
    let mut report = Report::default();
    let offers = offers(lists, &decisions, &mut report)?;
    report.check_providers(&decisions);
    let mut registry = registry(lists, &decisions)?;
    let groups = lists
        .identity
        .map(groups)
        .transpose()
        .map_err(list("identity"))?
        .unwrap_or_default();
    let models = registry.join(&offers, &groups, &mut report);
    let builder = Builder {
        decisions: &decisions,
        registry: &registry,
        providers: &providers,
        offers: &offers,
        report: &mut report,
    };
    let (catalog, provenance) = builder.build(&models);
    review::review(&catalog, &decisions, &mut report);
    if let Some(text) = lists.genai {
        report.differing = genai::compare(text, &catalog).map_err(list("genai"))?;
    }
    let files = files(lists, &catalog, &provenance);
    let read: BTreeMap<_, _> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".toml"))
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect();
    let catalog = file::parse(&read).map_err(ImportError::Refused)?;
    Ok(Imported {
        catalog,
        files,
        report,
    })
}

fn offers(
    lists: &Lists<'_>,
    decisions: &Decisions,
    report: &mut Report,
) -> Result<Vec<Offer>, ImportError> {
    let (mut offers, refused) =
        litellm::read(lists.litellm, decisions, report).map_err(list("litellm"))?;
    let more = models_dev::read(lists.models_dev, decisions, report).map_err(list("models-dev"))?;
    for offer in more {
        // The newer list says that it is gone, or not for chat.
        let id = offer.provider_model.to_ascii_lowercase();
        if refused.contains(&(offer.provider.to_string(), id)) {
            report.skipped(offer.list, offer.provider.as_str(), &offer.key, Skip::Gone);
        } else {
            offers.push(offer);
        }
    }
    offers.sort_by(|a, b| (&a.provider, a.list, &a.key).cmp(&(&b.provider, b.list, &b.key)));
    profile::complete(&mut offers, decisions);
    Ok(offers)
}

fn registry<'d>(lists: &Lists<'_>, decisions: &'d Decisions) -> Result<Registry<'d>, ImportError> {
    let listed = card::openrouter(lists.openrouter).map_err(list("openrouter"))?;
    let author = |slug: &str| {
        let name = name::Name::read(slug, false);
        join::author(decisions, name.family())
    };
    let neutral = lists
        .models_dev_base
        .map(|text| card::neutral(text, author));
    let neutral = neutral.transpose().map_err(list("models-dev-base"))?;
    Ok(Registry::new(
        decisions,
        listed,
        neutral.unwrap_or_default(),
    ))
}

type Groups = BTreeMap<String, Vec<(List, String)>>;

fn groups(text: &str) -> Result<Groups, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Member {
        model: String,
        source: String,
    }
    let groups: BTreeMap<String, Vec<Member>> = serde_json::from_str(text)?;
    let member = |member: Member| {
        let list = [List::LiteLlm, List::ModelsDev]
            .into_iter()
            .find(|l| l.as_str() == member.source)?;
        Some((list, member.model))
    };
    let group = |(key, members): (String, Vec<Member>)| {
        (key, members.into_iter().filter_map(member).collect())
    };
    Ok(groups.into_iter().map(group).collect())
}

const HEADER: &str = "\
# Made by `godwit admin catalog import` from the lists of LiteLLM, models.dev and OpenRouter; edits
# are lost at the next import. Licences: README.md.

";

fn files(
    lists: &Lists<'_>,
    catalog: &Catalog,
    provenance: &Provenance,
) -> BTreeMap<String, String> {
    let made = file::to_toml(catalog).into_iter();
    let mut files: BTreeMap<_, _> = made
        .map(|(name, text)| (name, format!("{HEADER}{text}")))
        .collect();
    files.insert("providers.toml".to_owned(), lists.providers.to_owned());
    let mut table = String::new();
    for (endpoint, (list, key)) in provenance {
        // Writing to a String does not fail.
        let _ = writeln!(table, "{endpoint}\t{}\t{key}", list.as_str());
    }
    files.insert("provenance.tsv".to_owned(), table);
    files
}

fn list(list: &'static str) -> impl Fn(serde_json::Error) -> ImportError {
    move |reason| ImportError::List { list, reason }
}

fn join_lines(problems: &[file::Problem]) -> String {
    let lines: BTreeSet<_> = problems.iter().map(ToString::to_string).collect();
    lines.into_iter().collect::<Vec<_>>().join("\n")
}
