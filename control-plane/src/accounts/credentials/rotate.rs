//! A new master key under load: it seals from its first moment, the data keys are wrapped anew in
//! small steps that no request waits for, and the old one is forgotten only when nothing is left
//! under it. Cut off in the middle, both keys stay and the next rotation ends what this one began.

use super::{COLUMNS, row_of};
use crate::accounts::{Accounts, AccountsError, audit};
use crate::sql::unsigned;
use sqlx::AssertSqlSafe;
use std::sync::Arc;

/// Data keys that are wrapped anew in one step.
const STEP: i64 = 100;

/// What a rotation did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// The id of the new master key.
    pub master_key: String,
    /// How many data keys were wrapped anew.
    pub rewrapped: u64,
}

impl Accounts {
    /// Rotates the master key. The secrets stay as they are, under the same data keys.
    ///
    /// # Errors
    /// When the vault or the database fails; every secret can be opened then as before.
    pub async fn rotate_master_key(&self, actor: &str) -> Result<Rotated, AccountsError> {
        let vault = Arc::clone(self.vault.as_ref().ok_or_else(|| {
            AccountsError::Vault("there is no master key to be rotated".to_owned())
        })?);
        let begun = Arc::clone(&vault);
        let master_key = off_the_runtime(move || begun.begin_rotation()).await?;
        self.record(actor, "master_key.rotate", &master_key).await?;
        let mut rewrapped = 0;
        loop {
            let step = self.rewrap(&master_key).await?;
            rewrapped += step;
            if step == 0 && self.left(&master_key).await? == 0 {
                break;
            }
        }
        off_the_runtime(move || vault.end_rotation()).await?;
        let mut transaction = self.database.write().await?;
        let object = format!("{master_key} {rewrapped} data keys");
        let now = self.clock.unix_ms();
        audit::append(&mut transaction, now, actor, "master_key.rotated", &object).await?;
        transaction.commit().await?;
        Ok(Rotated {
            master_key,
            rewrapped,
        })
    }

    /// Wraps some data keys that are under another master key.
    async fn rewrap(&self, master_key: &str) -> Result<u64, AccountsError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM provider_credentials WHERE master_key <> $1 ORDER BY id LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(master_key)
            .bind(STEP)
            .fetch_all(self.database.readers())
            .await?;
        let mut transaction = self.database.write().await?;
        let mut done = 0;
        for row in &rows {
            let row = row_of(row)?;
            let new = self.vault()?.rewrap(&row.sealed, &row.binding())?;
            // Whoever has changed the secret meanwhile has sealed it under the new key.
            let changed = sqlx::query(
                "UPDATE provider_credentials SET data_key = $1, master_key = $2
                 WHERE id = $3 AND data_key = $4",
            )
            .bind(new.data_key)
            .bind(new.master_key)
            .bind(row.id.as_str())
            .bind(row.sealed.data_key.as_str())
            .execute(&mut *transaction)
            .await?;
            done += changed.rows_affected();
        }
        transaction.commit().await?;
        Ok(done)
    }

    /// How many data keys are under another master key.
    async fn left(&self, master_key: &str) -> Result<u64, AccountsError> {
        let row = sqlx::query(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM provider_credentials WHERE master_key <> $1",
        )
        .bind(master_key)
        .fetch_one(self.database.readers())
        .await?;
        Ok(unsigned(&row, 0)?)
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::security::vault::VaultError> + Send + 'static,
) -> Result<T, AccountsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(AccountsError::Vault(error.to_string())),
    }
}
