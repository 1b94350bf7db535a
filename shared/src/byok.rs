//! An organisation's own provider keys as an edge holds them: sealed to the node's key, bound to one
//! provider at one origin, with the rules of when they come. The open secret never is in a type of
//! this module that can be printed or stored.

mod place;
pub mod seal;

pub use place::{Misplaced, Place};

use crate::id::{ModelId, ProviderSlug};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most keys that come with one look-up, in their order; more are left out, but never a required one.
pub const CREDENTIALS_MAX: usize = 64;

/// One key, sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCredential {
    /// `byok_…`.
    pub id: String,
    /// The only provider that may see it.
    pub provider: ProviderSlug,
    /// The only scheme, host and port that may see it, e.g. `https://api.openai.com`.
    pub origin: String,
    /// Only after the shared endpoints have failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// Never the platform's own key at this provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Only for these models; sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_models: Option<Vec<ModelId>>,
    /// What of the provider's address is the owner's.
    #[serde(default, skip_serializing_if = "Place::is_empty")]
    pub place: Place,
    /// HPKE to the node's key, in hex; opens with [`SealedCredential::binding`] only.
    pub sealed: String,
}

impl SealedCredential {
    /// Is it for this model?
    #[must_use]
    pub fn is_for(&self, model: &ModelId) -> bool {
        let listed = self.allowed_models.as_ref();
        listed.is_none_or(|all| all.binary_search(model).is_ok())
    }

    /// What the seal vouches for beside the secret: with another origin it does not open.
    #[must_use]
    pub fn binding(&self) -> Vec<u8> {
        binding(&self.id, self.provider.as_str(), &self.origin)
    }
}

impl fmt::Debug for SealedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedCredential")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// What a secret is bound to, wherever it is sealed. No part can hold a line end.
#[must_use]
pub fn binding(id: &str, provider: &str, origin: &str) -> Vec<u8> {
    format!("godwit byok v1\n{id}\n{provider}\n{origin}").into_bytes()
}

/// Scheme, host and port of a URL, in lower case; none for what is no URL of a server.
#[must_use]
pub fn origin_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    // Whoever writes a user before the host may mean to hide the host.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    let port = match (authority.port_u16(), scheme) {
        (None | Some(443), "https") | (None | Some(80), "http") => String::new(),
        (Some(port), "https" | "http") => format!(":{port}"),
        _ => return None,
    };
    Some(format!("{scheme}://{host}{port}"))
}

/// True for an address that stands for one's own, as the shipped catalogue has it: no key may go
/// there before it is filled in.
#[must_use]
pub fn has_gaps(base_url: &str) -> bool {
    let rest = base_url
        .split_once("://")
        .map_or(base_url, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or(rest);
    let gaps = ["/accounts/ACCOUNT/", "/projects/PROJECT/"];
    host.ends_with(".invalid") || gaps.iter().any(|gap| base_url.contains(gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_seen() {
        assert!(has_gaps("https://resource.openai.azure.invalid/openai"));
        assert!(has_gaps(
            "https://h.example/v1/projects/PROJECT/locations/global"
        ));
        assert!(has_gaps(
            "https://h.example/client/v4/accounts/ACCOUNT/ai/v1"
        ));
        assert!(!has_gaps("https://api.invalid.example/v1"));
    }

    #[test]
    fn an_origin_is_what_tells_servers_apart() {
        let check = |url: &str, expect: Option<&str>| {
            assert_eq!(origin_of(url).as_deref(), expect, "{url}");
        };
        check("https://API.openai.com/v1", Some("https://api.openai.com"));
        check("https://api.openai.com:443", Some("https://api.openai.com"));
        check("http://127.0.0.1:8080/v1", Some("http://127.0.0.1:8080"));
        check(
            "https://api.openai.com:8443/x",
            Some("https://api.openai.com:8443"),
        );
        check("https://api.openai.com@evil.example/v1", None);
        check("api.openai.com", None);
        check("ftp://a.b/c", None);
        check("", None);
    }

    #[test]
    fn a_credential_does_not_print_what_it_seals() {
        let credential = SealedCredential {
            id: "byok_1".to_owned(),
            provider: "p".into(),
            origin: "https://p".to_owned(),
            fallback: false,
            required: false,
            allowed_models: None,
            place: Place::default(),
            sealed: "abcdef".to_owned(),
        };
        assert!(!format!("{credential:?}").contains("abcdef"));
    }
}
