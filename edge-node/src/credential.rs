//! The platform's own keys at the providers, from the environment variables that the signed
//! catalogue names. Read once each, never printed; a key can only travel to the provider whose row
//! names it. Organisations' own keys come with the money issue's sealed credentials.

use dashmap::DashMap;
use http::{HeaderName, HeaderValue, header};
use shared::catalog::{Auth, Provider};

/// Keys at providers.
#[derive(Default)]
pub struct Credentials {
    /// By environment variable: catalogue-bounded.
    known: DashMap<String, Option<HeaderValue>>,
}

impl Credentials {
    /// True when the provider needs no key or its key is set.
    #[must_use]
    pub fn usable(&self, provider: &Provider) -> bool {
        provider.auth == Auth::None
            || provider.api_key_env.is_none()
            || self.header(provider).is_some()
    }

    /// The header that authenticates us at the provider; none where no key is needed.
    #[must_use]
    pub fn header(&self, provider: &Provider) -> Option<(HeaderName, HeaderValue)> {
        let variable = provider.api_key_env.as_deref()?;
        let name = match provider.auth {
            Auth::Bearer => header::AUTHORIZATION,
            Auth::XApiKey => HeaderName::from_static("x-api-key"),
            Auth::ApiKey => HeaderName::from_static("api-key"),
            Auth::XGoogApiKey => HeaderName::from_static("x-goog-api-key"),
            Auth::None => return None,
        };
        let cached = self.known.get(variable).map(|value| value.clone());
        let value = cached.unwrap_or_else(|| {
            let value = read(variable, provider.auth == Auth::Bearer);
            self.known.insert(variable.to_owned(), value.clone());
            value
        });
        Some((name, value?))
    }
}

fn read(variable: &str, bearer: bool) -> Option<HeaderValue> {
    let secret = std::env::var(variable)
        .ok()
        .filter(|secret| !secret.trim().is_empty())?;
    let prefix = if bearer { "Bearer " } else { "" };
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.trim())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
