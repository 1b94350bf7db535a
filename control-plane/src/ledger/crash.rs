//! PostgreSQL is killed again and again while nodes lend, report and give back, each doing again
//! what it was not told the end of. Afterwards every record is in the books once.

use super::tests::{key, record};
use super::*;
use crate::sql::Source;
use postgres_server::{Durability, Server};
use shared::id::{BootEpoch, NodeId};
use shared::record::{Outcome, UsageRecord};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const FENCE: Epoch = Epoch(1);
const NODES: u64 = 4;
const BATCH: u64 = 50;
const KILLS: u64 = 6;

struct Load {
    ledger: Ledger,
    stop: AtomicBool,
    shipped: AtomicU64,
    failures: AtomicU64,
}

/// Until it is told that it is done; nothing that it says may be an error of the books.
async fn insist<T, F>(load: &Load, work: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, LedgerError>>,
{
    loop {
        match work().await {
            Ok(done) => return done,
            Err(LedgerError::Database(DatabaseError::Engine(_))) => {
                load.failures.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// One node: gives the number of its records and what they cost.
async fn node(load: &Load, number: u64) -> (u64, Amount) {
    let origin = Origin {
        node: NodeId::from(format!("n{number}")),
        epoch: BootEpoch(1),
    };
    let orgs = ["org_a", "org_b", "org_c"].map(OrgId::from);
    let (mut sequence, mut spent) = (0, Amount::ZERO);
    while !load.stop.load(Ordering::Relaxed) {
        for org in &orgs {
            let request = LeaseRequest {
                origin: origin.clone(),
                purse: org.clone().into(),
                lease_id: format!("{number}-{sequence}-{org}"),
                wanted: Amount::USD,
                least: Amount(1),
                need: None,
            };
            insist(load, || load.ledger.acquire(FENCE, &request)).await;
        }
        let records: Vec<UsageRecord> = (1..=BATCH)
            .map(|n| {
                let org = &orgs[usize::try_from(n % 3).unwrap()];
                let cost = Amount(i128::from(n * 1_000_003));
                let mut record = record(org, sequence + n, Outcome::Settled, cost, cost);
                record.key = key(u8::try_from(n % 5).unwrap());
                record
            })
            .collect();
        spent += records.iter().map(|record| record.cost).sum();
        let batch = Batch {
            origin: origin.clone(),
            inherited: Vec::new(),
            records,
        };
        sequence += BATCH;
        let mark = insist(load, || load.ledger.ship(FENCE, &batch)).await;
        assert_eq!(mark, sequence);
        load.shipped.fetch_add(BATCH, Ordering::Relaxed);
    }
    (sequence, spent)
}

/// Each time in the middle of work.
async fn kill_and_restart(load: &Load, mut server: Server) -> Server {
    for kill in 1..=KILLS {
        while load.shipped.load(Ordering::Relaxed) < kill * 400 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let again = tokio::task::spawn_blocking(move || {
            server.kill().unwrap();
            server.restart().unwrap();
            server
        });
        server = again.await.unwrap();
    }
    // Something must work once more after the last one.
    let before = load.shipped.load(Ordering::Relaxed);
    while load.shipped.load(Ordering::Relaxed) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_loses_and_doubles_nothing() {
    let server = Server::start(Durability::Fast).unwrap();
    let url = server.database().unwrap().parse().unwrap();
    let database = Database::open(&Source::Server(url)).await.unwrap();
    let ledger = Ledger::open(database, Clock::system()).await.unwrap();
    for org in ["org_a", "org_b", "org_c"].map(OrgId::from) {
        let amount = Amount(Amount::USD.0 * 100_000);
        ledger.credit(FENCE, &org, "first", amount).await.unwrap();
    }
    let load = Load {
        ledger,
        stop: AtomicBool::new(false),
        shipped: AtomicU64::new(0),
        failures: AtomicU64::new(0),
    };
    let nodes = (0..NODES).map(|number| node(&load, number));
    let nodes = futures::future::join_all(nodes);
    let (nodes, _server) = futures::future::join(nodes, kill_and_restart(&load, server)).await;
    let count: u64 = nodes.iter().map(|(records, _)| *records).sum();
    let spent: Amount = nodes.iter().map(|(_, cost)| *cost).sum();
    assert!(load.failures.load(Ordering::Relaxed) > 0, "nobody noticed");
    let verdict = load.ledger.verify().await.unwrap();
    assert_eq!((verdict.records, verdict.problems), (count, Vec::new()));
    let totals = load.ledger.totals().await.unwrap();
    let used: Amount = totals.values().map(|totals| totals.used).sum();
    assert_eq!(used, spent);
    let overrun: Amount = totals.values().map(|totals| totals.overrun).sum();
    assert_eq!(overrun, Amount::ZERO);
}
