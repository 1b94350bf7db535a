//! What admission costs where the lease suffices: arithmetic, and no call of the system. How long it
//! takes: `cargo bench -p edge-node --bench admission`.

mod credit;
mod taking;

use crate::account::rehearsal::Rehearsal;

/// Requests in a round; one round may meet what others do to the machine.
const REQUESTS: usize = 10_000;
const ROUNDS: usize = 10;

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
fn an_admission_makes_no_call_of_the_system() {
    let mut rehearsal = Rehearsal::new(1000);
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        let before = calls();
        for _ in 0..REQUESTS {
            let admitted = rehearsal.admit().unwrap();
            rehearsal.end(admitted);
        }
        quiet += usize::from(calls() == before);
    }
    // A new page of memory may have to be waited for, but not in every round.
    assert!(quiet > 0, "{ROUNDS} rounds, and none without a call");
}
