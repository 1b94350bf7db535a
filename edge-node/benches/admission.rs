//! What admission costs where the lease suffices: the arithmetic at the desk against four purses (the
//! balance, and budgets of key, member and organisation) of a thousand organisations. It prints p50
//! and p99 of single admissions first. `cargo bench -p edge-node --bench admission`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may panic and prints what it measured"
)]

use divan::{Bencher, black_box};
use edge_node::account::Rehearsal;
use std::time::Instant;

const ORGS: usize = 1000;
/// Admissions that are timed one by one, after as many that are not.
const SINGLE: usize = 200_000;

fn main() {
    single();
    divan::main();
}

fn single() {
    let mut rehearsal = Rehearsal::new(ORGS);
    let mut took = Vec::with_capacity(SINGLE);
    for number in 0..2 * SINGLE {
        let begun = Instant::now();
        let admitted = rehearsal.admit().unwrap();
        let elapsed = begun.elapsed();
        rehearsal.end(black_box(admitted));
        if number >= SINGLE {
            took.push(elapsed);
        }
    }
    took.sort_unstable();
    let (p50, p99) = (took[SINGLE / 2], took[SINGLE * 99 / 100]);
    println!("admission against 4 purses: p50 {p50:?}, p99 {p99:?}");
}

#[divan::bench(args = [1, ORGS])]
fn admitted_and_ended(bencher: Bencher<'_, '_>, orgs: usize) {
    let mut rehearsal = Rehearsal::new(orgs);
    bencher.bench_local(|| {
        let admitted = rehearsal.admit().unwrap();
        rehearsal.end(black_box(admitted));
    });
}
