//! Whom guardrails hold for, and what all that hold for a key say together.

use super::{GuardrailRow, find, parse_rules};
use crate::accounts::workspaces::Workspace;
use crate::accounts::{
    Accounts, AccountsError, Change, LIST_MAX, audit, check_id, events, keys, orgs,
};
use crate::sql::{bigint, unsigned};
use shared::guardrail::{Guardrail, Layer, Rules, combine};
use shared::id::{OrgId, UserId, WorkspaceId};
use shared::key::KeyHash;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// Most subjects that one call assigns.
pub const SUBJECTS_MAX: usize = 1000;

/// In place of the one that held.
const HOLD: &str = "INSERT INTO guardrail_assignments
        (org, kind, subject, guardrail, assigned_by, created_unix_ms)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (org, kind, subject) DO UPDATE SET guardrail = excluded.guardrail,
        assigned_by = excluded.assigned_by, created_unix_ms = excluded.created_unix_ms
    WHERE guardrail_assignments.guardrail <> excluded.guardrail";
const LET_GO: &str = "DELETE FROM guardrail_assignments
    WHERE org = $1 AND kind = $2 AND subject = $3 AND guardrail = $4";

/// A change of whom a guardrail holds for.
#[derive(Clone, Copy)]
struct Assign<'a> {
    id: &'a str,
    actor: &'a str,
    subjects: &'a [Subject],
    /// From now on; else no longer.
    holds: bool,
}

/// Whom a guardrail holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One key.
    Key(KeyHash),
    /// Every key that this member has made.
    Member(UserId),
    /// Every key of this workspace.
    Workspace(WorkspaceId),
    /// Every key of the organisation.
    Organization,
}

/// A guardrail that holds for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The guardrail's id.
    pub guardrail: String,
    /// `key`, `member`, `workspace` or `organization`.
    pub kind: String,
    /// The id of such a one.
    pub subject: String,
    /// Who has assigned it.
    pub assigned_by: String,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
}

impl Subject {
    /// The subject of this kind and id.
    ///
    /// # Errors
    /// When there is no such kind, or the id can't be one.
    pub fn parse(kind: &str, id: &str) -> Result<Self, AccountsError> {
        match kind {
            "key" => id
                .parse()
                .map(Self::Key)
                .map_err(|_| AccountsError::no_such("key", id)),
            "member" => check_id("member", id).map(|()| Self::Member(id.into())),
            "workspace" => check_id("workspace", id).map(|()| Self::Workspace(id.into())),
            "organization" => Ok(Self::Organization),
            _ => Err(AccountsError::invalid(
                "kind",
                "none of key, member, workspace, organization",
            )),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Member(_) => "member",
            Self::Workspace(_) => "workspace",
            Self::Organization => "organization",
        }
    }

    fn id(&self, org: &OrgId) -> String {
        match self {
            Self::Key(key) => key.to_string(),
            Self::Member(user) => user.to_string(),
            Self::Workspace(workspace) => workspace.to_string(),
            Self::Organization => org.to_string(),
        }
    }

    /// What edges are told: a key's own assignment is about that key only.
    fn change(&self, org: &OrgId) -> Change {
        match self {
            Self::Key(key) => Change::Changed(*key),
            Self::Member(_) | Self::Workspace(_) | Self::Organization => Change::Org(org.clone()),
        }
    }
}

impl Accounts {
    /// Lets a guardrail hold for each of these, in place of the one that did. Gives how many that
    /// changed.
    ///
    /// # Errors
    /// When the guardrail or a subject is unknown to its organisation, or the database fails;
    /// nothing is changed then.
    pub async fn assign_guardrail(
        &self,
        actor: &str,
        org: Option<&OrgId>,
        id: &str,
        subjects: &[Subject],
    ) -> Result<u64, AccountsError> {
        let assign = Assign {
            id,
            actor,
            subjects,
            holds: true,
        };
        self.change_assignments(org, &assign).await
    }

    /// The guardrail holds for these no longer. Gives for how many it did.
    ///
    /// # Errors
    /// When there is no such guardrail, or the database fails.
    pub async fn unassign_guardrail(
        &self,
        actor: &str,
        org: Option<&OrgId>,
        id: &str,
        subjects: &[Subject],
    ) -> Result<u64, AccountsError> {
        let unassign = Assign {
            id,
            actor,
            subjects,
            holds: false,
        };
        self.change_assignments(org, &unassign).await
    }

    async fn change_assignments(
        &self,
        org: Option<&OrgId>,
        change: &Assign<'_>,
    ) -> Result<u64, AccountsError> {
        let Assign {
            id,
            actor,
            subjects,
            holds,
        } = *change;
        let row = self.guardrail(org, id).await?;
        check_count(subjects)?;
        let now = self.clock.unix_ms();
        let (mut changed, mut sequence) = (0, 0);
        let mut transaction = self.database.write().await?;
        for told in changes_of(subjects, &row.org) {
            sequence = events::append(&mut transaction, now, &told).await?;
        }
        for subject in subjects {
            if holds {
                check_subject(&mut transaction, &row, subject).await?;
            }
            let query = sqlx::query(if holds { HOLD } else { LET_GO })
                .bind(row.org.as_str())
                .bind(subject.kind())
                .bind(subject.id(&row.org))
                .bind(id);
            let query = if holds {
                query.bind(actor).bind(bigint(now))
            } else {
                query
            };
            changed += query.execute(&mut *transaction).await?.rows_affected();
        }
        let object = format!("{id} {}", told(subjects, &row.org));
        let action = if holds {
            "guardrail.assign"
        } else {
            "guardrail.unassign"
        };
        audit::append(&mut transaction, now, actor, action, &object).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(changed)
    }

    /// Whom the guardrails of an organisation hold for; of one guardrail if `id` is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn guardrail_assignments(
        &self,
        org: Option<&OrgId>,
        id: Option<&str>,
    ) -> Result<Vec<Assignment>, AccountsError> {
        let rows = sqlx::query(
            "SELECT guardrail, kind, subject, assigned_by, created_unix_ms
             FROM guardrail_assignments
             WHERE ($1 = '' OR org = $1) AND ($2 = '' OR guardrail = $2)
             ORDER BY created_unix_ms DESC, kind, subject LIMIT $3",
        )
        .bind(org.map_or("", |org| org.as_str()))
        .bind(id.unwrap_or_default())
        .bind(LIST_MAX)
        .fetch_all(self.database.readers())
        .await?;
        let assignment = |row: &AnyRow| {
            Ok(Assignment {
                guardrail: row.try_get(0)?,
                kind: row.try_get(1)?,
                subject: row.try_get(2)?,
                assigned_by: row.try_get(3)?,
                created_unix_ms: unsigned(row, 4)?,
            })
        };
        rows.iter().map(assignment).collect()
    }

    /// What all guardrails that hold for a key say together; none where they say nothing.
    ///
    /// # Errors
    /// When the database fails or holds a rule that this program does not understand: no answer
    /// is better than a loose one.
    pub async fn rules_of(&self, key: KeyHash) -> Result<Option<Rules>, AccountsError> {
        let rows = sqlx::query(
            "SELECT g.id, a.kind, g.rules FROM api_keys k
             JOIN guardrail_assignments a ON a.org = k.org AND (
                 (a.kind = 'key' AND a.subject = k.id)
                 OR (a.kind = 'member' AND a.subject = k.created_by)
                 OR (a.kind = 'workspace' AND a.subject = k.workspace)
                 OR (a.kind = 'organization' AND a.subject = k.org))
             JOIN guardrails g ON g.id = a.guardrail
             WHERE k.id = $1",
        )
        .bind(key.to_string())
        .fetch_all(self.database.readers())
        .await?;
        let mut known: Vec<(String, String, Guardrail)> = Vec::with_capacity(rows.len());
        for row in &rows {
            known.push((
                row.try_get(0)?,
                row.try_get(1)?,
                parse_rules(row.try_get(2)?)?,
            ));
        }
        let layers = known.iter().map(|(id, assigned, guardrail)| Layer {
            id,
            assigned,
            guardrail,
        });
        let layers: Vec<Layer<'_>> = layers.collect();
        let rules = combine(&layers);
        Ok((!rules.is_empty()).then_some(rules))
    }
}

/// Lets a workspace's default guardrail hold for it, unless another one does.
pub(super) async fn hold_by_default(
    connection: &mut AnyConnection,
    actor: &str,
    row: &GuardrailRow,
    now: u64,
) -> Result<(), AccountsError> {
    sqlx::query(
        "INSERT INTO guardrail_assignments
             (org, kind, subject, guardrail, assigned_by, created_unix_ms)
         VALUES ($1, 'workspace', $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(row.org.as_str())
    .bind(row.workspace.as_ref().map_or("", |id| id.as_str()))
    .bind(row.id.as_str())
    .bind(actor)
    .bind(bigint(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets the guardrail of this id hold for all keys of a workspace, in place of the one that did, or
/// none when there is no id. One that it may not be fails.
pub(in crate::accounts) async fn hold_for_workspace(
    connection: &mut AnyConnection,
    actor: &str,
    (workspace, id): (&Workspace, Option<&str>),
    now: u64,
) -> Result<(), AccountsError> {
    let (org, subject) = (&workspace.org, Subject::Workspace(workspace.id.clone()));
    let Some(id) = id else {
        let sql = "DELETE FROM guardrail_assignments
             WHERE org = $1 AND kind = 'workspace' AND subject = $2";
        let query = sqlx::query(sql).bind(org.as_str());
        query
            .bind(workspace.id.as_str())
            .execute(connection)
            .await?;
        return Ok(());
    };
    let row = find(connection, Some(org), id).await?;
    check_subject(connection, &row, &subject).await?;
    sqlx::query(HOLD)
        .bind(org.as_str())
        .bind(subject.kind())
        .bind(workspace.id.as_str())
        .bind(id)
        .bind(actor)
        .bind(bigint(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Each change that edges must be told of, once: the organisation's stands for all keys.
fn changes_of(subjects: &[Subject], org: &OrgId) -> Vec<Change> {
    let wide = subjects.iter().any(|it| !matches!(it, Subject::Key(_)));
    if wide {
        return vec![Change::Org(org.clone())];
    }
    subjects.iter().map(|subject| subject.change(org)).collect()
}

/// Is the subject one of the guardrail's organisation, and of its workspace?
async fn check_subject(
    connection: &mut AnyConnection,
    row: &GuardrailRow,
    subject: &Subject,
) -> Result<(), AccountsError> {
    let id = subject.id(&row.org);
    let unknown = || AccountsError::no_such(subject.kind(), &id);
    let elsewhere = |it: &WorkspaceId| row.workspace.as_ref().is_some_and(|own| own != it);
    let outside = || AccountsError::Conflict(format!("{id} is not in the guardrail's workspace"));
    match subject {
        Subject::Key(key) => {
            let found = keys::find(connection, *key).await?;
            let found = found.filter(|it| it.org == row.org && !it.revoked);
            if elsewhere(&found.ok_or_else(unknown)?.workspace) {
                return Err(outside());
            }
        }
        Subject::Member(user) => {
            let found = sqlx::query("SELECT 1 FROM members WHERE org = $1 AND user_id = $2")
                .bind(row.org.as_str())
                .bind(user.as_str())
                .fetch_optional(connection)
                .await?;
            found.ok_or_else(unknown)?;
        }
        Subject::Workspace(workspace) => {
            orgs::workspace(connection, &row.org, Some(workspace)).await?;
            if elsewhere(workspace) {
                return Err(outside());
            }
        }
        Subject::Organization if row.workspace.is_some() => return Err(outside()),
        Subject::Organization => {}
    }
    Ok(())
}

fn check_count(subjects: &[Subject]) -> Result<(), AccountsError> {
    if subjects.is_empty() || subjects.len() > SUBJECTS_MAX {
        let reason = format!("1 to {SUBJECTS_MAX} are expected");
        return Err(AccountsError::invalid("subjects", reason));
    }
    Ok(())
}

/// The subjects for the audit log, which cuts long texts.
fn told(subjects: &[Subject], org: &OrgId) -> String {
    let each = subjects.iter();
    let each = each.map(|it| format!("{}:{}", it.kind(), it.id(org)));
    each.collect::<Vec<_>>().join(" ")
}
