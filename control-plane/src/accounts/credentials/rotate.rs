//! A new master key under load: it seals from its first moment, the data keys are wrapped anew in
//! small steps that no look-up waits for, and the old one is forgotten only when nothing is left
//! under it. Beginning, each step and the end have the lock under which secrets are sealed, too, so
//! nothing is under way that only the old key would open. Cut off in the middle, both keys stay and
//! the next rotation ends what this one began.

use super::{COLUMNS, row_of};
use crate::accounts::{Accounts, AccountsError, audit, events};
use crate::security::vault::{Vault, VaultError};
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
    /// When another rotation has begun meanwhile, which ends this one, or the vault or the database
    /// fails; every secret can be opened then as before.
    pub async fn rotate_master_key(&self, actor: &str) -> Result<Rotated, AccountsError> {
        let vault = Arc::clone(self.vault.as_ref().ok_or_else(|| {
            AccountsError::Vault("there is no master key to be rotated".to_owned())
        })?);
        let mut transaction = self.database.write().await?;
        // Whoever seals a secret has this lock until the row is there for all.
        events::lock(&mut transaction).await?;
        let begun = Arc::clone(&vault);
        let master_key = off_the_runtime(move || begun.begin_rotation()).await?;
        transaction.commit().await?;
        self.record(actor, "master_key.rotate", &master_key).await?;
        let mut rewrapped = 0;
        while let Some(step) = self.rewrap(&vault, &master_key).await? {
            rewrapped += step;
        }
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

    /// Wraps some data keys that are under another master key; none when no more are, and the other
    /// keys are forgotten.
    async fn rewrap(
        &self,
        vault: &Arc<Vault>,
        master_key: &str,
    ) -> Result<Option<u64>, AccountsError> {
        let mut transaction = self.database.write().await?;
        events::lock(&mut transaction).await?;
        let (keys, id) = (Arc::clone(vault), master_key.to_owned());
        off_the_runtime(move || keys.must_seal_with(&id)).await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM provider_credentials WHERE master_key <> $1 ORDER BY id LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(master_key)
            .bind(STEP)
            .fetch_all(&mut *transaction)
            .await?;
        if rows.is_empty() {
            let (keys, id) = (Arc::clone(vault), master_key.to_owned());
            off_the_runtime(move || keys.end_rotation(&id)).await?;
            transaction.commit().await?;
            return Ok(None);
        }
        let mut done = 0;
        for row in &rows {
            let row = row_of(row)?;
            let new = vault.rewrap(&row.sealed, &row.binding())?;
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
        Ok(Some(done))
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, AccountsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(AccountsError::Vault(error.to_string())),
    }
}
