//! Windows of limits and fees on spend, on real databases of both kinds.

mod before;
mod budgets;
mod leases;

use super::account::Account;
use super::tests::{FENCE, Fixture, fixture, key, record, run, usd};
use super::*;
use crate::testing::on_both;
use shared::limit::{Interval, Purse, Window};
use shared::record::{Outcome, UsageRecord};
use sqlx::Row;

/// Gives the fixture's organisation a row and a key with `policy`.
async fn with_key(f: &Fixture, policy: &str) {
    let mut sql = f.on.database.write().await.unwrap();
    for statement in [
        "INSERT INTO orgs (id, name, is_first, created_unix_ms) VALUES ($1, $2, 0, 0)
         ON CONFLICT (id) DO NOTHING",
        "DELETE FROM api_keys WHERE org = $1 AND $2 <> ''",
        "INSERT INTO api_keys (id, org, name, label, kind, policy, created_unix_ms)
         VALUES ($2, $1, 'k', 'k', 'inference', $3, 0)",
    ] {
        let id = key(1).to_string();
        let mut query = sqlx::query(statement).bind(f.org.as_str()).bind(id);
        if statement.contains("$3") {
            query = query.bind(policy.to_owned());
        }
        query.execute(&mut *sql).await.unwrap();
    }
    sql.commit().await.unwrap();
}

async fn with_limit(f: &Fixture, scope: &str, id: &str, period: &str, dollars: i64) {
    let mut sql = f.on.database.write().await.unwrap();
    sqlx::query("INSERT INTO limits (org, scope, id, period, nano, pico_rem) VALUES ($1, $2, $3, $4, $5, 0)")
        .bind(f.org.as_str())
        .bind(scope.to_owned())
        .bind(id.to_owned())
        .bind(period.to_owned())
        .bind(dollars * 1_000_000_000)
        .execute(&mut *sql)
        .await
        .unwrap();
    sql.commit().await.unwrap();
}

async fn with_limit_of_member(f: &Fixture) {
    with_key(f, "{}").await;
    with_limit(f, "member", "usr_1", "monthly", 20).await;
}

fn window(f: &Fixture, scope: &str, id: &str, interval: Interval) -> Window {
    let start = interval.start(f.clock.unix_s());
    format!("{scope}:{id}:{interval}:{start}").parse().unwrap()
}

async fn lease(
    f: &Fixture,
    id: &str,
    origin: Origin,
    window: &Window,
    dollars: (i128, i128),
) -> Result<Grant, LedgerError> {
    let request = LeaseRequest {
        origin,
        purse: Purse {
            org: f.org.clone(),
            window: Some(window.clone()),
        },
        lease_id: id.to_owned(),
        wanted: usd(dollars.0),
        least: usd(dollars.1),
        need: None,
    };
    f.ledger.acquire(FENCE, &request).await
}

async fn holds(f: &Fixture, account: &Account) -> Amount {
    let row = sqlx::query("SELECT nano, pico_rem FROM balances WHERE account = $1")
        .bind(account.to_string())
        .fetch_optional(f.on.database.readers())
        .await
        .unwrap();
    row.map_or(Amount::ZERO, |row| crate::sql::amount(&row, 0).unwrap())
}

fn spent(f: &Fixture, sequence: u64, window: &Window, dollars: i128) -> UsageRecord {
    let mut record = record(
        &f.org,
        sequence,
        Outcome::Settled,
        usd(dollars),
        usd(dollars),
    );
    record.windows = vec![window.clone()];
    record
}

async fn a_request_that_is_counted_counts_however_it_ends(f: Fixture) {
    with_key(&f, "{}").await;
    let day = window(&f, "free", "org_a", Interval::Daily);
    let records: Vec<_> = [Outcome::Settled, Outcome::Released, Outcome::Suspense]
        .into_iter()
        .zip(1..)
        .map(|(outcome, sequence)| {
            let mut record = record(&f.org, sequence, outcome, Amount::ZERO, Amount::ZERO);
            record.windows = vec![day.clone()];
            record
        })
        .collect();
    f.ship(run("a", 1), &records).await.unwrap();
    let used = Account::WindowUsed(f.org.clone(), day);
    assert_eq!(holds(&f, &used).await, Amount(3));
    f.sound().await;
}

async fn a_fee_on_spend_is_a_posting_of_its_own(f: Fixture) {
    with_key(&f, r#"{"limit": "50"}"#).await;
    let life = window(&f, "key", &key(1).to_string(), Interval::Lifetime);
    f.acquire("m1", run("a", 1), 12).await.unwrap();
    lease(&f, "l1", run("a", 1), &life, (12, 12)).await.unwrap();
    let mut records = [spent(&f, 1, &life, 5), spent(&f, 2, &life, 5)];
    for record in &mut records {
        record.fee_ppm = 50_000;
        record.provider = Some("acme".into());
    }
    records[1].outcome = Outcome::Suspense;
    records[1].held = usd(6);
    records[1].upstream_id = "x".to_owned();
    f.ship(run("a", 1), &records).await.unwrap();
    let totals = f.totals().await;
    let fee = Amount(Amount::USD.0 / 4);
    assert_eq!((totals.used, totals.fees), (usd(5), fee));
    assert_eq!(totals.suspense, usd(6));
    f.sound().await;
    let bill = Bill {
        provider: "acme".into(),
        lines: vec![BillLine {
            id: "x".to_owned(),
            billed: Billed::Usd(usd(5)),
        }],
        complete_until_unix_ms: None,
    };
    let done = f
        .ledger
        .reconcile(FENCE, &bill, |_, _, _| None)
        .await
        .unwrap();
    assert_eq!((done.charged, done.returned), (usd(5), usd(1) - fee));
    assert_eq!(f.totals().await.fees, fee + fee);
    // The window counts what requests cost, without the fee.
    let used = Account::WindowUsed(f.org.clone(), life);
    assert_eq!(holds(&f, &used).await, usd(10));
    f.sound().await;
}

async fn a_wrong_window_is_found(f: Fixture) {
    with_limit_of_member(&f).await;
    let month = window(&f, "member", "usr_1", Interval::Monthly);
    f.acquire("m1", run("a", 1), 10).await.unwrap();
    f.ship(run("a", 1), &[spent(&f, 1, &month, 2)])
        .await
        .unwrap();
    f.sound().await;
    let mut sql = f.on.database.write().await.unwrap();
    let row = sqlx::query("UPDATE usage_records SET limit_windows = '' RETURNING sequence")
        .fetch_one(&mut *sql)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 1);
    sql.commit().await.unwrap();
    let problems = f.ledger.verify().await.unwrap().problems;
    assert!(
        problems[0].starts_with("window_used:org_a:member"),
        "{problems:?}"
    );
}

on_both! {
    a_request_that_is_counted_counts_however_it_ends,
    a_fee_on_spend_is_a_posting_of_its_own,
    a_wrong_window_is_found,
}
