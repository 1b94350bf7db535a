//! Runs that are killed, copied or disowned: what the next one makes of their disk.

use super::*;
use std::collections::HashSet;

#[tokio::test]
async fn kill_and_restart_lose_nothing_and_charge_nothing_twice() {
    let bench = Bench::new(100_000).await;
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    spend(&first, 1, 1000, 400).await;
    eventually("shipped", || bench.records() == 1).await;
    eventually("acknowledged", || first.outbox_records() == 0).await;
    bench.set(|state| state.down = true);
    spend(&first, 2, 1000, 500).await;
    let mut streaming = hold(&first, 3, 1000, 1).await.unwrap();
    streaming.receipt.cost = Amount(123);
    streaming.mark();
    streaming.receipt.cost = Amount(456);
    streaming.mark();
    let left = first.available();
    let home = bench.kill(bench.dir.path(), tasks).await;
    std::mem::forget(streaming);

    // The next run starts with nobody to ask, serves from what the last one had, and is killed.
    let tasks = Tasks::new();
    let second = bench.open_in(home.path(), &tasks).await.unwrap();
    assert!(second.epoch() > first.epoch());
    assert_eq!(second.available(), left);
    assert_eq!(second.outbox_records(), 2);
    spend(&second, 4, 1000, 600).await;
    let home = bench.kill(home.path(), tasks).await;

    bench.set(|state| state.down = false);
    let third = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    eventually("all shipped", || third.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let mut seen: Vec<_> = state
            .records
            .iter()
            .map(|(epoch, end)| (*epoch, end.generation.to_string(), end.outcome, end.cost.0))
            .collect();
        seen.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let (first, second) = (first.epoch().0, second.epoch().0);
        let expect = [
            (first, "gen-1".to_owned(), Outcome::Settled, 400),
            (first, "gen-2".to_owned(), Outcome::Settled, 500),
            (first, "gen-3".to_owned(), Outcome::Suspense, 123),
            (second, "gen-4".to_owned(), Outcome::Settled, 600),
        ];
        assert_eq!(seen, expect);
    });
    bench.check_sum(100_000, third.available());
    let folders = || {
        let entries = std::fs::read_dir(home.path()).unwrap();
        entries
            .filter(|e| e.as_ref().unwrap().path().is_dir())
            .count()
    };
    eventually("old epochs are removed", || folders() == 1).await;
}

#[tokio::test]
async fn an_inherited_lease_can_be_returned() {
    let bench = Bench::new(10_000).await;
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    spend(&first, 1, 1000, 10).await;
    eventually("acknowledged", || first.outbox_records() == 0).await;
    let home = bench.kill(bench.dir.path(), tasks).await;
    bench.set(|state| state.down = false);
    let tasks = Tasks::new();
    let second = bench.open_in(home.path(), &tasks).await.unwrap();
    assert!(second.available() > Amount::ZERO);
    tasks.request_stop();
    let back = || {
        bench
            .fake
            .with(|state| state.balance[&balance()] == 10_000 - 10)
    };
    eventually("returned", back).await;
}

fn kept(home: &Path) -> usize {
    std::fs::read_dir(home.join(aside::FOLDER)).map_or(0, Iterator::count)
}

#[tokio::test]
async fn an_old_copy_of_the_disk_spends_nothing_twice() {
    let bench = Bench::new(100_000).await;
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    spend(&first, 1, 1000, 400).await;
    eventually("acknowledged", || first.outbox_records() == 0).await;
    let image = tempfile::tempdir().unwrap();
    copy_dir(bench.dir.path(), image.path()).unwrap();
    for n in 2..20 {
        spend(&first, n, 1000, 900).await;
    }
    eventually("acknowledged", || first.outbox_records() == 0).await;
    bench.kill(bench.dir.path(), tasks).await;
    bench.set(|state| state.down = false);

    let second = bench.open_in(image.path(), &Tasks::new()).await.unwrap();
    eventually("set aside", || kept(image.path()) == 1).await;
    eventually("given back", || {
        second
            .cashier
            .log
            .with_book(|book| book.returning.is_empty())
    })
    .await;
    assert_eq!(second.available(), Amount::ZERO);
    assert_eq!(bench.records(), 19);
    spend(&second, 30, 1000, 70).await;
    eventually("shipped", || bench.records() == 20).await;
    // What the copy did not know of is still lent to this node, and comes back with its end.
    bench.fake.with(|state| {
        let lent: i128 = state.leases.values().sum();
        assert_eq!(
            state.balance[&balance()] + lent + state.charged().0,
            100_000
        );
        assert!(second.available().0 <= lent, "{lent}");
    });
}

#[tokio::test]
async fn a_run_that_the_ledger_disowns_is_set_aside_and_the_next_goes_on() {
    let bench = Bench::new(100_000).await;
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    bench.set(|state| state.foreign = Some(first.epoch().0));
    spend(&first, 1, 1000, 400).await;
    eventually("known", || first.disowned.load(Ordering::Relaxed)).await;
    let failure = hold(&first, 2, 10, 1).await.err().unwrap();
    assert_eq!((failure.status, failure.fault), (503, Fault::Gateway));
    let home = bench.kill(bench.dir.path(), tasks).await;
    bench.set(|state| state.down = false);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    eventually("set aside", || kept(home.path()) == 1).await;
    spend(&second, 3, 1000, 70).await;
    eventually("shipped", || bench.records() == 1).await;
    eventually("acknowledged", || second.outbox_records() == 0).await;
}

#[tokio::test]
async fn one_folder_has_one_owner() {
    let bench = Bench::new(0).await;
    let _first = bench.open().await;
    let second = bench.open_in(bench.dir.path(), &Tasks::new()).await;
    assert!(matches!(second, Err(OpenError::Locked(_))));
}

/// Twenty runs, each killed at a moment of its life, with lost answers: every settled request is
/// charged to the digit, every one in flight is one suspense, and no money is made.
#[tokio::test]
async fn twenty_kills_are_exact() {
    let bench = Bench::new(10_000_000).await;
    let mut home = tempfile::tempdir().unwrap();
    let mut number = 0;
    let (mut settled, mut suspended) = (0, HashSet::new());
    for run in 0..20 {
        let tasks = Tasks::new();
        let accounts = bench.open_in(home.path(), &tasks).await.unwrap();
        bench.set(|state| state.lose_answers = run % 3);
        let mut open = Vec::new();
        for _ in 0..fastrand::u64(5..40) {
            number += 1;
            let Ok(mut hold) = hold(&accounts, number, 1000, 1000).await else {
                continue;
            };
            hold.receipt.cost = Amount(fastrand::i128(1..1000));
            if fastrand::u8(..) < 40 {
                suspended.insert(format!("gen-{number}"));
                open.push(hold);
            } else {
                settled += hold.receipt.cost.0;
                hold.settle();
            }
        }
        home = bench.kill(home.path(), tasks).await;
        bench.set(|state| state.down = false);
        std::mem::forget(open);
    }
    let last = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    eventually("all shipped", || last.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let of = |outcome| {
            state
                .records
                .iter()
                .filter(move |(_, end)| end.outcome == outcome)
        };
        let charged: i128 = of(Outcome::Settled).map(|(_, end)| end.cost.0).sum();
        assert_eq!(charged, settled);
        let names: Vec<_> = of(Outcome::Suspense)
            .map(|(_, end)| end.generation.to_string())
            .collect();
        assert_eq!(names.len(), suspended.len());
        assert_eq!(names.into_iter().collect::<HashSet<_>>(), suspended);
        let out = state.balance[&balance()] + last.available().0 + state.charged().0;
        assert!(out <= 10_000_000, "money was made: {out}");
    });
}

#[tokio::test]
async fn a_copy_of_a_machine_spends_nothing_of_what_its_disk_says() {
    let bench = Bench::new(100_000).await;
    let tasks = Tasks::new();
    let first = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    spend(&first, 1, 1000, 400).await;
    eventually("acknowledged", || first.outbox_records() == 0).await;
    let home = bench.kill(bench.dir.path(), tasks).await;
    // The ledger knows another heir of the first run.
    bench.set(|state| {
        state.copied = true;
        state.down = false;
    });
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    eventually("given up", || second.cashier.has_taken_over()).await;
    assert_eq!(second.available(), Amount::ZERO);
    assert_eq!(bench.fake.with(|state| state.released.len()), 0);
    // What it is granted itself it spends.
    spend(&second, 2, 1000, 70).await;
    eventually("shipped", || bench.records() == 2).await;
    eventually("acknowledged", || second.outbox_records() == 0).await;
}
