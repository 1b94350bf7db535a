//! What admission costs where the lease suffices: arithmetic, and no call of the system. The time is
//! told and not judged: it is another one where nothing is optimised.

mod credit;

use super::*;
use shared::id::{LimitId, OrgId};
use shared::limit::{Interval, Scope, Window};
use std::time::Instant;

/// Requests in a round; the best of the rounds counts, because machines are shared.
const REQUESTS: usize = 10_000;
const ROUNDS: usize = 10;

/// The balance of one of many organisations, and budgets of its key, member and whole.
fn purses(org: usize) -> Vec<Purse> {
    let org = OrgId::from(format!("org_{org}").as_str());
    let window = |scope, interval: Interval| Window {
        scope,
        id: LimitId::from(format!("{org}-{scope}").as_str()),
        interval,
        start: interval.start(1_790_000_000),
    };
    let windows = [
        None,
        Some(window(Scope::Key, Interval::Daily)),
        Some(window(Scope::Member, Interval::Weekly)),
        Some(window(Scope::Org, Interval::Monthly)),
    ];
    let purse = |window| Purse {
        org: org.clone(),
        window,
    };
    windows.into_iter().map(purse).collect()
}

/// How often this thread has read, written or given the processor up to wait.
fn calls() -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/{name}")).unwrap();
    let (io, status) = (read("io"), read("status"));
    let lines = io.lines().chain(status.lines());
    let kept = lines
        .filter(|line| line.starts_with("syscw") || line.starts_with("voluntary_ctxt_switches"));
    kept.map(str::to_owned).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "the time is to be read")]
fn an_admission_makes_no_call_of_the_system() {
    let (desk, time) = (Leases::new(Duration::from_secs(1)), Time::default());
    let may = May {
        ask: true,
        credit: Amount::USD,
    };
    let orgs: Vec<Vec<Purse>> = (0..1000).map(purses).collect();
    let long = Duration::from_secs(7200);
    for purse in orgs.iter().flatten() {
        let lease = Inherited {
            left: Amount::USD,
            ttl: long,
            age: Duration::ZERO,
            central: false,
        };
        desk.inherit(purse, &lease, time.now);
    }
    let mut best = Duration::MAX;
    let mut took = Vec::with_capacity(REQUESTS);
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        took.clear();
        let before = calls();
        for wants in orgs.iter().cycle().take(REQUESTS) {
            let begun = Instant::now();
            let said = desk.reserve(wants, (Amount(2_000_000), Amount(1)), may, time);
            took.push(begun.elapsed());
            let Desk::Set(Set { amount, .. }) = said else {
                panic!("{said:?}");
            };
            for purse in wants {
                let ended = Ended {
                    held: purse.part(amount),
                    credit: Amount::ZERO,
                    charged: Amount(100),
                    owed: Amount::ZERO,
                };
                desk.end(purse, ended, time.now);
            }
        }
        quiet += usize::from(calls() == before);
        took.sort_unstable();
        best = best.min(took[REQUESTS * 99 / 100]);
    }
    // A new page of memory may have to be waited for, but not in every round.
    assert!(quiet > 0, "{ROUNDS} rounds, and none without a call");
    println!(
        "admission against 4 purses: p50 {:?}, p99 {best:?}",
        took[REQUESTS / 2]
    );
}
