//! Are the books right? Everything is computed anew from the journal and the usage detail, inside
//! one read transaction, and compared with what the ledger believes.

use super::account::{Account, Stored};
use super::{Ledger, LedgerError, byok, rollup, usage};
use crate::sql::{amount, unsigned};
use shared::date::DAY_S;
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::limit::Scope;
use shared::money::Amount;
use shared::record::Origin;
use sqlx::{AnyConnection, Row};
use std::collections::BTreeMap;

/// Most problems that are listed.
const PROBLEMS_MAX: usize = 100;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Postings that were read.
    pub postings: u64,
    /// Usage records that were read.
    pub records: u64,
    /// What is wrong, in words; at most 100 of them. Empty when the books are right.
    pub problems: Vec<String>,
}

impl Verdict {
    pub(super) fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(text);
        }
    }
}

impl Ledger {
    /// Recomputes every balance, every posting's sum and every watermark. Reads all there is:
    /// minutes on a large ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verify(&self) -> Result<Verdict, LedgerError> {
        let mut transaction = self.database.snapshot().await?;
        let mut verdict = Verdict::default();
        numbers(&mut transaction, &mut verdict).await?;
        postings(&mut transaction, &mut verdict).await?;
        balances(&mut transaction, &mut verdict).await?;
        records(&mut transaction, &mut verdict).await?;
        windows(&mut transaction, &mut verdict).await?;
        fees(&mut transaction, &mut verdict).await?;
        watermarks(&mut transaction, &mut verdict).await?;
        rollup::verify(&mut transaction, &mut verdict).await?;
        Ok(verdict)
    }
}

/// Each organisation's postings are numbered without gaps up to its head.
async fn numbers(sql: &mut AnyConnection, verdict: &mut Verdict) -> Result<(), LedgerError> {
    let row = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) FROM postings")
        .fetch_one(&mut *sql)
        .await?;
    verdict.postings = unsigned(&row, 0)?;
    let rows = sqlx::query(
        "SELECT o.org, o.postings, CAST(COUNT(p.number) AS BIGINT),
                CAST(COALESCE(MAX(p.number), 0) AS BIGINT)
         FROM ledger_orgs o LEFT JOIN postings p ON p.org = o.org
         GROUP BY o.org, o.postings
         HAVING COUNT(p.number) <> o.postings OR COALESCE(MAX(p.number), 0) <> o.postings
         LIMIT 100",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        let org: String = row.try_get(0)?;
        let (head, count, last) = (unsigned(row, 1)?, unsigned(row, 2)?, unsigned(row, 3)?);
        verdict.problem(format!(
            "the head of {org} is at {head}, there are {count} postings, the last is {last}"
        ));
    }
    Ok(())
}

/// Each posting adds up to zero.
async fn postings(sql: &mut AnyConnection, verdict: &mut Verdict) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT CAST(SUM(nano) AS BIGINT), CAST(SUM(pico_rem) AS BIGINT), org, number
         FROM posting_lines GROUP BY org, number
         HAVING SUM(nano) * 1000 + SUM(pico_rem) <> 0 ORDER BY org, number LIMIT 100",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        let org: String = row.try_get(2)?;
        let (sum, number) = (amount(row, 0)?, unsigned(row, 3)?);
        verdict.problem(format!("posting {number} of {org} adds up to {sum} USD"));
    }
    Ok(())
}

/// Each balance is the sum of its lines and may be what it is; each organisation's add up to zero.
async fn balances(sql: &mut AnyConnection, verdict: &mut Verdict) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT b.nano, b.pico_rem, b.account, b.kind, b.org, b.node, b.epoch, b.key_id,
                CAST(COALESCE(SUM(l.nano), 0) AS BIGINT),
                CAST(COALESCE(SUM(l.pico_rem), 0) AS BIGINT), b.provider, b.limit_window
         FROM balances b LEFT JOIN posting_lines l ON l.account = b.account
         GROUP BY b.nano, b.pico_rem, b.account, b.kind, b.org, b.node, b.epoch, b.key_id,
                  b.provider, b.limit_window",
    )
    .fetch_all(&mut *sql)
    .await?;
    let mut totals: BTreeMap<String, Amount> = BTreeMap::new();
    for row in &rows {
        let (holds, posted) = (amount(row, 0)?, amount(row, 8)?);
        let name: String = row.try_get(2)?;
        let org: String = row.try_get(4)?;
        let account = Account::of(Stored {
            kind: row.try_get(3)?,
            org: org.clone(),
            origin: Origin {
                node: NodeId::from(row.try_get::<String, _>(5)?),
                epoch: BootEpoch(unsigned(row, 6)?),
            },
            key: row.try_get(7)?,
            provider: row.try_get(10)?,
            window: row.try_get(11)?,
        })?;
        if account.to_string() != name {
            verdict.problem(format!("{name} is filed as {account}"));
        }
        if holds != posted {
            verdict.problem(format!(
                "{name} holds {holds} USD, its lines add up to {posted} USD"
            ));
        }
        if !account.may_hold(holds) {
            verdict.problem(format!("{name} holds {holds} USD"));
        }
        *totals.entry(org).or_default() += holds;
    }
    totals.retain(|_, total| *total != Amount::ZERO);
    for (org, total) in totals {
        verdict.problem(format!("the accounts of {org} add up to {total} USD"));
    }
    let lost = sqlx::query(
        "SELECT DISTINCT account FROM posting_lines
         WHERE account NOT IN (SELECT account FROM balances) LIMIT 100",
    )
    .fetch_all(sql)
    .await?;
    for row in &lost {
        let account: String = row.try_get(0)?;
        verdict.problem(format!("{account} has lines, but no balance"));
    }
    Ok(())
}

/// What keys were charged, and what is in suspense, is the sum of the records, and of what was
/// settled against bills.
async fn records(sql: &mut AnyConnection, verdict: &mut Verdict) -> Result<(), LedgerError> {
    let mut expected: BTreeMap<String, Amount> = BTreeMap::new();
    let rows = sqlx::query(
        "SELECT CAST(SUM(cost_nano) AS BIGINT), CAST(SUM(cost_pico_rem) AS BIGINT),
                CAST(SUM(held_nano) AS BIGINT), CAST(SUM(held_pico_rem) AS BIGINT),
                org, key_id, outcome, CAST(COUNT(*) AS BIGINT), own_key
         FROM usage_records GROUP BY org, key_id, outcome, own_key",
    )
    .fetch_all(&mut *sql)
    .await?;
    for row in &rows {
        verdict.records += unsigned(row, 7)?;
        let org: String = row.try_get(4)?;
        let key: String = row.try_get(5)?;
        let outcome: String = row.try_get(6)?;
        let own = unsigned(row, 8)? > 0;
        let (account, sum) = match outcome.as_str() {
            "settled" if own => continue,
            "settled" => (format!("usage:{org}:{key}"), amount(row, 0)?),
            "suspense" => (format!("suspense:{org}"), amount(row, 2)?),
            _ => continue,
        };
        *expected.entry(account).or_default() += sum;
    }
    let rows = sqlx::query(
        "SELECT CAST(SUM(charged_nano) AS BIGINT), CAST(SUM(charged_pico_rem) AS BIGINT),
                CAST(SUM(held_nano) AS BIGINT), CAST(SUM(held_pico_rem) AS BIGINT), org, key_id
         FROM reconciliations GROUP BY org, key_id",
    )
    .fetch_all(&mut *sql)
    .await?;
    for row in &rows {
        let org: String = row.try_get(4)?;
        let key: String = row.try_get(5)?;
        *expected.entry(format!("usage:{org}:{key}")).or_default() += amount(row, 0)?;
        *expected.entry(format!("suspense:{org}")).or_default() -= amount(row, 2)?;
    }
    expected.retain(|account, amount| *amount != Amount::ZERO && !is_fees(account));
    let rows = sqlx::query(
        "SELECT nano, pico_rem, account FROM balances WHERE kind IN ('usage', 'suspense')",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        let account: String = row.try_get(2)?;
        let (holds, records) = (
            amount(row, 0)?,
            expected.remove(&account).unwrap_or_default(),
        );
        // Fees on own keys were not counted by month from the first day.
        let uncounted = is_fees(&account) && holds < records;
        if holds != records && !uncounted {
            verdict.problem(format!(
                "{account} holds {holds} USD, its records add up to {records} USD"
            ));
        }
    }
    for (account, records) in expected {
        verdict.problem(format!("{account} lacks {records} USD of its records"));
    }
    Ok(())
}

/// What was used of each window is the sum of the records that held from it, and of what was used
/// before its limit was set.
async fn windows(sql: &mut AnyConnection, verdict: &mut Verdict) -> Result<(), LedgerError> {
    let mut expected: BTreeMap<String, Amount> = BTreeMap::new();
    let rows = sqlx::query(
        "SELECT CAST(SUM(cost_nano) AS BIGINT), CAST(SUM(cost_pico_rem) AS BIGINT),
                CAST(SUM(held_nano) AS BIGINT), CAST(SUM(held_pico_rem) AS BIGINT),
                org, outcome, limit_windows, CAST(COUNT(*) AS BIGINT)
         FROM usage_records WHERE limit_windows <> '' GROUP BY org, outcome, limit_windows
         UNION ALL
         SELECT CAST(SUM(charged_nano) AS BIGINT), CAST(SUM(charged_pico_rem) AS BIGINT),
                CAST(SUM(held_nano) AS BIGINT), CAST(SUM(held_pico_rem) AS BIGINT),
                org, 'reconciled', limit_windows, 0
         FROM reconciliations WHERE limit_windows <> '' GROUP BY org, limit_windows",
    )
    .fetch_all(&mut *sql)
    .await?;
    for row in &rows {
        let (cost, held) = (amount(row, 0)?, amount(row, 2)?);
        let org: String = row.try_get(4)?;
        let outcome: String = row.try_get(5)?;
        let used = match outcome.as_str() {
            "settled" => cost,
            "suspense" => held,
            "reconciled" => cost - held,
            _ => Amount::ZERO,
        };
        let count = i128::from(unsigned(row, 7)?);
        for window in usage::windows_of(&row.try_get::<String, _>(6)?)? {
            if matches!(window.scope, Scope::Byok | Scope::ByokRequests) {
                // What own keys serve is in these windows whether or not it was leased.
                continue;
            }
            let each = window.charges(Amount::ZERO);
            let used = match each {
                Amount::ZERO => used,
                each => Amount(each.0 * count),
            };
            let account = Account::WindowUsed(OrgId::from(org.as_str()), window);
            *expected.entry(account.to_string()).or_default() += used;
        }
    }
    openings(sql, &mut expected).await?;
    own_keys(sql, &mut expected).await?;
    let rows =
        sqlx::query("SELECT nano, pico_rem, account FROM balances WHERE kind = 'window_used'")
            .fetch_all(sql)
            .await?;
    for row in &rows {
        let account: String = row.try_get(2)?;
        let (holds, records) = (
            amount(row, 0)?,
            expected.remove(&account).unwrap_or_default(),
        );
        if holds != records {
            verdict.problem(format!(
                "{account} holds {holds} USD, its records add up to {records} USD"
            ));
        }
    }
    expected.retain(|_, amount| *amount != Amount::ZERO);
    for (account, records) in expected {
        verdict.problem(format!("{account} lacks {records} USD of its records"));
    }
    Ok(())
}

fn is_fees(account: &str) -> bool {
    account.contains(" byok_fees:") || account.contains(":byok_fees:")
}

/// What was used of windows before their limits were set, and what was given back of fees.
async fn openings(
    sql: &mut AnyConnection,
    expected: &mut BTreeMap<String, Amount>,
) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT l.nano, l.pico_rem, l.account FROM postings p JOIN posting_lines l
             ON l.org = p.org AND l.number = p.number
         WHERE p.kind IN ('opening', 'allowance') AND l.account LIKE 'window_used:%'",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        *expected.entry(row.try_get(2)?).or_default() += amount(row, 0)?;
    }
    Ok(())
}

/// What own provider keys served in each month, in dollars and in requests, and the fees on it.
async fn own_keys(
    sql: &mut AnyConnection,
    expected: &mut BTreeMap<String, Amount>,
) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT CAST(SUM(cost_nano) AS BIGINT), CAST(SUM(cost_pico_rem) AS BIGINT), org,
                started_unix_ms / 86400000 AS day, CAST(COUNT(*) AS BIGINT),
                CAST(SUM(fee_nano) AS BIGINT), CAST(SUM(fee_pico_rem) AS BIGINT)
         FROM usage_records WHERE own_key = 1 AND outcome = 'settled'
         GROUP BY org, started_unix_ms / 86400000",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        let org = OrgId::from(row.try_get::<String, _>(2)?);
        let count = Amount(i128::from(unsigned(row, 4)?));
        let unix_ms = unsigned(row, 3)?.saturating_mul(DAY_S * 1000);
        let counters = byok::months(&org, unix_ms).into_iter();
        for (window, used) in counters.zip([amount(row, 0)?, count, amount(row, 5)?]) {
            let account = Account::WindowUsed(org.clone(), window);
            *expected.entry(account.to_string()).or_default() += used;
        }
    }
    Ok(())
}

/// What was posted as a fee on spending, and on what a bill settled, is the sum of the records', but
/// for what came back of it, which is no longer counted as charged either.
async fn fees(sql: &mut AnyConnection, verdict: &mut Verdict) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT CAST(SUM(nano) AS BIGINT), CAST(SUM(pico_rem) AS BIGINT), org FROM (
             SELECT l.nano AS nano, l.pico_rem AS pico_rem, l.org AS org
             FROM posting_lines l
             JOIN postings p ON p.org = l.org AND p.number = l.number
             WHERE p.kind IN ('fee', 'byok', 'reconcile', 'allowance')
                 AND l.account = 'fees:' || l.org
             UNION ALL
             SELECT -l.nano, -l.pico_rem, l.org FROM posting_lines l
             JOIN postings p ON p.org = l.org AND p.number = l.number
             WHERE p.kind = 'allowance' AND l.account LIKE 'window_used:%'
             UNION ALL
             SELECT -fee_nano, -fee_pico_rem, org FROM usage_records
             UNION ALL
             SELECT -fee_nano, -fee_pico_rem, org FROM reconciliations
         ) AS fees GROUP BY org HAVING SUM(nano) * 1000 + SUM(pico_rem) <> 0 LIMIT 100",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        let org: String = row.try_get(2)?;
        let more = amount(row, 0)?;
        verdict.problem(format!(
            "the fees of {org} are {more} USD more than those of its records"
        ));
    }
    Ok(())
}

/// Each run's records are contiguous from 1 up to its watermark.
async fn watermarks(sql: &mut AnyConnection, verdict: &mut Verdict) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT w.node, w.epoch, w.sequence, CAST(COUNT(u.sequence) AS BIGINT),
                CAST(COALESCE(MIN(u.sequence), 1) AS BIGINT),
                CAST(COALESCE(MAX(u.sequence), 0) AS BIGINT)
         FROM watermarks w LEFT JOIN usage_records u ON u.node = w.node AND u.epoch = w.epoch
         GROUP BY w.node, w.epoch, w.sequence",
    )
    .fetch_all(sql)
    .await?;
    for row in &rows {
        let (mark, count) = (unsigned(row, 2)?, unsigned(row, 3)?);
        let (first, last) = (unsigned(row, 4)?, unsigned(row, 5)?);
        if (count, first, last) != (mark, 1, mark) {
            let node: String = row.try_get(0)?;
            verdict.problem(format!(
                "{node}/{} has the watermark {mark}, and {count} records from {first} to {last}",
                unsigned(row, 1)?
            ));
        }
    }
    Ok(())
}
