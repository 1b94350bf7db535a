//! Features of OpenRouter's API that are not available yet. Each is refused by name, because to
//! ignore it would be to answer another question than the one that was asked.

use crate::dialect::search::Search;
use crate::failure::Failure;

/// A 400: `param` uses `feature`, which is not available yet.
#[must_use]
pub fn refuse(param: &str, feature: &str, instead: &str) -> Failure {
    let message = format!("{param}: {feature} is not available yet; {instead}");
    Failure::invalid(param, message)
}

/// Refuses model ids that mean more than a model and how to route to it.
///
/// # Errors
/// The id names a preset.
pub fn model(param: &str, id: &str) -> Result<(), Failure> {
    if id.contains("@preset/") {
        return Err(refuse(param, "a preset", "name a model"));
    }
    Ok(())
}

/// Takes the suffix `:online` off; true where the models have one, which asks for a search.
///
/// # Errors
/// Only a model to fall back to has it: a search is asked of a request, not of a model.
pub fn online(model: &mut String, others: &mut [String]) -> Result<bool, Failure> {
    let search = without_online(model);
    for other in others {
        if without_online(other) && !search {
            let feature = "the suffix :online of but one of the models";
            return Err(refuse("models", feature, "give it to the first one"));
        }
    }
    Ok(search)
}

fn without_online(id: &mut String) -> bool {
    if !id.split(':').skip(1).any(|suffix| suffix == "online") {
        return false;
    }
    let parts: Vec<&str> = id.split(':').filter(|part| *part != "online").collect();
    *id = parts.join(":");
    true
}

/// Refuses tools that the gateway itself would have to run.
///
/// # Errors
/// The tool's type is one of these.
pub fn tool(param: &str, kind: &str) -> Result<(), Failure> {
    let is_ours = matches!(kind, "web_search" | "web_search_preview");
    if kind.starts_with("openrouter:") || is_ours {
        let feature = format!("the server tool {kind}, or one of its settings,");
        return Err(refuse(param, &feature, "leave it out"));
    }
    Ok(())
}

/// Refuses searches that no provider of models does.
///
/// # Errors
/// Another engine than the provider's own is named.
pub(super) fn search(param: &str, search: &Search<'_>) -> Result<(), Failure> {
    match search.foreign_engine() {
        Some(engine) => {
            let engine: String = engine.chars().take(64).collect();
            let feature = format!("the search engine {engine}");
            Err(refuse(param, &feature, "take auto or native"))
        }
        None => Ok(()),
    }
}
