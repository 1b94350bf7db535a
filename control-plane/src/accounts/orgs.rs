//! Organisations. Each has one workspace from its first moment; it is never left without.

use super::{Accounts, AccountsError, LIST_MAX, audit, check_id, check_name, random_id};
use crate::sql::bigint;
use shared::id::{OrgId, WorkspaceId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

const FIND_ORG: &str = "SELECT id FROM orgs WHERE id = $1 OR ($1 = '' AND is_first = 1)";

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// As its owner calls it.
    pub name: String,
}

impl Accounts {
    /// The first organisation, if there is one yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_org(&self) -> Result<Option<Org>, AccountsError> {
        let row = sqlx::query("SELECT id, name FROM orgs WHERE is_first = 1")
            .fetch_optional(self.database.readers())
            .await?;
        Ok(row.map(|row| org_of(&row)).transpose()?)
    }

    /// Every organisation, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn orgs(&self) -> Result<Vec<Org>, AccountsError> {
        let rows = sqlx::query("SELECT id, name FROM orgs ORDER BY created_unix_ms, id LIMIT $1")
            .bind(LIST_MAX)
            .fetch_all(self.database.readers())
            .await?;
        Ok(rows.iter().map(org_of).collect::<Result<_, _>>()?)
    }

    /// The organisation of this id; the first when it is empty.
    ///
    /// # Errors
    /// When there is no such organisation or the database fails.
    pub async fn find_org(&self, id: &str) -> Result<OrgId, AccountsError> {
        if !id.is_empty() {
            check_id("organisation", id)?;
        }
        let row = sqlx::query(FIND_ORG)
            .bind(id)
            .fetch_optional(self.database.readers())
            .await?;
        let row = row.ok_or_else(|| AccountsError::NoSuchOrg(id.to_owned()))?;
        Ok(OrgId::from(row.try_get::<String, _>(0)?))
    }

    /// Makes an organisation and its workspace.
    ///
    /// # Errors
    /// When the name can't be one, or the database fails.
    pub async fn create_org(&self, actor: &str, name: &str) -> Result<Org, AccountsError> {
        check_name("organisation", name)?;
        let org = Org {
            id: OrgId::from(random_id("org")?),
            name: name.to_owned(),
        };
        let mut transaction = self.database.write().await?;
        self.insert_org(&mut transaction, &org, false).await?;
        let now = self.clock.unix_ms();
        audit::append(&mut transaction, now, actor, "org.create", org.id.as_str()).await?;
        transaction.commit().await?;
        Ok(org)
    }

    /// The first organisation, made when there is none; true when it was made now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ensure_first_org(
        &self,
        actor: &str,
        name: &str,
    ) -> Result<(Org, bool), AccountsError> {
        check_name("organisation", name)?;
        let org = Org {
            id: OrgId::from(random_id("org")?),
            name: name.to_owned(),
        };
        let mut transaction = self.database.write().await?;
        if !self.insert_org(&mut transaction, &org, true).await? {
            transaction.rollback().await?;
            let org = self.first_org().await?;
            let org = org.ok_or_else(|| AccountsError::NoSuchOrg(String::new()))?;
            return Ok((org, false));
        }
        let now = self.clock.unix_ms();
        audit::append(&mut transaction, now, actor, "org.create", org.id.as_str()).await?;
        transaction.commit().await?;
        Ok((org, true))
    }

    /// False when it is to be the first and there is one.
    async fn insert_org(
        &self,
        connection: &mut AnyConnection,
        org: &Org,
        first: bool,
    ) -> Result<bool, AccountsError> {
        let now = bigint(self.clock.unix_ms());
        let made = sqlx::query(
            "INSERT INTO orgs (id, name, is_first, created_unix_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(org.id.as_str())
        .bind(org.name.as_str())
        .bind(i16::from(first))
        .bind(now)
        .execute(&mut *connection)
        .await?;
        if made.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO workspaces (id, org, name, slug, description, settings, is_default,
                 created_by, created_unix_ms, updated_unix_ms)
             VALUES ($1, $2, 'Default', 'default', '', '{}', 1, '', $3, 0)",
        )
        .bind(random_id("ws")?)
        .bind(org.id.as_str())
        .bind(now)
        .execute(connection)
        .await?;
        Ok(true)
    }
}

/// The organisation of this id, the first when there is none.
pub(super) async fn find(
    connection: &mut AnyConnection,
    org: Option<&OrgId>,
) -> Result<OrgId, AccountsError> {
    let wanted = org.map_or("", |org| org.as_str());
    let row = sqlx::query(FIND_ORG)
        .bind(wanted)
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or_else(|| AccountsError::NoSuchOrg(wanted.to_owned()))?;
    Ok(OrgId::from(row.try_get::<String, _>(0)?))
}

/// The organisation's workspace of this id, the default one when there is none.
pub(super) async fn workspace(
    connection: &mut AnyConnection,
    org: &OrgId,
    workspace: Option<&WorkspaceId>,
) -> Result<WorkspaceId, AccountsError> {
    let wanted = workspace.map_or("", |workspace| workspace.as_str());
    if workspace.is_some() {
        check_id("workspace", wanted)?;
    }
    let row = sqlx::query(
        "SELECT id FROM workspaces WHERE org = $1 AND (id = $2 OR ($2 = '' AND is_default = 1))",
    )
    .bind(org.as_str())
    .bind(wanted)
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or_else(|| AccountsError::no_such("workspace", wanted))?;
    Ok(WorkspaceId::from(row.try_get::<String, _>(0)?))
}

fn org_of(row: &AnyRow) -> Result<Org, sqlx::Error> {
    Ok(Org {
        id: OrgId::from(row.try_get::<String, _>(0)?),
        name: row.try_get(1)?,
    })
}
