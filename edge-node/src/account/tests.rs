mod limits;
mod outage;

use super::*;
use crate::control::fake::{Fake, eventually};
use shared::id::{GenerationId, OrgId, Version};
use shared::key::KeyHash;
use shared::limit::Purse;
use shared::policy::{KeyKind, KeyPolicy};
use shared::proto::ledger::ReleaseLeaseRequest;
use shared::proto::ledger::ledger_client::LedgerClient;
use shared::record::Outcome;
use std::collections::HashSet;
use std::time::Duration;

struct Bench {
    tasks: Tasks,
    clock: Clock,
    timers: Timers,
    fake: Fake,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn new(money: i128) -> Self {
        let tasks = Tasks::new();
        let fake = Fake::start(&tasks).await;
        fake.with(|state| state.balance.insert(balance(), money));
        let ms = Duration::from_millis;
        Self {
            clock: Clock::manual(),
            timers: Timers {
                topup: ms(500),
                ledger: ms(500),
                ship: ms(2),
                retry_min: ms(2),
                retry_max: ms(20),
                wal_sync: ms(1),
                wal_reopen: ms(5),
                lease_sweep: ms(5),
                ..Timers::default()
            },
            dir: tempfile::tempdir().unwrap(),
            fake,
            tasks,
        }
    }

    async fn open(&self) -> Arc<Accounts> {
        self.open_in(self.dir.path(), &self.tasks).await.unwrap()
    }

    async fn open_in(&self, dir: &Path, tasks: &Tasks) -> Result<Arc<Accounts>, OpenError> {
        let config = AccountConfig {
            dir: dir.to_owned(),
            node: "edge-1".into(),
            timers: self.timers.clone(),
        };
        let control = self.fake.client(&self.timers);
        Accounts::open(config, Some(control), self.clock.clone(), tasks).await
    }

    /// Kills a run and gives its folder as the kill leaves it. Nothing that it would have done
    /// later reaches the ledger.
    async fn kill(&self, home: &Path, tasks: Tasks) -> tempfile::TempDir {
        self.set(|state| state.down = true);
        // A question on its way is refused before this one.
        let call = |channel| async move {
            let mut client = LedgerClient::new(channel);
            client.release_lease(ReleaseLeaseRequest::default()).await
        };
        let control = self.fake.client(&self.timers);
        assert!(control.ask(Duration::from_secs(5), call).await.is_err());
        let copy = loop {
            let copy = tempfile::tempdir().unwrap();
            let before = names(home);
            let copied = copy_dir(home, copy.path());
            if copied.is_ok() && names(home) == before {
                break copy;
            }
        };
        tasks.drain(Duration::ZERO).await;
        self.clock.advance(Duration::from_millis(5));
        copy
    }

    fn set(&self, change: impl FnOnce(&mut crate::control::fake::State)) {
        self.fake.with(change);
    }

    fn records(&self) -> usize {
        self.fake.with(|state| state.records.len())
    }

    /// No money was made or lost: balance + leases out + charges = what there was.
    fn check_sum(&self, total: i128, on_nodes: Amount) {
        self.fake.with(|state| {
            let balance = state.balance[&balance()];
            let charged = state.charged().0;
            let parts = (balance, on_nodes.0, charged);
            assert_eq!(balance + on_nodes.0 + charged, total, "{parts:?}");
        });
    }
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// All paths below a folder; one that vanishes meanwhile may be missing.
fn names(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let paths = entries.map_while(Result::ok).map(|entry| entry.path());
    let mut names: Vec<_> = paths
        .flat_map(|path| [names(&path), vec![path]].concat())
        .collect();
    names.sort();
    names
}

fn balance() -> Purse {
    org().into()
}

fn org() -> OrgId {
    "org_a".into()
}

fn principal() -> Principal {
    Principal {
        org: org(),
        key: KeyHash([1; 32]),
        key_name: "test".into(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy: KeyPolicy::default(),
    }
}

fn intent(n: u64, ceiling: i128, least: i128) -> Intent {
    Intent {
        generation: GenerationId::from(format!("gen-{n}")),
        api: "chat",
        requested_model: "a/b".into(),
        price_version: Version::default(),
        shared: Some(Amount(ceiling)),
        own: Amount::ZERO,
        least: Amount(least),
        flags: Vec::new(),
        streamed: false,
        started_unix_ms: n,
        first: None,
    }
}

async fn hold(
    accounts: &Arc<Accounts>,
    n: u64,
    ceiling: i128,
    least: i128,
) -> Result<Hold, Failure> {
    accounts.hold(&principal(), intent(n, ceiling, least)).await
}

async fn spend(accounts: &Arc<Accounts>, n: u64, ceiling: i128, cost: i128) {
    let mut hold = hold(accounts, n, ceiling, 1).await.unwrap();
    hold.receipt.cost = Amount(cost);
    hold.settle();
}

#[tokio::test]
async fn a_request_is_charged_once() {
    let bench = Bench::new(10_000).await;
    let accounts = bench.open().await;
    spend(&accounts, 1, 100, 40).await;
    let mut dropped = hold(&accounts, 2, 100, 1).await.unwrap();
    assert_eq!(dropped.amount(), Amount(100));
    dropped.receipt.cost = Amount(7);
    dropped.receipt.fault = Some(Fault::ClientGone);
    drop(dropped);
    drop(hold(&accounts, 3, 100, 1).await.unwrap());
    eventually("shipped", || bench.records() == 3).await;
    bench.fake.with(|state| {
        let seen: Vec<_> = state
            .records
            .iter()
            .map(|(_, end)| (end.sequence, end.cost.0, end.outcome, end.fault.as_deref()))
            .collect();
        let expect = [
            (1, 40, Outcome::Settled, None),
            (2, 7, Outcome::Settled, Some("client_gone")),
            (3, 0, Outcome::Released, None),
        ];
        assert_eq!(seen, expect);
    });
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.check_sum(10_000, accounts.available());
}

#[tokio::test]
async fn an_organisation_without_credits_gets_402_with_figures() {
    let bench = Bench::new(500).await;
    let accounts = bench.open().await;
    let part = hold(&accounts, 1, 900, 100).await.unwrap();
    assert_eq!(part.amount(), Amount(500), "clamped to what there is");
    let failure = hold(&accounts, 2, 900, 100).await.err().unwrap();
    assert_eq!((failure.status, failure.fault), (402, Fault::Account));
    assert!(failure.message.contains("$0.0000000001"), "{failure:?}");
    drop(part);
    let failure = hold(&accounts, 3, 900, 501).await.err().unwrap();
    assert_eq!(failure.status, 402);
    assert_eq!(failure.metadata["available_usd"], "0.0000000005");
    assert!(
        hold(&accounts, 4, 0, 0).await.is_ok(),
        "what is free is free"
    );
    bench.check_sum(500, accounts.available());
}

#[tokio::test]
async fn a_request_that_takes_most_of_the_balance_is_not_clamped() {
    let bench = Bench::new(1000).await;
    let accounts = bench.open().await;
    spend(&accounts, 1, 10, 10).await;
    let large = hold(&accounts, 2, 900, 1).await.unwrap();
    assert_eq!(large.amount(), Amount(900));
    let rest = hold(&accounts, 3, 900, 1).await.unwrap();
    assert_eq!(rest.amount(), Amount(90));
    assert_eq!(hold(&accounts, 4, 1, 1).await.err().unwrap().status, 402);
    drop((large, rest));
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.check_sum(1000, accounts.available());
}

#[tokio::test]
async fn without_the_ledger_a_sufficient_lease_serves_and_a_short_one_is_503() {
    let bench = Bench::new(10_000).await;
    let accounts = bench.open().await;
    spend(&accounts, 1, 100, 40).await;
    let available = accounts.available();
    assert!(available >= Amount(300), "{available:?}");
    bench.set(|state| state.down = true);
    let part = hold(&accounts, 2, 5000, 10).await.unwrap();
    assert_eq!(
        part.amount(),
        available,
        "what there is, rather than nothing"
    );
    let failure = hold(&accounts, 3, 10, 10).await.err().unwrap();
    assert_eq!(
        (failure.status, failure.reason),
        (503, "billing_unavailable")
    );
    assert_eq!(failure.fault, Fault::ControlPlane);
    drop(part);
    assert!(hold(&accounts, 4, 10, 10).await.is_ok());
    bench.set(|state| state.down = false);
    eventually("shipped", || bench.records() == 3).await;
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    let bench = Bench::new(10_000).await;
    let accounts = bench.open().await;
    bench.set(|state| state.lose_answers = 1);
    assert_eq!(hold(&accounts, 1, 100, 10).await.err().unwrap().status, 503);
    spend(&accounts, 2, 100, 60).await;
    assert_eq!(bench.fake.with(|state| state.grants.len()), 1, "one grant");
    bench.set(|state| state.lose_answers = 3);
    spend(&accounts, 3, 100, 60).await;
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    assert_eq!(bench.records(), 2);
    bench.check_sum(10_000, accounts.available());
}

#[tokio::test]
async fn many_requests_at_once_never_spend_more_than_there_is() {
    let bench = Bench::new(10_000).await;
    bench.set(|state| state.slice = Some(700));
    let accounts = bench.open().await;
    let requests = (0..200).map(|n| {
        let accounts = &accounts;
        async move {
            let Ok(mut hold) = hold(accounts, n, 100, 100).await else {
                return 0;
            };
            tokio::task::yield_now().await;
            hold.receipt.cost = Amount(90);
            hold.settle();
            90
        }
    });
    let spent: i128 = futures::future::join_all(requests).await.iter().sum();
    assert!(spent <= 10_000 && spent > 8000, "{spent}");
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    assert_eq!(bench.fake.with(|state| state.charged().0), spent);
    bench.check_sum(10_000, accounts.available());
}

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
    let returning = || first.log.with_book(|book| book.returning.len());
    eventually("on its way", || returning() == 1).await;
    let home = bench.kill(bench.dir.path(), tasks).await;
    bench.set(|state| state.down = false);
    let second = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    let told = || second.log.with_book(|book| book.returning.is_empty());
    eventually("told", told).await;
    assert_eq!(
        bench.fake.with(|state| state.balance[&balance()]),
        10_000 - 10
    );
    assert_eq!(second.available(), Amount::ZERO);
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

#[tokio::test]
async fn a_log_that_fails_refuses_and_recovers_alone() {
    let bench = Bench::new(10_000).await;
    let accounts = bench.open().await;
    let running = hold(&accounts, 1, 100, 1).await.unwrap();
    accounts.log.break_down();
    let failure = hold(&accounts, 2, 100, 1).await.err().unwrap();
    assert_eq!((failure.status, failure.fault), (503, Fault::Gateway));
    drop(running);
    eventually("reopened", || !accounts.log.is_down()).await;
    spend(&accounts, 3, 100, 50).await;
    eventually("shipped", || bench.records() == 2).await;
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
        second.log.with_book(|book| book.returning.is_empty())
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
