//! What was used, for people: by key over days, weeks and months, by day and endpoint, and each
//! request by its id. All but the last is read from what is counted per day.

use super::account::Account;
use super::funds::PURCHASE_FEES;
use super::journal::Kind;
use super::rollup::stored;
use super::{Ledger, LedgerError, usage};
use crate::sql::bigint;
use crate::sql::{DatabaseError, amount, unsigned};
use shared::date::{DAY_S, month_start, week_start};
use shared::id::{OrgId, UserId, WorkspaceId};
use shared::key::KeyHash;
use shared::limit::{Interval, Scope, Window};
use shared::money::Amount;
use shared::record::Particulars;
use shared::usage::Usage;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// Most rows of one answer about activity.
pub const ACTIVITY_ROWS_MAX: u64 = 10_000;

/// What a key was charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyUsage {
    /// Ever.
    pub total: Amount,
    /// Today, UTC.
    pub daily: Amount,
    /// Since Monday.
    pub weekly: Amount,
    /// Since the first of the month.
    pub monthly: Amount,
    /// What own provider keys have served, at list prices.
    pub byok: Used,
    /// When its last request came in, in milliseconds since 1970; none: never.
    pub last_unix_ms: Option<u64>,
}

/// Something that was used, ever and by now in each interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    /// Ever.
    pub total: Amount,
    /// Today, UTC.
    pub daily: Amount,
    /// Since Monday.
    pub weekly: Amount,
    /// Since the first of the month.
    pub monthly: Amount,
}

/// Which activity is meant.
#[derive(Clone, Debug)]
pub struct ActivityFilter {
    /// Whose.
    pub org: OrgId,
    /// The first day, since 1970.
    pub from: u64,
    /// The day after the last.
    pub until: u64,
    /// Of this key only.
    pub key: Option<KeyHash>,
    /// Of keys that this member has made.
    pub member: Option<UserId>,
    /// Of keys in this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Workspaces apart.
    pub by_workspace: bool,
    /// So many rows are left out.
    pub offset: u64,
    /// At most so many rows, and at most [`ACTIVITY_ROWS_MAX`].
    pub limit: u64,
}

/// What was used at one endpoint on one day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActivityRow {
    /// Since 1970.
    pub day: u64,
    /// The model.
    pub model: String,
    /// The endpoint.
    pub endpoint: String,
    /// The provider's slug.
    pub provider: String,
    /// The workspace, when they are apart.
    pub workspace: Option<String>,
    /// Requests.
    pub requests: u64,
    /// Tokens in, out of a cache among them.
    pub prompt: u64,
    /// Tokens out of a cache.
    pub cached: u64,
    /// Tokens out, reasoning among them.
    pub completion: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
    /// What was charged.
    pub cost: Amount,
    /// What own provider keys served, at list prices.
    pub byok: Amount,
    /// What was charged besides in fees: on what was spent, and on what own keys served.
    pub fee: Amount,
}

/// One request, as it was settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generation {
    /// With which key.
    pub key: String,
    /// `settled`, `suspense` or `released`.
    pub outcome: String,
    /// What was charged; of an own provider key's the fee.
    pub cost: Amount,
    /// The platform's fee on what was charged; nothing of an own provider key's.
    pub fee: Amount,
    /// What it would have cost, when an own provider key served it.
    pub own_key: Option<Amount>,
    /// What content filters found and let pass, as `flag:NAME` or `redact:NAME`.
    pub flags: Vec<String>,
    /// Milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The client API.
    pub api: String,
    /// What the client asked for.
    pub requested_model: String,
    /// What served it.
    pub model: String,
    /// The provider's slug.
    pub provider: String,
    /// What was used.
    pub usage: Usage,
    /// Was it a stream.
    pub streamed: bool,
    /// OpenAI's word; empty when it did not finish.
    pub finish_reason: String,
    /// Whose fault it was, when it failed.
    pub fault: String,
    /// How long it took.
    pub duration_ms: u64,
    /// Until the first content.
    pub ttft_ms: u64,
    /// The provider's own id.
    pub upstream_id: String,
    /// The endpoint that served it.
    pub endpoint: String,
    /// Who asked, and who was tried.
    pub particulars: Particulars,
}

impl Ledger {
    /// What each of these keys was charged, by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage_of_keys(
        &self,
        keys: &[KeyHash],
    ) -> Result<BTreeMap<KeyHash, KeyUsage>, LedgerError> {
        let today = self.clock.unix_s() / DAY_S;
        let engine = self.database.engine();
        let since = |from: &str, column: &str| {
            format!("CAST(SUM(CASE WHEN day >= {from} THEN {column} ELSE 0 END) AS BIGINT)")
        };
        let columns = [
            ("cost_nano", "cost_pico_rem"),
            ("byok_nano", "byok_pico_rem"),
        ];
        let sums: Vec<String> = columns
            .into_iter()
            .flat_map(|columns| ["0", "$2", "$3", "$4"].map(|from| (columns, from)))
            .flat_map(|((nano, rem), from)| [since(from, nano), since(from, rem)])
            .collect();
        let sql = format!(
            "SELECT {}, MAX(last_unix_ms), key_id FROM usage_days WHERE key_id{} GROUP BY key_id",
            sums.join(", "),
            engine.in_list()
        );
        let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(engine.list(ids.iter().map(String::as_str)))
            .bind(bigint(today))
            .bind(bigint(week_start(today)))
            .bind(bigint(month_start(today)))
            .fetch_all(self.database.readers())
            .await?;
        let read = |row: &AnyRow| {
            let key: String = row.try_get(17)?;
            let key = key.parse().map_err(|_| corrupt("key id", key))?;
            let usage = KeyUsage {
                total: amount(row, 0)?,
                daily: amount(row, 2)?,
                weekly: amount(row, 4)?,
                monthly: amount(row, 6)?,
                byok: Used {
                    total: amount(row, 8)?,
                    daily: amount(row, 10)?,
                    weekly: amount(row, 12)?,
                    monthly: amount(row, 14)?,
                },
                last_unix_ms: Some(unsigned(row, 16)?),
            };
            Ok((key, usage))
        };
        rows.iter().map(read).collect()
    }

    /// What was used, newest day first, dearest first. Where there are more rows than are wanted,
    /// also how many come before the next.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn activity(
        &self,
        filter: &ActivityFilter,
    ) -> Result<(Vec<ActivityRow>, Option<u64>), LedgerError> {
        let limit = filter.limit.clamp(1, ACTIVITY_ROWS_MAX);
        let workspace = if filter.by_workspace {
            "workspace"
        } else {
            "''"
        };
        let sql =
            format!(
            "SELECT CAST(SUM(cost_nano) AS BIGINT), CAST(SUM(cost_pico_rem) AS BIGINT), day, model,
                 endpoint, provider, {workspace}, CAST(SUM(requests) AS BIGINT),
                 CAST(SUM(prompt_tokens) AS BIGINT), CAST(SUM(cached_tokens) AS BIGINT),
                 CAST(SUM(completion_tokens) AS BIGINT), CAST(SUM(reasoning_tokens) AS BIGINT),
                 CAST(SUM(byok_nano) AS BIGINT), CAST(SUM(byok_pico_rem) AS BIGINT),
                 CAST(SUM(fee_nano) AS BIGINT), CAST(SUM(fee_pico_rem) AS BIGINT)
             FROM usage_days
             WHERE org = $1 AND day >= $2 AND day < $3 AND ($4 = '' OR key_id = $4)
               AND ($5 = '' OR member = $5) AND ($6 = '' OR workspace = $6)
             GROUP BY day, model, endpoint, provider{}
             ORDER BY day DESC, 1 DESC, 2 DESC, model, endpoint, provider, 7 LIMIT $7 OFFSET $8",
            if filter.by_workspace { ", workspace" } else { "" }
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(filter.org.as_str())
            .bind(bigint(filter.from))
            .bind(bigint(filter.until))
            .bind(filter.key.map(|key| key.to_string()).unwrap_or_default())
            .bind(filter.member.as_ref().map_or("", |id| id.as_str()))
            .bind(filter.workspace.as_ref().map_or("", |id| id.as_str()))
            // One more tells that there are more.
            .bind(bigint(limit + 1))
            .bind(bigint(filter.offset))
            .fetch_all(self.database.readers())
            .await?;
        let read = |row: &AnyRow| {
            let workspace: String = row.try_get(6)?;
            Ok(ActivityRow {
                cost: amount(row, 0)?,
                day: unsigned(row, 2)?,
                model: row.try_get(3)?,
                endpoint: row.try_get(4)?,
                provider: row.try_get(5)?,
                workspace: filter.by_workspace.then_some(workspace),
                requests: unsigned(row, 7)?,
                prompt: unsigned(row, 8)?,
                cached: unsigned(row, 9)?,
                completion: unsigned(row, 10)?,
                reasoning: unsigned(row, 11)?,
                byok: amount(row, 12)?,
                fee: amount(row, 14)?,
            })
        };
        let told = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = (rows.len() > told).then(|| filter.offset.saturating_add(limit));
        let rows = rows.iter().take(told).map(read);
        Ok((rows.collect::<Result<_, LedgerError>>()?, next))
    }

    /// What was used of a window of a limit, by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn used_of(&self, org: &OrgId, window: &Window) -> Result<Amount, LedgerError> {
        let account = Account::WindowUsed(org.clone(), window.clone());
        let row = sqlx::query("SELECT nano, pico_rem FROM balances WHERE account = $1")
            .bind(account.to_string())
            .fetch_optional(self.database.readers())
            .await?;
        Ok(row
            .map(|row| amount(&row, 0))
            .transpose()?
            .unwrap_or_default())
    }

    /// What an organisation has paid as fees of its purchases, those on what it spends left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purchase_fees(&self, org: &OrgId) -> Result<Amount, LedgerError> {
        let row = sqlx::query(PURCHASE_FEES)
            .bind(org.as_str())
            .bind(Kind::Purchase.as_str())
            .bind(Account::Fees(org.clone()).to_string())
            .fetch_one(self.database.readers())
            .await?;
        Ok(amount(&row, 0)?)
    }

    /// A request of this organisation by its id; none until its record has come, too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn generation(
        &self,
        org: &OrgId,
        id: &str,
    ) -> Result<Option<Generation>, LedgerError> {
        let row = sqlx::query(
            "SELECT CASE WHEN u.own_key = 1 THEN u.fee_nano
                        WHEN u.outcome = 'settled' THEN u.cost_nano ELSE 0 END,
                    CAST(CASE WHEN u.own_key = 1 THEN u.fee_pico_rem
                        WHEN u.outcome = 'settled' THEN u.cost_pico_rem ELSE 0 END AS BIGINT),
                    u.key_id, u.outcome, u.started_unix_ms, u.api, u.requested_model, u.model,
                    u.provider, u.usage_json, u.streamed, u.finish_reason, u.fault, u.duration_ms,
                    u.ttft_ms, u.upstream_id, u.cost_nano, u.cost_pico_rem, u.own_key, u.flags,
                    COALESCE(r.charged_nano, 0), CAST(COALESCE(r.charged_pico_rem, 0) AS BIGINT),
                    CASE WHEN u.own_key = 0 AND u.outcome = 'settled' THEN u.fee_nano ELSE 0 END,
                    CAST(CASE WHEN u.own_key = 0 AND u.outcome = 'settled' THEN u.fee_pico_rem
                        ELSE 0 END AS BIGINT),
                    COALESCE(r.fee_nano, 0), CAST(COALESCE(r.fee_pico_rem, 0) AS BIGINT),
                    u.endpoint, u.particulars
             FROM usage_records u LEFT JOIN reconciliations r
                 ON r.node = u.node AND r.epoch = u.epoch AND r.sequence = u.sequence
             WHERE u.generation = $1 AND u.org = $2
             ORDER BY u.started_unix_ms DESC LIMIT 1",
        )
        .bind(stored(id))
        .bind(org.as_str())
        .fetch_optional(self.database.readers())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let usage: String = row.try_get(9)?;
        let own_key = unsigned(&row, 18)? > 0;
        let flags: String = row.try_get(19)?;
        Ok(Some(Generation {
            own_key: own_key.then(|| amount(&row, 16)).transpose()?,
            flags: match flags.as_str() {
                "" => Vec::new(),
                text => {
                    serde_json::from_str(text).map_err(|_| corrupt("flags", text.to_owned()))?
                }
            },
            // What a bill has changed of it comes on top: all of what was in suspense.
            cost: amount(&row, 0)? + amount(&row, 20)?,
            fee: amount(&row, 22)? + amount(&row, 24)?,
            key: row.try_get(2)?,
            outcome: row.try_get(3)?,
            started_unix_ms: unsigned(&row, 4)?,
            api: row.try_get(5)?,
            requested_model: row.try_get(6)?,
            model: row.try_get(7)?,
            provider: row.try_get(8)?,
            usage: serde_json::from_str(&usage).map_err(|_| corrupt("usage", usage))?,
            streamed: unsigned(&row, 10)? > 0,
            finish_reason: row.try_get(11)?,
            fault: row.try_get(12)?,
            duration_ms: unsigned(&row, 13)?,
            ttft_ms: unsigned(&row, 14)?,
            upstream_id: row.try_get(15)?,
            endpoint: row.try_get(26)?,
            particulars: usage::particulars_of(row.try_get(27)?)?,
        }))
    }

    /// How many requests to free variants one organisation has made today, UTC, as its daily limit
    /// counts them: whatever name they came under, and however they ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn free_requests_today(&self, org: &OrgId) -> Result<u64, LedgerError> {
        let window = Window {
            scope: Scope::Free,
            id: org.as_str().into(),
            interval: Interval::Daily,
            start: Interval::Daily.start(self.clock.unix_s()),
        };
        let used = self.used_of(org, &window).await?;
        Ok(u64::try_from(used.0 / Window::ONE.0).unwrap_or_default())
    }
}

fn corrupt(what: &'static str, value: String) -> LedgerError {
    LedgerError::Database(DatabaseError::Corrupt { what, value })
}
