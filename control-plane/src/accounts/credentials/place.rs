//! Where a credential is for, settled when it is made: the provider's address with what of it is the
//! owner's, to whose origin the secret is bound for good. Accounts at Google are read as far as that
//! needs.

use super::terms::ProviderSecret;
use crate::accounts::AccountsError;
use serde::Deserialize;
use shared::byok::{Misplaced, Place, has_gaps, origin_of};
use shared::catalog::{Auth, Provider};

/// Below this are the hosts that take Google's tokens.
const GOOGLE: &str = ".googleapis.com";
/// Where a service account's file may say that tokens come from. They are asked for at Google's host
/// whatever it says; with another one it is not Google's file.
const TOKEN_HOSTS: [&str; 3] = [
    "https://oauth2.googleapis.com/",
    "https://accounts.google.com/",
    "https://www.googleapis.com/",
];

/// A provider's origin and what fills the gaps of its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Scheme, host and port.
    pub origin: String,
    /// What is the owner's.
    pub place: Place,
}

/// A service account's file; of its key only that there is one.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ServiceAccount {
    #[serde(rename = "type")]
    kind: String,
    project_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: Option<String>,
}

/// Where a provider is now, with what is the owner's: a secret is bound to that for good.
///
/// # Errors
/// When there is no such provider, it takes no key of one's own, or something of the place or the
/// secret is not what the provider needs.
pub fn locate(
    slug: &str,
    provider: Option<&Provider>,
    mut place: Place,
    secret: &ProviderSecret,
) -> Result<Located, AccountsError> {
    let provider = provider.ok_or_else(|| AccountsError::no_such("provider", slug))?;
    let odd = |reason: &str| AccountsError::invalid("provider", reason);
    if provider.auth == Auth::None {
        return Err(odd("it takes no key"));
    }
    let account = account(secret)?;
    if let Some(account) = &account
        && place.project.is_none()
        && provider.base_url.contains("/projects/PROJECT/")
    {
        place.project.clone_from(&account.project_id);
    }
    let address = place.fill(&provider.base_url).map_err(misplaced)?;
    if has_gaps(&address) {
        return Err(odd(
            "its address holds something of one's own for which there is no setting",
        ));
    }
    let origin = origin_of(&address);
    let origin = origin.ok_or_else(|| odd("its address is no URL of a server"))?;
    if account.is_some() && !(origin.ends_with(GOOGLE) && provider.auth == Auth::Bearer) {
        let reason = "a service account's file is for providers at Google Cloud";
        return Err(AccountsError::invalid("key", reason));
    }
    Ok(Located { origin, place })
}

/// Is a secret that is a file one that can be used?
pub(super) fn check(secret: &ProviderSecret) -> Result<(), AccountsError> {
    account(secret).map(|_| ())
}

/// What a secret is called where it is a file.
pub(super) fn label(secret: &ProviderSecret) -> Option<String> {
    account(secret)
        .ok()
        .flatten()
        .map(|account| account.client_email)
}

/// None of what is no file.
fn account(secret: &ProviderSecret) -> Result<Option<ServiceAccount>, AccountsError> {
    if !secret.0.starts_with('{') {
        return Ok(None);
    }
    let wrong = |reason| Err(AccountsError::invalid("key", reason));
    // What is wrong with its text is not told: the message might quote it.
    let Ok(account) = serde_json::from_str::<ServiceAccount>(&secret.0) else {
        return wrong("it begins as JSON and is none");
    };
    if account.kind != "service_account" {
        return wrong("of JSON files only a Google service account's is taken");
    }
    let is_key = account.private_key.contains("-----BEGIN PRIVATE KEY-----");
    let is_name = account.client_email.contains('@') && account.client_email.len() <= 200;
    if !is_key || !is_name {
        return wrong("the service account's file lacks client_email or private_key (PKCS #8)");
    }
    let known = |uri: &String| TOKEN_HOSTS.iter().any(|host| uri.starts_with(host));
    if account.token_uri.as_ref().is_some_and(|uri| !known(uri)) {
        return wrong("the service account's token_uri is not Google's");
    }
    Ok(Some(account))
}

fn misplaced(error: Misplaced) -> AccountsError {
    match error {
        Misplaced::Missing(what) => AccountsError::invalid(what, "it is needed for this provider"),
        Misplaced::Wrong(what, reason) => AccountsError::invalid(what, reason),
        Misplaced::Needless(what) => AccountsError::invalid(what, "this provider takes none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::catalog::Dialect;

    fn provider(base_url: &str, auth: Auth) -> Provider {
        Provider {
            auth,
            ..Provider::new("p", Dialect::OpenaiChat, base_url)
        }
    }

    const VERTEX: &str = "https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global";

    fn file() -> serde_json::Value {
        json!({
            "type": "service_account", "project_id": "theirs", "private_key_id": "k1",
            "private_key": "-----BEGIN PRIVATE KEY-----\nmarked\n-----END PRIVATE KEY-----\n",
            "client_email": "edge@theirs.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        })
    }

    fn at(url: &str, auth: Auth, place: Place, key: &str) -> Result<Located, AccountsError> {
        let secret = ProviderSecret::new(key);
        secret.check()?;
        locate("p", Some(&provider(url, auth)), place, &secret)
    }

    #[test]
    fn an_account_is_for_google_and_brings_its_project() {
        // As it is downloaded: on many lines.
        let text = serde_json::to_string_pretty(&file()).unwrap();
        let located = at(VERTEX, Auth::Bearer, Place::default(), &text).unwrap();
        assert_eq!(located.origin, "https://aiplatform.googleapis.com");
        assert_eq!(located.place.project.as_deref(), Some("theirs"));
        let place = Place {
            project: Some("other".to_owned()),
            region: Some("europe-west4".to_owned()),
            ..Place::default()
        };
        let located = at(VERTEX, Auth::Bearer, place.clone(), &text).unwrap();
        assert_eq!(
            located.origin,
            "https://europe-west4-aiplatform.googleapis.com"
        );
        assert_eq!(located.place, place);
        let label = ProviderSecret::new(&text).label();
        assert_eq!(label, "edge@theirs.iam.gserviceaccount.com");
        for (url, auth) in [
            ("https://api.p.example/v1", Auth::Bearer),
            (
                "https://generativelanguage.googleapis.com/v1",
                Auth::XGoogApiKey,
            ),
        ] {
            assert!(at(url, auth, Place::default(), &text).is_err(), "{url}");
        }
        for (member, value) in [
            ("type", json!("authorized_user")),
            ("private_key", json!("")),
            ("client_email", json!("")),
            ("token_uri", json!("https://evil.example/token")),
            (
                "token_uri",
                json!("https://oauth2.googleapis.com.evil.example/token"),
            ),
        ] {
            let mut bad = file();
            bad[member] = value;
            let refused = at(VERTEX, Auth::Bearer, Place::default(), &bad.to_string());
            let told = refused.unwrap_err().to_string();
            assert!(!told.contains("marked"), "{told}");
        }
        assert!(at(VERTEX, Auth::Bearer, Place::default(), "{\"marked").is_err());
        assert!(
            at(VERTEX, Auth::Bearer, Place::default(), "ya29.token").is_err(),
            "no project"
        );
    }

    #[test]
    fn an_azure_key_says_where_its_resource_is() {
        let azure = "https://resource.openai.azure.invalid/openai/v1";
        let place = |address: &str| Place {
            address: Some(address.to_owned()),
            ..Place::default()
        };
        let located = at(azure, Auth::ApiKey, place("mine"), "0123456789").unwrap();
        assert_eq!(located.origin, "https://mine.openai.azure.com");
        for bad in [Place::default(), place("evil.example")] {
            assert!(at(azure, Auth::ApiKey, bad, "0123456789").is_err());
        }
        let plain = "https://api.p.example/v1";
        assert!(at(plain, Auth::Bearer, place("mine"), "0123456789").is_err());
        assert!(at(plain, Auth::None, Place::default(), "0123456789").is_err());
    }
}
