//! A running log in which a segment is damaged: what is not readable is told as recovery tells it, and
//! shipping goes on.

use super::*;
use crate::account::wal::log::FRESH_MAX;
use crate::account::wal::reader::Records;
use crate::account::wal::{HEAD, Position, Record, segment_path};
use shared::record::UsageRecord;
use std::os::unix::fs::FileExt;

const CEILING: i128 = 20;
const COST: i128 = 7;

/// Makes those records unreadable for which `which` holds. Gives how many.
fn damage(accounts: &Accounts, which: impl Fn(&Record) -> bool) -> usize {
    let dir = accounts.cashier.log.dir().to_owned();
    let mut records = Records::open(&dir, Position::default()).unwrap();
    let (mut damaged, mut begins) = (0, Position::default());
    while let Some((record, after)) = records.next().unwrap() {
        if which(&record) {
            assert_eq!(begins.segment, after.segment, "not a segment's first");
            let path = segment_path(&dir, begins.segment);
            let file = File::options().write(true).open(path).unwrap();
            let inside = begins.offset + HEAD as u64 + 20;
            file.write_all_at(&[0xff], inside).unwrap();
            damaged += 1;
        }
        begins = after;
    }
    damaged
}

#[tokio::test]
async fn a_gap_in_a_running_log_is_told_and_shipping_goes_on() {
    let total = 100_000_000;
    let bench = Bench::new(total).await;
    let tasks = Tasks::new();
    let accounts = bench.open_in(bench.dir.path(), &tasks).await.unwrap();
    // A large hold, so that what is leased carries all that follows.
    spend(&accounts, 0, 1_000_000, 0).await;
    eventually("shipped", || bench.records() == 1).await;
    bench.set(|state| state.down = true);
    // More than memory keeps: the rest is read from the log.
    let many = FRESH_MAX as u64 + 100;
    let running = hold(&accounts, 9999, CEILING, 1).await.unwrap();
    for n in 1..=many {
        spend(&accounts, n, CEILING, COST).await;
    }
    let log = &accounts.cashier.log;
    eventually("on disk", || log.durable() == many + 1).await;
    let lost = damage(&accounts, |record| match record {
        Record::End(end) => (10..13).contains(&end.sequence) || end.sequence == 20,
        Record::Intent(hold) => hold.generation.as_str() == "gen-19",
        _ => false,
    });
    assert_eq!(lost, 5);

    bench.set(|state| state.down = false);
    let all = usize::try_from(many).unwrap() + 1;
    eventually("shipped", || bench.records() == all).await;
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let sequences = state.records.iter().map(|(_, end)| end.sequence);
        assert!(sequences.eq(1..=many + 1));
        let of = |sequence: usize| &state.records[sequence - 1].1;
        for (sequence, generation) in [(10, "gen-9"), (11, "gen-10"), (12, "gen-11")] {
            let end = of(sequence);
            assert_eq!(end.generation.as_str(), generation);
            assert_eq!((end.outcome, end.held.0), (Outcome::Suspense, CEILING));
        }
        let end = of(20);
        assert_eq!(end.fault.as_deref(), Some("log_damaged"));
        assert_eq!((end.outcome, end.charge().0), (Outcome::Released, 0));
        let settled = |(_, end): &&(u64, UsageRecord)| end.outcome == Outcome::Settled;
        assert_eq!(state.records.iter().filter(settled).count(), all - 1 - 4);
    });
    let aside = names(&bench.dir.path().join(aside::FOLDER));
    assert_eq!(aside.len(), 1, "{aside:?}");
    // What was charged for the lost ends is not spent again.
    bench.check_sum(total - 4 * COST - CEILING, accounts.available());

    // Life goes on, and a kill finds nothing to tell but what was in flight.
    spend(&accounts, many + 1, CEILING, COST).await;
    eventually("shipped", || bench.records() == all + 1).await;
    eventually("acknowledged", || accounts.outbox_records() == 0).await;
    let home = bench.kill(bench.dir.path(), tasks).await;
    std::mem::forget(running);
    bench.set(|state| state.down = false);
    let next = bench.open_in(home.path(), &Tasks::new()).await.unwrap();
    eventually("the next run has told all", || next.outbox_records() == 0).await;
    bench.fake.with(|state| {
        let suspended = |(_, end): &&(u64, UsageRecord)| end.outcome == Outcome::Suspense;
        let suspended: Vec<_> = state.records.iter().filter(suspended).collect();
        assert_eq!((state.records.len(), suspended.len()), (all + 2, 4));
        assert_eq!(suspended[3].1.generation.as_str(), "gen-9999");
    });
}
