//! Faults in a real fleet: the routing simulation's F1, F2, F4 and F8 with three edges, five
//! simulated providers and a control plane as processes. Figures are printed (`-- --nocapture`);
//! the bounds stand in the scenario files.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and print what it measured"
)]

use loadtest::scenario::{Scenario, play};
use std::path::Path;

async fn plays(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let scenario = Scenario::read(&folder.join(format!("{name}.toml"))).unwrap();
    let report = play(&scenario).await.unwrap();
    println!("{}", serde_json::to_string(&report).unwrap());
    assert!(report.pass, "{name}: {:?}", report.broken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_provider() {
    plays("dead").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole() {
    plays("black-hole").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider() {
    plays("slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_dead_providers_and_no_control_plane() {
    plays("three-dead-and-cut").await;
}
