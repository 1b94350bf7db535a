//! Who has changed what. Append-only and chained: each entry's hash covers the one before, so a
//! row that is edited or taken out later is found by [`Accounts::verify_audit`].

use super::{Accounts, AccountsError};
use crate::sql::{DatabaseError, bigint, unsigned};
use ring::digest::{Context, SHA256};
use shared::key::hex;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// Most entries that one listing returns.
pub const ENTRIES_MAX: u32 = 1000;
/// Longest object that is kept, in bytes; a longer one is cut.
const OBJECT_MAX: usize = 1000;

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Contiguous from 1.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Who: `operator/NAME`, `operator/token`, `start`.
    pub actor: String,
    /// What, e.g. `key.revoke`.
    pub action: String,
    /// To what.
    pub object: String,
}

impl Accounts {
    /// Records a change that is not in this database, such as one of the catalogue.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(
        &self,
        actor: &str,
        action: &str,
        object: &str,
    ) -> Result<(), AccountsError> {
        let mut transaction = self.database.write().await?;
        let now = self.clock.unix_ms();
        append(&mut transaction, now, actor, action, object).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The latest entries, newest first; at most [`ENTRIES_MAX`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(&self, limit: u32) -> Result<Vec<Entry>, AccountsError> {
        let rows = sqlx::query(
            "SELECT sequence, unix_ms, actor, action, object, hash FROM audit
             ORDER BY sequence DESC LIMIT $1",
        )
        .bind(i64::from(limit.min(ENTRIES_MAX)))
        .fetch_all(self.database.readers())
        .await?;
        rows.iter().map(|row| Ok(entry_of(row)?)).collect()
    }

    /// Recomputes the whole chain. Gives the first sequence whose entry was changed or is missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verify_audit(&self) -> Result<Option<u64>, AccountsError> {
        let mut before = String::new();
        let mut expected = 1;
        loop {
            let rows = sqlx::query(
                "SELECT sequence, unix_ms, actor, action, object, hash FROM audit
                 WHERE sequence >= $1 ORDER BY sequence LIMIT $2",
            )
            .bind(bigint(expected))
            .bind(i64::from(ENTRIES_MAX))
            .fetch_all(self.database.readers())
            .await?;
            for row in &rows {
                let entry = entry_of(row)?;
                let hash: String = row.try_get(5)?;
                if entry.sequence != expected || chained(&before, &entry) != hash {
                    return Ok(Some(expected));
                }
                before = hash;
                expected += 1;
            }
            if rows.is_empty() {
                break;
            }
        }
        let head = sqlx::query("SELECT value FROM sequences WHERE name = 'audit'")
            .fetch_one(self.database.readers())
            .await?;
        Ok((unsigned(&head, 0)? >= expected).then_some(expected))
    }
}

/// Adds an entry to a transaction, after any account event of it.
pub(crate) async fn append(
    connection: &mut AnyConnection,
    unix_ms: u64,
    actor: &str,
    action: &str,
    object: &str,
) -> Result<(), DatabaseError> {
    let row =
        sqlx::query("UPDATE sequences SET value = value + 1 WHERE name = 'audit' RETURNING value")
            .fetch_one(&mut *connection)
            .await?;
    let sequence = unsigned(&row, 0)?;
    let before = sqlx::query("SELECT hash FROM audit WHERE sequence = $1")
        .bind(bigint(sequence.saturating_sub(1)))
        .fetch_optional(&mut *connection)
        .await?
        .map_or_else(|| Ok(String::new()), |row| row.try_get(0))?;
    let entry = Entry {
        sequence,
        unix_ms,
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: object
            .get(..object.floor_char_boundary(OBJECT_MAX))
            .unwrap_or_default()
            .to_owned(),
    };
    let hash = chained(&before, &entry);
    sqlx::query(
        "INSERT INTO audit (sequence, unix_ms, actor, action, object, hash)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(bigint(sequence))
    .bind(bigint(unix_ms))
    .bind(entry.actor)
    .bind(entry.action)
    .bind(entry.object)
    .bind(hash)
    .execute(connection)
    .await?;
    Ok(())
}

fn chained(before: &str, entry: &Entry) -> String {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(before.as_bytes());
    part(&entry.sequence.to_be_bytes());
    part(&entry.unix_ms.to_be_bytes());
    part(entry.actor.as_bytes());
    part(entry.action.as_bytes());
    part(entry.object.as_bytes());
    hex(context.finish().as_ref())
}

fn entry_of(row: &AnyRow) -> Result<Entry, sqlx::Error> {
    Ok(Entry {
        sequence: unsigned(row, 0)?,
        unix_ms: unsigned(row, 1)?,
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        object: row.try_get(4)?,
    })
}
