//! What an import did and what a person should look at.

use super::decisions::Decisions;
use super::offer::{List, Skip};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Counts, and the findings that ask for a decision.
#[derive(Default, Debug)]
pub struct Report {
    /// Providers with at least one endpoint.
    pub providers: usize,
    /// Models that are served.
    pub models: usize,
    /// Endpoints.
    pub endpoints: usize,
    /// Models with two or more providers.
    pub shared_models: usize,
    /// Prices as long as a float's noise makes them; kept digit by digit.
    pub noisy_prices: usize,
    /// Providers of the lists that no decision names.
    pub unknown_providers: BTreeSet<String>,
    /// Providers of ours without an endpoint.
    pub idle_providers: BTreeSet<String>,
    /// Models whose dearest price is more than eight times the cheapest, without a decision.
    pub suspicious: Vec<String>,
    /// Groups of identity.json that were not joined, or joined by it.
    pub identity: Vec<String>,
    /// Endpoints whose price differs from genai-prices' for the same provider and id.
    pub differing: Vec<String>,
    /// Why lines gave no offer, by list and reason.
    pub skipped: BTreeMap<(String, String), Vec<String>>,
    seen: BTreeSet<(List, String)>,
}

impl Report {
    pub(super) fn seen(&mut self, list: List, provider: &str) {
        self.seen.insert((list, provider.to_owned()));
    }

    pub(super) fn skipped(&mut self, list: List, provider: &str, key: &str, skip: Skip) {
        let reason = (list.as_str().to_owned(), skip.as_str().to_owned());
        self.skipped
            .entry(reason)
            .or_default()
            .push(format!("{provider}: {key}"));
    }

    /// Notes the lists' providers that no decision names.
    pub(super) fn check_providers(&mut self, decisions: &Decisions) {
        for (list, name) in &self.seen {
            let known = match list {
                List::LiteLlm => {
                    decisions.sources.iter().any(|s| s.litellm.contains(name))
                        || decisions.left_out.iter().any(|s| s.litellm.contains(name))
                }
                List::ModelsDev => {
                    decisions
                        .sources
                        .iter()
                        .any(|s| s.models_dev.contains(name))
                        || decisions
                            .left_out
                            .iter()
                            .any(|s| s.models_dev.contains(name))
                }
            };
            if !known {
                self.unknown_providers
                    .insert(format!("{} {name}", list.as_str()));
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            providers,
            models,
            endpoints,
            shared_models,
            noisy_prices,
            ..
        } = self;
        writeln!(
            f,
            "{models} models ({shared_models} at two or more providers), {providers} providers, {endpoints} endpoints"
        )?;
        writeln!(
            f,
            "{noisy_prices} prices carry a float's noise in their source and are kept so"
        )?;
        for ((list, reason), keys) in &self.skipped {
            writeln!(f, "{list}: {} lines left out: {reason}", keys.len())?;
        }
        let mut section = |title: &str, lines: &mut dyn Iterator<Item = &String>| {
            let mut lines = lines.peekable();
            if lines.peek().is_some() {
                writeln!(f, "\n{title}:")?;
            }
            lines.try_for_each(|line| writeln!(f, "  {line}"))
        };
        section(
            "providers of the lists that no decision names",
            &mut self.unknown_providers.iter(),
        )?;
        section(
            "providers without an endpoint",
            &mut self.idle_providers.iter(),
        )?;
        section(
            "prices that differ more than eightfold, undecided",
            &mut self.suspicious.iter(),
        )?;
        section("groups of identity.json", &mut self.identity.iter())?;
        section(
            "prices that differ from genai-prices'",
            &mut self.differing.iter(),
        )
    }
}
