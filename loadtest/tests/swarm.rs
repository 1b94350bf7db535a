//! A small cut of `loadtest fleet`: simulated edges against a real control plane. The bounds are
//! far wider than what is measured alone: other tests run beside this one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use loadtest::swarm::{self, Settings};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn every_edge_takes_what_is_pushed_and_a_quiet_change_is_small() {
    let settings = Settings {
        edges: 24,
        endpoints: 64,
        used: 8,
        settle: Duration::ZERO,
        window: Duration::from_secs(6),
        outage_every: Duration::from_secs(2),
    };
    let report = swarm::run(&settings).await.unwrap();
    let told = report.json();
    assert_eq!(told["edges_lost"], 0, "{told:#}");
    assert!(told["rankings"].as_u64().unwrap() >= 3, "{told:#}");
    assert!(told["pushes"].as_u64().unwrap() >= 24 * 3, "{told:#}");
    let p50 = told["push_to_applied_ms"]["p50"].as_f64().unwrap();
    assert!(p50 < 2000.0, "{told:#}");
    let outages = told["evidence_to_applied_ms"]["outages"].as_u64().unwrap();
    assert!(outages >= 1, "{told:#}");
    let bytes = &told["bytes"];
    let (whole, change) = (&bytes["whole_table"], &bytes["change_with_rows"]);
    let (whole, change) = (whole.as_f64().unwrap(), change.as_f64().unwrap());
    assert!(change < whole || whole < 100.0, "{told:#}");
}
