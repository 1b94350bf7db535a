//! Features of OpenRouter's API that are not available yet. Each is refused by name, because to
//! ignore it would be to answer another question than the one that was asked.

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
/// The id names a preset, or a suffix asks for a search of the web.
pub fn model(param: &str, id: &str) -> Result<(), Failure> {
    if id.contains("@preset/") {
        return Err(refuse(param, "a preset", "name a model"));
    }
    if id.split(':').skip(1).any(|suffix| suffix == "online") {
        let feature = "the model suffix :online (the web plugin)";
        return Err(refuse(param, feature, "leave it out"));
    }
    Ok(())
}

/// Refuses tools that the gateway itself would have to run.
///
/// # Errors
/// The tool's type is one of these.
pub fn tool(param: &str, kind: &str) -> Result<(), Failure> {
    let is_ours = matches!(kind, "web_search" | "web_search_preview");
    if kind.starts_with("openrouter:") || is_ours {
        let feature = format!("the server tool {kind}");
        return Err(refuse(param, &feature, "leave it out"));
    }
    Ok(())
}
