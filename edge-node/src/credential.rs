//! The platform's own keys at the providers, from the environment variables that the signed
//! catalogue names. Read once each, never printed; a key can only travel to the provider whose row
//! names it. Organisations' own keys come with the money issue's sealed credentials.

mod sigv4;

use dashmap::DashMap;
use http::{HeaderName, HeaderValue, header};
use shared::catalog::{Auth, Provider};
use shared::clock::Clock;
use std::sync::Arc;

/// The service whose requests are signed for AWS.
const AWS_SERVICE: &str = "bedrock";

/// Keys at providers.
#[derive(Default)]
pub struct Credentials {
    /// By environment variable: catalogue-bounded.
    known: DashMap<String, Option<HeaderValue>>,
    /// As `known`, for AWS.
    aws: DashMap<String, Option<Arc<sigv4::Key>>>,
    /// For signatures.
    clock: Clock,
}

/// A request before it is authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// Appended to the provider's base URL.
    pub path: &'a str,
    /// So far.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The whole body.
    pub body: &'a [u8],
}

impl Credentials {
    /// True when the provider needs no key or its key is set.
    #[must_use]
    pub fn usable(&self, provider: &Provider) -> bool {
        let is_set = || match provider.auth {
            Auth::AwsSigv4 => self.aws(provider).is_some(),
            _ => self.header(provider).is_some(),
        };
        provider.auth == Auth::None || provider.api_key_env.is_none() || is_set()
    }

    /// The headers that authenticate us at the provider; none where no key is needed.
    #[must_use]
    pub fn headers(
        &self,
        provider: &Provider,
        request: &Unsigned<'_>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        match provider.auth {
            Auth::AwsSigv4 => self.sign(provider, request).unwrap_or_default(),
            _ => self.header(provider).into_iter().collect(),
        }
    }

    fn header(&self, provider: &Provider) -> Option<(HeaderName, HeaderValue)> {
        let variable = provider.api_key_env.as_deref()?;
        let name = match provider.auth {
            Auth::Bearer => header::AUTHORIZATION,
            Auth::XApiKey => HeaderName::from_static("x-api-key"),
            Auth::ApiKey => HeaderName::from_static("api-key"),
            Auth::XGoogApiKey => HeaderName::from_static("x-goog-api-key"),
            Auth::AwsSigv4 | Auth::None => return None,
        };
        let cached = self.known.get(variable).map(|value| value.clone());
        let value = cached.unwrap_or_else(|| {
            let value = read(variable, provider.auth == Auth::Bearer);
            self.known.insert(variable.to_owned(), value.clone());
            value
        });
        Some((name, value?))
    }

    fn sign(
        &self,
        provider: &Provider,
        request: &Unsigned<'_>,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let key = self.aws(provider)?;
        let content_type = request
            .headers
            .iter()
            .find(|(name, _)| *name == header::CONTENT_TYPE);
        let parts = sigv4::Parts {
            method: "POST",
            base_url: &provider.base_url,
            path: request.path,
            content_type: content_type.and_then(|(_, value)| value.to_str().ok()),
            body: request.body,
        };
        let scope = sigv4::Scope {
            region: sigv4::region(&provider.base_url)?,
            service: AWS_SERVICE,
        };
        sigv4::sign(&key, &parts, scope, self.clock.unix_ms() / 1000)
    }

    /// The provider's key for AWS, if it is set and the region is known.
    fn aws(&self, provider: &Provider) -> Option<Arc<sigv4::Key>> {
        let variable = provider.api_key_env.as_deref()?;
        sigv4::region(&provider.base_url)?;
        let cached = self.aws.get(variable).map(|key| key.clone());
        cached.unwrap_or_else(|| {
            let text = std::env::var(variable).unwrap_or_default();
            let key = sigv4::Key::parse(&text).map(Arc::new);
            self.aws.insert(variable.to_owned(), key.clone());
            key
        })
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
