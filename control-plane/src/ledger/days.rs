//! What is counted per day, on real databases of both kinds: equal to the books to the last digit,
//! and found out when it is not.

use super::activity::ActivityFilter;
use super::tests::{FENCE, Fixture, fixture, key, record, run, usd};
use super::*;
use crate::testing::on_both;
use shared::date::DAY_S;
use shared::record::{Outcome, UsageRecord};
use sqlx::Executor;

const DAY_MS: u64 = DAY_S * 1000;

/// A record of a day, a key and a model, of an odd number of pico-dollars.
fn used(f: &Fixture, sequence: u64, day: u64, number: u8, outcome: Outcome) -> UsageRecord {
    let cost = Amount(1_000_000_000_999 + i128::from(sequence));
    let mut record = record(&f.org, sequence, outcome, usd(2), cost);
    record.key = key(number);
    record.started_unix_ms = day * DAY_MS + 5;
    record.model = Some(
        if sequence.is_multiple_of(2) {
            "a/b"
        } else {
            "a/c"
        }
        .into(),
    );
    record.provider = Some("acme".into());
    record.upstream_id = format!("up-{sequence}");
    record.usage.completion = 3;
    record.usage.cache_read = 2;
    record
}

async fn days_equal_the_books(f: Fixture) {
    f.acquire("l1", run("n", 1), 60).await.unwrap();
    let today = f.clock.unix_s() / DAY_S;
    let days = [today, today - 1, today - 40, today];
    let mut sequence = 0;
    for batch in 0..3 {
        let records: Vec<_> = (0..8_u8)
            .map(|n| {
                sequence += 1;
                let outcome = match n {
                    6 => Outcome::Suspense,
                    7 => Outcome::Released,
                    _ => Outcome::Settled,
                };
                used(&f, sequence, days[usize::from(n % 4)], n % 2 + 1, outcome)
            })
            .collect();
        f.ship(run("n", 1), &records).await.unwrap();
        // Again: nothing is counted twice.
        f.ship(run("n", 1), &records).await.unwrap();
        f.sound().await;
        equal(&f, 7 * (batch + 1)).await;
    }
    let bill = Bill {
        provider: "acme".into(),
        lines: vec![BillLine {
            id: "up-7".to_owned(),
            billed: Billed::Usd(Amount(1_234_567_891_011)),
        }],
        complete_until_unix_ms: None,
    };
    for _ in 0..2 {
        f.ledger
            .reconcile(FENCE, &bill, |_, _, _| None)
            .await
            .unwrap();
        f.sound().await;
        equal(&f, 21).await;
    }
}

/// Keys' totals are the books', and the days' sums.
async fn equal(f: &Fixture, requests: u64) {
    let booked = f.ledger.usage_by_key(Some(&f.org)).await.unwrap();
    let keys = [key(1), key(2)];
    let counted = f.ledger.usage_of_keys(&keys).await.unwrap();
    let today = f.clock.unix_s() / DAY_S;
    let mut filter = ActivityFilter {
        org: f.org.clone(),
        from: 0,
        until: today + 1,
        key: None,
        member: None,
        workspace: None,
        by_workspace: false,
        offset: 0,
        limit: u64::MAX,
    };
    let (all, next) = f.ledger.activity(&filter).await.unwrap();
    assert_eq!(next, None);
    let (mut paged, mut next) = (Vec::new(), Some(0));
    while let Some(offset) = next {
        let page = ActivityFilter {
            offset,
            limit: 2,
            ..filter.clone()
        };
        let rows;
        (rows, next) = f.ledger.activity(&page).await.unwrap();
        assert!(next.is_none() || rows.len() == 2);
        paged.extend(rows);
    }
    assert_eq!(paged, all, "nothing is left out");
    assert_eq!(all.iter().map(|row| row.requests).sum::<u64>(), requests);
    let tokens = |row: &super::activity::ActivityRow| (row.prompt, row.cached, row.completion);
    assert!(
        all.iter()
            .all(|row| { tokens(row) == (7 * row.requests, 2 * row.requests, 3 * row.requests) })
    );
    for id in keys {
        let usage = counted[&id];
        assert_eq!(usage.total, booked[&id]);
        filter.key = Some(id);
        let (rows, _) = f.ledger.activity(&filter).await.unwrap();
        let sum: Amount = rows.iter().map(|row| row.cost).sum();
        assert_eq!(sum, usage.total);
        let of_today = rows.iter().filter(|row| row.day == today);
        assert_eq!(of_today.map(|row| row.cost).sum::<Amount>(), usage.daily);
        assert!(usage.daily <= usage.weekly && usage.weekly <= usage.total);
    }
}

async fn a_changed_day_is_found(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    let records = [used(&f, 1, 20_000, 1, Outcome::Settled)];
    f.ship(run("n", 1), &records).await.unwrap();
    f.sound().await;
    for change in [
        "UPDATE usage_days SET cost_pico_rem = cost_pico_rem + 1",
        "UPDATE usage_days SET requests = requests + 1, cost_pico_rem = cost_pico_rem - 1",
        "UPDATE usage_days SET prompt_tokens = prompt_tokens + 1, requests = requests - 1",
        "UPDATE usage_days SET fee_pico_rem = fee_pico_rem + 1",
        "DELETE FROM usage_days",
    ] {
        let mut transaction = f.database().write().await.unwrap();
        transaction.execute(change).await.unwrap();
        transaction.commit().await.unwrap();
        let verdict = f.ledger.verify().await.unwrap();
        assert_eq!(verdict.problems.len(), 1, "{change}: {verdict:?}");
    }
}

async fn a_generation_is_found_by_its_organisation(f: Fixture) {
    f.acquire("l1", run("n", 1), 10).await.unwrap();
    let record = used(&f, 1, 20_000, 1, Outcome::Settled);
    f.ship(run("n", 1), std::slice::from_ref(&record))
        .await
        .unwrap();
    let id = record.generation.as_str();
    let found = f.ledger.generation(&f.org, id).await.unwrap().unwrap();
    assert_eq!((found.cost, found.usage), (record.cost, record.usage));
    assert_eq!((&*found.model, &*found.provider), ("a/c", "acme"));
    let other = OrgId::from("org_b");
    assert_eq!(f.ledger.generation(&other, id).await.unwrap(), None);
    assert_eq!(f.ledger.generation(&f.org, "gen-\0").await.unwrap(), None);
    // What a bill corrects of an estimate is told as what was charged in the end.
    let mut guessed = used(&f, 2, 20_000, 1, Outcome::Settled);
    guessed.usage.estimated = true;
    guessed.upstream_id = "up-2".to_owned();
    f.ship(run("n", 1), std::slice::from_ref(&guessed))
        .await
        .unwrap();
    let billed = Amount(guessed.cost.0 / 2);
    let bill = Bill {
        provider: "acme".into(),
        lines: vec![BillLine {
            id: "up-2".to_owned(),
            billed: Billed::Usd(billed),
        }],
        complete_until_unix_ms: None,
    };
    f.ledger
        .reconcile(FENCE, &bill, |_, _, _| None)
        .await
        .unwrap();
    let id = guessed.generation.as_str();
    let found = f.ledger.generation(&f.org, id).await.unwrap().unwrap();
    assert_eq!(found.cost, billed);
}

on_both! {
    days_equal_the_books,
    a_changed_day_is_found,
    a_generation_is_found_by_its_organisation,
}
