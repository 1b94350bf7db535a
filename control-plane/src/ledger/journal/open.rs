//! Opening books: the leadership is checked and kept, the organisations' heads are locked.

use super::Book;
use super::tables::NEW_HEADS;
use crate::ledger::LedgerError;
use crate::sql::rows::Cell;
use crate::sql::{Database, DatabaseError, bigint, unsigned};
use crate::store::Epoch;
use shared::id::OrgId;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use std::collections::{BTreeMap, BTreeSet};

impl Book {
    /// Opens the books of `orgs`, after everybody who has any of them open.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`] when a later leadership has written; or the database fails.
    pub async fn open(
        database: &Database,
        fence: Epoch,
        unix_ms: u64,
        orgs: &BTreeSet<OrgId>,
    ) -> Result<Self, LedgerError> {
        let mut book = Self {
            transaction: begin(database, fence).await?,
            engine: database.engine(),
            fence,
            unix_ms: bigint(unix_ms),
            heads: BTreeMap::new(),
            balances: BTreeMap::new(),
            changed: BTreeSet::new(),
            postings: Vec::new(),
            lines: Vec::new(),
        };
        book.lock(orgs).await?;
        let new: Vec<_> = orgs
            .iter()
            .filter(|org| !book.heads.contains_key(*org))
            .map(|org| [Cell::from(org.to_string()), Cell::Int(0)])
            .collect();
        if !new.is_empty() {
            NEW_HEADS
                .insert(&mut book.transaction, book.engine, &new)
                .await?;
            book.lock(orgs).await?;
        }
        Ok(book)
    }

    async fn lock(&mut self, orgs: &BTreeSet<OrgId>) -> Result<(), LedgerError> {
        // In one order, so that nobody holds what another waits for the other way round.
        let sql = format!(
            "SELECT org, postings FROM ledger_orgs WHERE org{} ORDER BY org{}",
            self.engine.in_list(),
            self.engine.for_update()
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(self.engine.list(orgs.iter().map(|org| org.as_str())))
            .fetch_all(&mut *self.transaction)
            .await?;
        for row in &rows {
            let org = OrgId::from(row.try_get::<String, _>(0)?);
            self.heads.insert(org, row.try_get(1)?);
        }
        Ok(())
    }
}

/// Begins a transaction under a leadership that stays what it is until the end: a later leader's
/// first write waits for it.
async fn begin(
    database: &Database,
    fence: Epoch,
) -> Result<Transaction<'static, Any>, LedgerError> {
    let sql = format!(
        "SELECT fence FROM ledger_head WHERE id = 1{}",
        database.engine().for_share()
    );
    for _ in 0..2 {
        let mut transaction = database.write().await?;
        let row = sqlx::query(AssertSqlSafe(sql.clone()))
            .fetch_one(&mut *transaction)
            .await?;
        let written = unsigned(&row, 0)?;
        if written > fence.0 {
            return Err(LedgerError::Fenced(fence));
        }
        if written == fence.0 {
            return Ok(transaction);
        }
        // The first write of this leadership: raised by itself, so that nobody who only looks at
        // it can be in the way of somebody who raises it.
        transaction.rollback().await?;
        let mut transaction = database.write().await?;
        sqlx::query("UPDATE ledger_head SET fence = $1 WHERE id = 1 AND fence < $1")
            .bind(bigint(fence.0))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
    }
    Err(LedgerError::Database(DatabaseError::Conflict))
}
