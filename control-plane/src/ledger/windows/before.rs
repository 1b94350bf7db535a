//! What was used before a limit was set, or while it was away, counts in its windows.

use super::*;

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

on_both! {
    a_limit_counts_what_was_used_before_it_was_set,
    a_limit_that_was_away_counts_what_was_used_meanwhile,
    what_nobody_leased_is_taken_from_no_lease,
    a_limit_that_was_exceeded_before_it_was_set_lends_nothing,
}
