//! Organisations and API keys. Of a key only its hash and its ends are kept. Every change writes
//! the row, one account event (what edges are told) and one audit entry in one transaction, so an
//! edge that has applied event N knows every change up to N. Members, workspaces and budgets are
//! not here yet.

pub mod audit;
pub mod bootstrap;
mod events;
mod lookup;

#[cfg(test)]
mod tests;

use crate::sql::{Database, DatabaseError, bigint, unsigned};
use shared::clock::Clock;
use shared::id::OrgId;
use shared::key::{KeyHash, SecretKey, hex};
use shared::policy::{KeyKind, KeyPolicy};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use tokio::sync::watch;

pub use events::{AccountEvent, Change, Events};
pub use lookup::{LookupAnswer, Refusal};

/// Longest name of a key or an organisation, in characters.
pub const NAME_MAX: usize = 200;
/// Most keys that one listing returns, the newest.
pub const LIST_MAX: i64 = 5000;
/// Account events that are kept for edges that were away; one further behind starts anew.
pub const EVENTS_KEPT: u64 = 100_000;
/// Most events in one answer; an edge further behind starts anew, which costs less.
pub const EVENTS_PER_ANSWER_MAX: u64 = 5000;

const FIND_ORG: &str = "SELECT id FROM orgs WHERE id = $1 OR ($1 = '' AND is_first = 1)";

/// The accounts in a database.
pub struct Accounts {
    database: Database,
    clock: Clock,
    sequence: watch::Sender<u64>,
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
    /// The chosen key belongs to another organisation or is of another kind.
    #[error("the key with the id {0} exists with another owner or kind")]
    KeyTaken(KeyHash),
    /// A value that can't be accepted.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The operating system's random source failed.
    #[error("the system has no randomness")]
    NoRandomness,
}

impl From<sqlx::Error> for AccountsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// As its owner calls it.
    pub name: String,
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose; none is the first organisation.
    pub org: Option<OrgId>,
    /// As its owner calls it.
    pub name: String,
    /// What it opens.
    pub kind: KeyKind,
    /// Seconds since 1970; none is never.
    pub expires_at: Option<u64>,
    /// What it may use and spend.
    pub policy: KeyPolicy,
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its public id.
    pub id: KeyHash,
    /// Whose it is.
    pub org: OrgId,
    /// As its owner calls it.
    pub name: String,
    /// The ends of the key.
    pub label: String,
    /// What it opens.
    pub kind: KeyKind,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Seconds since 1970; none is never.
    pub expires_at: Option<u64>,
    /// Refused for good.
    pub revoked: bool,
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
        })
    }

    /// The latest account sequence, now and whenever it grows: wakes who tells the edges.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.sequence.subscribe()
    }

    /// The first organisation, if there is one yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_org(&self) -> Result<Option<Org>, AccountsError> {
        let row = sqlx::query("SELECT id, name FROM orgs WHERE is_first = 1")
            .fetch_optional(self.database.readers())
            .await?;
        Ok(row.map(|row| org_of(&row)).transpose()?)
    }

    /// Every organisation, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn orgs(&self) -> Result<Vec<Org>, AccountsError> {
        let rows = sqlx::query("SELECT id, name FROM orgs ORDER BY created_unix_ms, id LIMIT $1")
            .bind(LIST_MAX)
            .fetch_all(self.database.readers())
            .await?;
        Ok(rows.iter().map(org_of).collect::<Result<_, _>>()?)
    }

    /// The organisation of this id; the first when it is empty.
    ///
    /// # Errors
    /// When there is no such organisation or the database fails.
    pub async fn find_org(&self, id: &str) -> Result<OrgId, AccountsError> {
        let row = sqlx::query(FIND_ORG)
            .bind(id)
            .fetch_optional(self.database.readers())
            .await?;
        let row = row.ok_or_else(|| AccountsError::NoSuchOrg(id.to_owned()))?;
        Ok(OrgId::from(row.try_get::<String, _>(0)?))
    }

    /// The first organisation, made when there is none; true when it was made now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ensure_first_org(
        &self,
        actor: &str,
        name: &str,
    ) -> Result<(Org, bool), AccountsError> {
        check_name("organisation", name)?;
        let mut transaction = self.database.write().await?;
        let id = OrgId::from(format!("org_{}", random_hex::<12>()?));
        let made = sqlx::query(
            "INSERT INTO orgs (id, name, is_first, created_unix_ms) VALUES ($1, $2, 1, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(id.as_str())
        .bind(name)
        .bind(bigint(self.clock.unix_ms()))
        .execute(&mut *transaction)
        .await?;
        if made.rows_affected() == 0 {
            transaction.rollback().await?;
            let org = self.first_org().await?;
            let org = org.ok_or_else(|| AccountsError::NoSuchOrg(String::new()))?;
            return Ok((org, false));
        }
        let now = self.clock.unix_ms();
        audit::append(&mut transaction, now, actor, "org.create", id.as_str()).await?;
        transaction.commit().await?;
        let name = name.to_owned();
        Ok((Org { id, name }, true))
    }

    /// Makes a key and gives it in clear, this once.
    ///
    /// # Errors
    /// When the organisation is unknown, a value can't be accepted, or the database fails.
    pub async fn create_key(&self, actor: &str, new: &NewKey) -> Result<SecretKey, AccountsError> {
        let secret = SecretKey::generate().map_err(|_| AccountsError::NoRandomness)?;
        self.ensure_key(actor, &secret, new).await?;
        Ok(secret)
    }

    /// Makes sure that there is a key with exactly this value. One that exists stays as it is,
    /// also when it has been revoked. True when it was made now.
    ///
    /// # Errors
    /// As [`Accounts::create_key`], and when the key has another owner or kind.
    pub async fn ensure_key(
        &self,
        actor: &str,
        secret: &SecretKey,
        new: &NewKey,
    ) -> Result<bool, AccountsError> {
        check_name("name", &new.name)?;
        let id = secret.hash();
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, Change::Changed(id)).await?;
        let org = find_org(&mut transaction, new.org.as_ref()).await?;
        if let Some(row) = find_key(&mut transaction, id).await? {
            if row.org != org || row.kind != new.kind {
                return Err(AccountsError::KeyTaken(id));
            }
            // Dropping the transaction takes the event back, too.
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO api_keys (id, org, name, label, kind, policy, created_unix_ms,
                 expires_unix_s, revoked_unix_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)",
        )
        .bind(id.to_string())
        .bind(org.as_str())
        .bind(new.name.as_str())
        .bind(secret.label())
        .bind(kind_text(new.kind))
        .bind(policy_text(&new.policy)?)
        .bind(bigint(now))
        .bind(new.expires_at.map(bigint))
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, now, actor, "key.create", &id.to_string()).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(true)
    }

    /// The newest [`LIST_MAX`] keys, of one organisation or of all, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self, org: Option<&OrgId>) -> Result<Vec<KeyRow>, AccountsError> {
        let rows = sqlx::query(
            "SELECT id, org, name, label, kind, created_unix_ms, expires_unix_s, revoked_unix_ms
             FROM api_keys WHERE $1 = '' OR org = $1
             ORDER BY created_unix_ms DESC, id LIMIT $2",
        )
        .bind(org.map_or("", |org| org.as_str()))
        .bind(LIST_MAX)
        .fetch_all(self.database.readers())
        .await?;
        rows.iter().map(key_of).collect()
    }

    /// Refuses a key from now on, everywhere. Revoking it again changes nothing.
    ///
    /// # Errors
    /// When there is no such key or the database fails.
    pub async fn revoke_key(&self, actor: &str, id: KeyHash) -> Result<(), AccountsError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, Change::Denied(id)).await?;
        let row = find_key(&mut transaction, id).await?;
        if row.ok_or(AccountsError::NoSuchKey(id))?.revoked {
            return Ok(());
        }
        sqlx::query("UPDATE api_keys SET revoked_unix_ms = $1 WHERE id = $2")
            .bind(bigint(now))
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        audit::append(&mut transaction, now, actor, "key.revoke", &id.to_string()).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }

    fn announce(&self, sequence: u64) {
        self.sequence.send_if_modified(|latest| {
            let newer = sequence > *latest;
            *latest = sequence.max(*latest);
            newer
        });
    }
}

async fn find_org(
    connection: &mut AnyConnection,
    org: Option<&OrgId>,
) -> Result<OrgId, AccountsError> {
    let wanted = org.map_or("", |org| org.as_str());
    let row = sqlx::query(FIND_ORG)
        .bind(wanted)
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or_else(|| AccountsError::NoSuchOrg(wanted.to_owned()))?;
    Ok(OrgId::from(row.try_get::<String, _>(0)?))
}

async fn find_key(
    connection: &mut AnyConnection,
    id: KeyHash,
) -> Result<Option<KeyRow>, AccountsError> {
    let row = sqlx::query(
        "SELECT id, org, name, label, kind, created_unix_ms, expires_unix_s, revoked_unix_ms
         FROM api_keys WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|row| key_of(&row)).transpose()
}

fn org_of(row: &AnyRow) -> Result<Org, sqlx::Error> {
    Ok(Org {
        id: OrgId::from(row.try_get::<String, _>(0)?),
        name: row.try_get(1)?,
    })
}

fn key_of(row: &AnyRow) -> Result<KeyRow, AccountsError> {
    let kind: String = row.try_get(4)?;
    Ok(KeyRow {
        id: parse_id(row.try_get(0)?)?,
        org: OrgId::from(row.try_get::<String, _>(1)?),
        name: row.try_get(2)?,
        label: row.try_get(3)?,
        kind: parse_kind(&kind)?,
        created_unix_ms: unsigned(row, 5)?,
        expires_at: row
            .try_get::<Option<i64>, _>(6)?
            .and_then(|at| u64::try_from(at).ok()),
        revoked: row.try_get::<Option<i64>, _>(7)?.is_some(),
    })
}

fn parse_id(text: String) -> Result<KeyHash, DatabaseError> {
    text.parse().map_err(|_| DatabaseError::Corrupt {
        what: "key id",
        value: text,
    })
}

/// The word for a kind of key, as it is stored and sent.
#[must_use]
pub fn kind_text(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Inference => "inference",
        KeyKind::Management => "management",
    }
}

fn parse_kind(text: &str) -> Result<KeyKind, DatabaseError> {
    [KeyKind::Inference, KeyKind::Management]
        .into_iter()
        .find(|kind| kind_text(*kind) == text)
        .ok_or_else(|| DatabaseError::Corrupt {
            what: "kind of key",
            value: text.to_owned(),
        })
}

fn policy_text(policy: &KeyPolicy) -> Result<String, AccountsError> {
    serde_json::to_string(policy).map_err(|error| AccountsError::Invalid {
        what: "policy",
        reason: error.to_string(),
    })
}

fn check_name(what: &'static str, name: &str) -> Result<(), AccountsError> {
    let reason = if name.chars().count() > NAME_MAX {
        format!("longer than {NAME_MAX} characters")
    } else if name.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(AccountsError::Invalid { what, reason })
}

fn random_hex<const BYTES: usize>() -> Result<String, AccountsError> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0_u8; BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AccountsError::NoRandomness)?;
    Ok(hex(&bytes))
}
