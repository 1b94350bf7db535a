//! Holds on one node against a fake control plane, and the bench that the other tests use.

mod back;
mod central;
mod gap;
mod kill;
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
        free: false,
        generation: GenerationId::from(format!("gen-{n}")),
        api: "chat",
        requested_model: "a/b".into(),
        price_version: Version::default(),
        shared: Some(Amount(ceiling)),
        own: Amount::ZERO,
        least: Amount(least),
        useful: None,
        flags: Vec::new(),
        streamed: false,
        started_unix_ms: n,
        first: None,
        particulars: shared::record::Particulars::default(),
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
async fn a_log_that_fails_refuses_and_recovers_alone() {
    let bench = Bench::new(10_000).await;
    let accounts = bench.open().await;
    let running = hold(&accounts, 1, 100, 1).await.unwrap();
    accounts.cashier.log.break_down();
    let failure = hold(&accounts, 2, 100, 1).await.err().unwrap();
    assert_eq!((failure.status, failure.fault), (503, Fault::Gateway));
    drop(running);
    eventually("reopened", || !accounts.cashier.log.is_down()).await;
    spend(&accounts, 3, 100, 50).await;
    eventually("shipped", || bench.records() == 2).await;
}
