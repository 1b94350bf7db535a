//! Organisations' own keys at providers: opened in memory only, each shown to nobody but the origin
//! that it was made for. The node's key follows from its private TLS key, so that a restart opens
//! what is on disk and another node does not.

mod minting;

use super::google::TOKEN_URI;
use super::{Unsigned, region, sigv4};
use crate::control::Pem;
use crate::metrics::shed;
use crate::upstream::Upstream;
use http::{HeaderName, HeaderValue, header};
use minting::Minting;
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

/// Below this are the hosts that take Google's tokens.
const GOOGLE: &str = ".googleapis.com";
/// Open secrets that a node keeps in memory; beyond it all are opened anew when they are needed.
pub const OPENED_MAX: usize = 10_000;

/// The node's key, and what it has opened.
pub struct OwnKeys {
    /// None without randomness: then nothing is sealed to this node.
    node: Option<NodeKey>,
    opened: Mutex<HashMap<String, Opened>>,
    /// Who gives tokens for accounts at Google.
    issuer: String,
}

/// A secret in clear, and what it was opened from.
struct Opened {
    from: Arc<SealedCredential>,
    secret: Arc<Secret>,
}

/// In clear, bound to one origin: there is no other way to its text than [`Secret::authorize`].
struct Secret {
    origin: String,
    text: String,
    /// It is an account's file, which goes nowhere itself.
    minting: Option<Minting>,
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
    /// It is an account for which no token is to be had.
    #[error("Google gives no token for it; see that the account and its key exist")]
    NoToken,
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
            issuer: TOKEN_URI.to_owned(),
        })
    }

    /// Gets the token that an own key needs, where it needs one.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn refresh(
        &self,
        own: &Arc<SealedCredential>,
        upstream: &dyn Upstream,
        clock: &Clock,
    ) -> Result<(), Unusable> {
        let secret = self.open(own)?;
        let Some(minting) = &secret.minting else {
            return Ok(());
        };
        // An account is good at Google alone: nobody else is shown its tokens.
        if !secret.origin.ends_with(GOOGLE) {
            return Err(Unusable::Form);
        }
        minting.refresh(&self.issuer, upstream, clock).await
    }

    /// The key was refused: a token of it is fetched anew, soon.
    pub fn distrust(&self, own: &Arc<SealedCredential>, clock: &Clock) {
        if let Ok(secret) = self.open(own)
            && let Some(minting) = &secret.minting
        {
            minting.distrust(clock.now());
        }
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
        let base_url = own.place.fill(&provider.base_url);
        let base_url = base_url.map_err(|_| Unusable::NoAddress)?;
        secret.authorize(provider, base_url, request, clock)
    }

    fn open(&self, own: &Arc<SealedCredential>) -> Result<Arc<Secret>, Unusable> {
        if let Some(known) = lock(&self.opened).get(&own.id).and_then(|it| it.of(own)) {
            return Ok(known);
        }
        let sealed = unhex(&own.sealed).ok_or(Unusable::Sealed)?;
        let node = self.node.as_ref().ok_or(Unusable::Sealed)?;
        let text = node.open(&sealed, &own.binding());
        let text = text.map_err(|_| Unusable::Sealed)?;
        let text = String::from_utf8(text).map_err(|_| Unusable::Form)?;
        let secret = Arc::new(Secret {
            origin: own.origin.clone(),
            minting: Minting::of(&text),
            text,
        });
        let mut opened = lock(&self.opened);
        // Requests may open a key at the same time, and an account has one token: whoever fetches it
        // must find it again.
        if let Some(known) = opened.get(&own.id).and_then(|it| it.of(own)) {
            return Ok(known);
        }
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

impl Opened {
    /// The secret, if this is what it was opened from.
    fn of(&self, own: &Arc<SealedCredential>) -> Option<Arc<Secret>> {
        let same = Arc::ptr_eq(&self.from, own) || *self.from == **own;
        same.then(|| Arc::clone(&self.secret))
    }
}

impl Secret {
    /// The headers for this provider at this address, if that still is where the secret belongs.
    fn authorize(
        &self,
        provider: &Provider,
        base_url: String,
        request: &Unsigned<'_>,
        clock: &Clock,
    ) -> Result<Authorized, Unusable> {
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
                let signed = self.sign(provider, request, clock.unix_ms() / 1000);
                let headers = signed.ok_or(Unusable::Form)?;
                return Ok(Authorized { base_url, headers });
            }
            Auth::None => return Err(Unusable::Form),
        };
        if let Some(minting) = self
            .minting
            .as_ref()
            .filter(|_| provider.auth == Auth::Bearer)
        {
            let value = minting.header(clock.now()).ok_or(Unusable::NoToken)?;
            let headers = vec![(name, value)];
            return Ok(Authorized { base_url, headers });
        }
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
mod tests;
