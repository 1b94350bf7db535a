//! Windows of limits and fees on spend, on real databases of both kinds: what edges lease of a
//! window together never exceeds its limit, whatever dies.

use super::account::Account;
use super::tests::{FENCE, Fixture, fixture, key, record, run, usd};
use super::*;
use crate::testing::on_both;
use proptest::prelude::*;
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

async fn edges_together_lease_no_more_than_the_limit(f: Fixture) {
    with_key(&f, r#"{"limit": "10", "limit_reset": "daily"}"#).await;
    let day = window(&f, "key", &key(1).to_string(), Interval::Daily);
    let one = lease(&f, "l1", run("a", 1), &day, (6, 6)).await.unwrap();
    assert_eq!((one.granted, one.available), (usd(6), usd(4)));
    let again = lease(&f, "l1", run("a", 1), &day, (6, 6)).await.unwrap();
    assert_eq!((again.granted, again.available), (usd(6), usd(4)));
    let two = lease(&f, "l2", run("b", 1), &day, (6, 6)).await.unwrap();
    assert_eq!((two.granted, two.available), (Amount::ZERO, usd(4)));
    let two = lease(&f, "l3", run("b", 1), &day, (4, 4)).await.unwrap();
    assert_eq!((two.granted, two.available), (usd(4), Amount::ZERO));

    // What is not used goes to others; what is used does not.
    f.acquire("m1", run("a", 1), 10).await.unwrap();
    f.ship(run("a", 1), &[spent(&f, 1, &day, 5)]).await.unwrap();
    let back = ReleaseRequest {
        origin: run("a", 1),
        purse: Purse {
            org: f.org.clone(),
            window: Some(day.clone()),
        },
        release_id: "r1".to_owned(),
        part: Part::Amount(usd(9), None),
    };
    f.ledger.release(FENCE, &back).await.unwrap();
    f.ledger.release(FENCE, &back).await.unwrap();
    let left = lease(&f, "l4", run("b", 1), &day, (2, 2)).await.unwrap();
    assert_eq!((left.granted, left.available), (Amount::ZERO, usd(1)));
    assert_eq!(
        holds(&f, &Account::WindowUsed(f.org.clone(), day.clone())).await,
        usd(5)
    );
    // The limit falls below what is used: nothing more, and what is used stays.
    with_key(&f, r#"{"limit": "3", "limit_reset": "daily"}"#).await;
    let less = lease(&f, "l5", run("b", 1), &day, (1, 1)).await.unwrap();
    assert_eq!((less.granted, less.available), (Amount::ZERO, -usd(6)));
    f.sound().await;
}

async fn what_little_is_left_of_a_window_is_reserved_request_by_request(f: Fixture) {
    with_key(&f, r#"{"limit": "100", "limit_reset": "daily"}"#).await;
    let day = window(&f, "key", &key(1).to_string(), Interval::Daily);
    let purse = Purse {
        org: f.org.clone(),
        window: Some(day.clone()),
    };
    let ask = async |id: &str, node: &str, largest: i128, central| {
        let request = LeaseRequest {
            origin: run(node, 1),
            purse: purse.clone(),
            lease_id: id.to_owned(),
            wanted: usd(64 * largest),
            least: usd(largest),
            need: Some(Need {
                now: usd(largest),
                largest: usd(largest),
                central,
            }),
        };
        f.ledger.acquire(FENCE, &request).await.unwrap()
    };
    // An eighth carries twelve requests: leased ahead.
    let ahead = ask("l1", "a", 1, false).await;
    assert_eq!(
        (ahead.granted, ahead.central),
        (Amount(usd(100).0 / 8), false)
    );
    assert!(!ahead.recall);
    // For requests of 20 it is little: no more than they hold, and what others have is wanted back.
    let first = ask("l2", "b", 20, false).await;
    assert!(first.central && first.recall);
    assert_eq!((first.granted, first.elsewhere), (usd(20), ahead.granted));
    for (nth, granted) in [20, 20, 20, 0].into_iter().enumerate() {
        let next = ask(&format!("m{nth}"), "b", 20, true).await;
        assert_eq!((next.granted, next.central), (usd(granted), true));
        // The last one is told who has what it lacks: that is no used-up limit.
        assert_eq!(next.elsewhere, ahead.granted);
    }
    let back = ReleaseRequest {
        origin: run("a", 1),
        purse: purse.clone(),
        release_id: "r1".to_owned(),
        part: Part::Amount(ahead.granted, None),
    };
    f.ledger.release(FENCE, &back).await.unwrap();
    let last = ask("m4", "b", 20, true).await;
    assert_eq!((last.granted, last.elsewhere), (usd(20), Amount::ZERO));
    // All of it is leased to b: c is told so, and that recalls after a while.
    let none = ask("n1", "c", 1, true).await;
    assert_eq!((none.granted, none.elsewhere), (Amount::ZERO, usd(100)));
    f.clock.advance(Duration::from_secs(1));
    assert!(ask("n2", "c", 1, true).await.recall);
    f.sound().await;
}

async fn a_window_ends_and_the_next_is_whole(f: Fixture) {
    with_key(&f, r#"{"limit": "10", "limit_reset": "daily"}"#).await;
    let id = key(1).to_string();
    let first = window(&f, "key", &id, Interval::Daily);
    lease(&f, "l1", run("a", 1), &first, (10, 10))
        .await
        .unwrap();
    f.clock.advance(Duration::from_secs(86_400));
    let second = window(&f, "key", &id, Interval::Daily);
    let fresh = lease(&f, "l2", run("a", 1), &second, (10, 10)).await;
    assert_eq!(fresh.unwrap().granted, usd(10));
    f.clock.advance(Duration::from_secs(601));
    for closed in [
        first,
        window(&f, "key", &id, Interval::Weekly),
        window(&f, "key", "ff", Interval::Daily),
        window(&f, "member", "usr_1", Interval::Daily),
    ] {
        let refused = lease(&f, "l3", run("a", 1), &closed, (1, 1)).await;
        assert!(matches!(refused, Err(LedgerError::NoLimit)), "{closed}");
    }
    f.sound().await;
}

async fn a_window_survives_the_death_of_its_holders(f: Fixture) {
    with_limit_of_member(&f).await;
    let month = window(&f, "member", "usr_1", Interval::Monthly);
    let purse = Purse {
        org: f.org.clone(),
        window: Some(month.clone()),
    };
    f.acquire("m1", run("a", 1), 10).await.unwrap();
    lease(&f, "l1", run("a", 1), &month, (8, 8)).await.unwrap();
    lease(&f, "l2", run("b", 1), &month, (8, 8)).await.unwrap();
    // The next run of a takes over and one request of the old one is in suspense.
    let mut lost = record(&f.org, 1, Outcome::Suspense, usd(3), usd(1));
    lost.windows = vec![month.clone()];
    f.ship(run("a", 1), &[lost]).await.unwrap();
    let batch = Batch {
        origin: run("a", 2),
        inherited: vec![shared::id::BootEpoch(1)],
        records: vec![spent(&f, 1, &month, 2)],
    };
    f.ledger.ship(FENCE, &batch).await.unwrap();
    f.ledger.ship(FENCE, &batch).await.unwrap();
    assert_eq!(
        holds(&f, &Account::lease(&purse, run("a", 2))).await,
        usd(3)
    );
    let used = Account::WindowUsed(f.org.clone(), month.clone());
    assert_eq!(holds(&f, &used).await, usd(5));
    // Nothing is heard of b: what it had is there again.
    f.clock.advance(Duration::from_secs(3 * 3600));
    f.ship(run("a", 2), &[]).await.unwrap();
    assert!(f.ledger.sweep(FENCE, f.clock.now()).await.unwrap() > 0);
    let rest = lease(&f, "l3", run("a", 2), &month, (12, 12))
        .await
        .unwrap();
    assert_eq!((rest.granted, rest.available), (usd(12), Amount::ZERO));
    // A report of b that comes late is in the window all the same.
    f.ship(run("b", 1), &[spent(&f, 1, &month, 1)])
        .await
        .unwrap();
    assert_eq!(holds(&f, &used).await, usd(6));
    f.sound().await;
}

async fn with_limit_of_member(f: &Fixture) {
    with_key(f, "{}").await;
    with_limit(f, "member", "usr_1", "monthly", 20).await;
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

/// A record of two days of the month, a key and a model, whose windows its edge did not know.
fn unlimited(f: &Fixture, sequence: u64, days_ago: u64, number: u8) -> UsageRecord {
    let cost = Amount(1_000_000_000_999 + i128::from(sequence));
    let mut record = record(&f.org, sequence, Outcome::Settled, usd(2), cost);
    record.key = key(number);
    record.started_unix_ms = f.clock.unix_ms() - days_ago * 86_400_000;
    record
}

async fn a_limit_counts_what_was_used_before_it_was_set(f: Fixture) {
    with_key(&f, "{}").await;
    f.acquire("m1", run("a", 1), 40).await.unwrap();
    let records = [
        unlimited(&f, 1, 0, 1),
        unlimited(&f, 2, 0, 2),
        unlimited(&f, 3, 400, 1),
    ];
    f.ship(run("a", 1), &records).await.unwrap();
    with_key(&f, r#"{"limit": "5", "limit_reset": "daily"}"#).await;
    with_limit(&f, "org", f.org.as_str(), "lifetime", 9).await;
    let day = window(&f, "key", &key(1).to_string(), Interval::Daily);
    let all = window(&f, "org", f.org.as_str(), Interval::Lifetime);
    let got = lease(&f, "l1", run("a", 1), &day, (1, 1)).await.unwrap();
    assert_eq!(got.granted + got.available, usd(5) - records[0].cost);
    let got = lease(&f, "l2", run("a", 1), &all, (1, 1)).await.unwrap();
    let used: Amount = records.iter().map(|record| record.cost).sum();
    assert_eq!(got.granted + got.available, usd(9) - used);
    // What was under way when the limits were set counts, too, and nothing counts twice.
    let mut knows = unlimited(&f, 5, 0, 1);
    knows.windows = vec![day.clone(), all.clone()];
    let more = [unlimited(&f, 4, 0, 1), knows, unlimited(&f, 6, 0, 2)];
    f.ship(run("a", 1), &more).await.unwrap();
    let by_key = records[0].cost + more[0].cost + more[1].cost;
    let of_day = Account::WindowUsed(f.org.clone(), day.clone());
    assert_eq!(holds(&f, &of_day).await, by_key);
    let used = used + more.iter().map(|record| record.cost).sum::<Amount>();
    let of_all = Account::WindowUsed(f.org.clone(), all);
    assert_eq!(holds(&f, &of_all).await, used);
    f.sound().await;
    // Long after, what does not name the window is not of it.
    f.clock.advance(Duration::from_secs(3600));
    f.ship(run("a", 1), &[unlimited(&f, 7, 0, 1)])
        .await
        .unwrap();
    assert_eq!(holds(&f, &of_day).await, by_key);
    f.sound().await;
}

/// What edges are told of when a rule over the organisation's keys, or a key, changes.
async fn changed(f: &Fixture, sequence: i64, org: &str, key: &str) {
    let mut sql = f.on.database.write().await.unwrap();
    sqlx::query(
        "INSERT INTO account_events (sequence, kind, key_id, org, unix_ms)
         VALUES ($1, CASE WHEN $3 = '' THEN 'changed' ELSE 'org' END, $2, $3, 0)",
    )
    .bind(sequence)
    .bind(key.to_owned())
    .bind(org.to_owned())
    .execute(&mut *sql)
    .await
    .unwrap();
    sql.commit().await.unwrap();
}

async fn a_limit_that_was_away_counts_what_was_used_meanwhile(f: Fixture) {
    let limited = r#"{"limit": "20", "limit_reset": "daily"}"#;
    with_key(&f, limited).await;
    f.acquire("m1", run("a", 1), 40).await.unwrap();
    let id = key(1).to_string();
    let day = window(&f, "key", &id, Interval::Daily);
    let used = Account::WindowUsed(f.org.clone(), day.clone());
    lease(&f, "l1", run("a", 1), &day, (2, 2)).await.unwrap();
    let mut before = unlimited(&f, 1, 0, 1);
    before.windows = vec![day.clone()];
    let mut lost = unlimited(&f, 2, 0, 1);
    lost.windows = vec![day.clone()];
    lost.outcome = Outcome::Suspense;
    lost.held = usd(2);
    let cost = before.cost;
    f.ship(run("a", 1), &[before, lost]).await.unwrap();
    assert_eq!(holds(&f, &used).await, cost + usd(2));
    // Much later the limit goes, two requests are not limited, and it comes back.
    f.clock.advance(Duration::from_mins(20));
    with_key(&f, "{}").await;
    changed(&f, 1, "", &id).await;
    let free = [unlimited(&f, 3, 0, 1), unlimited(&f, 4, 0, 1)];
    f.ship(run("a", 1), &free[..1]).await.unwrap();
    assert_eq!(holds(&f, &used).await, cost + usd(2), "nobody asks for it");
    with_key(&f, limited).await;
    changed(&f, 2, "", &id).await;
    let whole = cost + usd(2) + free[0].cost;
    for id in ["l2", "l3"] {
        let got = lease(&f, id, run("a", 1), &day, (1, 1)).await.unwrap();
        assert_eq!(got.granted, usd(1));
        assert_eq!(holds(&f, &used).await, whole);
    }
    // The one that was under way counts, too; after another's change nothing counts twice.
    f.ship(run("a", 1), &free[1..]).await.unwrap();
    let whole = whole + free[1].cost;
    assert_eq!(holds(&f, &used).await, whole);
    changed(&f, 3, f.org.as_str(), "").await;
    lease(&f, "l4", run("a", 1), &day, (1, 1)).await.unwrap();
    assert_eq!(holds(&f, &used).await, whole);
    f.sound().await;
}

async fn what_nobody_leased_is_taken_from_no_lease(f: Fixture) {
    with_key(&f, "{}").await;
    f.acquire("m1", run("a", 1), 40).await.unwrap();
    with_key(&f, r#"{"limit": "10", "limit_reset": "daily"}"#).await;
    let day = window(&f, "key", &key(1).to_string(), Interval::Daily);
    let got = lease(&f, "l1", run("a", 1), &day, (5, 5)).await.unwrap();
    assert_eq!((got.granted, got.available), (usd(5), usd(5)));
    // Begun before its edge knew of the limit: a goes on with the whole lease that it has.
    let late = unlimited(&f, 1, 0, 1);
    f.ship(run("a", 1), std::slice::from_ref(&late))
        .await
        .unwrap();
    let purse = Purse {
        org: f.org.clone(),
        window: Some(day.clone()),
    };
    assert_eq!(
        holds(&f, &Account::lease(&purse, run("a", 1))).await,
        usd(5)
    );
    let rest = usd(5) - late.cost;
    let request = LeaseRequest {
        origin: run("b", 1),
        purse,
        lease_id: "l2".to_owned(),
        wanted: usd(5),
        least: rest + Amount(1),
        need: None,
    };
    let got = f.ledger.acquire(FENCE, &request).await.unwrap();
    assert_eq!((got.granted, got.available), (Amount::ZERO, rest));
    f.sound().await;
}

async fn a_limit_that_was_exceeded_before_it_was_set_lends_nothing(f: Fixture) {
    with_key(&f, "{}").await;
    f.acquire("m1", run("a", 1), 40).await.unwrap();
    let records = [unlimited(&f, 1, 0, 1), unlimited(&f, 2, 0, 1)];
    f.ship(run("a", 1), &records).await.unwrap();
    with_key(&f, r#"{"limit": "1"}"#).await;
    let life = window(&f, "key", &key(1).to_string(), Interval::Lifetime);
    for id in ["l1", "l2"] {
        let got = lease(&f, id, run("a", 1), &life, (1, 1)).await.unwrap();
        assert_eq!(got.granted, Amount::ZERO);
        assert!(got.available < Amount::ZERO);
    }
    with_key(&f, r#"{"limit": "10"}"#).await;
    let got = lease(&f, "l3", run("a", 1), &life, (1, 1)).await.unwrap();
    let used = records[0].cost + records[1].cost;
    assert_eq!(got.granted + got.available, usd(10) - used);
    f.sound().await;
}

async fn free_requests_a_day_follow_from_what_was_bought(f: Fixture) {
    let day = window(&f, "free", f.org.as_str(), Interval::Daily);
    let ask = |id: &'static str| LeaseRequest {
        origin: run("a", 1),
        purse: Purse {
            org: f.org.clone(),
            window: Some(day.clone()),
        },
        lease_id: id.to_owned(),
        wanted: Amount(2_000),
        least: Amount(50),
        need: None,
    };
    let most = f.ledger.acquire(FENCE, &ask("f1")).await.unwrap();
    assert_eq!((most.granted, most.available), (Amount(50), Amount::ZERO));
    let none = f.ledger.acquire(FENCE, &ask("f2")).await.unwrap();
    assert_eq!(none.granted, Amount::ZERO);
    f.ledger
        .purchase(FENCE, &f.org, "card", usd(10))
        .await
        .unwrap();
    let more = f.ledger.acquire(FENCE, &ask("f3")).await.unwrap();
    assert_eq!(more.granted + more.available, Amount(950));
    let other = window(&f, "free", "org_b", Interval::Daily);
    let request = LeaseRequest {
        purse: Purse {
            org: f.org.clone(),
            window: Some(other),
        },
        ..ask("f4")
    };
    let refused = f.ledger.acquire(FENCE, &request).await;
    assert!(matches!(refused, Err(LedgerError::NoLimit)));
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

async fn a_guardrails_budget_is_lent_while_it_holds(f: Fixture) {
    with_key(&f, "{}").await;
    let hash = key(1).to_string();
    let set = async |statement: &'static str| {
        let mut sql = f.on.database.write().await.unwrap();
        let query = sqlx::query(statement).bind(f.org.as_str());
        let done = query.execute(&mut *sql).await.unwrap();
        sql.commit().await.unwrap();
        done.rows_affected()
    };
    let rules = "INSERT INTO guardrails
             (id, org, workspace, name, description, rules, created_unix_ms, updated_unix_ms)
         VALUES ('g1', $1, '', 'g', '', '{\"limit_usd\": \"9\"}', 0, 0)";
    assert_eq!(set(rules).await, 1);
    let life = window(
        &f,
        "guardrail",
        &format!("g1/key/{hash}"),
        Interval::Lifetime,
    );
    let none = lease(&f, "l1", run("a", 1), &life, (4, 4)).await;
    assert!(
        matches!(none, Err(LedgerError::NoLimit)),
        "of nobody: {none:?}"
    );
    let assign = "INSERT INTO guardrail_assignments
             (org, kind, subject, guardrail, assigned_by, created_unix_ms)
         VALUES ($1, 'organization', $1, 'g1', 'x', 0)";
    assert_eq!(set(assign).await, 1);
    let lent = lease(&f, "l2", run("a", 1), &life, (4, 4)).await.unwrap();
    assert_eq!((lent.granted, lent.available), (usd(4), usd(5)));
    let other = window(&f, "guardrail", "g1/key/x", Interval::Lifetime);
    let none = lease(&f, "l3", run("a", 1), &other, (4, 4)).await;
    assert!(
        matches!(none, Err(LedgerError::NoLimit)),
        "no such key: {none:?}"
    );
    assert_eq!(
        set("DELETE FROM guardrail_assignments WHERE org = $1").await,
        1
    );
    let none = lease(&f, "l4", run("a", 1), &life, (4, 4)).await;
    assert!(
        matches!(none, Err(LedgerError::NoLimit)),
        "no longer: {none:?}"
    );
}

/// A guardrail of a workspace: what its members spend in others is not in their budgets.
async fn a_members_budget_counts_the_keys_that_it_holds_for(f: Fixture) {
    with_key(&f, "{}").await;
    let mut sql = f.on.database.write().await.unwrap();
    for statement in [
        "UPDATE api_keys SET workspace = 'ws_a', created_by = 'usr_1' WHERE org = $1 AND id = $2",
        "INSERT INTO api_keys
             (id, org, name, label, kind, policy, workspace, created_by, created_unix_ms)
         VALUES ($2, $1, 'k', 'k', 'inference', '{}', 'ws_b', 'usr_1', 0)",
        "INSERT INTO guardrails
             (id, org, workspace, name, description, rules, created_unix_ms, updated_unix_ms)
         SELECT 'g1', $1, '', 'g', '', '{\"limit_usd\": \"9\"}', 0, 0 WHERE $2 <> ''",
        "INSERT INTO guardrail_assignments
             (org, kind, subject, guardrail, assigned_by, created_unix_ms)
         SELECT $1, 'workspace', 'ws_a', 'g1', 'x', 0 WHERE $2 <> ''",
    ] {
        let id = if statement.contains("'ws_b'") { 2 } else { 1 };
        let query = sqlx::query(statement).bind(f.org.as_str());
        let query = query.bind(key(id).to_string());
        query.execute(&mut *sql).await.unwrap();
    }
    sql.commit().await.unwrap();
    f.acquire("m1", run("a", 1), 10).await.unwrap();
    let of = |sequence: u64, id: u8| {
        let mut record = record(&f.org, sequence, Outcome::Settled, usd(3), usd(3));
        record.key = key(id);
        record
    };
    f.ship(run("a", 1), &[of(1, 1), of(2, 2)]).await.unwrap();
    let life = window(&f, "guardrail", "g1/member/usr_1", Interval::Lifetime);
    let lent = lease(&f, "l1", run("a", 1), &life, (1, 1)).await.unwrap();
    assert_eq!((lent.granted, lent.available), (usd(1), usd(5)));
    // The same of what comes when the window is open.
    f.ship(run("a", 1), &[of(3, 2)]).await.unwrap();
    let used = Account::WindowUsed(f.org.clone(), life.clone());
    assert_eq!(holds(&f, &used).await, usd(3));
    f.ship(run("a", 1), &[of(4, 1)]).await.unwrap();
    assert_eq!(holds(&f, &used).await, usd(6));
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
    what_little_is_left_of_a_window_is_reserved_request_by_request,
    edges_together_lease_no_more_than_the_limit,
    a_window_ends_and_the_next_is_whole,
    a_window_survives_the_death_of_its_holders,
    a_request_that_is_counted_counts_however_it_ends,
    free_requests_a_day_follow_from_what_was_bought,
    a_limit_counts_what_was_used_before_it_was_set,
    a_limit_that_was_exceeded_before_it_was_set_lends_nothing,
    a_limit_that_was_away_counts_what_was_used_meanwhile,
    what_nobody_leased_is_taken_from_no_lease,
    a_fee_on_spend_is_a_posting_of_its_own,
    a_guardrails_budget_is_lent_while_it_holds,
    a_members_budget_counts_the_keys_that_it_holds_for,
    a_wrong_window_is_found,
}

proptest! {
    /// However edges ask, use and give back, what is out and used stays within the limit.
    #[test]
    fn grants_never_exceed_the_limit(
        limit in 0_i128..10_000,
        steps in prop::collection::vec((0_usize..6, 0_u8..3, 0_i128..5_000, 0_i128..5_000), 1..80),
    ) {
        let mut leases = [Amount::ZERO; 6];
        let mut used = Amount::ZERO;
        for (edge, kind, a, b) in steps {
            let lent: Amount = leases.iter().copied().sum();
            match kind {
                0 => {
                    let (wanted, least) = (Amount(a.max(b)), Amount(a.min(b)));
                    let has = Amount(limit) - lent - used;
                    let granted = balance::grant(has, leases[edge], wanted, (least, Amount::ZERO));
                    prop_assert!(granted >= Amount::ZERO && granted <= has.at_least_zero());
                    prop_assert!(granted == Amount::ZERO || granted >= least);
                    leases[edge] += granted;
                }
                1 => {
                    let cost = Amount(a).min(leases[edge]);
                    leases[edge] -= cost;
                    used += cost;
                }
                _ => leases[edge] -= Amount(a).min(leases[edge]),
            }
            let out: Amount = leases.iter().copied().sum();
            prop_assert!(out + used <= Amount(limit));
        }
    }
}
