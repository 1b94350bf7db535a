//! The log of account changes: gapless, in the order of commits. Edges resume after the last
//! event that they have applied; the log keeps a named number of them. An organisation's event
//! stands for all of its keys: edges drop what they know of each and ask again.

use super::keys::parse_id;
use super::{Accounts, AccountsError, EVENTS_KEPT, EVENTS_PER_ANSWER_MAX};
use crate::sql::{Database, DatabaseError, bigint, unsigned};
use shared::id::OrgId;
use shared::key::KeyHash;
use shared::limit::Purse;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// What has happened to keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Refuse it from now on.
    Denied(KeyHash),
    /// It exists or has changed: forget what you know of it.
    Changed(KeyHash),
    /// A rule over all keys of this organisation has changed: forget what you know of them.
    Org(OrgId),
    /// What edges have leased of this purse and don't use is wanted back. Says nothing of keys.
    Recall(Purse),
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountEvent {
    /// Its place, contiguous from 1.
    pub sequence: u64,
    /// What has happened.
    pub change: Change,
}

/// What an edge has missed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Events {
    /// Contiguous after the sequence that was asked for; empty with `reset`.
    pub events: Vec<AccountEvent>,
    /// The sequence after these events.
    pub sequence: u64,
    /// The log does not reach back that far, or the edge is ahead of it (the database is an older
    /// copy): drop everything that is known of keys.
    pub reset: bool,
}

impl Accounts {
    /// All changes after `sequence`: from memory, when they are there. Who comes first after a
    /// change reads it for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events_since(&self, sequence: u64) -> Result<Events, AccountsError> {
        let mut tail = self.tail.lock().await;
        let newest = *self.sequence.borrow();
        if tail.head().is_none_or(|head| head < newest) {
            let after = tail
                .head()
                .unwrap_or_else(|| newest.saturating_sub(EVENTS_PER_ANSWER_MAX));
            tail.extend(&self.events_in_log(after).await?);
        }
        let events = tail.since(sequence);
        drop(tail);
        match events {
            Some(events) => Ok(events),
            None => self.events_in_log(sequence).await,
        }
    }

    pub(super) async fn events_in_log(&self, sequence: u64) -> Result<Events, AccountsError> {
        // Numbers are given under a lock that is held to the commit: with the head, every event
        // up to it is visible. Later ones are left for the next call.
        let head = head(&self.database).await?;
        let reset = Events {
            events: Vec::new(),
            sequence: head,
            reset: true,
        };
        let Some(missed) = head.checked_sub(sequence) else {
            return Ok(reset);
        };
        if missed > EVENTS_PER_ANSWER_MAX {
            return Ok(reset);
        }
        let rows = sqlx::query(
            "SELECT sequence, kind, key_id, org FROM account_events
             WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence",
        )
        .bind(bigint(sequence))
        .bind(bigint(head))
        .fetch_all(self.database.readers())
        .await?;
        let events = rows.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
        if u64::try_from(events.len()).ok() != Some(missed) {
            return Ok(reset);
        }
        Ok(Events {
            events,
            sequence: head,
            reset: false,
        })
    }
}

/// The latest sequence.
pub(super) async fn head(database: &Database) -> Result<u64, DatabaseError> {
    let row = sqlx::query("SELECT value FROM sequences WHERE name = 'account'")
        .fetch_one(database.readers())
        .await?;
    Ok(unsigned(&row, 0)?)
}

/// Adds an event. The first statement of its transaction: its lock makes the order of numbers the
/// order of commits.
pub(crate) async fn append(
    connection: &mut AnyConnection,
    unix_ms: u64,
    change: &Change,
) -> Result<u64, DatabaseError> {
    let row = sqlx::query(
        "UPDATE sequences SET value = value + 1 WHERE name = 'account' RETURNING value",
    )
    .fetch_one(&mut *connection)
    .await?;
    let sequence = unsigned(&row, 0)?;
    let none = String::new;
    let (kind, key, whose) = match change {
        Change::Denied(key) => ("denied", key.to_string(), none()),
        Change::Changed(key) => ("changed", key.to_string(), none()),
        Change::Org(org) => ("org", none(), org.to_string()),
        Change::Recall(purse) => ("recall", none(), purse.to_string()),
    };
    sqlx::query(
        "INSERT INTO account_events (sequence, kind, key_id, org, unix_ms)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(bigint(sequence))
    .bind(kind)
    .bind(key)
    .bind(whose)
    .bind(bigint(unix_ms))
    .execute(&mut *connection)
    .await?;
    if let Some(oldest) = sequence.checked_sub(EVENTS_KEPT) {
        sqlx::query("DELETE FROM account_events WHERE sequence <= $1")
            .bind(bigint(oldest))
            .execute(connection)
            .await?;
    }
    Ok(sequence)
}

/// Takes the lock that every change of accounts takes first, to the end of the transaction.
pub(super) async fn lock(connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE sequences SET value = value WHERE name = 'account'")
        .execute(connection)
        .await?;
    Ok(())
}

fn event_of(row: &AnyRow) -> Result<AccountEvent, DatabaseError> {
    let key = || parse_id(row.try_get(2)?);
    let kind: String = row.try_get(1)?;
    let change = match kind.as_str() {
        "denied" => Change::Denied(key()?),
        "changed" => Change::Changed(key()?),
        "org" => Change::Org(OrgId::from(row.try_get::<String, _>(3)?)),
        "recall" => {
            let purse: String = row.try_get(3)?;
            Change::Recall(purse.parse().map_err(|_| DatabaseError::Corrupt {
                what: "recalled purse",
                value: purse,
            })?)
        }
        _ => {
            return Err(DatabaseError::Corrupt {
                what: "account event",
                value: kind,
            });
        }
    };
    Ok(AccountEvent {
        sequence: unsigned(row, 0)?,
        change,
    })
}
