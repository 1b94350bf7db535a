//! Features of OpenRouter's API that are not available yet. Each is refused by name, because to
//! ignore it would be to answer another question than the one that was asked.

use crate::failure::Failure;

/// Suffixes of model ids that change routing; catalogue suffixes such as `:free` are plain ids.
const VIRTUAL_SUFFIXES: [&str; 4] = ["online", "nitro", "floor", "exacto"];

/// A 400: `param` uses `feature`, which is not available yet.
#[must_use]
pub fn refuse(param: &str, feature: &str, instead: &str) -> Failure {
    let message = format!("{param}: {feature} is not available yet; {instead}");
    Failure::invalid(param, message)
}

/// Refuses model ids that mean more than a model.
///
/// # Errors
/// The id names a preset or has a virtual suffix.
pub fn model(param: &str, id: &str) -> Result<(), Failure> {
    if id.contains("@preset/") {
        return Err(refuse(param, "a preset", "name a model"));
    }
    for suffix in id.split(':').skip(1) {
        if VIRTUAL_SUFFIXES.contains(&suffix) {
            let feature = format!("the model suffix :{suffix}");
            return Err(refuse(param, &feature, "leave it out"));
        }
    }
    Ok(())
}

/// Refuses tools that the gateway itself would have to run.
///
/// # Errors
/// The tool's type is one of these.
pub fn tool(param: &str, kind: &str) -> Result<(), Failure> {
    if kind.starts_with("openrouter:") || kind.starts_with("web_search") {
        let feature = format!("the server tool {kind}");
        return Err(refuse(param, &feature, "leave it out"));
    }
    Ok(())
}

/// Takes only the legacy `route` that says what happens anyway.
///
/// # Errors
/// Another route.
pub fn route(route: &str) -> Result<(), Failure> {
    if route == "fallback" {
        return Ok(());
    }
    let instead = "leave it out, or use provider.sort";
    Err(refuse("route", "this route", instead))
}

/// Refuses tiers that have another price than the endpoint's.
///
/// # Errors
/// The tier is one of these.
pub fn service_tier(tier: &str) -> Result<(), Failure> {
    if matches!(tier, "flex" | "priority" | "fast" | "scale") {
        let feature = format!("the tier {tier}");
        return Err(refuse("service_tier", &feature, "leave it out"));
    }
    Ok(())
}
