//! The ledger's books as they stand in its database.

use crate::scenario::ScenarioError;
use shared::money::Amount;
use shared::usage::Usage;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use std::collections::BTreeMap;
use std::path::Path;

/// One usage record.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    /// Node, boot epoch, sequence.
    pub(super) place: (String, u64, u64),
    pub(super) generation: String,
    pub(super) outcome: String,
    pub(super) provider: String,
    pub(super) held: Amount,
    pub(super) cost: Amount,
    /// Priced by our own count.
    pub(super) estimated: bool,
}

/// The database of a control plane that may be running.
pub(super) struct Books {
    pool: AnyPool,
}

impl Books {
    pub(super) async fn open(control_data: &Path) -> Result<Self, ScenarioError> {
        sqlx::any::install_default_drivers();
        let file = control_data.join("control.db");
        let pool = AnyPool::connect(&format!("sqlite://{}", file.display())).await;
        Ok(Self { pool: pool? })
    }

    /// Every usage record.
    pub(super) async fn records(&self) -> Result<Vec<Recorded>, ScenarioError> {
        let rows = sqlx::query(
            "SELECT node, epoch, sequence, generation, outcome, provider, held_nano,
                 CAST(held_pico_rem AS BIGINT), cost_nano, CAST(cost_pico_rem AS BIGINT), usage_json
             FROM usage_records ORDER BY node, epoch, sequence",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(recorded(row)?)).collect()
    }

    /// What each provider is owed.
    pub(super) async fn owed(&self) -> Result<BTreeMap<String, Amount>, ScenarioError> {
        self.sums("payable").await
    }

    /// What the platform pays itself, below zero.
    pub(super) async fn expense(&self) -> Result<Amount, ScenarioError> {
        Ok(self.sums("expense").await?.into_values().sum())
    }

    async fn sums(&self, kind: &str) -> Result<BTreeMap<String, Amount>, ScenarioError> {
        let rows = sqlx::query(
            "SELECT provider, CAST(SUM(nano) AS BIGINT), CAST(SUM(pico_rem) AS BIGINT)
             FROM balances WHERE kind = $1 GROUP BY provider",
        )
        .bind(kind)
        .fetch_all(&self.pool)
        .await?;
        let sum = |row: &AnyRow| Ok((row.try_get(0)?, amount(row, 1)?));
        rows.iter().map(sum).collect()
    }
}

fn recorded(row: &AnyRow) -> Result<Recorded, sqlx::Error> {
    let number = |column| Ok::<u64, sqlx::Error>(row.try_get::<i64, _>(column)?.unsigned_abs());
    let usage: String = row.try_get(10)?;
    let usage: Usage = serde_json::from_str(&usage).unwrap_or_default();
    Ok(Recorded {
        place: (row.try_get(0)?, number(1)?, number(2)?),
        generation: row.try_get(3)?,
        outcome: row.try_get(4)?,
        provider: row.try_get(5)?,
        held: amount(row, 6)?,
        cost: amount(row, 8)?,
        estimated: usage.estimated,
    })
}

fn amount(row: &AnyRow, column: usize) -> Result<Amount, sqlx::Error> {
    Ok(Amount::from_nano(
        row.try_get(column)?,
        row.try_get(column + 1)?,
    ))
}

impl From<sqlx::Error> for ScenarioError {
    fn from(error: sqlx::Error) -> Self {
        Self::Books(error.to_string())
    }
}
