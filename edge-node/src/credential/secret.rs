//! What an environment variable for a provider means: a key, a token, or an account that gets tokens.
//! What can't be meant as a key is never sent as one.

use super::PROJECT;
use super::google::Account;
use http::HeaderValue;
use shared::catalog::{Auth, Dialect, Provider};
use std::sync::Arc;

/// What a variable holds.
#[derive(Clone)]
pub(super) enum Secret {
    /// A key.
    Key(HeaderValue),
    /// An account that gets tokens.
    Account(Arc<Account>),
}

/// What a variable may hold: only where a provider is Google's can it be an account. Elsewhere a
/// token may begin with a slash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
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
    pub(super) fn of(provider: &Provider) -> Self {
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

/// What the variable holds.
pub(super) fn read(variable: &str, form: Form) -> Option<Secret> {
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
pub(super) fn is_no_token(text: &str) -> bool {
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
