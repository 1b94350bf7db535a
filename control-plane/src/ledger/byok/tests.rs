//! The fee on own provider keys, on real databases of both kinds: exact over edges, batches and
//! months, whatever is repeated, and found out when it is not.

use super::*;
use crate::ledger::activity::ActivityFilter;
use crate::ledger::tests::{FENCE, Fixture, fixture, key, record, run, usd};
use crate::ledger::{LeaseRequest, Part, ReleaseRequest};
use crate::testing::on_both;
use proptest::prelude::*;
use shared::id::OrgId;
use shared::record::Origin;
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

/// The fees that are told of all days together.
async fn told_fees(f: &Fixture) -> Amount {
    let filter = ActivityFilter {
        org: f.org.clone(),
        from: 0,
        until: 1_000_000,
        key: None,
        member: None,
        workspace: None,
        by_workspace: false,
        offset: 0,
        limit: 1000,
    };
    let (rows, _) = f.ledger.activity(&filter).await.unwrap();
    rows.iter().map(|row| row.fee).sum()
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
    assert_eq!(told_fees(&f).await, totals.fees);
    f.sound().await;
}

fn of_month(f: &Fixture, unix_ms: u64) -> Purse {
    let [list, ..] = months(&f.org, unix_ms);
    Purse {
        org: f.org.clone(),
        window: Some(list),
    }
}

async fn lease(f: &Fixture, id: &str, origin: Origin, dollars: i128) -> Amount {
    let request = LeaseRequest {
        origin,
        purse: of_month(f, f.clock.unix_ms()),
        lease_id: id.to_owned(),
        wanted: usd(dollars),
        least: usd(dollars),
        need: None,
    };
    f.ledger.acquire(FENCE, &request).await.unwrap().granted
}

/// A record of this month of which so much was leased.
fn leased(f: &Fixture, sequence: u64, dollars: i128, free: i128) -> UsageRecord {
    let mut record = own(f, sequence, dollars, f.clock.unix_ms());
    record.windows.extend(of_month(f, f.clock.unix_ms()).window);
    record.fee_free = usd(free);
    record
}

async fn back(f: &Fixture, id: &str, origin: Origin, dollars: i128) {
    let back = ReleaseRequest {
        origin,
        purse: of_month(f, f.clock.unix_ms()),
        release_id: id.to_owned(),
        part: Part::Amount(usd(dollars), None),
    };
    f.ledger.release(FENCE, &back).await.unwrap();
    f.ledger.release(FENCE, &back).await.unwrap();
}

async fn what_a_lease_of_the_allowance_carries_needs_no_money(f: Fixture) {
    agree(&f, 100, 0).await;
    assert_eq!(lease(&f, "l1", run("a", 1), 60).await, usd(60));
    f.acquire("m1", run("b", 1), 20).await.unwrap();
    assert_eq!(lease(&f, "l2", run("b", 1), 60).await, Amount::ZERO);
    // What a has leased is not free for others: 40 are, 5 % is due on the rest.
    let month = f.clock.unix_ms();
    f.ship(run("b", 1), &[own(&f, 1, 60, month)]).await.unwrap();
    assert_eq!(fees(&f).await, cents(100));
    // a has no money here and needs none.
    f.ship(run("a", 1), &[leased(&f, 1, 30, 30)]).await.unwrap();
    assert_eq!(fees(&f).await, cents(100));
    f.sound().await;
    // What comes back unused pays for what was charged meanwhile, and no more.
    back(&f, "r1", run("a", 1), 15).await;
    assert_eq!(fees(&f).await, cents(25));
    f.sound().await;
    back(&f, "r2", run("a", 1), 15).await;
    assert_eq!(fees(&f).await, Amount::ZERO);
    f.sound().await;
    // The ten that are left; of a record whose lease carried a part of it, the other part.
    assert_eq!(lease(&f, "l3", run("a", 1), 10).await, usd(10));
    f.acquire("m2", run("a", 1), 20).await.unwrap();
    f.ship(run("a", 1), &[leased(&f, 2, 50, 10)]).await.unwrap();
    assert_eq!(fees(&f).await, cents(200));
    let totals = f.totals().await;
    assert_eq!((totals.used, totals.overrun), (Amount::ZERO, Amount::ZERO));
    assert_eq!(totals.available + totals.leased + totals.fees, usd(100));
    f.sound().await;
    let changed = "UPDATE balances SET nano = nano + 1 WHERE account LIKE '%byok_fees%'";
    let mut transaction = f.database().write().await.unwrap();
    transaction.execute(changed).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(!f.ledger.verify().await.unwrap().problems.is_empty());
}

async fn a_lease_that_nobody_returns_is_regained(f: Fixture) {
    agree(&f, 10, 0).await;
    assert_eq!(lease(&f, "l1", run("a", 1), 10).await, usd(10));
    f.acquire("m1", run("b", 1), 20).await.unwrap();
    let month = f.clock.unix_ms();
    f.ship(run("b", 1), &[own(&f, 1, 30, month)]).await.unwrap();
    assert_eq!(fees(&f).await, cents(150));
    f.clock.advance(std::time::Duration::from_secs(3 * 3600));
    f.ship(run("b", 1), &[]).await.unwrap();
    assert!(f.ledger.sweep(FENCE, f.clock.now()).await.unwrap() > 0);
    assert_eq!(fees(&f).await, cents(100));
    f.sound().await;
}

async fn requests_are_free_by_number_where_they_were_leased(f: Fixture) {
    agree(&f, 0, 2).await;
    let [_, requests, _] = months(&f.org, f.clock.unix_ms());
    let request = LeaseRequest {
        origin: run("a", 1),
        purse: Purse {
            org: f.org.clone(),
            window: Some(requests.clone()),
        },
        lease_id: "l1".to_owned(),
        wanted: Amount(1),
        least: Amount(1),
        need: None,
    };
    let granted = f.ledger.acquire(FENCE, &request).await.unwrap().granted;
    assert_eq!(granted, Amount(1));
    f.acquire("m1", run("b", 1), 20).await.unwrap();
    let month = f.clock.unix_ms();
    let batch = [own(&f, 1, 20, month), own(&f, 2, 20, month)];
    f.ship(run("b", 1), &batch).await.unwrap();
    assert_eq!(fees(&f).await, cents(100), "one was free, one is leased");
    let mut free = own(&f, 1, 70, month);
    free.windows.push(requests);
    free.fee_free = free.cost;
    f.ship(run("a", 1), &[free]).await.unwrap();
    assert_eq!(fees(&f).await, cents(100));
    f.sound().await;
}

async fn a_free_request_that_nobody_made_is_regained(f: Fixture) {
    agree(&f, 0, 2).await;
    let [_, requests, _] = months(&f.org, f.clock.unix_ms());
    let purse = Purse {
        org: f.org.clone(),
        window: Some(requests),
    };
    let request = LeaseRequest {
        origin: run("a", 1),
        purse: purse.clone(),
        lease_id: "l1".to_owned(),
        wanted: Amount(2),
        least: Amount(2),
        need: None,
    };
    let granted = f.ledger.acquire(FENCE, &request).await.unwrap().granted;
    assert_eq!(granted, Amount(2));
    f.acquire("m1", run("b", 1), 20).await.unwrap();
    let month = f.clock.unix_ms();
    let batch = [1, 2, 3].map(|sequence| own(&f, sequence, 20, month));
    f.ship(run("b", 1), &batch).await.unwrap();
    assert_eq!(fees(&f).await, cents(300), "all of them are leased");
    for (id, fee) in [("r1", 200), ("r2", 100)] {
        let back = ReleaseRequest {
            origin: run("a", 1),
            purse: purse.clone(),
            release_id: id.to_owned(),
            part: Part::Amount(Amount(1), None),
        };
        f.ledger.release(FENCE, &back).await.unwrap();
        f.ledger.release(FENCE, &back).await.unwrap();
        assert_eq!(fees(&f).await, cents(fee), "{id}");
        f.sound().await;
    }
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
    assert_eq!(told_fees(&f).await, cents(3 + 20));
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
        complete_until_unix_ms: Some(f.clock.unix_ms()),
    };
    let done = f
        .ledger
        .reconcile(FENCE, &bill, |_, _, _| None)
        .await
        .unwrap();
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
    what_a_lease_of_the_allowance_carries_needs_no_money,
    a_lease_that_nobody_returns_is_regained,
    requests_are_free_by_number_where_they_were_leased,
    a_free_request_that_nobody_made_is_regained,
    the_first_requests_may_be_free,
    shared_endpoints_and_own_keys_are_told_apart,
    what_the_balance_does_not_carry_is_owed,
    a_wrong_fee_or_count_is_found,
}

proptest! {
    /// However requests are ordered and leases of the allowance go out, are used and come back: once
    /// none is out, what is charged is the fee on what is beyond the allowance, but for the rounding
    /// of each; and never more than what is beyond what was not leased.
    #[test]
    fn the_fee_is_on_what_is_beyond(
        allowance in 0_i128..5_000_000_000,
        steps in prop::collection::vec((0_u8..4, 0_i128..1_000_000_000), 1..60),
    ) {
        let mut month = Month { list: Amount(allowance), requests: Amount::ZERO };
        let (mut leased, mut fees, mut used) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
        let regain = |month: &mut Month, fees: &mut Amount, back: Amount| {
            let before = -month.list;
            month.list += back;
            *fees = still_charged(*fees, before, (-month.list).at_least_zero());
        };
        for (kind, amount) in &steps {
            let amount = Amount(*amount);
            match kind {
                0 => {
                    let grant = amount.min(month.list).at_least_zero();
                    month.list -= grant;
                    leased += grant;
                }
                1 => {
                    let back = amount.min(leased);
                    leased -= back;
                    regain(&mut month, &mut fees, back);
                }
                _ => {
                    let mut record =
                        record(&"org_a".into(), 1, Outcome::Settled, usd(1), amount);
                    record.fee_ppm = 50_000;
                    record.own_key = true;
                    if *kind == 3 {
                        record.fee_free = amount.min(leased);
                        leased -= record.fee_free;
                        let [list, ..] = months(&record.org, 0);
                        record.windows.push(list);
                    }
                    used += amount;
                    let fee = month.charge(&record);
                    prop_assert!(fee >= Amount::ZERO && fee <= record.fee());
                    fees += fee;
                }
            }
            let beyond = (used + leased - Amount(allowance)).at_least_zero();
            prop_assert!((fees - beyond.millionths(50_000)).0.abs() <= 60);
        }
        regain(&mut month, &mut fees, leased);
        let beyond = (used - Amount(allowance)).at_least_zero();
        prop_assert!((fees - beyond.millionths(50_000)).0.abs() <= 60, "{fees:?} {beyond:?}");
    }

    /// A share of any sums is one, to ten digits.
    #[test]
    fn what_stays_charged_is_a_share(fees in 0_i128..1 << 80, before in 1_i128..1 << 85, of in 0_u8..=100) {
        let after = before / 100 * i128::from(of);
        let still = still_charged(Amount(fees), Amount(before), Amount(after)).0;
        prop_assert!((0..=fees).contains(&still));
        #[expect(clippy::cast_precision_loss, reason = "compared to nine digits")]
        let (share, exact) = (still as f64, fees as f64 * (after as f64 / before as f64));
        prop_assert!((share - exact).abs() <= 2.0 + exact * 1e-9, "{share} {exact}");
    }
}
