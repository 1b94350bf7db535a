//! API keys: `sk-gw-v1-` and 64 hex digits (256 random bits). A key's id is the SHA-256 of the
//! whole key in lower-case hex; nothing else of a key is ever stored. A 256-bit random secret
//! needs no slow hash.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What every key that Godwit makes begins with.
pub const KEY_PREFIX: &str = "sk-gw-v1-";
/// Longest credential that is looked at; a longer one can't be a key.
pub const KEY_LENGTH_MAX: usize = 512;

/// A key's public id: the SHA-256 of the whole key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// A key in clear: shown once, at creation. Never printed by accident.
pub struct SecretKey(String);

impl SecretKey {
    /// A new random key. Fails only when the system has no randomness.
    ///
    /// # Errors
    /// When the operating system's random source fails.
    pub fn generate() -> Result<Self, ring::error::Unspecified> {
        let mut secret = [0_u8; 32];
        SystemRandom::new().fill(&mut secret)?;
        Ok(Self(format!("{KEY_PREFIX}{}", hex(&secret))))
    }

    /// A key that somebody else chose (`--dev-key`).
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The secret itself, to be shown to its owner once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key's public id.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// How lists show it: the ends only.
    #[must_use]
    pub fn label(&self) -> String {
        let visible = |range: std::ops::Range<usize>| self.0.get(range).unwrap_or_default();
        let length = self.0.len();
        if length < 24 {
            return "...".to_owned();
        }
        format!("{}...{}", visible(0..12), visible(length - 4..length))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl KeyHash {
    /// The id of a key in clear.
    #[must_use]
    pub fn of(key: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a key id is 64 hex digits")]
pub struct NotAKeyHash;

impl FromStr for KeyHash {
    type Err = NotAKeyHash;
    fn from_str(text: &str) -> Result<Self, NotAKeyHash> {
        let bytes = unhex(text).ok_or(NotAKeyHash)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAKeyHash)?))
    }
}
impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Lower-case hex digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| {
        let first = if half < 10 { b'0' } else { b'a' - 10 };
        char::from(first + half)
    };
    // Each request writes some: formatting would cost twenty times as much.
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The bytes that `text` writes in hex, either case.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            let half = |at: usize| char::from(*pair.get(at)?).to_digit(16);
            u8::try_from(half(0)? << 4 | half(1)?).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_contracts_shape() {
        let key = SecretKey::generate().unwrap();
        let digits = key.reveal().strip_prefix(KEY_PREFIX).unwrap();
        assert_eq!(digits.len(), 64);
        assert!(
            digits
                .bytes()
                .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        );
        assert_eq!(key.hash().to_string().parse(), Ok(key.hash()));
        assert!(!format!("{key:?}").contains(digits));
        assert!(!key.label().contains(&digits[4..60]));
    }

    #[test]
    fn the_id_is_sha256_in_hex() {
        let expect = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of("abc").to_string(), expect);
    }
}
