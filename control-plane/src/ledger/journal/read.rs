//! What a book reads before it posts, many accounts in one statement.

use super::Book;
use crate::ledger::LedgerError;
use crate::ledger::account::Account;
use crate::sql::{DatabaseError, amount, unsigned};
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::Origin;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

impl Book {
    /// Reads what these accounts hold, in one statement.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        &mut self,
        accounts: impl IntoIterator<Item = &Account>,
    ) -> Result<(), LedgerError> {
        let mut unknown: BTreeMap<String, Account> = accounts
            .into_iter()
            .filter(|account| !self.balances.contains_key(*account))
            .map(|account| (account.to_string(), account.clone()))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT nano, pico_rem, account FROM balances WHERE account{}",
            self.engine.in_list()
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(self.engine.list(unknown.keys().map(String::as_str)))
            .fetch_all(&mut *self.transaction)
            .await?;
        for row in &rows {
            let name: String = row.try_get(2)?;
            if let Some(account) = unknown.remove(&name) {
                self.balances.insert(account, amount(row, 0)?);
            }
        }
        let nothing = unknown.into_values().map(|account| (account, Amount::ZERO));
        self.balances.extend(nothing);
        Ok(())
    }

    /// Reads every lease of a node that holds money, in one statement.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load_leases(&mut self, node: &NodeId) -> Result<(), LedgerError> {
        let sql = format!(
            "SELECT nano, pico_rem, org, epoch, limit_window FROM balances
             WHERE kind IN ('lease', 'window_lease') AND org{} AND node = $2 AND (nano > 0 OR pico_rem > 0)",
            self.engine.in_list()
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(self.engine.list(self.heads.keys().map(|org| org.as_str())))
            .bind(node.as_str())
            .fetch_all(&mut *self.transaction)
            .await?;
        for row in &rows {
            let origin = Origin {
                node: node.clone(),
                epoch: BootEpoch(unsigned(row, 3)?),
            };
            let purse = purse(row.try_get(2)?, &row.try_get::<String, _>(4)?)?;
            let holds = amount(row, 0)?;
            self.balances
                .entry(Account::lease(&purse, origin))
                .or_insert(holds);
        }
        Ok(())
    }
}

/// The purse of these stored columns; of an empty window the balance.
///
/// # Errors
/// When the text is no window.
pub(crate) fn purse(org: String, window: &str) -> Result<Purse, LedgerError> {
    let org = OrgId::from(org);
    if window.is_empty() {
        return Ok(Purse::from(org));
    }
    let window = window.parse().map_err(|_| {
        LedgerError::Database(DatabaseError::Corrupt {
            what: "window of a limit",
            value: window.to_owned(),
        })
    })?;
    Ok(Purse {
        org,
        window: Some(window),
    })
}
