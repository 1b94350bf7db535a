//! Workspaces: parts of an organisation that keys belong to. The default one always exists and
//! can't be taken away; another one can when no key is left in it.

use super::people::{Role, role_of};
use super::{
    Accounts, AccountsError, Change, LIST_MAX, audit, check_id, check_name, events, guardrails,
    orgs, random_id,
};
use crate::sql::{DatabaseError, bigint, unsigned};
use shared::id::{OrgId, UserId, WorkspaceId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

pub use shared::policy::Settings;

/// Workspaces of one organisation.
pub const WORKSPACES_MAX: i64 = 1000;
/// Longest slug, in bytes.
const SLUG_LENGTH_MAX: usize = 64;
/// Longest description, in characters.
const DESCRIPTION_MAX: usize = 2000;
/// Longest id of a default model, in bytes.
const MODEL_MAX: usize = 200;

const COLUMNS: &str = "id, org, name, slug, description, settings, is_default, created_by,
    created_unix_ms, updated_unix_ms,
    COALESCE((SELECT a.guardrail FROM guardrail_assignments a WHERE a.org = workspaces.org
        AND a.kind = 'workspace' AND a.subject = workspaces.id), ''),
    CAST(COALESCE((SELECT MAX(l.include_byok) FROM limits l WHERE l.org = workspaces.org
        AND l.scope = 'workspace' AND l.id = workspaces.id), 0) AS BIGINT)";

/// A workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Whose it is.
    pub org: OrgId,
    /// As its owner calls it.
    pub name: String,
    /// Its name in addresses, unique in its organisation.
    pub slug: String,
    /// What it is for.
    pub description: String,
    /// What its requests begin with.
    pub settings: Settings,
    /// The one that every organisation has.
    pub is_default: bool,
    /// Who has made it; none is no person.
    pub created_by: Option<UserId>,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970; none: never changed.
    pub updated_unix_ms: Option<u64>,
    /// The id of the guardrail that holds for all its keys.
    pub guardrail: Option<String>,
    /// What own provider keys serve counts in its budgets, too.
    pub include_byok_in_budgets: bool,
}

impl Workspace {
    /// The id of its default guardrail, which is there once its rules are written.
    #[must_use]
    pub fn default_guardrail(&self) -> String {
        format!("{}{}", guardrails::DEFAULT_PREFIX, self.id)
    }
}

/// What is to change about a workspace; what is none stays as it is.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceChange {
    /// Its name.
    pub name: Option<String>,
    /// Its slug.
    pub slug: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What its requests begin with.
    pub settings: SettingsChange,
    /// The id of the guardrail that holds for all its keys; none within is none.
    pub guardrail: Option<Option<String>>,
}

/// What is to change of what requests begin with; what is none stays as it is, what is none within
/// is taken away.
#[derive(Clone, Debug, Default)]
pub struct SettingsChange {
    /// The model of requests that name none.
    pub default_text_model: Option<Option<String>>,
    /// The model of pictures that name none.
    pub default_image_model: Option<Option<String>>,
    /// The order of providers.
    pub default_provider_sort: Option<Option<String>>,
}

impl SettingsChange {
    fn apply(&self, settings: &mut Settings) {
        let set = |kept: &mut Option<String>, new: &Option<Option<String>>| {
            if let Some(new) = new {
                kept.clone_from(new);
            }
        };
        set(&mut settings.default_text_model, &self.default_text_model);
        set(&mut settings.default_image_model, &self.default_image_model);
        set(
            &mut settings.default_provider_sort,
            &self.default_provider_sort,
        );
    }
}

/// Somebody in a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceMember {
    /// Who.
    pub user: UserId,
    /// What they may do in it: what they may in its organisation.
    pub role: Role,
    /// Milliseconds since 1970 when they joined.
    pub joined_unix_ms: u64,
}

impl Accounts {
    /// Makes a workspace.
    ///
    /// # Errors
    /// When a value can't be accepted, the slug is taken, there are [`WORKSPACES_MAX`], or the
    /// database fails.
    pub async fn create_workspace(
        &self,
        actor: &str,
        org: &OrgId,
        created_by: Option<&UserId>,
        given: &WorkspaceChange,
    ) -> Result<Workspace, AccountsError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let org = orgs::find(&mut transaction, Some(org)).await?;
        let mut workspace = Workspace {
            id: WorkspaceId::from(random_id("ws")?),
            org: org.clone(),
            name: String::new(),
            slug: String::new(),
            description: String::new(),
            settings: Settings::default(),
            is_default: false,
            created_by: created_by.cloned(),
            created_unix_ms: now,
            updated_unix_ms: None,
            guardrail: None,
            include_byok_in_budgets: false,
        };
        given.apply(&mut workspace)?;
        check_slug(&workspace.slug)?;
        let row = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) FROM workspaces WHERE org = $1")
            .bind(org.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        if row.try_get::<i64, _>(0)? >= WORKSPACES_MAX {
            let text = format!("an organisation has at most {WORKSPACES_MAX} workspaces");
            return Err(AccountsError::Conflict(text));
        }
        let made = sqlx::query(
            "INSERT INTO workspaces (id, org, name, slug, description, settings, is_default,
                 created_by, created_unix_ms, updated_unix_ms)
             VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, 0) ON CONFLICT DO NOTHING",
        )
        .bind(workspace.id.as_str())
        .bind(org.as_str())
        .bind(workspace.name.as_str())
        .bind(workspace.slug.as_str())
        .bind(workspace.description.as_str())
        .bind(settings_text(&workspace.settings)?)
        .bind(created_by.map_or("", |user| user.as_str()))
        .bind(bigint(now))
        .execute(&mut *transaction)
        .await?;
        if made.rows_affected() == 0 {
            return Err(slug_taken(&workspace.slug));
        }
        given.hold(&mut transaction, actor, &mut workspace).await?;
        let id = workspace.id.as_str();
        audit::append(&mut transaction, now, actor, "workspace.create", id).await?;
        transaction.commit().await?;
        Ok(workspace)
    }

    /// An organisation's workspaces, the default one first, then the oldest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workspaces(&self, org: &OrgId) -> Result<Vec<Workspace>, AccountsError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM workspaces WHERE org = $1
             ORDER BY is_default DESC, created_unix_ms, id LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(org.as_str())
            .bind(WORKSPACES_MAX)
            .fetch_all(self.database.readers())
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// The organisation's workspace of this id or slug.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn workspace(&self, org: &OrgId, name: &str) -> Result<Workspace, AccountsError> {
        check_id("workspace", name)?;
        let mut connection = self.database.readers().acquire().await?;
        find(&mut connection, org, name).await
    }

    /// Changes a workspace and gives what it is then.
    ///
    /// # Errors
    /// When there is none, a value can't be accepted, the slug is taken, or the database fails.
    pub async fn change_workspace(
        &self,
        actor: &str,
        org: &OrgId,
        name: &str,
        change: &WorkspaceChange,
    ) -> Result<Workspace, AccountsError> {
        check_id("workspace", name)?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let about = Change::Org(org.clone());
        let sequence = events::append(&mut transaction, now, &about).await?;
        let mut workspace = find(&mut transaction, org, name).await?;
        change.apply(&mut workspace)?;
        workspace.updated_unix_ms = Some(now);
        let taken =
            sqlx::query("SELECT id FROM workspaces WHERE org = $1 AND slug = $2 AND id <> $3")
                .bind(org.as_str())
                .bind(workspace.slug.as_str())
                .bind(workspace.id.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        if taken.is_some() {
            return Err(slug_taken(&workspace.slug));
        }
        sqlx::query(
            "UPDATE workspaces SET name = $1, slug = $2, description = $3, settings = $4,
                 updated_unix_ms = $5 WHERE id = $6",
        )
        .bind(workspace.name.as_str())
        .bind(workspace.slug.as_str())
        .bind(workspace.description.as_str())
        .bind(settings_text(&workspace.settings)?)
        .bind(bigint(now))
        .bind(workspace.id.as_str())
        .execute(&mut *transaction)
        .await?;
        change.hold(&mut transaction, actor, &mut workspace).await?;
        let id = workspace.id.as_str();
        audit::append(&mut transaction, now, actor, "workspace.change", id).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(workspace)
    }

    /// Takes an empty workspace away, its budgets and what guardrail held for it along with it.
    ///
    /// # Errors
    /// When there is none, it is the default one, keys are in it, or the database fails.
    pub async fn delete_workspace(
        &self,
        actor: &str,
        org: &OrgId,
        name: &str,
    ) -> Result<(), AccountsError> {
        check_id("workspace", name)?;
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let sequence = events::append(&mut transaction, now, &Change::Org(org.clone())).await?;
        let workspace = find(&mut transaction, org, name).await?;
        if workspace.is_default {
            let text = "the default workspace can't be deleted".to_owned();
            return Err(AccountsError::Conflict(text));
        }
        let id = workspace.id.as_str();
        let key = sqlx::query(
            "SELECT 1 FROM api_keys WHERE workspace = $1 AND revoked_unix_ms IS NULL LIMIT 1",
        )
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        if key.is_some() {
            let text = "there are keys in this workspace: delete or move them first".to_owned();
            return Err(AccountsError::Conflict(text));
        }
        for statement in [
            "DELETE FROM workspace_members WHERE workspace = $1",
            "DELETE FROM limits WHERE scope = 'workspace' AND id = $1",
            "DELETE FROM guardrail_assignments WHERE kind = 'workspace' AND subject = $1",
            "DELETE FROM workspaces WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        audit::append(&mut transaction, now, actor, "workspace.delete", id).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }

    /// Who is in a workspace, in the order of joining.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn workspace_members(
        &self,
        workspace: &Workspace,
    ) -> Result<Vec<WorkspaceMember>, AccountsError> {
        let rows = sqlx::query(
            "SELECT w.user_id, m.role, w.created_unix_ms
             FROM workspace_members w JOIN members m ON m.user_id = w.user_id AND m.org = $1
             WHERE w.workspace = $2 ORDER BY w.created_unix_ms, w.user_id LIMIT $3",
        )
        .bind(workspace.org.as_str())
        .bind(workspace.id.as_str())
        .bind(LIST_MAX)
        .fetch_all(self.database.readers())
        .await?;
        let read = |row: &AnyRow| {
            Ok(WorkspaceMember {
                user: UserId::from(row.try_get::<String, _>(0)?),
                role: role_of(row.try_get(1)?)?,
                joined_unix_ms: unsigned(row, 2)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The workspaces that a member may make keys in: the default one, and those that they are in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workspaces_of(
        &self,
        org: &OrgId,
        user: &UserId,
    ) -> Result<impl Iterator<Item = WorkspaceId>, AccountsError> {
        let rows = sqlx::query(
            "SELECT id FROM workspaces WHERE org = $1 AND (is_default = 1 OR id IN (
                 SELECT workspace FROM workspace_members WHERE user_id = $2)) LIMIT $3",
        )
        .bind(org.as_str())
        .bind(user.as_str())
        .bind(WORKSPACES_MAX)
        .fetch_all(self.database.readers())
        .await?;
        let ids = rows.iter().map(|row| row.try_get::<String, _>(0));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        Ok(ids.into_iter().map(WorkspaceId::from))
    }

    /// Takes members of the organisation into a workspace, or out of it. Who is in or out already
    /// stays so.
    ///
    /// # Errors
    /// When the workspace or a member is unknown, or the database fails; then nobody has moved.
    pub async fn move_members(
        &self,
        actor: &str,
        workspace: &Workspace,
        users: &[UserId],
        into: bool,
    ) -> Result<u64, AccountsError> {
        let now = self.clock.unix_ms();
        let (id, action) = (workspace.id.as_str(), if into { "add" } else { "remove" });
        let mut transaction = self.database.write().await?;
        let mut moved = 0;
        for user in users {
            check_id("member", user.as_str())?;
            let statement = if into {
                must_be_member(&mut transaction, &workspace.org, user).await?;
                "INSERT INTO workspace_members (workspace, user_id, role, created_unix_ms)
                 VALUES ($1, $2, 'member', $3) ON CONFLICT DO NOTHING"
            } else {
                "DELETE FROM workspace_members WHERE workspace = $1 AND user_id = $2
                   AND created_unix_ms <= $3"
            };
            let done = sqlx::query(statement)
                .bind(id)
                .bind(user.as_str())
                .bind(bigint(now))
                .execute(&mut *transaction)
                .await?;
            if done.rows_affected() > 0 {
                moved += 1;
                let (action, object) = (format!("workspace.{action}"), format!("{id} {user}"));
                audit::append(&mut transaction, now, actor, &action, &object).await?;
            }
        }
        transaction.commit().await?;
        Ok(moved)
    }
}

impl WorkspaceChange {
    fn apply(&self, workspace: &mut Workspace) -> Result<(), AccountsError> {
        if let Some(name) = &self.name {
            check_name("name", name)?;
            workspace.name.clone_from(name);
        }
        if let Some(slug) = &self.slug {
            check_slug(slug)?;
            workspace.slug.clone_from(slug);
        }
        if let Some(text) = &self.description {
            if text.chars().count() > DESCRIPTION_MAX || text.contains('\0') {
                let reason = format!("at most {DESCRIPTION_MAX} characters are expected");
                return Err(AccountsError::invalid("description", reason));
            }
            workspace.description.clone_from(text);
        }
        self.settings.apply(&mut workspace.settings);
        check_settings(&workspace.settings)?;
        Ok(())
    }

    /// Lets the guardrail that is named hold for the workspace.
    async fn hold(
        &self,
        connection: &mut AnyConnection,
        actor: &str,
        workspace: &mut Workspace,
    ) -> Result<(), AccountsError> {
        let Some(wanted) = &self.guardrail else {
            return Ok(());
        };
        let wanted = wanted.clone().filter(|id| !id.is_empty());
        // What is told of a workspace that has none is its default, which need not be there.
        let as_told = wanted.as_ref() == Some(&workspace.default_guardrail());
        if wanted == workspace.guardrail || (workspace.guardrail.is_none() && as_told) {
            return Ok(());
        }
        let now = workspace
            .updated_unix_ms
            .unwrap_or(workspace.created_unix_ms);
        let held = (&*workspace, wanted.as_deref());
        guardrails::hold_for_workspace(connection, actor, held, now).await?;
        workspace.guardrail = wanted;
        Ok(())
    }
}

async fn find(
    connection: &mut AnyConnection,
    org: &OrgId,
    name: &str,
) -> Result<Workspace, AccountsError> {
    let sql = format!("SELECT {COLUMNS} FROM workspaces WHERE org = $1 AND (id = $2 OR slug = $2)");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(org.as_str())
        .bind(name)
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or_else(|| AccountsError::no_such("workspace", name))?;
    row_of(&row)
}

async fn must_be_member(
    connection: &mut AnyConnection,
    org: &OrgId,
    user: &UserId,
) -> Result<(), AccountsError> {
    let row = sqlx::query("SELECT 1 FROM members WHERE org = $1 AND user_id = $2")
        .bind(org.as_str())
        .bind(user.as_str())
        .fetch_optional(connection)
        .await?;
    match row {
        Some(_) => Ok(()),
        None => Err(AccountsError::no_such("member", user.as_str())),
    }
}

fn row_of(row: &AnyRow) -> Result<Workspace, AccountsError> {
    let settings: String = row.try_get(5)?;
    let creator: String = row.try_get(7)?;
    let updated = unsigned(row, 9)?;
    Ok(Workspace {
        id: WorkspaceId::from(row.try_get::<String, _>(0)?),
        org: OrgId::from(row.try_get::<String, _>(1)?),
        name: row.try_get(2)?,
        slug: row.try_get(3)?,
        description: row.try_get(4)?,
        settings: self::settings(settings)?,
        is_default: unsigned(row, 6)? > 0,
        created_by: (!creator.is_empty()).then(|| UserId::from(creator)),
        created_unix_ms: unsigned(row, 8)?,
        updated_unix_ms: (updated > 0).then_some(updated),
        guardrail: Some(row.try_get::<String, _>(10)?).filter(|id| !id.is_empty()),
        include_byok_in_budgets: unsigned(row, 11)? > 0,
    })
}

/// What is kept of settings.
pub(super) fn settings(text: String) -> Result<Settings, AccountsError> {
    let settings = serde_json::from_str(&text);
    Ok(settings.map_err(|_| DatabaseError::Corrupt {
        what: "settings of a workspace",
        value: text,
    })?)
}

fn settings_text(settings: &Settings) -> Result<String, AccountsError> {
    serde_json::to_string(settings)
        .map_err(|error| AccountsError::invalid("settings", error.to_string()))
}

fn check_settings(settings: &Settings) -> Result<(), AccountsError> {
    for (what, model) in [
        ("default_text_model", &settings.default_text_model),
        ("default_image_model", &settings.default_image_model),
    ] {
        let good = |id: &String| {
            (1..=MODEL_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !model.as_ref().is_none_or(good) {
            let reason = format!("a model's id of at most {MODEL_MAX} bytes is expected");
            return Err(AccountsError::invalid(what, reason));
        }
    }
    let sort = settings.default_provider_sort.as_deref();
    if sort.is_some_and(|sort| !Settings::SORTS.contains(&sort)) {
        let reason = format!("one of {} is expected", Settings::SORTS.join(", "));
        return Err(AccountsError::invalid("default_provider_sort", reason));
    }
    Ok(())
}

fn check_slug(slug: &str) -> Result<(), AccountsError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    // What looks like an id would be one in a path.
    if (1..=SLUG_LENGTH_MAX).contains(&slug.len()) && slug.bytes().all(plain) {
        return Ok(());
    }
    let reason = format!("1 to {SLUG_LENGTH_MAX} of a-z, 0-9 and - are expected");
    Err(AccountsError::invalid("slug", reason))
}

fn slug_taken(slug: &str) -> AccountsError {
    AccountsError::Conflict(format!("there is a workspace with the slug {slug:?}"))
}
