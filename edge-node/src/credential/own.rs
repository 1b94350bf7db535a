//! Organisations' own keys at providers: opened in memory only, each shown to nobody but the origin
//! that it was made for. The node's key follows from its private TLS key, so that a restart opens
//! what is on disk and another node does not.

use super::{Unsigned, region, sigv4};
use crate::control::Pem;
use crate::metrics::shed;
use http::{HeaderName, HeaderValue, header};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use shared::byok::seal::NodeKey;
use shared::byok::{SealedCredential, has_gaps, origin_of};
use shared::catalog::{Auth, Provider};
use shared::clock::Clock;
use shared::key::unhex;
use shared::task::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Open secrets that a node keeps in memory; beyond it all are opened anew when they are needed.
pub const OPENED_MAX: usize = 10_000;

/// The node's key, and what it has opened.
pub struct OwnKeys {
    /// None without randomness: then nothing is sealed to this node.
    node: Option<NodeKey>,
    opened: Mutex<HashMap<String, Opened>>,
}

/// A secret in clear, and what it was opened from.
struct Opened {
    from: Arc<SealedCredential>,
    secret: Arc<Secret>,
}

/// In clear, bound to one origin: there is no other way to its text than [`Secret::headers`].
struct Secret {
    origin: String,
    text: String,
}

/// Where to send a request, and what authenticates it there. The two belong together.
pub struct Authorized {
    /// The base URL.
    pub base_url: String,
    /// The headers, marked as secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why an own key can't be used. Says nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// Sealed to another node's key, or changed.
    #[error("it does not open on this node")]
    Sealed,
    /// The provider is somewhere else than when the key was made.
    #[error("it was made for another host than the provider's")]
    OtherHost,
    /// The provider's row stands for an address of one's own, which has not been given.
    #[error("the provider's address has not been filled in")]
    NoAddress,
    /// The text is no key of the provider's kind.
    #[error("it is not of the form that the provider takes")]
    Form,
}

impl OwnKeys {
    /// With the key that follows from the node's private key; without one, a new key that dies with
    /// the process.
    #[must_use]
    pub fn new(key: Option<&Pem>) -> Arc<Self> {
        let text = match key {
            Some(Pem::File(path)) => std::fs::read(path).ok(),
            Some(Pem::Text(text)) => Some(text.clone()),
            None => None,
        };
        let node = match text {
            Some(text) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &text);
                let secret = hmac::sign(&key, b"godwit credentials v1");
                Some(NodeKey::derive(secret.as_ref()))
            }
            None => random().map(|secret| NodeKey::derive(&secret)),
        };
        Arc::new(Self {
            node,
            opened: Mutex::default(),
        })
    }

    /// What the control plane seals to.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.node.as_ref().map_or(&[], NodeKey::public)
    }

    /// Are all of these sealed to this node?
    #[must_use]
    pub fn opens(&self, all: &[Arc<SealedCredential>]) -> bool {
        all.iter().all(|one| self.open(one).is_ok())
    }

    /// Authenticates a request to the provider with an own key.
    ///
    /// # Errors
    /// When the key can't be used there.
    pub fn authorize(
        &self,
        own: &Arc<SealedCredential>,
        provider: &Provider,
        request: &Unsigned<'_>,
        clock: &Clock,
    ) -> Result<Authorized, Unusable> {
        let secret = self.open(own)?;
        if own.provider != provider.slug {
            return Err(Unusable::OtherHost);
        }
        secret.headers(provider, request, clock.unix_ms() / 1000)
    }

    fn open(&self, own: &Arc<SealedCredential>) -> Result<Arc<Secret>, Unusable> {
        if let Some(known) = lock(&self.opened).get(&own.id)
            && (Arc::ptr_eq(&known.from, own) || *known.from == **own)
        {
            return Ok(Arc::clone(&known.secret));
        }
        let sealed = unhex(&own.sealed).ok_or(Unusable::Sealed)?;
        let node = self.node.as_ref().ok_or(Unusable::Sealed)?;
        let text = node.open(&sealed, &own.binding());
        let text = text.map_err(|_| Unusable::Sealed)?;
        let secret = Arc::new(Secret {
            origin: own.origin.clone(),
            text: String::from_utf8(text).map_err(|_| Unusable::Form)?,
        });
        let mut opened = lock(&self.opened);
        if opened.len() >= OPENED_MAX {
            opened.clear();
            shed("own_keys");
        }
        let entry = Opened {
            from: Arc::clone(own),
            secret: Arc::clone(&secret),
        };
        opened.insert(own.id.clone(), entry);
        Ok(secret)
    }
}

impl Secret {
    /// The headers for this provider, if it still is where the secret belongs.
    fn headers(
        &self,
        provider: &Provider,
        request: &Unsigned<'_>,
        unix_s: u64,
    ) -> Result<Authorized, Unusable> {
        let base_url = provider.base_url.clone();
        if has_gaps(&base_url) {
            return Err(Unusable::NoAddress);
        }
        // A path that makes the host another one would be a way around the check.
        let whole = origin_of(&format!("{base_url}{}", request.path));
        if origin_of(&base_url).as_ref() != Some(&self.origin)
            || whole.as_ref() != Some(&self.origin)
        {
            return Err(Unusable::OtherHost);
        }
        let name = match provider.auth {
            Auth::Bearer => header::AUTHORIZATION,
            Auth::XApiKey => HeaderName::from_static("x-api-key"),
            Auth::ApiKey => HeaderName::from_static("api-key"),
            Auth::XGoogApiKey => HeaderName::from_static("x-goog-api-key"),
            Auth::AwsSigv4 => {
                let headers = self.sign(provider, request, unix_s).ok_or(Unusable::Form)?;
                return Ok(Authorized { base_url, headers });
            }
            Auth::None => return Err(Unusable::Form),
        };
        // An account's file holds a private key: nothing to send along.
        if self.text.starts_with('{') || super::secret::is_no_token(&self.text) {
            return Err(Unusable::Form);
        }
        let prefix = if name == header::AUTHORIZATION {
            "Bearer "
        } else {
            ""
        };
        let value = HeaderValue::from_str(&format!("{prefix}{}", self.text));
        let mut value = value.map_err(|_| Unusable::Form)?;
        value.set_sensitive(true);
        let headers = vec![(name, value)];
        Ok(Authorized { base_url, headers })
    }

    fn sign(
        &self,
        provider: &Provider,
        request: &Unsigned<'_>,
        unix_s: u64,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let base_url = &provider.base_url;
        let key = sigv4::Key::parse(&self.text)?;
        let mut headers = request.headers.iter();
        let content_type = headers.find(|(name, _)| *name == header::CONTENT_TYPE);
        let parts = sigv4::Parts {
            method: "POST",
            base_url,
            path: request.path,
            content_type: content_type.and_then(|(_, value)| value.to_str().ok()),
            body: request.body,
        };
        let scope = sigv4::Scope {
            region: region(provider)?,
            service: sigv4::service(base_url),
        };
        sigv4::sign(&key, &parts, scope, unix_s)
    }
}

impl std::fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnKeys").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authorized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let base_url = &self.base_url;
        f.debug_struct("Authorized")
            .field("base_url", base_url)
            .finish_non_exhaustive()
    }
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::byok::seal::seal;
    use shared::catalog::{DataPolicy, Dialect, Limits, Timeouts};
    use shared::key::hex;

    const SECRET: &str = "sk-marked-own-key";

    fn provider(base_url: &str, auth: Auth) -> Provider {
        Provider {
            slug: "p".into(),
            name: "P".to_owned(),
            dialect: Dialect::OpenaiChat,
            base_url: base_url.to_owned(),
            auth,
            api_key_env: None,
            regions: Vec::new(),
            data_policy: DataPolicy::default(),
            quirks: Vec::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            privacy_policy_url: None,
            terms_of_service_url: None,
            status_page_url: None,
            headquarters: None,
            datacenters: Vec::new(),
        }
    }

    fn sealed(keys: &OwnKeys, origin: &str, secret: &str) -> Arc<SealedCredential> {
        let mut one = SealedCredential {
            id: "byok_1".to_owned(),
            provider: "p".into(),
            origin: origin.to_owned(),
            fallback: false,
            required: false,
            allowed_models: None,
            sealed: String::new(),
        };
        one.sealed = hex(&seal(keys.public(), secret.as_bytes(), &one.binding()).unwrap());
        Arc::new(one)
    }

    fn authorize(
        keys: &OwnKeys,
        own: &Arc<SealedCredential>,
        provider: &Provider,
        path: &str,
    ) -> Result<Authorized, Unusable> {
        let request = Unsigned {
            path,
            headers: &[],
            body: b"{}",
        };
        keys.authorize(own, provider, &request, &Clock::manual())
    }

    #[test]
    fn a_key_goes_to_its_own_host_only() {
        let keys = OwnKeys::new(None);
        let own = sealed(&keys, "https://api.p.example", SECRET);
        let check = |base_url: &str, path: &str, expect: Result<&str, Unusable>| {
            let got = authorize(&keys, &own, &provider(base_url, Auth::Bearer), path);
            let got = got.map(|it| it.headers[0].1.to_str().unwrap().to_owned());
            assert_eq!(got.as_deref().map_err(|error| *error), expect, "{base_url}");
        };
        check(
            "https://api.p.example/v1",
            "/chat",
            Ok("Bearer sk-marked-own-key"),
        );
        check(
            "https://API.P.example:443",
            "/chat",
            Ok("Bearer sk-marked-own-key"),
        );
        for elsewhere in [
            "https://evil.example/v1",
            "http://api.p.example/v1",
            "https://api.p.example:8443/v1",
            "https://api.p.example.evil.example",
            "https://api.p.example@evil.example",
        ] {
            check(elsewhere, "/chat", Err(Unusable::OtherHost));
        }
        check(
            "https://api.p.example",
            ".evil.example/chat",
            Err(Unusable::OtherHost),
        );
        check(
            "https://api.p.example",
            "@evil.example/chat",
            Err(Unusable::OtherHost),
        );
        let mut other = provider("https://api.p.example", Auth::Bearer);
        other.slug = "q".into();
        let refused = authorize(&keys, &own, &other, "/chat").unwrap_err();
        assert_eq!(refused, Unusable::OtherHost);
    }

    #[test]
    fn no_key_goes_to_an_address_with_gaps() {
        let keys = OwnKeys::new(None);
        for (origin, path) in [
            ("https://resource.openai.azure.invalid", "/openai"),
            ("https://api.p.example", "/accounts/ACCOUNT/ai/v1"),
            (
                "https://api.p.example",
                "/v1/projects/PROJECT/locations/global",
            ),
        ] {
            let own = sealed(&keys, origin, SECRET);
            let provider = provider(&format!("{origin}{path}"), Auth::Bearer);
            let refused = authorize(&keys, &own, &provider, "/chat").unwrap_err();
            assert_eq!(refused, Unusable::NoAddress, "{origin}{path}");
        }
    }

    #[test]
    fn an_origin_that_was_changed_does_not_open() {
        let keys = OwnKeys::new(None);
        let own = sealed(&keys, "https://api.p.example", SECRET);
        assert!(keys.opens(std::slice::from_ref(&own)));
        let moved = Arc::new(SealedCredential {
            origin: "https://evil.example".to_owned(),
            ..(*own).clone()
        });
        let evil = provider("https://evil.example", Auth::Bearer);
        let refused = authorize(&keys, &moved, &evil, "/chat").unwrap_err();
        assert_eq!(refused, Unusable::Sealed);
        assert!(!OwnKeys::new(None).opens(&[own]));
    }

    #[test]
    fn every_way_to_authenticate_is_marked_as_secret() {
        let keys = OwnKeys::new(Some(&Pem::Text(b"node".to_vec())));
        assert_eq!(
            OwnKeys::new(Some(&Pem::Text(b"node".to_vec()))).public(),
            keys.public()
        );
        let own = sealed(&keys, "https://api.p.example", SECRET);
        for auth in [Auth::Bearer, Auth::XApiKey, Auth::ApiKey, Auth::XGoogApiKey] {
            let provider = provider("https://api.p.example", auth);
            let authorized = authorize(&keys, &own, &provider, "/chat").unwrap();
            assert!(
                authorized
                    .headers
                    .iter()
                    .all(|(_, value)| value.is_sensitive())
            );
            assert!(!format!("{authorized:?} {keys:?} {own:?}").contains("marked"));
        }
        let host = "https://bedrock-runtime.us-east-1.amazonaws.com";
        let aws = provider(host, Auth::AwsSigv4);
        let wrong = sealed(&keys, host, SECRET);
        let refused = authorize(&keys, &wrong, &aws, "/model").unwrap_err();
        assert_eq!(refused, Unusable::Form);
        let right = sealed(&keys, host, "AKID:secret");
        assert!(authorize(&keys, &right, &aws, "/model").is_ok());
    }

    #[test]
    fn a_changed_secret_is_opened_anew() {
        let keys = OwnKeys::new(None);
        let provider = provider("https://api.p.example", Auth::XApiKey);
        for secret in [SECRET, "sk-other"] {
            let own = sealed(&keys, "https://api.p.example", secret);
            let authorized = authorize(&keys, &own, &provider, "/chat").unwrap();
            assert_eq!(authorized.headers[0].1, secret);
        }
    }
}
