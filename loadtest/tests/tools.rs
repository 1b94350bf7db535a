//! The commands whose figures the README gives, run as a person runs them, only shorter: recorded
//! traffic through a running edge, and the benchmark with every contestant.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::cluster::Programs;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `loadtest …`.
async fn loadtest(arguments: &[&str]) -> Output {
    let program = Programs::find("loadtest")
        .unwrap()
        .path("loadtest")
        .unwrap();
    let mut command = Command::new(program);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap()
}

fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let both = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{both}");
    text(&output.stdout)
}

fn corpus() -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge-node/tests/corpus");
    tests.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_traffic_is_replayed_as_it_was_recorded() {
    let folder = corpus();
    let cases = std::fs::read_dir(&folder).unwrap();
    let cases = cases.filter(|entry| entry.as_ref().unwrap().path().is_dir());
    let cases = cases.count();
    let output = loadtest(&["replay", "--corpus", &folder]).await;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = |line: &&str| line.starts_with("FAIL");
    let failed: Vec<&str> = lines.lines().filter(told).collect();
    assert_eq!(output.status.code(), Some(0), "{failed:#?}");
    let played = lines.lines().filter(|line| line.ends_with("same"));
    let played = played.count();
    assert!(
        played >= cases - 1,
        "only {played} of {cases} were replayed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_that_holds_nothing_is_an_error() {
    let nothing = tempfile::tempdir().unwrap();
    let folder = nothing.path().to_str().unwrap();
    let output = loadtest(&["replay", "--corpus", folder]).await;
    assert!(!output.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_benchmark_gives_figures_for_every_contestant() {
    let words = "bench --repeats 1 --seconds 1 --warm-up 0.2 --load closed2k --no-pin --json";
    let words: Vec<&str> = words.split(' ').collect();
    let output = loadtest(&words).await;
    let report: Value = serde_json::from_str(&printed(&output)).unwrap();
    let figures = report["loads"]["closed2k"].as_object().unwrap();
    let nginx = Path::new("/usr/sbin/nginx").is_file().then_some("nginx");
    let wanted = ["direct", "pingora", "edge", "godwit"].into_iter();
    for contestant in wanted.chain(nginx) {
        let figures = figures.get(contestant);
        let figures = figures.unwrap_or_else(|| panic!("no {contestant}: {report:#}"));
        let median = |quantity: &str| figures[quantity]["median"].as_f64();
        assert_eq!(median("errors"), Some(0.0), "{contestant}: {figures:#}");
        assert!(median("requests_per_second") > Some(0.0), "{contestant}");
        assert!(median("p99_ms") > Some(0.0), "{contestant}: {figures:#}");
        if contestant != "direct" {
            let cpu = median("cpu_us_per_request");
            assert!(cpu > Some(0.0), "{contestant}: {figures:#}");
        }
    }
}
