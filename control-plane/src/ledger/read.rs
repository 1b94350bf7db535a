//! What people and other services ask of the ledger.

use super::{Ledger, LedgerError};
use crate::sql::{DatabaseError, amount};
use shared::id::OrgId;
use shared::key::KeyHash;
use shared::money::Amount;
use sqlx::Row;
use std::collections::BTreeMap;

/// One organisation's money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Outside of leases.
    pub available: Amount,
    /// Lent to edges.
    pub leased: Amount,
    /// Charged.
    pub used: Amount,
    /// Held by requests that were in flight when their node died.
    pub suspense: Amount,
    /// Used beyond the balance, above zero; the next credits repay it.
    pub overrun: Amount,
    /// Ever given.
    pub given: Amount,
    /// Ever paid and not paid back, fees included.
    pub bought: Amount,
    /// Fees.
    pub fees: Amount,
}

impl Ledger {
    /// Every organisation's money, as of one moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn totals(&self) -> Result<BTreeMap<OrgId, Totals>, LedgerError> {
        self.totals_where("").await
    }

    async fn totals_where(&self, org: &str) -> Result<BTreeMap<OrgId, Totals>, LedgerError> {
        let rows = sqlx::query(
            "SELECT CAST(SUM(nano) AS BIGINT), CAST(SUM(pico_rem) AS BIGINT), org, kind
             FROM balances
             WHERE kind NOT IN ('cost', 'payable', 'expense', 'window', 'window_lease',
                     'window_used') AND ($1 = '' OR org = $1)
             GROUP BY org, kind",
        )
        .bind(org)
        .fetch_all(self.database.readers())
        .await?;
        let mut totals: BTreeMap<OrgId, Totals> = BTreeMap::new();
        for row in &rows {
            let sum = amount(row, 0)?;
            let org = OrgId::from(row.try_get::<String, _>(2)?);
            let totals = totals.entry(org).or_default();
            let kind: String = row.try_get(3)?;
            match kind.as_str() {
                "available" => totals.available = sum,
                "lease" => totals.leased = sum,
                "usage" => totals.used = sum,
                "suspense" => totals.suspense = sum,
                "overrun" => totals.overrun = -sum,
                "grants" => totals.given = -sum,
                "purchases" => totals.bought = -sum,
                "fees" => totals.fees = sum,
                _ => {
                    return Err(LedgerError::Database(DatabaseError::Corrupt {
                        what: "kind of account",
                        value: kind,
                    }));
                }
            }
        }
        Ok(totals)
    }

    /// One organisation's money; nothing when it never had any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn totals_of(&self, org: &OrgId) -> Result<Totals, LedgerError> {
        Ok(self
            .totals_where(org.as_str())
            .await?
            .remove(org)
            .unwrap_or_default())
    }

    /// What each key was charged, of one organisation or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage_by_key(
        &self,
        org: Option<&OrgId>,
    ) -> Result<BTreeMap<KeyHash, Amount>, LedgerError> {
        let rows = sqlx::query(
            "SELECT CAST(SUM(nano) AS BIGINT), CAST(SUM(pico_rem) AS BIGINT), key_id
             FROM balances WHERE kind = 'usage' AND ($1 = '' OR org = $1) GROUP BY key_id",
        )
        .bind(org.map_or("", |org| org.as_str()))
        .fetch_all(self.database.readers())
        .await?;
        let mut usage = BTreeMap::new();
        for row in &rows {
            let key: String = row.try_get(2)?;
            let Ok(key) = key.parse() else {
                return Err(LedgerError::Database(DatabaseError::Corrupt {
                    what: "key id",
                    value: key,
                }));
            };
            usage.insert(key, amount(row, 0)?);
        }
        Ok(usage)
    }
}
