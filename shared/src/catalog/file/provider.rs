//! `[[providers]]`: one table to one [`Provider`].

use super::section::Section;
use crate::catalog::{Auth, DataPolicy, Dialect, Limits, Provider, Timeouts};
use crate::id::ProviderSlug;
use std::time::Duration;

/// The longest slug.
const SLUG_MAX: usize = 64;
/// The longest time-out: an hour.
const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// A century: whatever is kept longer is kept for ever.
const RETENTION_DAYS_MAX: u64 = 36_500;

/// Reads a provider. Its slug comes back even when the rest is refused, so that what refers to it
/// is not refused as well.
pub(super) fn read(mut section: Section<'_, '_>) -> (Option<ProviderSlug>, Option<Provider>) {
    section.require("slug");
    let form = "a slug: a-z, 0-9 and -, at most 64";
    let slug = section.formed("slug", is_slug, form);
    let slug = slug.map(ProviderSlug::from);
    let provider = body(&mut section, slug.as_ref());
    section.finish();
    (slug, provider)
}

/// `^[a-z0-9][a-z0-9-]*$`
pub(super) fn is_slug(text: &str) -> bool {
    text.len() <= SLUG_MAX
        && !text.starts_with('-')
        && !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn body(section: &mut Section<'_, '_>, slug: Option<&ProviderSlug>) -> Option<Provider> {
    let name = section.text("name");
    section.require("dialect");
    let dialect = section.choice::<Dialect>("dialect");
    let base_url = base_url(section);
    let auth = section.choice::<Auth>("auth");
    let api_key_env = section.formed("api_key_env", is_variable, "a variable's name: A-Z, 0-9, _");
    if api_key_env.is_some() && auth == Some(Auth::None) {
        section.refuse("api_key_env", "a key, but auth is none");
    }
    let regions = section.texts("regions");
    let data_policy = data_policy(section);
    let quirks = section.choices("quirks").unwrap_or_default();
    let timeouts = timeouts(section);
    let limits = limits(section);
    let privacy_policy_url = section.formed("privacy_policy_url", is_url, URL);
    let terms_of_service_url = section.formed("terms_of_service_url", is_url, URL);
    let status_page_url = section.formed("status_page_url", is_url, URL);
    let headquarters = section.formed("headquarters", is_country, COUNTRY);
    let datacenters = section.texts("datacenters");
    if !datacenters.iter().all(|code| is_country(code)) {
        section.refuse("datacenters", format!("not all are {COUNTRY}"));
    }
    let (slug, dialect) = (slug?.clone(), dialect?);
    Some(Provider {
        name: name.unwrap_or_else(|| slug.to_string()),
        slug,
        dialect,
        base_url: base_url?,
        auth: auth.unwrap_or_else(|| dialect.default_auth()),
        api_key_env,
        regions,
        data_policy,
        quirks,
        timeouts,
        limits,
        privacy_policy_url,
        terms_of_service_url,
        status_page_url,
        headquarters,
        datacenters,
    })
}

const URL: &str = "an http:// or https:// URL";
const COUNTRY: &str = "an ISO 3166 code of two capital letters";

fn base_url(section: &mut Section<'_, '_>) -> Option<String> {
    section.require("base_url");
    let form = "an http:// or https:// URL without user, query and fragment";
    let url = section.formed("base_url", is_base_url, form)?;
    Some(url.trim_end_matches('/').to_owned())
}

fn is_base_url(text: &str) -> bool {
    is_url(text) && !text.contains(['?', '#', '@'])
}

fn is_url(text: &str) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else {
        return false;
    };
    matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|h| !h.is_empty())
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_variable(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn data_policy(section: &mut Section<'_, '_>) -> DataPolicy {
    let mut policy = DataPolicy::default();
    if let Some(mut section) = section.section("data_policy") {
        policy.training = section.boolean("training").unwrap_or(policy.training);
        let days = section.integer("retention_days", 0..=RETENTION_DAYS_MAX);
        policy.retention_days = days.and_then(|days| u32::try_from(days).ok());
        section.finish();
    }
    policy
}

fn timeouts(section: &mut Section<'_, '_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    if let Some(mut section) = section.section("timeouts") {
        let mut read = |key, field: &mut Duration| {
            if let Some(ms) = section.integer(key, 1..=TIMEOUT_MS_MAX) {
                *field = Duration::from_millis(ms);
            }
        };
        read("connect_ms", &mut timeouts.connect);
        read("first_token_ms", &mut timeouts.first_token);
        read("stall_ms", &mut timeouts.stall);
        read("total_ms", &mut timeouts.total);
        section.finish();
    }
    timeouts
}

fn limits(section: &mut Section<'_, '_>) -> Limits {
    let mut limits = Limits::default();
    if let Some(mut section) = section.section("limits") {
        let mut read = |key| {
            let limit = section.integer(key, 1..=u64::from(u32::MAX))?;
            u32::try_from(limit).ok()
        };
        limits.requests_per_minute = read("requests_per_minute");
        limits.tokens_per_minute = read("tokens_per_minute");
        limits.concurrent = read("concurrent");
        section.finish();
    }
    limits
}
