//! Passwords: Argon2id with OWASP's parameters (19 MiB, two passes, one lane), each with a salt of
//! its own, kept in PHC's form. Hashing takes memory and time on purpose, so only a named number
//! are made at once, and each on a thread for blocking work.

use super::{AccountsError, random_hex};
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use metrics::counter;
use std::fmt;
use tokio::sync::Semaphore;

/// Shortest password, in characters.
pub(super) const PASSWORD_LENGTH_MIN: usize = 12;
/// Longest password, in bytes: hashing must not become work without a bound.
pub(super) const PASSWORD_LENGTH_MAX: usize = 512;
/// Hashes that are made at one time; one more is turned away.
pub(super) const HASHING_MAX: usize = 2;
/// Memory in KiB, and passes over it.
const COST: (u32, u32) = (19 * 1024, 2);
const SHED: &str = "godwit_shed_total";

static PLACES: Semaphore = Semaphore::const_new(HASHING_MAX);

/// What is kept of a password. Not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// PHC's form of it.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Makes a hash of a password.
pub(super) async fn hashed(text: String) -> Result<PasswordHash, AccountsError> {
    if text.chars().count() < PASSWORD_LENGTH_MIN || text.len() > PASSWORD_LENGTH_MAX {
        let reason = format!(
            "at least {PASSWORD_LENGTH_MIN} characters and at most {PASSWORD_LENGTH_MAX} bytes \
             are expected"
        );
        return Err(AccountsError::invalid("password", reason));
    }
    aside(move || {
        let salt = random_hex::<16>()?;
        let hash = hasher()?.hash_password_with_salt(text.as_bytes(), salt.as_bytes());
        let hash = hash.map_err(|error| AccountsError::invalid("password", error.to_string()))?;
        Ok(PasswordHash(hash.to_string()))
    })
    .await
}

/// True when `kept` was made of this password. Takes as long when nothing is kept: who is known
/// can't be told by the time.
pub(super) async fn verified(text: String, kept: String) -> Result<bool, AccountsError> {
    if text.len() > PASSWORD_LENGTH_MAX {
        return Ok(false);
    }
    aside(move || {
        let hasher = hasher()?;
        let Ok(hash) = phc::PasswordHash::new(&kept) else {
            let _ = hasher.hash_password_with_salt(text.as_bytes(), b"nobody's own salt");
            return Ok(false);
        };
        Ok(hasher.verify_password(text.as_bytes(), &hash).is_ok())
    })
    .await
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AccountsError> + Send + 'static,
) -> Result<T, AccountsError> {
    let Ok(place) = PLACES.try_acquire() else {
        counter!(SHED, "limit" => "password_hashes").increment(1);
        return Err(AccountsError::Busy);
    };
    let done = tokio::task::spawn_blocking(work).await;
    drop(place);
    done.unwrap_or(Err(AccountsError::Busy))
}

fn hasher() -> Result<Argon2<'static>, AccountsError> {
    let (memory, passes) = COST;
    let params = Params::new(memory, passes, 1, None)
        .map_err(|error| AccountsError::invalid("password", error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_same_password_is_the_same() {
        let text = "correct horse battery";
        let hash = hashed(text.to_owned()).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!format!("{hash:?}").contains("argon2"));
        let again = hashed(text.to_owned()).await.unwrap();
        assert_ne!(hash, again, "each has its salt");
        let verify = |text: &str, kept: &str| verified(text.to_owned(), kept.to_owned());
        assert!(verify(text, hash.as_str()).await.unwrap());
        assert!(
            !verify("correct horse batterz", hash.as_str())
                .await
                .unwrap()
        );
        assert!(!verify(text, "").await.unwrap(), "nobody");
        for bad in ["short", &"x".repeat(PASSWORD_LENGTH_MAX + 1)] {
            let refused = hashed(bad.to_owned()).await;
            assert!(matches!(refused, Err(AccountsError::Invalid { .. })));
        }
    }
}
