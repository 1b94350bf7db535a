//! API keys: made, listed, changed, refused. What a key may spend and use is its policy, one text;
//! everything else is a column. A key that is refused for good keeps its row: the books name it.

mod change;
mod text;

pub use change::KeyChange;
pub use text::kind_text;
use text::{check_policy, policy_text};
pub(super) use text::{parse_id, parse_kind, parse_policy};

use super::{Accounts, AccountsError, Change, LIST_MAX, audit, check_name, events, orgs};
use crate::sql::{bigint, unsigned};
use shared::id::{OrgId, UserId, WorkspaceId};
use shared::key::{KeyHash, SecretKey};
use shared::policy::{KeyKind, KeyPolicy};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

const COLUMNS: &str = "id, org, name, label, kind, policy, workspace, created_by, created_unix_ms,
    updated_unix_ms, expires_unix_s, revoked_unix_ms, disabled";

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose; none is the first organisation.
    pub org: Option<OrgId>,
    /// Where; none is the organisation's default workspace.
    pub workspace: Option<WorkspaceId>,
    /// The member who makes it; none is no person.
    pub created_by: Option<UserId>,
    /// As its owner calls it.
    pub name: String,
    /// What it opens.
    pub kind: KeyKind,
    /// Seconds since 1970; none is never.
    pub expires_at: Option<u64>,
    /// What it may use and spend.
    pub policy: KeyPolicy,
}

impl NewKey {
    /// A key of this kind and name of the first organisation, without rules.
    #[must_use]
    pub fn of(kind: KeyKind, name: &str) -> Self {
        Self {
            org: None,
            workspace: None,
            created_by: None,
            name: name.to_owned(),
            kind,
            expires_at: None,
            policy: KeyPolicy::default(),
        }
    }
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its public id.
    pub id: KeyHash,
    /// Whose it is.
    pub org: OrgId,
    /// Where it is.
    pub workspace: WorkspaceId,
    /// Who has made it; none is no person.
    pub created_by: Option<UserId>,
    /// As its owner calls it.
    pub name: String,
    /// The ends of the key.
    pub label: String,
    /// What it opens.
    pub kind: KeyKind,
    /// What it may use and spend.
    pub policy: KeyPolicy,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970; none: never changed.
    pub updated_unix_ms: Option<u64>,
    /// Seconds since 1970; none is never.
    pub expires_at: Option<u64>,
    /// Refused until it is enabled again.
    pub disabled: bool,
    /// Refused for good.
    pub revoked: bool,
}

/// Which keys are meant.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Of this organisation; none is all.
    pub org: Option<OrgId>,
    /// In this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Made by this person.
    pub created_by: Option<UserId>,
    /// Also those that are disabled.
    pub disabled: bool,
    /// Also those that were refused for good.
    pub revoked: bool,
    /// So many are left out, the newest first.
    pub offset: u64,
    /// At most so many; none is [`LIST_MAX`].
    pub limit: Option<u64>,
}

impl Accounts {
    /// Makes a key and gives it in clear, this once.
    ///
    /// # Errors
    /// When the organisation or workspace is unknown, a value can't be accepted, or the database
    /// fails.
    pub async fn create_key(&self, actor: &str, new: &NewKey) -> Result<SecretKey, AccountsError> {
        change::check_end(new.expires_at, self.clock.unix_s())?;
        let secret = SecretKey::generate().map_err(|_| AccountsError::NoRandomness)?;
        self.ensure_key(actor, &secret, new).await?;
        Ok(secret)
    }

    /// Makes sure that there is a key with exactly this value. One that exists stays as it is,
    /// also when it has been revoked. True when it was made now.
    ///
    /// # Errors
    /// As [`Accounts::create_key`], and when the key has another owner or kind.
    pub async fn ensure_key(
        &self,
        actor: &str,
        secret: &SecretKey,
        new: &NewKey,
    ) -> Result<bool, AccountsError> {
        check_name("name", &new.name)?;
        check_policy(&new.policy)?;
        let id = secret.hash();
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, &Change::Changed(id)).await?;
        let org = orgs::find(&mut transaction, new.org.as_ref()).await?;
        if let Some(row) = find(&mut transaction, id).await? {
            if row.org != org || row.kind != new.kind {
                return Err(AccountsError::KeyTaken(id));
            }
            // Dropping the transaction takes the event back, too.
            return Ok(false);
        }
        let workspace = orgs::workspace(&mut transaction, &org, new.workspace.as_ref()).await?;
        let creator = new.created_by.as_ref().map_or("", |user| user.as_str());
        sqlx::query(
            "INSERT INTO api_keys (id, org, name, label, kind, policy, workspace, created_by,
                 created_unix_ms, updated_unix_ms, expires_unix_s, revoked_unix_ms, disabled)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, NULL, 0)",
        )
        .bind(id.to_string())
        .bind(org.as_str())
        .bind(new.name.as_str())
        .bind(secret.label())
        .bind(kind_text(new.kind))
        .bind(policy_text(&new.policy)?)
        .bind(workspace.as_str())
        .bind(creator)
        .bind(bigint(now))
        .bind(new.expires_at.map(bigint))
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, now, actor, "key.create", &id.to_string()).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(true)
    }

    /// The newest [`LIST_MAX`] keys, of one organisation or of all, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self, org: Option<&OrgId>) -> Result<Vec<KeyRow>, AccountsError> {
        let filter = KeyFilter {
            org: org.cloned(),
            disabled: true,
            revoked: true,
            ..KeyFilter::default()
        };
        self.find_keys(&filter).await
    }

    /// The keys that are meant, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_keys(&self, filter: &KeyFilter) -> Result<Vec<KeyRow>, AccountsError> {
        let limit = filter.limit.map_or(LIST_MAX, bigint).min(LIST_MAX);
        let sql = format!(
            "SELECT {COLUMNS} FROM api_keys
             WHERE ($1 = '' OR org = $1) AND ($2 = '' OR workspace = $2)
               AND ($3 = '' OR created_by = $3) AND (disabled = 0 OR $4 = 1)
               AND (revoked_unix_ms IS NULL OR $5 = 1)
             ORDER BY created_unix_ms DESC, id LIMIT $6 OFFSET $7"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(filter.org.as_ref().map_or("", |org| org.as_str()))
            .bind(filter.workspace.as_ref().map_or("", |id| id.as_str()))
            .bind(filter.created_by.as_ref().map_or("", |id| id.as_str()))
            .bind(i64::from(filter.disabled))
            .bind(i64::from(filter.revoked))
            .bind(limit)
            .bind(bigint(filter.offset))
            .fetch_all(self.database.readers())
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// The key of this id, unless there is none or it was refused for good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key(&self, id: KeyHash) -> Result<Option<KeyRow>, AccountsError> {
        let mut connection = self.database.readers().acquire().await?;
        let row = find(&mut connection, id).await?;
        Ok(row.filter(|row| !row.revoked))
    }

    /// Changes a key of `org` and gives what it is then.
    ///
    /// # Errors
    /// When the organisation has no such key, a value can't be accepted, a member's change would give
    /// the key more than it had, or the database fails.
    pub async fn change_key(
        &self,
        actor: &str,
        org: &OrgId,
        id: KeyHash,
        change: &KeyChange,
    ) -> Result<KeyRow, AccountsError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, &Change::Changed(id)).await?;
        let row = find(&mut transaction, id).await?;
        let before = row
            .filter(|row| row.org == *org && !row.revoked)
            .ok_or(AccountsError::NoSuchKey(id))?;
        let mut row = before.clone();
        change.apply(&mut row, now / 1000)?;
        if let Some(workspace) = &change.workspace {
            row.workspace = orgs::workspace(&mut transaction, org, Some(workspace)).await?;
        }
        change.must_be_allowed(&before, &row)?;
        row.updated_unix_ms = Some(now);
        sqlx::query(
            "UPDATE api_keys SET name = $1, policy = $2, workspace = $3, expires_unix_s = $4,
                 disabled = $5, updated_unix_ms = $6 WHERE id = $7",
        )
        .bind(row.name.as_str())
        .bind(policy_text(&row.policy)?)
        .bind(row.workspace.as_str())
        .bind(row.expires_at.map(bigint))
        .bind(i16::from(row.disabled))
        .bind(bigint(now))
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        let object = format!("{id}{}", change.told());
        audit::append(&mut transaction, now, actor, "key.change", &object).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(row)
    }

    /// Refuses a key from now on, everywhere. Revoking it again changes nothing.
    ///
    /// # Errors
    /// When there is no such key or the database fails.
    pub async fn revoke_key(&self, actor: &str, id: KeyHash) -> Result<(), AccountsError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, &Change::Denied(id)).await?;
        let row = find(&mut transaction, id).await?;
        if row.ok_or(AccountsError::NoSuchKey(id))?.revoked {
            return Ok(());
        }
        sqlx::query("UPDATE api_keys SET revoked_unix_ms = $1 WHERE id = $2")
            .bind(bigint(now))
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        audit::append(&mut transaction, now, actor, "key.revoke", &id.to_string()).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }
}

/// Disables the keys that somebody has made in an organisation. The caller tells the edges.
pub(super) async fn disable_of(
    connection: &mut AnyConnection,
    org: &OrgId,
    user: &UserId,
    now: u64,
) -> Result<(), AccountsError> {
    sqlx::query(
        "UPDATE api_keys SET disabled = 1, updated_unix_ms = $1
         WHERE org = $2 AND created_by = $3 AND revoked_unix_ms IS NULL",
    )
    .bind(bigint(now))
    .bind(org.as_str())
    .bind(user.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// The organisations in which somebody has made keys that may still be used.
pub(super) async fn orgs_of_maker(
    connection: &mut AnyConnection,
    user: &UserId,
) -> Result<Vec<OrgId>, AccountsError> {
    let rows = sqlx::query(
        "SELECT DISTINCT org FROM api_keys
         WHERE created_by = $1 AND disabled = 0 AND revoked_unix_ms IS NULL ORDER BY org",
    )
    .bind(user.as_str())
    .fetch_all(connection)
    .await?;
    let orgs = rows.iter().map(|row| row.try_get::<String, _>(0));
    let orgs = orgs.map(|org| org.map(OrgId::from));
    Ok(orgs.collect::<Result<_, _>>()?)
}

pub(super) async fn find(
    connection: &mut AnyConnection,
    id: KeyHash,
) -> Result<Option<KeyRow>, AccountsError> {
    let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|row| row_of(&row)).transpose()
}

fn row_of(row: &AnyRow) -> Result<KeyRow, AccountsError> {
    let kind: String = row.try_get(4)?;
    let creator: String = row.try_get(7)?;
    let updated = unsigned(row, 9)?;
    let expires = row.try_get::<Option<i64>, _>(10)?;
    Ok(KeyRow {
        id: parse_id(row.try_get(0)?)?,
        org: OrgId::from(row.try_get::<String, _>(1)?),
        workspace: WorkspaceId::from(row.try_get::<String, _>(6)?),
        created_by: (!creator.is_empty()).then(|| UserId::from(creator)),
        name: row.try_get(2)?,
        label: row.try_get(3)?,
        kind: parse_kind(&kind)?,
        policy: parse_policy(row.try_get(5)?)?,
        created_unix_ms: unsigned(row, 8)?,
        updated_unix_ms: (updated > 0).then_some(updated),
        expires_at: expires.and_then(|at| u64::try_from(at).ok()),
        disabled: unsigned(row, 12)? > 0,
        revoked: row.try_get::<Option<i64>, _>(11)?.is_some(),
    })
}
