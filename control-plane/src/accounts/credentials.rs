//! Organisations' own keys at providers. At rest a secret is in the vault's envelope; it is opened
//! only to be sealed to the node that asks, for one provider at one origin. Lists show the ends of a
//! secret and nothing else of it.

mod rotate;
#[cfg(test)]
mod tests;

use super::{
    Accounts, AccountsError, Change, LIST_MAX, audit, check_id, check_name, events, orgs, random_id,
};
use crate::security::vault::{Sealed, Vault, VaultError};
use crate::sql::{DatabaseError, bigint, unsigned};
use serde::{Deserialize, Serialize};
use shared::byok::{CREDENTIALS_MAX, SealedCredential, binding, seal};
use shared::id::{ModelId, OrgId, WorkspaceId};
use shared::key::{KeyHash, hex};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::fmt;
use std::sync::Arc;

pub use rotate::Rotated;

/// Longest secret, in bytes.
pub const SECRET_MAX: usize = 16 << 10;
/// Most entries of one filter.
pub const FILTER_MAX: usize = 100;
/// Shortest secret whose ends are shown.
const LABELLED_MIN: usize = 20;

const COLUMNS: &str = "id, org, workspace, provider, origin, name, label, is_fallback, is_required,
    disabled, sort_order, filters, secret, data_key, master_key, created_unix_ms, updated_unix_ms";

/// A provider's secret in clear, on its way into the vault. Never printed.
pub struct ProviderSecret(String);

impl ProviderSecret {
    /// Without white space around it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    fn check(&self) -> Result<(), AccountsError> {
        let visible = self.0.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if self.0.is_empty() || self.0.len() > SECRET_MAX || !visible {
            let reason = format!("1 to {SECRET_MAX} visible characters on one line are expected");
            return Err(AccountsError::invalid("key", reason));
        }
        Ok(())
    }

    /// The ends of it.
    fn label(&self) -> String {
        let part = |range: std::ops::Range<usize>| self.0.get(range).unwrap_or_default();
        let length = self.0.len();
        if length < LABELLED_MIN {
            return "...".to_owned();
        }
        format!("{}...{}", part(0..3), part(length - 4..length))
    }
}

impl fmt::Debug for ProviderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderSecret(…)")
    }
}

/// Who may use a credential, and for what; none is everybody and everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Only for these models.
    pub allowed_models: Option<Vec<String>>,
    /// Only with these API keys, by their ids.
    pub allowed_api_key_hashes: Option<Vec<String>>,
    /// Only with API keys that these people have made.
    pub allowed_user_ids: Option<Vec<String>>,
}

/// What can be said of a credential beside its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialTerms {
    /// As its owner calls it.
    pub name: String,
    /// Only after the shared endpoints have failed.
    pub is_fallback: bool,
    /// Never the platform's own key at this provider.
    pub is_required: bool,
    /// Kept, but not used.
    pub disabled: bool,
    /// Lower first.
    pub sort_order: i64,
    /// Who may use it, and for what.
    pub filters: Filters,
}

/// A credential to be made.
#[derive(Debug)]
pub struct NewCredential {
    /// Whose; none is the first organisation.
    pub org: Option<OrgId>,
    /// Only for keys of this workspace; none is any.
    pub workspace: Option<WorkspaceId>,
    /// The provider's slug.
    pub provider: String,
    /// Where the provider is: scheme, host and port.
    pub origin: String,
    /// The secret.
    pub secret: ProviderSecret,
    /// The rest.
    pub terms: CredentialTerms,
}

/// A credential as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// `byok_…`.
    pub id: String,
    /// Whose.
    pub org: OrgId,
    /// Only for keys of this workspace; none is any.
    pub workspace: Option<WorkspaceId>,
    /// The only provider that is shown it.
    pub provider: String,
    /// The only scheme, host and port that is shown it.
    pub origin: String,
    /// The ends of the secret.
    pub label: String,
    /// The rest.
    pub terms: CredentialTerms,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970; none: never changed.
    pub updated_unix_ms: Option<u64>,
    sealed: Sealed,
}

impl CredentialRow {
    fn binding(&self) -> Vec<u8> {
        binding(&self.id, &self.provider, &self.origin)
    }
}

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
    /// When the organisation or workspace is unknown, a value can't be accepted, or the vault or
    /// the database fails.
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
        let bound_to = binding(&id, &new.provider, &new.origin);
        let row = CredentialRow {
            sealed: self.vault()?.seal(new.secret.0.as_bytes(), &bound_to)?,
            id,
            org,
            workspace: new.workspace.clone(),
            provider: new.provider.clone(),
            origin: new.origin.clone(),
            label: new.secret.label(),
            terms: new.terms.clone(),
            created_unix_ms: now,
            updated_unix_ms: None,
        };
        insert(&mut transaction, &row).await?;
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
    /// When there is none, a value can't be accepted, or the vault or the database fails.
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

    /// What a key may use, in its order, each sealed to the node of this public key.
    ///
    /// # Errors
    /// When the vault or the database fails: without an answer nobody is taken for somebody
    /// without credentials, whose requests would cost credits.
    pub async fn sealed_credentials(
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
             ORDER BY c.is_fallback, c.sort_order, c.created_unix_ms, c.id LIMIT $2",
            columns.join(", ")
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(key.to_string())
            .bind(LIST_MAX)
            .fetch_all(self.database.readers())
            .await?;
        let mut all = Vec::new();
        for row in &rows {
            let (row, creator) = (row_of(row)?, row.try_get::<String, _>(17)?);
            if row.terms.filters.admit(key, &creator) && all.len() < CREDENTIALS_MAX {
                all.push(Arc::new(self.sealed_to(&row, node_key)?));
            }
        }
        Ok(all)
    }

    fn sealed_to(
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
            sealed: hex(&sealed),
        })
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

fn check_terms(terms: &CredentialTerms) -> Result<(), AccountsError> {
    check_name("name", &terms.name)?;
    let filters = [
        ("allowed_models", &terms.filters.allowed_models),
        (
            "allowed_api_key_hashes",
            &terms.filters.allowed_api_key_hashes,
        ),
        ("allowed_user_ids", &terms.filters.allowed_user_ids),
    ];
    for (name, filter) in filters {
        let all = filter.as_deref().unwrap_or_default();
        let plain = |text: &String| {
            let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
            visible && !text.is_empty() && text.len() <= super::NAME_MAX
        };
        if all.len() > FILTER_MAX || !all.iter().all(plain) {
            let reason = format!("at most {FILTER_MAX} ids are expected");
            return Err(AccountsError::invalid(name, reason));
        }
    }
    Ok(())
}

async fn insert(connection: &mut AnyConnection, row: &CredentialRow) -> Result<(), AccountsError> {
    let filters = serde_json::to_string(&row.terms.filters);
    let filters = filters.map_err(|error| AccountsError::invalid("filters", error.to_string()))?;
    let sql = format!(
        "INSERT INTO provider_credentials ({COLUMNS})
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
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
        .execute(connection)
        .await?;
    Ok(())
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
    let Ok(parsed) = serde_json::from_str(&filters) else {
        return Err(AccountsError::Database(DatabaseError::Corrupt {
            what: "credential's filters",
            value: filters,
        }));
    };
    let updated = unsigned(row, 16)?;
    Ok(CredentialRow {
        id: row.try_get(0)?,
        org: OrgId::from(row.try_get::<String, _>(1)?),
        workspace: (!workspace.is_empty()).then(|| WorkspaceId::from(workspace)),
        provider: row.try_get(3)?,
        origin: row.try_get(4)?,
        label: row.try_get(6)?,
        terms: CredentialTerms {
            name: row.try_get(5)?,
            is_fallback: unsigned(row, 7)? > 0,
            is_required: unsigned(row, 8)? > 0,
            disabled: unsigned(row, 9)? > 0,
            sort_order: row.try_get(10)?,
            filters: parsed,
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
