//! The platform's own keys at the providers, from the environment variables that the signed
//! catalogue names. Read once each, never printed; a key can only travel to the provider whose row
//! names it. Organisations' own keys are in [`own`].

mod google;
pub mod own;
mod secret;
mod sigv4;

pub use google::{REFRESH_MARGIN, Refresher};

use dashmap::DashMap;
use google::Account;
use http::{HeaderName, HeaderValue, header};
use secret::{Form, Secret, read};
use shared::catalog::{Auth, Provider};
use shared::clock::Clock;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// What stands in a base URL for the project of our account at Google Cloud.
const PROJECT: &str = "/projects/PROJECT/";
/// Names the project, whatever the account's file says; a token does not tell.
const PROJECT_VARIABLE: &str = "GOOGLE_CLOUD_PROJECT";
/// Names an account's file for Google's hosts, where their own variable is not set.
const ACCOUNT_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// The token of a session at AWS, where the key's own variable does not hold it.
const SESSION_VARIABLE: &str = "AWS_SESSION_TOKEN";

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
        match (provider.auth, &provider.api_key_env) {
            (Auth::AwsSigv4, _) => self.aws(provider).is_some(),
            (Auth::None, _) | (_, None) => true,
            _ => self.header(provider).is_some() && self.base_url(provider).is_some(),
        }
    }

    /// True when the provider's variable is set, even if no token has been fetched yet.
    #[must_use]
    pub fn is_set(&self, provider: &Provider) -> bool {
        self.usable(provider) || (provider.auth == Auth::Bearer && self.secret(provider).is_some())
    }

    /// True while an account's token is not there, or has ended.
    #[must_use]
    pub fn is_pending(&self, provider: &Provider) -> bool {
        matches!(self.secret(provider), Some(Secret::Account(_))) && !self.usable(provider)
    }

    /// Notes that a provider has refused our token: an account's is fetched anew, soon.
    pub fn distrust(&self, provider: &Provider) {
        if let Some(Secret::Account(account)) = self.secret(provider) {
            account.distrust(self.clock.now());
        }
    }

    /// Where the provider is, with our project in it; none while that is not known.
    #[must_use]
    pub fn base_url<'a>(&self, provider: &'a Provider) -> Option<Cow<'a, str>> {
        let url = &provider.base_url;
        if !url.contains(PROJECT) {
            return Some(Cow::Borrowed(url));
        }
        let read = || std::env::var(PROJECT_VARIABLE).ok();
        let named = self.project.get_or_init(read).clone();
        let told = || match self.secret(provider)? {
            Secret::Account(account) => account.project(),
            Secret::Key(_) => None,
        };
        let project = named.filter(|it| !it.is_empty()).or_else(told)?;
        Some(
            url.replace(PROJECT, &format!("/projects/{project}/"))
                .into(),
        )
    }

    /// The headers that authenticate us at the provider, of which there are none where no key is
    /// needed; `None` when there is no good key: nothing must be sent without one.
    #[must_use]
    pub fn headers(
        &self,
        provider: &Provider,
        request: &Unsigned<'_>,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        match (provider.auth, &provider.api_key_env) {
            (Auth::AwsSigv4, _) => self.sign(provider, request),
            (Auth::None, _) | (_, None) => Some(Vec::new()),
            _ => Some(vec![self.header(provider)?]),
        }
    }

    fn header(&self, provider: &Provider) -> Option<(HeaderName, HeaderValue)> {
        let name = match provider.auth {
            Auth::Bearer => header::AUTHORIZATION,
            Auth::XApiKey => HeaderName::from_static("x-api-key"),
            Auth::ApiKey => HeaderName::from_static("api-key"),
            Auth::XGoogApiKey => HeaderName::from_static("x-goog-api-key"),
            Auth::AwsSigv4 | Auth::None => return None,
        };
        let value = match self.secret(provider)? {
            Secret::Key(value) => value,
            Secret::Account(account) => account.header(self.clock.now())?,
        };
        Some((name, value))
    }

    /// What the provider's variable holds, read once.
    fn secret(&self, provider: &Provider) -> Option<Secret> {
        let variable = provider.api_key_env.as_deref()?;
        let cached = self.known.get(variable).map(|secret| secret.clone());
        cached.unwrap_or_else(|| {
            let form = Form::of(provider);
            let instead = form == Form::Google && provider.base_url.contains(PROJECT);
            let secret = read(variable, form).or_else(|| {
                let named = instead.then_some(ACCOUNT_VARIABLE)?;
                read(named, Form::AccountFile)
            });
            // Requests may read it at the same time: the first one's account is everybody's.
            let known = self.known.entry(variable.to_owned()).or_insert(secret);
            known.clone()
        })
    }

    /// Takes note of the accounts that these providers name.
    fn notice(&self, providers: &[Arc<Provider>]) {
        for provider in providers.iter().filter(|p| p.auth == Auth::Bearer) {
            self.secret(provider);
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
            region: region(provider)?,
            service: sigv4::service(&provider.base_url),
        };
        sigv4::sign(&key, &parts, scope, self.clock.unix_ms() / 1000)
    }

    /// The provider's key for AWS, if it is set and the region is known.
    fn aws(&self, provider: &Provider) -> Option<Arc<sigv4::Key>> {
        let variable = provider.api_key_env.as_deref()?;
        region(provider)?;
        let cached = self.aws.get(variable).map(|key| key.clone());
        cached.unwrap_or_else(|| {
            let text = std::env::var(variable).unwrap_or_default();
            let token = std::env::var(SESSION_VARIABLE).ok();
            let key = sigv4::Key::parse(&text).map(|key| Arc::new(key.in_session(token)));
            if key.is_none() && !text.trim().is_empty() {
                tracing::error!(variable, "not of the form ACCESS_KEY_ID:SECRET: not used");
            }
            self.aws.insert(variable.to_owned(), key.clone());
            key
        })
    }
}

/// Where a provider's requests are signed for: its host tells, else the first region of its row.
fn region(provider: &Provider) -> Option<&str> {
    let told = || provider.regions.first().map(String::as_str);
    sigv4::region(&provider.base_url).or_else(told)
}
