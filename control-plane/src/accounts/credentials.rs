//! Organisations' own keys at providers. At rest a secret is in the vault's envelope; it is opened
//! only to be sealed to the node that asks, for one provider at one origin. Lists show the ends of a
//! secret and nothing else of it.

mod place;
mod rotate;
mod seal;
mod terms;
#[cfg(test)]
mod tests;

use super::{Accounts, AccountsError, Change, LIST_MAX, audit, check_id, events, orgs, random_id};
use crate::security::vault::{Sealed, Vault, VaultError};
use crate::sql::{DatabaseError, bigint, unsigned};
use serde::de::DeserializeOwned;
use shared::byok::{CREDENTIALS_MAX, Place, binding};
use shared::id::{OrgId, WorkspaceId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::sync::Arc;
use terms::check_terms;

pub use place::{Located, locate};
pub use rotate::Rotated;
pub use terms::{
    CredentialRow, CredentialTerms, FILTER_MAX, Filters, NewCredential, ProviderSecret, SECRET_MAX,
};

const COLUMNS: &str = "id, org, workspace, provider, origin, name, label, is_fallback, is_required,
    disabled, sort_order, filters, secret, data_key, master_key, created_unix_ms, updated_unix_ms,
    place";

impl From<VaultError> for AccountsError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::NoRandomness => Self::NoRandomness,
            error => Self::Vault(error.to_string()),
        }
    }
}

impl Accounts {
    /// With a vault, in which organisations' secrets are kept.
    #[must_use]
    pub fn with_vault(mut self, vault: Arc<Vault>) -> Self {
        self.vault = Some(vault);
        self
    }

    fn vault(&self) -> Result<&Vault, AccountsError> {
        let none = || AccountsError::Vault("there is no master key".to_owned());
        self.vault.as_deref().ok_or_else(none)
    }

    /// Keeps a credential.
    ///
    /// # Errors
    /// When the organisation or workspace is unknown, a value can't be accepted, too many are
    /// required, or the vault or the database fails.
    pub async fn create_credential(
        &self,
        actor: &str,
        new: &NewCredential,
    ) -> Result<CredentialRow, AccountsError> {
        new.secret.check()?;
        check_terms(&new.terms)?;
        let (id, now) = (random_id("byok")?, self.clock.unix_ms());
        let mut transaction = self.database.write().await?;
        let org = orgs::find(&mut transaction, new.org.as_ref()).await?;
        let change = Change::Org(org.clone());
        let sequence = events::append(&mut transaction, now, &change).await?;
        if let Some(workspace) = &new.workspace {
            orgs::workspace(&mut transaction, &org, Some(workspace)).await?;
        }
        let Located { origin, place } = new.located.clone();
        let bound_to = binding(&id, &new.provider, &origin);
        let row = CredentialRow {
            sealed: self.vault()?.seal(new.secret.0.as_bytes(), &bound_to)?,
            id,
            org,
            workspace: new.workspace.clone(),
            provider: new.provider.clone(),
            origin,
            place,
            label: new.secret.label(),
            terms: new.terms.clone(),
            created_unix_ms: now,
            updated_unix_ms: None,
        };
        insert(&mut transaction, &row).await?;
        must_fit(&mut transaction, &row).await?;
        audit::append(&mut transaction, now, actor, "credential.create", &row.id).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(row)
    }

    /// The credentials of an organisation, or of all, in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credentials(
        &self,
        org: Option<&OrgId>,
    ) -> Result<Vec<CredentialRow>, AccountsError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM provider_credentials WHERE $1 = '' OR org = $1
             ORDER BY org, is_fallback, sort_order, created_unix_ms, id LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(org.map_or("", |org| org.as_str()))
            .bind(LIST_MAX)
            .fetch_all(self.database.readers())
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// The credential of this id, of `org` if that is given.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn credential(
        &self,
        org: Option<&OrgId>,
        id: &str,
    ) -> Result<CredentialRow, AccountsError> {
        let mut connection = self.database.readers().acquire().await?;
        find(&mut connection, org, id).await
    }

    /// Changes a credential's terms, and its secret when `change` gives one.
    ///
    /// # Errors
    /// When there is none, a value can't be accepted, too many are required, or the vault or the
    /// database fails.
    pub async fn change_credential(
        &self,
        actor: &str,
        org: Option<&OrgId>,
        id: &str,
        change: impl FnOnce(&mut CredentialTerms) -> Option<ProviderSecret> + Send,
    ) -> Result<CredentialRow, AccountsError> {
        let owner = self.credential(org, id).await?.org;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let told = Change::Org(owner.clone());
        let sequence = events::append(&mut transaction, now, &told).await?;
        let mut row = find(&mut transaction, Some(&owner), id).await?;
        let secret = change(&mut row.terms);
        check_terms(&row.terms)?;
        if let Some(secret) = &secret {
            secret.check()?;
            row.sealed = self.vault()?.seal(secret.0.as_bytes(), &row.binding())?;
            row.label = secret.label();
        }
        row.updated_unix_ms = Some(now);
        sqlx::query("DELETE FROM provider_credentials WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        insert(&mut transaction, &row).await?;
        must_fit(&mut transaction, &row).await?;
        let what = if secret.is_some() { " key" } else { "" };
        let object = format!("{id}{what}");
        audit::append(&mut transaction, now, actor, "credential.change", &object).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(row)
    }

    /// Forgets a credential.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn delete_credential(
        &self,
        actor: &str,
        org: Option<&OrgId>,
        id: &str,
    ) -> Result<(), AccountsError> {
        let owner = self.credential(org, id).await?.org;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, &Change::Org(owner)).await?;
        sqlx::query("DELETE FROM provider_credentials WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        audit::append(&mut transaction, now, actor, "credential.delete", id).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }
}

async fn insert(connection: &mut AnyConnection, row: &CredentialRow) -> Result<(), AccountsError> {
    let filters = serde_json::to_string(&row.terms.filters);
    let filters = filters.map_err(|error| AccountsError::invalid("filters", error.to_string()))?;
    let place = match row.place.is_empty() {
        true => Ok(String::new()),
        false => serde_json::to_string(&row.place),
    };
    let place = place.map_err(|error| AccountsError::invalid("place", error.to_string()))?;
    let sql = format!(
        "INSERT INTO provider_credentials ({COLUMNS})
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(row.id.as_str())
        .bind(row.org.as_str())
        .bind(row.workspace.as_ref().map_or("", |it| it.as_str()))
        .bind(row.provider.as_str())
        .bind(row.origin.as_str())
        .bind(row.terms.name.as_str())
        .bind(row.label.as_str())
        .bind(i16::from(row.terms.is_fallback))
        .bind(i16::from(row.terms.is_required))
        .bind(i16::from(row.terms.disabled))
        .bind(row.terms.sort_order)
        .bind(filters)
        .bind(row.sealed.secret.as_str())
        .bind(row.sealed.data_key.as_str())
        .bind(row.sealed.master_key.as_str())
        .bind(bigint(row.created_unix_ms))
        .bind(bigint(row.updated_unix_ms.unwrap_or_default()))
        .bind(place)
        .execute(connection)
        .await?;
    Ok(())
}

/// Fails when, with this one, more of the credentials that are required may hold for one key than
/// come with a look-up.
async fn must_fit(
    connection: &mut AnyConnection,
    row: &CredentialRow,
) -> Result<(), AccountsError> {
    if !row.terms.is_required || row.terms.disabled {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT workspace, CAST(COUNT(*) AS BIGINT) FROM provider_credentials
         WHERE org = $1 AND is_required = 1 AND disabled = 0 AND ($2 = '' OR workspace IN ('', $2))
         GROUP BY workspace",
    )
    .bind(row.org.as_str())
    .bind(row.workspace.as_ref().map_or("", |it| it.as_str()))
    .fetch_all(connection)
    .await?;
    let (mut everywhere, mut in_one) = (0, 0);
    for row in &rows {
        let count = unsigned(row, 1)?;
        match row.try_get::<String, _>(0)?.is_empty() {
            true => everywhere = count,
            false => in_one = count.max(in_one),
        }
    }
    let most = everywhere + in_one;
    if usize::try_from(most).is_ok_and(|most| most <= CREDENTIALS_MAX) {
        return Ok(());
    }
    Err(AccountsError::Conflict(format!(
        "{most} credentials that are required would be for one workspace, at most \
         {CREDENTIALS_MAX} can be: disable some, or make them not required"
    )))
}

async fn find(
    connection: &mut AnyConnection,
    org: Option<&OrgId>,
    id: &str,
) -> Result<CredentialRow, AccountsError> {
    check_id("credential", id)?;
    let sql = format!(
        "SELECT {COLUMNS} FROM provider_credentials WHERE id = $1 AND ($2 = '' OR org = $2)"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .bind(org.map_or("", |org| org.as_str()))
        .fetch_optional(connection)
        .await?;
    row_of(&row.ok_or_else(|| AccountsError::no_such("credential", id))?)
}

fn row_of(row: &AnyRow) -> Result<CredentialRow, AccountsError> {
    let workspace: String = row.try_get(2)?;
    let filters: String = row.try_get(11)?;
    let place: String = row.try_get(17)?;
    let place = match &*place {
        "" => Place::default(),
        json => read(json, "credential's place")?,
    };
    let updated = unsigned(row, 16)?;
    Ok(CredentialRow {
        id: row.try_get(0)?,
        org: OrgId::from(row.try_get::<String, _>(1)?),
        workspace: (!workspace.is_empty()).then(|| WorkspaceId::from(workspace)),
        provider: row.try_get(3)?,
        origin: row.try_get(4)?,
        place,
        label: row.try_get(6)?,
        terms: CredentialTerms {
            name: row.try_get(5)?,
            is_fallback: unsigned(row, 7)? > 0,
            is_required: unsigned(row, 8)? > 0,
            disabled: unsigned(row, 9)? > 0,
            sort_order: row.try_get(10)?,
            filters: read(&filters, "credential's filters")?,
        },
        sealed: Sealed {
            secret: row.try_get(12)?,
            data_key: row.try_get(13)?,
            master_key: row.try_get(14)?,
        },
        created_unix_ms: unsigned(row, 15)?,
        updated_unix_ms: (updated > 0).then_some(updated),
    })
}

fn read<T: DeserializeOwned>(json: &str, what: &'static str) -> Result<T, AccountsError> {
    serde_json::from_str(json).map_err(|_| {
        AccountsError::Database(DatabaseError::Corrupt {
            what,
            value: json.to_owned(),
        })
    })
}
