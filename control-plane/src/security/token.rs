//! The admin token: `gwa-` and 64 hex digits, kept in a file of the data folder that only its
//! owner can read. The server remembers it only as a MAC under a key of its own, which dies with
//! the process, and compares in constant time.

use super::file;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use shared::key::hex;
use std::fmt;
use std::io;
use std::path::Path;

/// What every admin token begins with.
pub const TOKEN_PREFIX: &str = "gwa-";
/// The token's file in the data folder.
pub const TOKEN_FILE: &str = "admin.token";
/// Longest token that is looked at.
pub const TOKEN_LENGTH_MAX: usize = 512;

/// A token in clear. Never printed by accident.
pub struct AdminToken(String);

impl AdminToken {
    /// The token in `path`, made and written there when there is none.
    ///
    /// # Errors
    /// As the file system says; an empty or overlong token, or no randomness.
    pub fn ensure(path: &Path) -> io::Result<Self> {
        if let Some(token) = Self::read(path)? {
            return Ok(token);
        }
        let mut secret = [0_u8; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| io::Error::other("the system has no randomness"))?;
        let token = Self(format!("{TOKEN_PREFIX}{}", hex(&secret)));
        file::write_secret(path, format!("{}\n", token.0).as_bytes())?;
        Ok(token)
    }

    /// The token in `path`; none when there is no such file.
    ///
    /// # Errors
    /// As the file system says; an empty or overlong token.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(text) = file::read_if_there(path)? else {
            return Ok(None);
        };
        let token = text.trim();
        if token.is_empty() || token.len() > TOKEN_LENGTH_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "this is not an admin token",
            ));
        }
        Ok(Some(Self(token.to_owned())))
    }

    /// The secret itself, to be sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// Tells the right token from others, without knowing it.
pub struct TokenCheck {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl TokenCheck {
    /// A check for `token`.
    ///
    /// # Errors
    /// When the operating system's random source fails.
    pub fn new(token: &AdminToken) -> Result<Self, ring::error::Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        let tag = hmac::sign(&key, token.0.as_bytes());
        Ok(Self { key, tag })
    }

    /// Is this the token? Takes the same time whatever differs.
    #[must_use]
    pub fn admits(&self, shown: &str) -> bool {
        shown.len() <= TOKEN_LENGTH_MAX
            && hmac::verify(&self.key, shown.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_it_is_admitted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TOKEN_FILE);
        let token = AdminToken::ensure(&path).unwrap();
        let again = AdminToken::ensure(&path).unwrap();
        assert_eq!(token.reveal(), again.reveal());
        assert_eq!(token.reveal().len(), TOKEN_PREFIX.len() + 64);
        assert!(!format!("{token:?}").contains(token.reveal()));

        let check = TokenCheck::new(&token).unwrap();
        assert!(check.admits(token.reveal()));
        for wrong in [
            "",
            "gwa-",
            &token.reveal()[1..],
            &token.reveal().to_uppercase(),
        ] {
            assert!(!check.admits(wrong));
        }
        std::fs::write(&path, " \n").unwrap();
        assert!(AdminToken::ensure(&path).is_err());
    }
}
