//! Grants that nobody can ask for again are forgotten, a few at a time, so that the table holds what is
//! going on and not what ever was. The next grant of a purse closes those before it
//! ([`super::grants`]); here are those that no other one follows. The postings stay: by them a late
//! question is known to have been answered, and gets nothing.
//!
//! Closed is
//! - a grant that was taken back without its holder: it is worth nothing to anybody;
//! - a grant of a purse of which no run of the node has anything left: there is nothing to be told of
//!   or given back, and saying that there was would be giving it twice;
//! - what was given back before it was asked for, once a newer run of the node was granted something:
//!   the run that may have asked gets nothing more under any id.

use crate::ledger::{Ledger, LedgerError};
use crate::sql::unsigned;
use crate::store::Epoch;
use shared::task::lock;
use sqlx::Row;
use std::collections::BTreeSet;

/// Grants that one sweep looks at.
const LOOKED_AT_MAX: i64 = 5_000;

impl Ledger {
    /// Looks at the next grants in the order of their ids, and begins again after the last. Gives how
    /// many were forgotten.
    pub(super) async fn prune(&self, fence: Epoch) -> Result<u64, LedgerError> {
        let from = lock(&self.pruned_to).clone();
        let (forgotten, next) = self.retried(|| self.prune_after(fence, &from)).await?;
        *lock(&self.pruned_to) = next;
        Ok(forgotten)
    }

    async fn prune_after(&self, fence: Epoch, from: &str) -> Result<(u64, String), LedgerError> {
        let mut book = self.book(fence, &BTreeSet::new()).await?;
        let row = sqlx::query(
            "SELECT CAST(COUNT(*) AS BIGINT), COALESCE(MAX(id), '') FROM (
                 SELECT id FROM lease_grants WHERE id > $1 ORDER BY id LIMIT $2) AS next",
        )
        .bind(from.to_owned())
        .bind(LOOKED_AT_MAX)
        .fetch_one(&mut **book.sql())
        .await?;
        let (count, last) = (unsigned(&row, 0)?, row.try_get::<String, _>(1)?);
        if count == 0 {
            return Ok((0, String::new()));
        }
        let deleted = sqlx::query(
            "DELETE FROM lease_grants WHERE id > $1 AND id <= $2 AND CASE
                 WHEN nano = 0 AND pico_rem = 0 THEN EXISTS (
                     SELECT 1 FROM lease_runs r
                     WHERE r.node = lease_grants.node AND r.epoch > lease_grants.epoch)
                 ELSE reclaimed = 1 OR NOT EXISTS (
                     SELECT 1 FROM balances b
                     WHERE b.kind IN ('lease', 'window_lease') AND b.org = lease_grants.org
                         AND b.limit_window = lease_grants.limit_window
                         AND b.node = lease_grants.node AND (b.nano > 0 OR b.pico_rem > 0))
                 END",
        )
        .bind(from.to_owned())
        .bind(last.clone())
        .execute(&mut **book.sql())
        .await?;
        book.commit().await?;
        let is_whole = count < LOOKED_AT_MAX.unsigned_abs();
        let next = if is_whole { String::new() } else { last };
        Ok((deleted.rows_affected(), next))
    }
}
