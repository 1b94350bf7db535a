//! What people want to know of a request besides what it cost: who asked in the client's own words, and
//! who was tried. Nothing is decided or charged by it, so whatever is missing is empty. Every text is
//! bounded, and none is of a prompt or a secret: of an address only what names a page is kept.

use crate::id::{EndpointId, ProviderSlug};
use crate::money::Amount;
use serde::{Deserialize, Serialize};

/// The longest text, in bytes; what is longer is cut.
pub const TEXT_MAX: usize = 256;
/// Attempts that are kept, the first ones.
pub const TRIED_MAX: usize = 16;

/// What is told of a request and charged by nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Particulars {
    /// The client's name for the session.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// The client's name for its own user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The page that it was asked from, without its query.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub referer: String,
    /// What the application calls itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The program that asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// The service tier that served it, where one was asked for or told of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tier: String,
    /// Pictures, files, sounds and films of the prompt.
    #[serde(skip_serializing_if = "is_zero")]
    pub media: u64,
    /// Of these: sounds.
    #[serde(skip_serializing_if = "is_zero")]
    pub sounds: u64,
    /// What the provider's cache has saved; below zero when writing to it cost more than that.
    #[serde(skip_serializing_if = "is_nothing")]
    pub cache_discount: Amount,
    /// Who was asked, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// One attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tried {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its provider.
    pub provider: ProviderSlug,
    /// Its HTTP status, or ours (502, 504) when there was none; 0 when nobody waited for it.
    #[serde(default)]
    pub status: u16,
    /// Until its first content, or until it failed.
    #[serde(default)]
    pub latency_ms: u64,
    /// With an own key of the organisation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_key: bool,
}

impl Particulars {
    /// True when there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same with every text and list within its bound.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for text in [
            &mut self.session,
            &mut self.user,
            &mut self.title,
            &mut self.agent,
            &mut self.tier,
        ] {
            if text.len() > TEXT_MAX || text.contains(char::is_control) {
                *text = line(text);
            }
        }
        if !self.referer.is_empty() {
            self.referer = page(&self.referer);
        }
        self.tried.truncate(TRIED_MAX);
        for tried in &mut self.tried {
            if tried.endpoint.as_str().len() > TEXT_MAX {
                tried.endpoint = line(tried.endpoint.as_str()).into();
            }
            if tried.provider.as_str().len() > TEXT_MAX {
                tried.provider = line(tried.provider.as_str()).into();
            }
        }
        self
    }
}

/// A text as it is kept: one line of at most [`TEXT_MAX`] bytes.
#[must_use]
pub fn line(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_MAX);
    let kept = text.get(..end).unwrap_or_default();
    kept.chars().filter(|char| !char.is_control()).collect()
}

/// An address as it is kept: without the query, the fragment and who it is opened as, in which secrets
/// stand.
#[must_use]
pub fn page(address: &str) -> String {
    let named = address.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = named.split_once("://") else {
        let rest = named.split_once('@').map_or(named, |(_, rest)| rest);
        return line(rest);
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    line(&format!("{scheme}://{host}{path}"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_nothing(amount: &Amount) -> bool {
    *amount == Amount::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_page_and_no_secret() {
        for (address, kept) in [
            ("https://app.example/chat", "https://app.example/chat"),
            (
                "https://app.example/chat?token=sk-1#x",
                "https://app.example/chat",
            ),
            (
                "https://me:secret@app.example/a@b",
                "https://app.example/a@b",
            ),
            ("https://me@app.example", "https://app.example"),
            (
                "https://app.example#access_token=sk-1",
                "https://app.example",
            ),
            ("me:secret@app.example", "app.example"),
            ("app.example/\u{7}x", "app.example/x"),
            ("", ""),
        ] {
            assert_eq!(page(address), kept, "{address}");
        }
    }

    #[test]
    fn everything_is_bounded_and_nothing_is_little() {
        let long = "ä\n".repeat(TEXT_MAX);
        let tried = Tried {
            endpoint: long.as_str().into(),
            provider: long.as_str().into(),
            status: 200,
            latency_ms: 1,
            own_key: false,
        };
        let told = Particulars {
            session: long.clone(),
            user: long.clone(),
            referer: format!("https://x/{long}"),
            title: long.clone(),
            agent: long.clone(),
            tier: long,
            tried: vec![tried; 2 * TRIED_MAX],
            ..Particulars::default()
        }
        .bounded();
        let written = serde_json::to_string(&told).unwrap();
        assert!(
            written.len() < (6 + 2 * TRIED_MAX) * (TEXT_MAX + 64),
            "{}",
            written.len()
        );
        assert!(!written.contains("\\n"), "{written}");
        assert_eq!(told.tried.len(), TRIED_MAX);
        assert_eq!(told.clone().bounded(), told);
        let nothing = Particulars::default();
        assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
        assert!(nothing.is_empty() && !told.is_empty());
    }
}
