//! What usage adds up to per day, key, model and provider: written in the transaction that applies
//! the records or settles them against a bill, so that it equals the books to the last digit at
//! each moment. A day is that of the request's beginning, UTC. A request that was released counts
//! nowhere.

use super::LedgerError;
use super::journal::{Book, split};
use super::verify::Verdict;
use crate::sql::rows::{Cell, Table, Type, storable};
use crate::sql::{amount, bigint, unsigned};
use shared::date::DAY_S;
use shared::money::Amount;
use shared::record::{Outcome, UsageRecord};
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: u64 = DAY_S * 1000;

const DAYS: Table<20> = Table {
    name: "usage_days",
    columns: [
        ("org", Type::Text),
        ("key_id", Type::Text),
        ("day", Type::Big),
        ("model", Type::Text),
        ("endpoint", Type::Text),
        ("provider", Type::Text),
        ("workspace", Type::Text),
        ("member", Type::Text),
        ("requests", Type::Big),
        ("prompt_tokens", Type::Big),
        ("cached_tokens", Type::Big),
        ("completion_tokens", Type::Big),
        ("reasoning_tokens", Type::Big),
        ("cost_nano", Type::Big),
        ("cost_pico_rem", Type::Big),
        ("byok_nano", Type::Big),
        ("byok_pico_rem", Type::Big),
        ("fee_nano", Type::Big),
        ("fee_pico_rem", Type::Big),
        ("last_unix_ms", Type::Big),
    ],
    conflict: ADDED,
};

const ADDED: &str = "ON CONFLICT (org, key_id, day, model, endpoint, provider, workspace)
    DO UPDATE SET requests = usage_days.requests + excluded.requests,
        prompt_tokens = usage_days.prompt_tokens + excluded.prompt_tokens,
        cached_tokens = usage_days.cached_tokens + excluded.cached_tokens,
        completion_tokens = usage_days.completion_tokens + excluded.completion_tokens,
        reasoning_tokens = usage_days.reasoning_tokens + excluded.reasoning_tokens,
        cost_nano = usage_days.cost_nano + excluded.cost_nano,
        byok_nano = usage_days.byok_nano + excluded.byok_nano,
        byok_pico_rem = usage_days.byok_pico_rem + excluded.byok_pico_rem,
        fee_nano = usage_days.fee_nano + excluded.fee_nano,
        fee_pico_rem = usage_days.fee_pico_rem + excluded.fee_pico_rem,
        cost_pico_rem = usage_days.cost_pico_rem + excluded.cost_pico_rem,
        last_unix_ms = CASE WHEN excluded.last_unix_ms > usage_days.last_unix_ms
            THEN excluded.last_unix_ms ELSE usage_days.last_unix_ms END";

/// What is counted apart, in the table's order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    org: &'a str,
    key: String,
    day: u64,
    model: &'a str,
    endpoint: &'a str,
    provider: &'a str,
}

#[derive(Default)]
struct Sum {
    requests: u64,
    prompt: u64,
    cached: u64,
    completion: u64,
    reasoning: u64,
    cost: Amount,
    byok: Amount,
    fee: Amount,
    last_unix_ms: u64,
}

impl Book {
    /// Counts records that are applied in this transaction, and are charged these fees.
    ///
    /// # Errors
    /// When the database fails, or an amount is beyond its columns.
    pub(super) async fn roll_up(
        &mut self,
        records: &[UsageRecord],
        fees: &[Amount],
    ) -> Result<(), LedgerError> {
        let sums = sums(records, fees);
        let keys: BTreeSet<&str> = sums.keys().map(|place| place.key.as_str()).collect();
        let owners = self.owners(keys).await?;
        let nobody = (String::new(), String::new());
        let mut rows = Vec::with_capacity(sums.len());
        for (place, sum) in &sums {
            let (workspace, member) = owners.get(&place.key).unwrap_or(&nobody);
            let (nano, pico_rem) = split(sum.cost)?;
            let (byok, fee) = (split(sum.byok)?, split(sum.fee)?);
            rows.push([
                Cell::text(place.org),
                Cell::text(&place.key),
                Cell::Int(bigint(place.day)),
                Cell::text(place.model),
                Cell::text(place.endpoint),
                Cell::text(place.provider),
                Cell::text(workspace),
                Cell::text(member),
                Cell::Int(bigint(sum.requests)),
                Cell::Int(bigint(sum.prompt)),
                Cell::Int(bigint(sum.cached)),
                Cell::Int(bigint(sum.completion)),
                Cell::Int(bigint(sum.reasoning)),
                Cell::Int(nano),
                Cell::from(pico_rem),
                Cell::Int(byok.0),
                Cell::from(byok.1),
                Cell::Int(fee.0),
                Cell::from(fee.1),
                Cell::Int(bigint(sum.last_unix_ms)),
            ]);
        }
        let engine = self.engine();
        Ok(DAYS.insert(self.sql(), engine, &rows).await?)
    }

    /// Counts what was charged for a record that a bill has settled in this transaction, and the
    /// fee on it, on the day of its request.
    ///
    /// # Errors
    /// As [`Book::roll_up`].
    pub(super) async fn roll_up_settled(
        &mut self,
        (node, epoch, sequence): &(String, i64, i64),
        (charged, fee): (Amount, Amount),
    ) -> Result<(), LedgerError> {
        let (nano, pico_rem) = split(charged)?;
        let fee = split(fee)?;
        let sql = format!(
            "INSERT INTO usage_days (org, key_id, day, model, endpoint, provider, workspace,
                 member, requests, prompt_tokens, cached_tokens, completion_tokens,
                 reasoning_tokens, cost_nano, cost_pico_rem, byok_nano, byok_pico_rem, fee_nano,
                 fee_pico_rem, last_unix_ms)
             SELECT u.org, u.key_id, u.started_unix_ms / 86400000, u.model, u.endpoint, u.provider,
                 COALESCE(k.workspace, ''), COALESCE(k.created_by, ''), 0, 0, 0, 0, 0, $4, $5, 0, 0,
                 $6, $7, u.started_unix_ms
             FROM usage_records u LEFT JOIN api_keys k ON k.id = u.key_id
             WHERE u.node = $1 AND u.epoch = $2 AND u.sequence = $3 {ADDED}"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(node.as_str())
            .bind(*epoch)
            .bind(*sequence)
            .bind(nano)
            .bind(i64::from(pico_rem))
            .bind(fee.0)
            .bind(i64::from(fee.1))
            .execute(&mut **self.sql())
            .await?;
        Ok(())
    }

    /// Workspace and maker of each key, in one statement.
    pub(super) async fn owners<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, (String, String)>, LedgerError> {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return Ok(BTreeMap::new());
        }
        let engine = self.engine();
        let sql = format!(
            "SELECT id, workspace, created_by FROM api_keys WHERE id{}",
            engine.in_list()
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(engine.list(keys))
            .fetch_all(&mut **self.sql())
            .await?;
        let read =
            |row: &sqlx::any::AnyRow| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        rows.iter().map(read).collect()
    }
}

fn sums<'a>(records: &'a [UsageRecord], fees: &[Amount]) -> BTreeMap<Place<'a>, Sum> {
    let mut sums: BTreeMap<Place<'_>, Sum> = BTreeMap::new();
    let charged = records.iter().zip(fees);
    let counted = charged.filter(|(record, _)| record.outcome != Outcome::Released);
    for (record, fee) in counted {
        let place = Place {
            org: record.org.as_str(),
            key: record.key.to_string(),
            day: record.started_unix_ms / DAY_MS,
            model: record.model.as_ref().map_or("", |id| id.as_str()),
            endpoint: record.endpoint.as_ref().map_or("", |id| id.as_str()),
            provider: record.provider.as_ref().map_or("", |id| id.as_str()),
        };
        let usage = &record.usage;
        let sum = sums.entry(place).or_default();
        sum.requests += 1;
        sum.fee += *fee;
        sum.prompt = sum.prompt.saturating_add(usage.prompt);
        sum.cached = sum.cached.saturating_add(usage.cache_read);
        sum.completion = sum.completion.saturating_add(usage.completion);
        sum.reasoning = sum.reasoning.saturating_add(usage.reasoning);
        match record.outcome {
            Outcome::Settled if record.own_key => sum.byok += record.cost,
            Outcome::Settled => sum.cost += record.cost,
            Outcome::Suspense | Outcome::Released => {}
        }
        sum.last_unix_ms = sum.last_unix_ms.max(record.started_unix_ms);
    }
    sums
}

/// Each day is the sum of its records, and of what was settled against bills. Cached and reasoning
/// tokens are not compared: records have them within a text.
pub(super) async fn verify(
    sql: &mut AnyConnection,
    verdict: &mut Verdict,
) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT CAST(SUM(nano) AS BIGINT), CAST(SUM(pico) AS BIGINT), org, key_id, day, endpoint,
                CAST(SUM(requests) AS BIGINT), CAST(SUM(prompt + completion) AS BIGINT),
                CAST(SUM(own_nano) AS BIGINT), CAST(SUM(own_pico) AS BIGINT),
                CAST(SUM(fee_nano) AS BIGINT), CAST(SUM(fee_pico) AS BIGINT)
         FROM (
             SELECT org, key_id, day, model, endpoint, provider, requests,
                 prompt_tokens AS prompt, completion_tokens AS completion, cost_nano AS nano,
                 cost_pico_rem AS pico, byok_nano AS own_nano, byok_pico_rem AS own_pico,
                 fee_nano, fee_pico_rem AS fee_pico
             FROM usage_days
             UNION ALL
             SELECT org, key_id, started_unix_ms / 86400000, model, endpoint, provider, -1,
                 -prompt_tokens, -completion_tokens,
                 CASE WHEN outcome = 'settled' AND own_key = 0 THEN -cost_nano ELSE 0 END,
                 CASE WHEN outcome = 'settled' AND own_key = 0 THEN -cost_pico_rem ELSE 0 END,
                 CASE WHEN outcome = 'settled' AND own_key = 1 THEN -cost_nano ELSE 0 END,
                 CASE WHEN outcome = 'settled' AND own_key = 1 THEN -cost_pico_rem ELSE 0 END,
                 -fee_nano, -fee_pico_rem
             FROM usage_records WHERE outcome <> 'released'
             UNION ALL
             SELECT u.org, u.key_id, u.started_unix_ms / 86400000, u.model, u.endpoint,
                 u.provider, 0, 0, 0, -r.charged_nano, -r.charged_pico_rem, 0, 0, -r.fee_nano,
                 -r.fee_pico_rem
             FROM reconciliations r JOIN usage_records u
                 ON u.node = r.node AND u.epoch = r.epoch AND u.sequence = r.sequence
         ) AS compared
         GROUP BY org, key_id, day, model, endpoint, provider
         HAVING SUM(requests) <> 0 OR SUM(prompt) <> 0 OR SUM(completion) <> 0
             OR SUM(nano) * 1000 + SUM(pico) <> 0 OR SUM(own_nano) * 1000 + SUM(own_pico) <> 0
             OR SUM(fee_nano) * 1000 + SUM(fee_pico) <> 0
         LIMIT 100",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        let (org, key): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let (day, endpoint) = (unsigned(row, 4)?, row.try_get::<String, _>(5)?);
        let (requests, tokens): (i64, i64) = (row.try_get(6)?, row.try_get(7)?);
        verdict.problem(format!(
            "{org}, key {key}, day {}, {endpoint}: counted {} USD, {} USD of own keys, {} USD \
             of fees, {requests} requests and {tokens} tokens more than the records say",
            shared::date::date(day),
            amount(row, 0)?,
            amount(row, 8)?,
            amount(row, 10)?,
        ));
    }
    Ok(())
}

/// A text as the table has it, to be asked for.
pub(super) fn stored(text: &str) -> String {
    storable(text).into_owned()
}
