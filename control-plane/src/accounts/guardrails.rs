//! Guardrails: kept as their owners write them, assigned to keys, members, workspaces or the whole
//! organisation, combined when an edge asks about a key. What a combination means is in
//! [`shared::guardrail`].

mod assign;
#[cfg(test)]
mod tests;

use super::workspaces::Workspace;
use super::{
    Accounts, AccountsError, Change, LIST_MAX, audit, check_id, check_name, events, orgs, random_id,
};
use crate::sql::{DatabaseError, bigint, unsigned};
use serde_json::{Map, Value};
use shared::guardrail::Guardrail;
use shared::id::{OrgId, WorkspaceId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

pub(super) use assign::hold_for_workspace;
pub use assign::{Assignment, SUBJECTS_MAX, Subject};

/// Longest description of a guardrail, in characters.
pub const DESCRIPTION_MAX: usize = 1000;

/// What the id of a workspace's default guardrail begins with; the workspace's id follows.
pub const DEFAULT_PREFIX: &str = "gr_";

const COLUMNS: &str =
    "id, org, workspace, name, description, rules, created_unix_ms, updated_unix_ms";

/// A guardrail as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardrailRow {
    /// `gr_…`.
    pub id: String,
    /// Whose.
    pub org: OrgId,
    /// The only workspace whose keys it may be assigned to; none is any.
    pub workspace: Option<WorkspaceId>,
    /// As its owner calls it.
    pub name: String,
    /// As its owner describes it.
    pub description: String,
    /// What it says.
    pub rules: Guardrail,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970; none: never changed.
    pub updated_unix_ms: Option<u64>,
}

impl GuardrailRow {
    /// Is it the default one of its workspace? That holds once something is written in it, unless
    /// another one does.
    fn is_default(&self) -> bool {
        let workspace = self.workspace.as_ref().map(|id| id.as_str());
        workspace.is_some() && self.id.strip_prefix(DEFAULT_PREFIX) == workspace
    }
}

/// A guardrail to be made.
#[derive(Clone, Debug, Default)]
pub struct NewGuardrail {
    /// Whose; none is the first organisation.
    pub org: Option<OrgId>,
    /// The only workspace whose keys it may be assigned to; none is any.
    pub workspace: Option<WorkspaceId>,
    /// As its owner calls it.
    pub name: String,
    /// As its owner describes it.
    pub description: String,
    /// What it says.
    pub rules: Guardrail,
}

/// What is to change about a guardrail; what is none stays as it is.
#[derive(Clone, Debug, Default)]
pub struct GuardrailChange {
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Everything that it says.
    pub rules: Option<Guardrail>,
    /// Rules by their names, in JSON, instead of those that it has; null takes one away.
    pub members: Map<String, Value>,
}

/// `rules` with other `members`, by their names: null takes one away.
///
/// # Errors
/// When one is unknown or can't be read.
pub fn with_members(
    rules: &Guardrail,
    members: Map<String, Value>,
) -> Result<Guardrail, AccountsError> {
    let odd = |error: serde_json::Error| AccountsError::invalid("body", error.to_string());
    let mut all = serde_json::to_value(rules).map_err(odd)?;
    if let Value::Object(all) = &mut all {
        all.extend(members);
    }
    serde_json::from_value(all).map_err(odd)
}

impl Accounts {
    /// Makes a guardrail. It holds for nobody yet.
    ///
    /// # Errors
    /// When the organisation or workspace is unknown, a value can't be accepted, or the database
    /// fails.
    pub async fn create_guardrail(
        &self,
        actor: &str,
        new: &NewGuardrail,
    ) -> Result<GuardrailRow, AccountsError> {
        let (id, now) = (random_id("gr")?, self.clock.unix_ms());
        let mut transaction = self.database.write().await?;
        let org = orgs::find(&mut transaction, new.org.as_ref()).await?;
        let row = row_from(id, org, new, now)?;
        if let Some(workspace) = &new.workspace {
            orgs::workspace(&mut transaction, &row.org, Some(workspace)).await?;
        }
        insert(&mut transaction, &row).await?;
        audit::append(&mut transaction, now, actor, "guardrail.create", &row.id).await?;
        transaction.commit().await?;
        Ok(row)
    }

    /// Makes the default guardrail of a workspace and lets it hold for all its keys, unless another
    /// one does; edges are told. None when it is there already.
    ///
    /// # Errors
    /// When the workspace is gone, a value can't be accepted, or the database fails.
    pub async fn create_default_guardrail(
        &self,
        actor: &str,
        workspace: &Workspace,
        new: &NewGuardrail,
    ) -> Result<Option<GuardrailRow>, AccountsError> {
        let (org, now) = (&workspace.org, self.clock.unix_ms());
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, &Change::Org(org.clone())).await?;
        orgs::workspace(&mut transaction, org, Some(&workspace.id)).await?;
        let row = row_from(workspace.default_guardrail(), org.clone(), new, now)?;
        if !insert(&mut transaction, &row).await? {
            return Ok(None);
        }
        assign::hold_by_default(&mut transaction, actor, &row, now).await?;
        audit::append(&mut transaction, now, actor, "guardrail.create", &row.id).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(Some(row))
    }

    /// The guardrails of an organisation, or of all, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn guardrails(
        &self,
        org: Option<&OrgId>,
        workspace: Option<&WorkspaceId>,
    ) -> Result<Vec<GuardrailRow>, AccountsError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM guardrails
             WHERE ($1 = '' OR org = $1) AND ($2 = '' OR workspace = $2)
             ORDER BY created_unix_ms DESC, id LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(org.map_or("", |org| org.as_str()))
            .bind(workspace.map_or("", |workspace| workspace.as_str()))
            .bind(LIST_MAX)
            .fetch_all(self.database.readers())
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// The guardrail of this id, of `org` if that is given.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn guardrail(
        &self,
        org: Option<&OrgId>,
        id: &str,
    ) -> Result<GuardrailRow, AccountsError> {
        let mut connection = self.database.readers().acquire().await?;
        find(&mut connection, org, id).await
    }

    /// Changes a guardrail, for all for whom it holds, and gives what it is then.
    ///
    /// # Errors
    /// When there is none, a value can't be accepted, or the database fails.
    pub async fn change_guardrail(
        &self,
        actor: &str,
        org: Option<&OrgId>,
        id: &str,
        change: &GuardrailChange,
    ) -> Result<GuardrailRow, AccountsError> {
        let mut row = self.guardrail(org, id).await?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let told = Change::Org(row.org.clone());
        let sequence = events::append(&mut transaction, now, &told).await?;
        row = find(&mut transaction, Some(&row.org), id).await?;
        row.name = change.name.clone().unwrap_or(row.name);
        row.description = change.description.clone().unwrap_or(row.description);
        row.rules = change.rules.clone().unwrap_or(row.rules);
        if !change.members.is_empty() {
            row.rules = with_members(&row.rules, change.members.clone())?;
        }
        check_texts(&row.name, &row.description)?;
        check_rules(&row.rules)?;
        row.updated_unix_ms = Some(now);
        sqlx::query(
            "UPDATE guardrails SET name = $1, description = $2, rules = $3, updated_unix_ms = $4
             WHERE id = $5",
        )
        .bind(row.name.as_str())
        .bind(row.description.as_str())
        .bind(rules_text(&row.rules)?)
        .bind(bigint(now))
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        if row.is_default() {
            assign::hold_by_default(&mut transaction, actor, &row, now).await?;
        }
        audit::append(&mut transaction, now, actor, "guardrail.change", id).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(row)
    }

    /// Deletes a guardrail; it holds for nobody any more.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn delete_guardrail(
        &self,
        actor: &str,
        org: Option<&OrgId>,
        id: &str,
    ) -> Result<(), AccountsError> {
        let row = self.guardrail(org, id).await?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, &Change::Org(row.org)).await?;
        sqlx::query("DELETE FROM guardrail_assignments WHERE guardrail = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM guardrails WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        audit::append(&mut transaction, now, actor, "guardrail.delete", id).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }
}

/// A guardrail to be kept, if it can be accepted.
fn row_from(
    id: String,
    org: OrgId,
    new: &NewGuardrail,
    now: u64,
) -> Result<GuardrailRow, AccountsError> {
    check_texts(&new.name, &new.description)?;
    check_rules(&new.rules)?;
    Ok(GuardrailRow {
        id,
        org,
        workspace: new.workspace.clone(),
        name: new.name.clone(),
        description: new.description.clone(),
        rules: new.rules.clone(),
        created_unix_ms: now,
        updated_unix_ms: None,
    })
}

/// False when there is one with this id.
async fn insert(connection: &mut AnyConnection, row: &GuardrailRow) -> Result<bool, AccountsError> {
    let made = sqlx::query(
        "INSERT INTO guardrails (id, org, workspace, name, description, rules,
             created_unix_ms, updated_unix_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
         ON CONFLICT DO NOTHING",
    )
    .bind(row.id.as_str())
    .bind(row.org.as_str())
    .bind(row.workspace.as_ref().map_or("", |it| it.as_str()))
    .bind(row.name.as_str())
    .bind(row.description.as_str())
    .bind(rules_text(&row.rules)?)
    .bind(bigint(row.created_unix_ms))
    .execute(connection)
    .await?;
    Ok(made.rows_affected() > 0)
}

fn check_texts(name: &str, description: &str) -> Result<(), AccountsError> {
    if name.is_empty() {
        return Err(AccountsError::invalid("name", "it is empty"));
    }
    check_name("name", name)?;
    if description.chars().count() > DESCRIPTION_MAX || description.contains('\0') {
        let reason = format!("longer than {DESCRIPTION_MAX} characters");
        return Err(AccountsError::invalid("description", reason));
    }
    Ok(())
}

fn check_rules(rules: &Guardrail) -> Result<(), AccountsError> {
    let checked = rules.check();
    checked.map_err(|reason| AccountsError::invalid("guardrail", reason))
}

async fn find(
    connection: &mut AnyConnection,
    org: Option<&OrgId>,
    id: &str,
) -> Result<GuardrailRow, AccountsError> {
    check_id("guardrail", id)?;
    let sql = format!("SELECT {COLUMNS} FROM guardrails WHERE id = $1 AND ($2 = '' OR org = $2)");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .bind(org.map_or("", |org| org.as_str()))
        .fetch_optional(connection)
        .await?;
    row_of(&row.ok_or_else(|| AccountsError::no_such("guardrail", id))?)
}

fn row_of(row: &AnyRow) -> Result<GuardrailRow, AccountsError> {
    let workspace: String = row.try_get(2)?;
    let updated = unsigned(row, 7)?;
    Ok(GuardrailRow {
        id: row.try_get(0)?,
        org: OrgId::from(row.try_get::<String, _>(1)?),
        workspace: (!workspace.is_empty()).then(|| WorkspaceId::from(workspace)),
        name: row.try_get(3)?,
        description: row.try_get(4)?,
        rules: parse_rules(row.try_get(5)?)?,
        created_unix_ms: unsigned(row, 6)?,
        updated_unix_ms: (updated > 0).then_some(updated),
    })
}

pub(super) fn parse_rules(text: String) -> Result<Guardrail, DatabaseError> {
    serde_json::from_str(&text).map_err(|_| DatabaseError::Corrupt {
        what: "guardrail",
        value: text,
    })
}

fn rules_text(rules: &Guardrail) -> Result<String, AccountsError> {
    serde_json::to_string(rules)
        .map_err(|error| AccountsError::invalid("guardrail", error.to_string()))
}
