//! Leases that go back: unused, expired, at a stop.

use super::*;

#[tokio::test]
async fn a_stop_ships_the_rest_and_gives_leases_back() {
    let bench = Bench::new(10_000).await;
    let accounts = bench.open().await;
    let mut open = hold(&accounts, 1, 1000, 1).await.unwrap();
    bench.tasks.request_stop();
    spend(&accounts, 2, 10, 10).await;
    open.receipt.cost = Amount(700);
    drop(open);
    let finished = || *accounts.finished.borrow();
    eventually("finished", finished).await;
    let balance = bench.fake.with(|state| state.balance[&balance()]);
    assert_eq!(balance, 10_000 - 710);
    assert_eq!((accounts.outbox_records(), bench.records()), (0, 2));
    assert_eq!(accounts.available(), Amount::ZERO);
}

#[tokio::test]
async fn an_idle_lease_goes_back_exactly_once() {
    let bench = Bench::new(10_000).await;
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 10).await;
    eventually("shipped", || bench.records() == 1).await;
    bench.set(|state| state.lose_answers = 2);
    bench.clock.advance(Duration::from_secs(301));
    eventually("returned", || {
        bench
            .fake
            .with(|state| state.lose_answers == 0 && state.balance[&balance()] == 10_000 - 10)
    })
    .await;
    assert_eq!(accounts.available(), Amount::ZERO);
    assert_eq!(bench.fake.with(|state| state.released.len()), 1);
}

#[tokio::test]
async fn a_return_that_was_not_confirmed_is_told_by_the_next_run() {
    let bench = Bench::new(10_000).await;
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    spend(&first, 1, 1000, 10).await;
    eventually("acknowledged", || first.outbox_records() == 0).await;
    bench.set(|state| state.down = true);
    bench.clock.advance(Duration::from_secs(301));
    let returning = || first.cashier.log.with_book(|book| book.returning.len());
    eventually("on its way", || returning() == 1).await;
    let home = bench.kill(bench.dir.path(), tasks).await;
    bench.set(|state| state.down = false);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    let told = || {
        second
            .cashier
            .log
            .with_book(|book| book.returning.is_empty())
    };
    eventually("told", told).await;
    assert_eq!(
        bench.fake.with(|state| state.balance[&balance()]),
        10_000 - 10
    );
    assert_eq!(second.available(), Amount::ZERO);
}

#[tokio::test]
async fn a_lease_without_contact_expires() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| state.ttl_ms = 60_000);
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 10).await;
    eventually("shipped", || bench.records() == 1).await;
    bench.set(|state| state.down = true);
    bench.clock.advance(Duration::from_secs(59));
    spend(&accounts, 2, 10, 10).await;
    bench.clock.advance(Duration::from_secs(2));
    let failure = hold(&accounts, 3, 10, 10).await.err().unwrap();
    assert_eq!(failure.status, 503);
}

#[tokio::test]
async fn a_lease_that_is_over_does_not_come_back_to_life_with_the_ledger() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| state.ttl_ms = 60_000);
    let accounts = bench.open().await;
    spend(&accounts, 1, 1000, 10).await;
    eventually("shipped", || bench.records() == 1).await;
    bench.set(|state| state.down = true);
    let had = accounts.available();
    bench.clock.advance(Duration::from_secs(61));
    bench.set(|state| state.down = false);
    // No sweep has looked at it: the answer to a new question is the first that is heard.
    accounts.contact(bench.clock.now());
    assert_eq!(accounts.available(), Amount::ZERO);
    let back = || bench.fake.with(|state| state.released.len()) == 1;
    eventually("told", back).await;
    let released = bench
        .fake
        .with(|state| state.released.values().sum::<i128>());
    assert_eq!(released, had.0);
}
