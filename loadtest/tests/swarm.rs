//! A small cut of `loadtest fleet`: simulated edges against a real control plane. The bounds are
//! far wider than what is measured alone: other tests run beside this one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use loadtest::swarm::{self, Settings};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn every_edge_takes_what_is_pushed_and_a_quiet_change_is_small() {
    let settings = Settings {
        edges: 24,
        silent: 0,
        endpoints: 64,
        providers: 8,
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

/// All who are asked first are silent: they are given up after five seconds, others are asked, and
/// what takes away half of a region's weight goes out with their word.
#[tokio::test(flavor = "multi_thread")]
async fn silent_canaries_hold_up_a_drastic_ranking_for_seconds_only() {
    let settings = Settings {
        edges: 20,
        silent: 8,
        endpoints: 2,
        providers: 2,
        used: 8,
        settle: Duration::ZERO,
        window: Duration::from_secs(15),
        outage_every: Duration::from_secs(60),
    };
    let report = swarm::run(&settings).await.unwrap();
    let told = report.json();
    assert_eq!(told["edges_lost"], 0, "{told:#}");
    let reaction = &told["evidence_to_applied_ms"];
    assert_eq!(reaction["outages"], 1, "{told:#}");
    assert_eq!(
        reaction["edges"], 20,
        "the silent ones are told, too: {told:#}"
    );
    let slowest = reaction["max"].as_f64().unwrap();
    assert!(slowest < 10_000.0, "{told:#}");
}
