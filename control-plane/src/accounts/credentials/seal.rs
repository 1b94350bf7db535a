//! What a key may use of an organisation's credentials, sealed to the node that asks.

use super::terms::{CredentialRow, Filters};
use super::{COLUMNS, row_of};
use crate::accounts::{Accounts, AccountsError, LIST_MAX};
use metrics::counter;
use shared::byok::{CREDENTIALS_MAX, SealedCredential, seal};
use shared::id::ModelId;
use shared::key::{KeyHash, hex};
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

const SHED: &str = "godwit_shed_total";

impl Accounts {
    /// What a key may use, in its order, each sealed to the node of this public key; at most
    /// [`CREDENTIALS_MAX`], those that are required before others.
    ///
    /// # Errors
    /// When not even those that are required are so few, or the vault or the database fails: without an answer nobody is taken for somebody
    /// without credentials, whose requests would cost credits.
    pub async fn sealed_credentials(
        &self,
        key: KeyHash,
        node_key: &[u8],
    ) -> Result<Vec<Arc<SealedCredential>>, AccountsError> {
        match self.seal_all(key, node_key).await {
            // The master key may have rotated to its end since the rows were read.
            Err(AccountsError::Vault(_)) => self.seal_all(key, node_key).await,
            done => done,
        }
    }

    async fn seal_all(
        &self,
        key: KeyHash,
        node_key: &[u8],
    ) -> Result<Vec<Arc<SealedCredential>>, AccountsError> {
        let columns = COLUMNS.replace("    ", " ");
        let columns: Vec<_> = columns
            .split(',')
            .map(|it| format!("c.{}", it.trim()))
            .collect();
        let sql = format!(
            "SELECT {}, k.created_by FROM api_keys k JOIN provider_credentials c ON c.org = k.org
             WHERE k.id = $1 AND c.disabled = 0 AND (c.workspace = '' OR c.workspace = k.workspace)
             ORDER BY c.is_required DESC, c.is_fallback, c.sort_order, c.created_unix_ms, c.id
             LIMIT $2",
            columns.join(", ")
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(key.to_string())
            .bind(LIST_MAX)
            .fetch_all(self.database.readers())
            .await?;
        let mut all = Vec::new();
        for row in &rows {
            let (row, creator) = (row_of(row)?, row.try_get::<String, _>(18)?);
            if !row.terms.filters.admit(key, &creator) {
                continue;
            }
            if all.len() >= CREDENTIALS_MAX {
                // Those that are required come first: what is left out now was a help, not a rule.
                must_not_be_required(&row)?;
                counter!(SHED, "limit" => "own_keys").increment(1);
                break;
            }
            all.push(row);
        }
        all.sort_by(|one, other| one.place_in_order().cmp(&other.place_in_order()));
        let sealed = all
            .iter()
            .map(|row| self.sealed_to(row, node_key).map(Arc::new));
        sealed.collect()
    }

    pub(super) fn sealed_to(
        &self,
        row: &CredentialRow,
        node_key: &[u8],
    ) -> Result<SealedCredential, AccountsError> {
        let bound_to = row.binding();
        let secret = self.vault()?.open_secret(&row.sealed, &bound_to)?;
        let sealed = seal::seal(node_key, &secret, &bound_to);
        let sealed = sealed.map_err(|error| AccountsError::Vault(error.to_string()))?;
        let models = row.terms.filters.allowed_models.as_ref().map(|all| {
            let mut ids: Vec<ModelId> = all.iter().map(|id| id.as_str().into()).collect();
            ids.sort_unstable();
            ids
        });
        Ok(SealedCredential {
            id: row.id.clone(),
            provider: row.provider.as_str().into(),
            origin: row.origin.clone(),
            fallback: row.terms.is_fallback,
            required: row.terms.is_required,
            allowed_models: models,
            place: row.place.clone(),
            sealed: hex(&sealed),
        })
    }
}

/// Without the rule that it sets, requests would go where they must not.
fn must_not_be_required(row: &CredentialRow) -> Result<(), AccountsError> {
    if !row.terms.is_required {
        return Ok(());
    }
    let text = format!(
        "more than {CREDENTIALS_MAX} credentials that are required are for one key: disable some \
         of them ({}), or make them not required",
        row.id
    );
    tracing::error!(org = %row.org, "{text}");
    Err(AccountsError::Conflict(text))
}

impl CredentialRow {
    fn place_in_order(&self) -> (bool, i64, u64, &str) {
        let (last, order) = (self.terms.is_fallback, self.terms.sort_order);
        (last, order, self.created_unix_ms, &self.id)
    }
}

impl Filters {
    fn admit(&self, key: KeyHash, creator: &str) -> bool {
        let key = key.to_string();
        let keys = self.allowed_api_key_hashes.as_ref();
        let users = self.allowed_user_ids.as_ref();
        keys.is_none_or(|all| all.contains(&key))
            && users.is_none_or(|all| all.iter().any(|user| user == creator))
    }
}
