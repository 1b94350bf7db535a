//! The platform's own keys at the providers, from the environment variables that the signed
//! catalogue names. Read once each, never printed; a key can only travel to the provider whose row
//! names it. Organisations' own keys are in [`own`].

mod google;
pub mod own;
mod sigv4;

pub use google::{REFRESH_MARGIN, Refresher};

use dashmap::DashMap;
use google::Account;
use http::{HeaderName, HeaderValue, header};
use shared::catalog::{Auth, Provider};
use shared::clock::Clock;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// What stands in a base URL for the project of our account at Google Cloud.
const PROJECT: &str = "/projects/PROJECT/";
/// Names the project where the key is a token, which does not tell.
const PROJECT_VARIABLE: &str = "GOOGLE_CLOUD_PROJECT";
/// The service whose requests are signed for AWS.
const AWS_SERVICE: &str = "bedrock";

/// Keys at providers.
#[derive(Default)]
pub struct Credentials {
    /// By environment variable: catalogue-bounded.
    known: DashMap<String, Option<Secret>>,
    /// As `known`, for AWS.
    aws: DashMap<String, Option<Arc<sigv4::Key>>>,
    project: OnceLock<Option<String>>,
    /// For signatures and the ends of tokens.
    clock: Clock,
}

/// What a variable holds.
#[derive(Clone)]
enum Secret {
    /// A key.
    Key(HeaderValue),
    /// An account that gets tokens.
    Account(Arc<Account>),
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
    /// With this time, which a [`Refresher`] goes by as well.
    #[must_use]
    pub fn at(clock: Clock) -> Self {
        Self {
            clock,
            ..Self::default()
        }
    }

    /// True when the provider needs no key or its key is there: set, and where it is a token that
    /// is fetched, good.
    #[must_use]
    pub fn usable(&self, provider: &Provider) -> bool {
        let is_set = || match provider.auth {
            Auth::AwsSigv4 => self.aws(provider).is_some(),
            _ => self.header(provider).is_some() && self.base_url(provider).is_some(),
        };
        provider.auth == Auth::None || provider.api_key_env.is_none() || is_set()
    }

    /// True when the provider's variable is set, even if no token has been fetched yet.
    #[must_use]
    pub fn is_set(&self, provider: &Provider) -> bool {
        let secret = || {
            let variable = provider.api_key_env.as_deref()?;
            self.secret(variable, provider.auth == Auth::Bearer)
        };
        self.usable(provider) || (provider.auth == Auth::Bearer && secret().is_some())
    }

    /// Where the provider is, with our project in it; none while that is not known.
    #[must_use]
    pub fn base_url<'a>(&self, provider: &'a Provider) -> Option<Cow<'a, str>> {
        let url = &provider.base_url;
        if !url.contains(PROJECT) {
            return Some(Cow::Borrowed(url));
        }
        let variable = provider.api_key_env.as_deref()?;
        let project = match self.secret(variable, true)? {
            Secret::Account(account) => account.project()?,
            Secret::Key(_) => {
                let read = || std::env::var(PROJECT_VARIABLE).ok();
                self.project.get_or_init(read).clone()?
            }
        };
        Some(
            url.replace(PROJECT, &format!("/projects/{project}/"))
                .into(),
        )
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
        let value = match self.secret(variable, provider.auth == Auth::Bearer)? {
            Secret::Key(value) => value,
            Secret::Account(account) => account.header(self.clock.now())?,
        };
        Some((name, value))
    }

    /// What the variable holds, read once.
    fn secret(&self, variable: &str, bearer: bool) -> Option<Secret> {
        let cached = self.known.get(variable).map(|secret| secret.clone());
        cached.unwrap_or_else(|| {
            let secret = read(variable, bearer);
            self.known.insert(variable.to_owned(), secret.clone());
            secret
        })
    }

    /// Takes note of the accounts that these providers name.
    fn notice(&self, providers: &[Arc<Provider>]) {
        for provider in providers.iter().filter(|p| p.auth == Auth::Bearer) {
            if let Some(variable) = &provider.api_key_env {
                self.secret(variable, true);
            }
        }
    }

    /// The accounts that are known of, by variable.
    fn accounts(&self) -> Vec<(String, Arc<Account>)> {
        let all = self.known.iter();
        all.filter_map(|entry| match entry.value() {
            Some(Secret::Account(account)) => Some((entry.key().clone(), Arc::clone(account))),
            Some(Secret::Key(_)) | None => None,
        })
        .collect()
    }

    #[cfg(test)]
    fn insert(&self, variable: &str, account: Arc<Account>) {
        let secret = Some(Secret::Account(account));
        self.known.insert(variable.to_owned(), secret);
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

fn read(variable: &str, bearer: bool) -> Option<Secret> {
    let secret = std::env::var(variable)
        .ok()
        .filter(|secret| !secret.trim().is_empty())?;
    if bearer && let Some(account) = Account::of(&secret) {
        return Some(Secret::Account(account));
    }
    let prefix = if bearer { "Bearer " } else { "" };
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.trim())).ok()?;
    value.set_sensitive(true);
    Some(Secret::Key(value))
}
