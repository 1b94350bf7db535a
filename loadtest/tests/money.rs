//! Ground truth: three edges and a control plane are killed under load; afterwards the edges' logs,
//! the ledger and the providers' bills agree to the digit. `loadtest scenario
//! loadtest/scenarios/money.toml` does the same with 200 kills.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and print what it measured"
)]

use loadtest::scenario::{AnyScenario, Money, play_money};
use std::path::Path;

fn read(name: &str) -> Option<Box<Money>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    match AnyScenario::read(&folder.join(name)).unwrap() {
        AnyScenario::Money(money) => Some(money),
        AnyScenario::Faults(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_kills_lose_and_double_nothing() {
    let report = play_money(&read("money-short.toml").unwrap())
        .await
        .unwrap();
    println!("{}", serde_json::to_string(&report).unwrap());
    assert!(report.pass, "{:#?}", report.broken);
    assert_eq!((report.lost, report.doubled), (0, 0));
    assert!(report.settled > 50 && report.suspense > 0, "{report:?}");
}
