//! The fee on own provider keys, on real databases of both kinds: exact over edges, batches and
//! months, whatever is repeated, and found out when it is not.

use super::*;
use crate::ledger::Terms;
use crate::ledger::tests::{FENCE, Fixture, fixture, key, record, run, usd};
use crate::testing::on_both;
use proptest::prelude::*;
use shared::id::OrgId;
use shared::limit::Window;
use sqlx::Executor;

const MONTH_MS: u64 = 31 * 86_400_000;

fn own(f: &Fixture, sequence: u64, dollars: i128, unix_ms: u64) -> UsageRecord {
    let mut record = record(&f.org, sequence, Outcome::Settled, usd(1), usd(dollars));
    record.own_key = true;
    record.fee_ppm = 50_000;
    record.provider = Some("acme".into());
    record.started_unix_ms = unix_ms;
    record
}

async fn agree(f: &Fixture, dollars: i128, requests: u64) {
    let terms = Terms {
        byok_free: Allowance {
            list: usd(dollars),
            requests,
        },
        ..Terms::default()
    };
    f.ledger.set_terms(FENCE, &f.org, terms).await.unwrap();
    assert_eq!(f.ledger.terms_of(&f.org).await.unwrap(), terms);
}

async fn fees(f: &Fixture) -> Amount {
    f.totals().await.fees
}

fn cents(cents: i128) -> Amount {
    Amount(cents * Amount::USD.0 / 100)
}

async fn the_fee_begins_where_the_allowance_ends(f: Fixture) {
    agree(&f, 100, 0).await;
    f.acquire("l1", run("a", 1), 20).await.unwrap();
    f.acquire("l2", run("b", 1), 20).await.unwrap();
    f.ship(run("a", 1), &[own(&f, 1, 60, 1)]).await.unwrap();
    assert_eq!(fees(&f).await, Amount::ZERO);
    // Another edge; the 40 that are left are free, then it is 5 %.
    let batch = [own(&f, 1, 30, 2), own(&f, 2, 30, 3), own(&f, 3, 7, 4)];
    f.ship(run("b", 1), &batch).await.unwrap();
    f.ship(run("b", 1), &batch).await.unwrap();
    assert_eq!(fees(&f).await, cents(5 * 20 + 35));
    f.sound().await;
    // The next month begins anew; a request of the old one that comes late does not.
    let late = [own(&f, 2, 90, MONTH_MS), own(&f, 3, 20, 5)];
    f.ship(run("a", 1), &late).await.unwrap();
    assert_eq!(fees(&f).await, cents(5 * 20 + 35 + 100));
    let totals = f.totals().await;
    assert_eq!((totals.used, totals.overrun), (Amount::ZERO, Amount::ZERO));
    // All money is there but the fees.
    let leased = totals.leased;
    assert_eq!(totals.available + leased + totals.fees, usd(100));
    f.sound().await;
}

async fn the_first_requests_may_be_free(f: Fixture) {
    agree(&f, 0, 2).await;
    f.acquire("l1", run("a", 1), 20).await.unwrap();
    let batch = [own(&f, 1, 50, 1), own(&f, 2, 50, 2), own(&f, 3, 1, 3)];
    f.ship(run("a", 1), &batch).await.unwrap();
    assert_eq!(fees(&f).await, cents(5));
    let mut released = own(&f, 4, 0, 4);
    released.outcome = Outcome::Released;
    f.ship(run("a", 1), &[released, own(&f, 5, 2, 5)])
        .await
        .unwrap();
    assert_eq!(fees(&f).await, cents(15));
    f.sound().await;
}

async fn shared_endpoints_and_own_keys_are_told_apart(f: Fixture) {
    agree(&f, 0, 0).await;
    f.acquire("l1", run("a", 1), 20).await.unwrap();
    let mut shared = own(&f, 1, 3, 1);
    shared.own_key = false;
    shared.fee_ppm = 10_000;
    let month: Window = "workspace:ws_1:monthly:0".parse().unwrap();
    let mut counted = own(&f, 2, 4, 1);
    counted.windows = vec![month.clone()];
    f.ship(run("a", 1), &[shared, counted]).await.unwrap();
    assert_eq!(fees(&f).await, cents(3 + 20));
    assert_eq!(f.owed("acme").await, usd(3));
    assert_eq!(f.totals().await.used, usd(3));
    // The limit counts the list price; keys and days tell both apart.
    let used = Account::WindowUsed(f.org.clone(), month);
    let mut book = f.ledger.book_of(FENCE, &f.org).await.unwrap();
    assert_eq!(book.balance(&used).await.unwrap(), usd(4));
    drop(book);
    let usage = f.ledger.usage_of_keys(&[key(1)]).await.unwrap()[&key(1)];
    assert_eq!((usage.total, usage.byok.total), (usd(3), usd(4)));
    f.sound().await;
    // A bill that names it is about nothing that was charged.
    let lines = vec![crate::ledger::BillLine {
        id: "up".to_owned(),
        billed: crate::ledger::Billed::Usd(usd(3)),
    }];
    let bill = crate::ledger::Bill {
        provider: "acme".into(),
        lines,
        complete_until_unix_ms: Some(u64::MAX),
    };
    let done = f.ledger.reconcile(FENCE, &bill, |_, _| None).await.unwrap();
    assert_eq!((done.equal, done.settled, done.released), (1, 0, 0));
    f.sound().await;
}

async fn what_the_balance_does_not_carry_is_owed(f: Fixture) {
    agree(&f, 0, 0).await;
    let poor = OrgId::from("org_poor");
    let mut record = own(&f, 1, 10, 1);
    record.org = poor.clone();
    f.ship(run("a", 1), &[record]).await.unwrap();
    // The default holds for whom nothing was agreed with: it is given back.
    let totals = f.ledger.totals().await.unwrap()[&poor];
    assert_eq!((totals.fees, totals.overrun), (Amount::ZERO, Amount::ZERO));
    let mut record = own(&f, 2, 10, 1);
    record.started_unix_ms = 2;
    f.ship(run("a", 1), &[record]).await.unwrap();
    let totals = f.totals().await;
    assert_eq!(
        (totals.fees, totals.available),
        (cents(50), usd(100) - cents(50))
    );
    f.sound().await;
}

async fn a_wrong_fee_or_count_is_found(f: Fixture) {
    agree(&f, 5, 0).await;
    f.acquire("l1", run("a", 1), 20).await.unwrap();
    f.ship(run("a", 1), &[own(&f, 1, 10, 1)]).await.unwrap();
    f.sound().await;
    for change in [
        "UPDATE usage_records SET fee_pico_rem = fee_pico_rem + 1",
        "UPDATE usage_records SET cost_nano = cost_nano + 1, fee_pico_rem = fee_pico_rem - 1",
        "UPDATE usage_records SET own_key = 0, cost_nano = cost_nano - 1",
        "UPDATE usage_days SET byok_pico_rem = byok_pico_rem + 1",
    ] {
        let mut transaction = f.database().write().await.unwrap();
        transaction.execute(change).await.unwrap();
        transaction.commit().await.unwrap();
        let verdict = f.ledger.verify().await.unwrap();
        assert!(!verdict.problems.is_empty(), "{change}");
    }
}

on_both! {
    the_fee_begins_where_the_allowance_ends,
    the_first_requests_may_be_free,
    shared_endpoints_and_own_keys_are_told_apart,
    what_the_balance_does_not_carry_is_owed,
    a_wrong_fee_or_count_is_found,
}

proptest! {
    /// However requests are ordered, each is charged no more than the whole fee, and together they
    /// are charged for what is beyond the allowance, but for the rounding of one.
    #[test]
    fn the_fee_is_on_what_is_beyond(
        list in 0_i128..5_000_000,
        costs in prop::collection::vec(0_i128..1_000_000, 1..40),
    ) {
        let allowance = Allowance { list: Amount(list), requests: 0 };
        let mut before = Served::default();
        let mut charged = Amount::ZERO;
        for cost in &costs {
            let mut record = record(&"org_a".into(), 1, Outcome::Settled, usd(1), Amount(*cost));
            record.fee_ppm = 1_000_000;
            record.own_key = true;
            let fee = net_fee(&allowance, before, &record);
            prop_assert!(fee >= Amount::ZERO && fee <= record.fee());
            charged += fee;
            before.list += record.cost;
            before.requests += 1;
        }
        let beyond = (before.list - allowance.list).at_least_zero();
        prop_assert_eq!(charged, beyond);
    }
}
