//! Organisations, the people in them, their workspaces and API keys. Of a key only its hash and
//! its ends are kept, of a password only a memory-hard hash. Every change writes the row, one
//! account event (what edges are told) when keys are concerned, and one audit entry in one
//! transaction, so an edge that has applied event N knows every change up to N.

pub mod audit;
pub mod bootstrap;
pub mod credentials;
pub(crate) mod events;
pub mod guardrails;
pub mod identities;
pub mod keys;
mod limits;
mod lookup;
pub mod orgs;
mod password;
pub mod people;
pub mod sessions;
mod tail;
pub mod workspaces;

#[cfg(test)]
mod tests;

use crate::security::vault::Vault;
use crate::sql::{Database, DatabaseError};
use crate::topup::Topups;
use shared::clock::Clock;
use shared::key::{KeyHash, hex};
use std::sync::Arc;
use tail::Tail;
use tokio::sync::watch;

pub use events::{AccountEvent, Change, Events};
pub use keys::{KeyChange, KeyFilter, KeyRow, NewKey, kind_text};
pub use limits::{Budget, Budgets};
pub use lookup::{LookupAnswer, Refusal};
pub use orgs::Org;

/// Longest name of a key, an organisation, a workspace or a person, in characters.
pub const NAME_MAX: usize = 200;
/// Longest id that is looked for, in bytes.
pub const ID_LENGTH_MAX: usize = 128;
/// Most rows that one listing returns, the newest.
pub const LIST_MAX: i64 = 5000;
/// Account events that are kept for edges that were away; one further behind starts anew.
pub const EVENTS_KEPT: u64 = 100_000;
/// Most events in one answer; an edge further behind starts anew, which costs less.
pub const EVENTS_PER_ANSWER_MAX: u64 = 5000;

/// The accounts in a database.
pub struct Accounts {
    database: Database,
    clock: Clock,
    sequence: watch::Sender<u64>,
    /// The newest events, for all who follow the log.
    tail: tokio::sync::Mutex<Tail>,
    attempts: sessions::Attempts,
    vault: Option<Arc<Vault>>,
}

/// What went wrong with an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There is no such organisation.
    #[error("there is no organisation {0:?}")]
    NoSuchOrg(String),
    /// There is no such key.
    #[error("there is no key with the id {0}")]
    NoSuchKey(KeyHash),
    /// There is nothing with this id, or it belongs to somebody else.
    #[error("there is no {what} {id:?}")]
    NoSuch {
        /// A kind of thing.
        what: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// The chosen key belongs to another organisation or is of another kind.
    #[error("the key with the id {0} exists with another owner or kind")]
    KeyTaken(KeyHash),
    /// What is there stands in the way.
    #[error("{0}")]
    Conflict(String),
    /// What only administrators may do.
    #[error("{what}: {reason}")]
    Forbidden {
        /// Which value, as the management API calls it.
        what: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A value that can't be accepted.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// Too many passwords are being checked at this moment.
    #[error("too many log-ins at this moment, try again")]
    Busy,
    /// The vault of secrets can't be used.
    #[error("vault: {0}")]
    Vault(String),
    /// The operating system's random source failed.
    #[error("the system has no randomness")]
    NoRandomness,
}

impl From<sqlx::Error> for AccountsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl AccountsError {
    fn invalid(what: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Invalid { what, reason }
    }

    fn no_such(what: &'static str, id: &str) -> Self {
        let id = id.to_owned();
        Self::NoSuch { what, id }
    }
}

impl Accounts {
    /// Rules of auto top-up, in the same database.
    #[must_use]
    pub fn topups(&self) -> Topups {
        Topups::new(self.database.clone(), self.clock.clone())
    }
}

impl Accounts {
    /// The accounts in `database`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(database: Database, clock: Clock) -> Result<Self, AccountsError> {
        let head = events::head(&database).await?;
        Ok(Self {
            database,
            clock,
            sequence: watch::Sender::new(head),
            tail: tokio::sync::Mutex::default(),
            attempts: sessions::Attempts::default(),
            vault: None,
        })
    }

    /// The latest account sequence, now and whenever it grows: wakes who tells the edges.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.sequence.subscribe()
    }

    /// Wakes who tells the edges, once the transaction that [`events::append`] gave `sequence` in is
    /// committed.
    pub(crate) fn announce(&self, sequence: u64) {
        self.sequence.send_if_modified(|latest| {
            let newer = sequence > *latest;
            *latest = sequence.max(*latest);
            newer
        });
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), AccountsError> {
    if name.chars().count() > NAME_MAX {
        let reason = format!("longer than {NAME_MAX} characters");
        return Err(AccountsError::Invalid { what, reason });
    }
    if name.chars().any(char::is_control) {
        return Err(AccountsError::invalid(what, "holds a control character"));
    }
    Ok(())
}

/// Of an id that somebody has sent: could it be one at all?
fn check_id(what: &'static str, id: &str) -> Result<(), AccountsError> {
    let visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=ID_LENGTH_MAX).contains(&id.len()) {
        return Ok(());
    }
    Err(AccountsError::no_such(what, id))
}

/// A new id: `prefix` and 24 random digits.
fn random_id(prefix: &str) -> Result<String, AccountsError> {
    Ok(format!("{prefix}_{}", random_hex::<12>()?))
}

fn random_hex<const BYTES: usize>() -> Result<String, AccountsError> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0_u8; BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AccountsError::NoRandomness)?;
    Ok(hex(&bytes))
}
