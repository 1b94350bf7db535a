//! Budgets: the limits of a workspace, as the management API has them. Whether own provider keys
//! count is one setting for all of a workspace's budgets; it goes with the last of them.

use super::{limit_of, must_grow, must_own, take_away, write};
use crate::accounts::workspaces::Workspace;
use crate::accounts::{Accounts, AccountsError, Change, audit, events};
use crate::sql::unsigned;
use shared::id::{LimitId, OrgId};
use shared::limit::{Interval, Limit, Scope};
use shared::money::Amount;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// What one workspace may use in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// When it starts anew.
    pub interval: Interval,
    /// The most in one window, in USD.
    pub limit: Amount,
    /// Milliseconds since 1970; 0: nobody has kept it.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970; 0: nobody has kept it.
    pub updated_unix_ms: u64,
}

/// The budgets of one workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// From narrow to broad.
    pub all: Vec<Budget>,
    /// What own provider keys serve counts, too, at list prices.
    pub include_byok: bool,
}

impl Budgets {
    /// The budget of this interval.
    #[must_use]
    pub fn of(&self, interval: Interval) -> Option<&Budget> {
        self.all.iter().find(|budget| budget.interval == interval)
    }
}

impl Accounts {
    /// The budgets of a workspace.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn budgets(&self, workspace: &Workspace) -> Result<Budgets, AccountsError> {
        let mut connection = self.database.readers().acquire().await?;
        read(&mut connection, &workspace.org, &id_of(workspace)).await
    }

    /// Sets the budget of one interval, in place of the one that was, and whether own provider keys
    /// count in all of them (none: as before), and gives what they are then; edges are told.
    ///
    /// # Errors
    /// When the budgets don't grow with their intervals, this one is not above zero, the workspace
    /// is gone, or the database fails.
    pub async fn set_budget(
        &self,
        actor: &str,
        workspace: &Workspace,
        (interval, limit): (Interval, Amount),
        include_byok: Option<bool>,
    ) -> Result<Budgets, AccountsError> {
        if limit <= Amount::ZERO {
            return Err(AccountsError::invalid("limit_usd", "it must be above zero"));
        }
        let (org, id, now) = (&workspace.org, id_of(workspace), self.clock.unix_ms());
        let mut transaction = self.database.write().await?;
        let change = Change::Org(org.clone());
        let sequence = events::append(&mut transaction, now, &change).await?;
        must_own(&mut transaction, org, Scope::Workspace, &id).await?;
        let before = read(&mut transaction, org, &id).await?;
        let counts = include_byok.unwrap_or(before.include_byok);
        let budget = (Scope::Workspace, &id, interval);
        write(&mut transaction, org, budget, (limit, counts), now).await?;
        sqlx::query(
            "UPDATE limits SET include_byok = $1 WHERE org = $2 AND scope = $3 AND id = $4",
        )
        .bind(i16::from(counts))
        .bind(org.as_str())
        .bind(Scope::Workspace.as_str())
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await?;
        must_grow(&mut transaction, org, Scope::Workspace, &id).await?;
        let after = read(&mut transaction, org, &id).await?;
        let object = format!("{org} workspace {id} {interval} USD {limit}, own keys: {counts}");
        audit::append(&mut transaction, now, actor, "limit.set", &object).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(after)
    }

    /// Takes the budget of one interval away; edges are told. One that is not there stays away.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_budget(
        &self,
        actor: &str,
        workspace: &Workspace,
        interval: Interval,
    ) -> Result<(), AccountsError> {
        let (org, id, now) = (&workspace.org, id_of(workspace), self.clock.unix_ms());
        let mut transaction = self.database.write().await?;
        let change = Change::Org(org.clone());
        let sequence = events::append(&mut transaction, now, &change).await?;
        let budget = (Scope::Workspace, &id, interval);
        if !take_away(&mut transaction, org, budget).await? {
            // Nothing has changed: nobody is told.
            return Ok(());
        }
        let object = format!("{org} workspace {id} {interval} none");
        audit::append(&mut transaction, now, actor, "limit.set", &object).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }
}

fn id_of(workspace: &Workspace) -> LimitId {
    LimitId::from(workspace.id.as_str())
}

async fn read(
    connection: &mut AnyConnection,
    org: &OrgId,
    id: &LimitId,
) -> Result<Budgets, AccountsError> {
    let rows = sqlx::query(
        "SELECT nano, pico_rem, scope, id, period, include_byok, created_unix_ms, updated_unix_ms
         FROM limits WHERE org = $1 AND scope = $2 AND id = $3",
    )
    .bind(org.as_str())
    .bind(Scope::Workspace.as_str())
    .bind(id.as_str())
    .fetch_all(connection)
    .await?;
    let budget = |row: &AnyRow| -> Result<(Limit, Budget), AccountsError> {
        let limit = limit_of(row)?;
        let budget = Budget {
            interval: limit.interval,
            limit: limit.amount,
            created_unix_ms: unsigned(row, 6)?,
            updated_unix_ms: unsigned(row, 7)?,
        };
        Ok((limit, budget))
    };
    let rows = rows.iter().map(budget).collect::<Result<Vec<_>, _>>()?;
    let include_byok = rows.iter().any(|(limit, _)| limit.include_byok);
    let mut all: Vec<Budget> = rows.into_iter().map(|(_, budget)| budget).collect();
    all.sort_by_key(|budget| budget.interval);
    Ok(Budgets { all, include_byok })
}
