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
use shared::catalog::{Auth, Dialect, Provider};
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
            self.known.insert(variable.to_owned(), secret.clone());
            secret
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

/// What a variable may hold: only where a provider is Google's can it be an account. Elsewhere a
/// token may begin with a slash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// A key for a header of its own.
    Key,
    /// A bearer token.
    Token,
    /// A bearer token of Google Cloud's, or an account there: its file's text or path.
    Google,
    /// The path of an account's file.
    AccountFile,
}

impl Form {
    fn of(provider: &Provider) -> Self {
        let is_google = matches!(
            provider.dialect,
            Dialect::VertexGemini | Dialect::VertexAnthropic
        );
        let host = provider.base_url.split('/').nth(2).unwrap_or_default();
        let is_google =
            is_google || provider.base_url.contains(PROJECT) || host.ends_with(".googleapis.com");
        match provider.auth {
            Auth::Bearer if is_google => Self::Google,
            Auth::Bearer => Self::Token,
            _ => Self::Key,
        }
    }
}

fn read(variable: &str, form: Form) -> Option<Secret> {
    let text = std::env::var(variable).ok()?;
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let secret = secret(text, form);
    if secret.is_none() {
        tracing::error!(
            variable,
            "holds no key that could be sent, but a path or a file: not used"
        );
    }
    secret
}

/// What a text that is not empty means; none for what must not be sent as a key.
fn secret(text: &str, form: Form) -> Option<Secret> {
    let account = match form {
        Form::Google => Account::of(text),
        Form::AccountFile => Some(Account::in_file(text)),
        Form::Key | Form::Token => None,
    };
    if let Some(account) = account {
        return Some(Secret::Account(account));
    }
    let is_bearer = form != Form::Key;
    if is_bearer && is_no_token(text) {
        return None;
    }
    let prefix = if is_bearer { "Bearer " } else { "" };
    let mut value = HeaderValue::from_str(&format!("{prefix}{text}")).ok()?;
    value.set_sensitive(true);
    Some(Secret::Key(value))
}

/// True for what can only be meant otherwise than as a token, and must not reach a provider: a path
/// that is not absolute, or a JSON file, also in base64, where it begins with an encoded brace.
fn is_no_token(text: &str) -> bool {
    let is_path = ["~/", "./", "../", "file:", "{"]
        .iter()
        .any(|start| text.starts_with(start));
    let brace = ["eyAi", "eyAg", "eyJ", "ewog", "ewoJ", "ewoi", "ew0K"];
    // A JWT begins so as well, and has dots.
    let is_encoded = brace.iter().any(|start| text.starts_with(start)) && !text.contains('.');
    is_path || (is_encoded && text.len() > ENCODED_FILE_MIN)
}

/// No account's file is shorter in base64.
const ENCODED_FILE_MIN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::fixture::Fixture;

    #[test]
    fn only_where_a_provider_is_googles_can_it_be_an_account() {
        let account = |text: &str, form| match secret(text, form) {
            Some(Secret::Account(_)) => "account",
            Some(Secret::Key(value)) if value.to_str().unwrap().ends_with(text) => "token",
            Some(Secret::Key(_)) => "another",
            None => "none",
        };
        for (text, google, other) in [
            ("/etc/account.json", "account", "token"),
            ("/kX9+token==", "account", "token"),
            ("{\"type\":\"service_account\"}", "account", "none"),
            ("ya29.a0/token", "token", "token"),
            ("./account", "none", "none"),
        ] {
            let got = (account(text, Form::Google), account(text, Form::Token));
            assert_eq!(got, (google, other), "{text}");
            assert_eq!(account(text, Form::AccountFile), "account", "{text}");
        }
        assert_eq!(account("/kX9", Form::Key), "token");
        let form = |dialect, base_url: &str, auth| {
            let mut provider = Fixture::new(dialect).provider;
            base_url.clone_into(&mut provider.base_url);
            provider.auth = auth;
            Form::of(&provider)
        };
        let vertex = "https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global";
        let chat = Dialect::OpenaiChat;
        assert_eq!(form(chat, vertex, Auth::Bearer), Form::Google);
        let fixed = "https://aiplatform.googleapis.com/v1/projects/ours/locations/global";
        assert_eq!(form(chat, fixed, Auth::Bearer), Form::Google);
        let local = "http://127.0.0.1:1/v1";
        assert_eq!(
            form(Dialect::VertexGemini, local, Auth::Bearer),
            Form::Google
        );
        assert_eq!(form(chat, local, Auth::Bearer), Form::Token);
        let studio = "https://generativelanguage.googleapis.com/v1beta";
        assert_eq!(form(Dialect::Gemini, studio, Auth::XGoogApiKey), Form::Key);
    }

    #[test]
    fn paths_and_encoded_files_are_no_tokens() {
        let encoded = format!("ewogICJ0eXBlIjog{}", "A".repeat(300));
        for text in ["~/key.txt", "./key", "../key", "file:///key", &*encoded] {
            assert!(is_no_token(text), "{text}");
        }
        let jwt = format!("eyJhbGciOiJ9.{}.x", "A".repeat(300));
        for text in ["sk-1", "ya29.a0/token", "eyJhbGciOiJSUzI1NiJ9", &*jwt] {
            assert!(!is_no_token(text), "{text}");
        }
    }
}
