//! Limits of members, workspaces and organisations: set, listed, and found for a key at its
//! look-up. A key's own limit is in its policy. What was used is in the ledger.

mod budgets;

use super::{Accounts, AccountsError, Change, audit, events};
use crate::ledger::{Terms, free_a_day};
use crate::sql::{DatabaseError, amount, bigint, unsigned};
use shared::id::{LimitId, OrgId};
use shared::key::KeyHash;
use shared::limit::{Interval, Limit, Purse, Scope};
use shared::money::Amount;
use shared::policy::KeyPolicy;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

pub use budgets::{Budget, Budgets};

impl Accounts {
    /// Sets what may be used in one window of a limit, and whether own provider keys count, or takes
    /// the limit away; edges are told. Limits of one owner grow with their interval.
    ///
    /// # Errors
    /// When the owner is none of the organisation's, the limits don't grow, or the database fails.
    pub async fn set_limit(
        &self,
        actor: &str,
        org: &OrgId,
        (scope, id, interval): (Scope, &LimitId, Interval),
        most: Option<(Amount, bool)>,
    ) -> Result<(), AccountsError> {
        let now = self.clock.unix_ms();
        let mut transaction = self.database.write().await?;
        let change = Change::Org(org.clone());
        let sequence = events::append(&mut transaction, now, &change).await?;
        let limit = (scope, id, interval);
        // What is left of an owner who is gone can be taken away.
        let gone = most.is_none() && take_away(&mut transaction, org, limit).await?;
        if !gone {
            must_own(&mut transaction, org, scope, id).await?;
        }
        if let Some(most) = most {
            write(&mut transaction, org, limit, most, now).await?;
        }
        must_grow(&mut transaction, org, scope, id).await?;
        let most = most.map_or_else(|| "none".to_owned(), |(most, _)| format!("USD {most}"));
        let object = format!("{org} {scope} {id} {interval} {most}");
        audit::append(&mut transaction, now, actor, "limit.set", &object).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }

    /// Every limit of an organisation but those of its keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn limits(&self, org: &OrgId) -> Result<Vec<Limit>, AccountsError> {
        let rows = sqlx::query(
            "SELECT nano, pico_rem, scope, id, period, include_byok FROM limits WHERE org = $1
             ORDER BY scope, id, period",
        )
        .bind(org.as_str())
        .fetch_all(self.database.readers())
        .await?;
        Ok(rows.iter().map(limit_of).collect::<Result<_, _>>()?)
    }

    /// Tells the edges that something about all keys of an organisation has changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn org_changed(&self, org: &OrgId) -> Result<(), AccountsError> {
        self.tell_edges(&Change::Org(org.clone())).await
    }

    /// Tells the edges that what they have leased of a purse and don't use is wanted back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recall_leases(&self, purse: &Purse) -> Result<(), AccountsError> {
        self.tell_edges(&Change::Recall(purse.clone())).await
    }

    async fn tell_edges(&self, change: &Change) -> Result<(), AccountsError> {
        let mut transaction = self.database.write().await?;
        let now = self.clock.unix_ms();
        let sequence = events::append(&mut transaction, now, change).await?;
        transaction.commit().await?;
        self.announce(sequence);
        Ok(())
    }

    /// Adds what the budgets of a key's guardrails allow it and its maker.
    pub(super) fn limit_by_budgets(policy: &mut KeyPolicy, key: KeyHash, member: &str) {
        let budgets = policy.rules.iter().flat_map(|rules| &rules.budgets);
        let limits = budgets.flat_map(|budget| budget.limits(key, member));
        policy.limits.extend(limits);
    }

    /// Adds to a key's policy what limits it besides: read after the key, so that it is never
    /// older than the sequence of the answer.
    pub(super) async fn limit_policy(
        &self,
        policy: &mut KeyPolicy,
        org: &OrgId,
        workspace: &str,
        member: &str,
    ) -> Result<(), AccountsError> {
        let rows = sqlx::query(
            "SELECT nano, pico_rem, scope, id, period, include_byok FROM limits
             WHERE org = $1 AND ((scope = 'org' AND id = $1)
                 OR (scope = 'workspace' AND id = $2) OR (scope = 'member' AND id = $3))",
        )
        .bind(org.as_str())
        .bind(workspace)
        .bind(member)
        .fetch_all(self.database.readers())
        .await?;
        policy.limits = rows.iter().map(limit_of).collect::<Result<_, _>>()?;
        policy.limits.push(self.free_limit(org).await?);
        let row = sqlx::query(
            "SELECT spend_fee_ppm, byok_fee_ppm, outage_nano, outage_pico_rem, byok_free_nano,
                 byok_free_pico_rem, byok_free_requests
             FROM org_terms WHERE org = $1",
        )
        .bind(org.as_str())
        .fetch_optional(self.database.readers())
        .await?;
        let ppm = |column, default| match &row {
            None => Ok(default),
            Some(row) => unsigned(row, column).map(|ppm| u32::try_from(ppm).unwrap_or(default)),
        };
        let default = Terms::default();
        policy.spend_fee_ppm = ppm(0, default.spend_fee_ppm)?;
        policy.byok_fee_ppm = ppm(1, default.byok_fee_ppm)?;
        let agreed = |column| row.as_ref().map(|row| amount(row, column)).transpose();
        policy.outage_credit = agreed(2)?.unwrap_or(default.outage_credit);
        policy.byok_free = agreed(4)?.unwrap_or(default.byok_free.list);
        let requests = row.as_ref().map(|row| unsigned(row, 6)).transpose()?;
        policy.byok_free_requests = requests.unwrap_or(default.byok_free.requests);
        Ok(())
    }

    /// How many requests to free variants an organisation may make a day.
    async fn free_limit(&self, org: &OrgId) -> Result<Limit, AccountsError> {
        let row = sqlx::query(
            "SELECT nano, pico_rem FROM balances WHERE org = $1 AND kind = 'purchases'",
        )
        .bind(org.as_str())
        .fetch_optional(self.database.readers())
        .await?;
        let bought = row.map(|row| amount(&row, 0)).transpose()?;
        Ok(Limit {
            scope: Scope::Free,
            id: org.as_str().into(),
            interval: Interval::Daily,
            amount: free_a_day(-bought.unwrap_or_default()),
            include_byok: false,
        })
    }
}

/// The owner of a limit is the organisation's.
async fn must_own(
    connection: &mut AnyConnection,
    org: &OrgId,
    scope: Scope,
    id: &LimitId,
) -> Result<(), AccountsError> {
    let sql = match scope {
        Scope::Org => "SELECT 1 FROM orgs WHERE id = $1 AND id = $2",
        Scope::Workspace => "SELECT 1 FROM workspaces WHERE org = $1 AND id = $2",
        Scope::Member => "SELECT 1 FROM members WHERE org = $1 AND user_id = $2",
        Scope::Key
        | Scope::Free
        | Scope::Outage
        | Scope::Guardrail
        | Scope::Byok
        | Scope::ByokRequests
        | Scope::ByokFees => {
            let reason = format!("the limit of a {scope} is not set here");
            return Err(AccountsError::invalid("scope", reason));
        }
    };
    let row = sqlx::query(sql)
        .bind(org.as_str())
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|_| ())
        .ok_or_else(|| AccountsError::no_such(scope.as_str(), id.as_str()))
}

/// Keeps what may be used in one window, in place of what was.
async fn write(
    connection: &mut AnyConnection,
    org: &OrgId,
    (scope, id, interval): (Scope, &LimitId, Interval),
    (most, include_byok): (Amount, bool),
    now: u64,
) -> Result<(), AccountsError> {
    let columns = most.to_nano().filter(|_| most >= Amount::ZERO);
    let (nano, pico_rem) = columns
        .ok_or_else(|| AccountsError::invalid("limit", format!("{most} USD can't be kept")))?;
    sqlx::query(
        "INSERT INTO limits (org, scope, id, period, nano, pico_rem, include_byok,
             created_unix_ms, updated_unix_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
         ON CONFLICT (org, scope, id, period) DO UPDATE SET nano = excluded.nano,
             pico_rem = excluded.pico_rem, include_byok = excluded.include_byok,
             updated_unix_ms = excluded.updated_unix_ms",
    )
    .bind(org.as_str())
    .bind(scope.as_str())
    .bind(id.as_str())
    .bind(interval.as_str())
    .bind(nano)
    .bind(pico_rem)
    .bind(i16::from(include_byok))
    .bind(bigint(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// False when there was none.
async fn take_away(
    connection: &mut AnyConnection,
    org: &OrgId,
    (scope, id, interval): (Scope, &LimitId, Interval),
) -> Result<bool, AccountsError> {
    let sql = "DELETE FROM limits WHERE org = $1 AND scope = $2 AND id = $3 AND period = $4";
    let done = sqlx::query(sql)
        .bind(org.as_str())
        .bind(scope.as_str())
        .bind(id.as_str())
        .bind(interval.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A limit that a narrower one can't reach says nothing.
async fn must_grow(
    connection: &mut AnyConnection,
    org: &OrgId,
    scope: Scope,
    id: &LimitId,
) -> Result<(), AccountsError> {
    let rows = sqlx::query(
        "SELECT nano, pico_rem, scope, id, period, include_byok FROM limits
         WHERE org = $1 AND scope = $2 AND id = $3",
    )
    .bind(org.as_str())
    .bind(scope.as_str())
    .bind(id.as_str())
    .fetch_all(connection)
    .await?;
    let limits = rows.iter().map(limit_of);
    let mut limits: Vec<Limit> = limits.collect::<Result<_, _>>()?;
    limits.sort_by_key(|limit| limit.interval);
    let wrong = limits.iter().zip(limits.iter().skip(1));
    let mut wrong = wrong.filter(|(narrow, broad)| narrow.amount >= broad.amount);
    match wrong.next() {
        None => Ok(()),
        Some((narrow, broad)) => {
            let (narrow, broad) = (narrow.interval, broad.interval);
            let reason = format!("the {narrow} one must be below the {broad} one");
            Err(AccountsError::invalid("limit", reason))
        }
    }
}

fn limit_of(row: &AnyRow) -> Result<Limit, DatabaseError> {
    let (scope, period): (String, String) = (row.try_get(2)?, row.try_get(4)?);
    let interval = Interval::ALL.into_iter().find(|one| one.as_str() == period);
    let found = Scope::ALL.into_iter().find(|one| one.as_str() == scope);
    let (Some(scope), Some(interval)) = (found, interval) else {
        return Err(DatabaseError::Corrupt {
            what: "limit",
            value: format!("{scope} {period}"),
        });
    };
    Ok(Limit {
        scope,
        id: row.try_get::<String, _>(3)?.into(),
        interval,
        amount: amount(row, 0)?,
        include_byok: unsigned(row, 5)? > 0,
    })
}
