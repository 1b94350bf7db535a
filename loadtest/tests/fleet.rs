//! The fleet as separate processes: what one edge learns, all edges use; and edges carry on, and
//! start, without a control plane. Measured times are printed (`-- --nocapture`); the bounds that
//! are asserted are far wider, since other tests run beside this one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::float_cmp,
    reason = "a test may panic and print what it measured"
)]

use loadtest::client::Client;
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use loadtest::provider::{Config, Dialect, Kind, Provider, Rule, Running};
use serde_json::{Value, json};
use shared::key::KeyHash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CHAT: &str = "/api/v1/chat/completions";
const RUNS: usize = 20;
/// Requests that edge 1 has open at a time.
const CLIENTS: usize = 4;
/// A share at or below it is the probe floor.
const FLOOR: f64 = 0.05;

async fn provider() -> Running {
    let quick = Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(2),
        ..Config::default()
    };
    Provider::start(quick).await.unwrap()
}

fn model(run: usize) -> String {
    format!("test/m{run:02}")
}

/// Every model at both providers, at one price.
async fn fleet(dying: &Running, steady: &Running) -> Fleet {
    let mut catalog = CatalogSpec::default()
        .provider("dying", Dialect::OpenaiChat, &dying.base_url())
        .provider("steady", Dialect::OpenaiChat, &steady.base_url());
    for run in 0..RUNS {
        catalog = catalog.model(&model(run), &["dying", "steady"]);
    }
    FleetConfig::new(catalog, 3).start().await.unwrap()
}

fn body(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "godwits" }] })
}

/// Asks for `model` until told to stop; counts what the client sees.
async fn ask(client: Client, model: String, stop: Arc<AtomicBool>, failed: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        let reply = client.post(CHAT, &body(&model)).await;
        if !reply.is_ok_and(|reply| reply.status == 200) {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What an edge's table gives an endpoint; 1 when it has no evidence.
async fn share(admin: &Client, endpoint: &str) -> f64 {
    let view = admin.get("/debug/view").await.unwrap().json();
    view["ranked"][endpoint]["share"].as_f64().unwrap_or(1.0)
}

/// One run: from the provider's death to the swap on edge 3.
async fn reaction(fleet: &Fleet, dying: &Running, run: usize, failed: &Arc<AtomicU64>) -> Duration {
    let (stop, mut clients) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for _ in 0..CLIENTS {
        let failed = Arc::clone(failed);
        clients.spawn(ask(fleet.client(0), model(run), Arc::clone(&stop), failed));
    }
    let endpoint = format!("{}@dying", model(run));
    let third = fleet.edges()[2].admin();
    let known = || async { (share(&third, &endpoint).await < 0.9).then_some(()) };
    assert!(
        eventually(Duration::from_secs(10), known).await.is_some(),
        "no evidence arrived"
    );
    dying.set_faults(vec![Rule::new(Kind::Reset)]);
    let died = Instant::now();
    let swapped = || async { (share(&third, &endpoint).await <= FLOOR).then(|| died.elapsed()) };
    let took = eventually(Duration::from_secs(20), swapped).await;
    stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    dying.set_faults(Vec::new());
    took.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_edge_learns_all_edges_use() {
    let (dying, steady) = (provider().await, provider().await);
    let fleet = fleet(&dying, &steady).await;
    let failed = Arc::new(AtomicU64::new(0));
    let mut times = Vec::new();
    for run in 0..RUNS {
        times.push(reaction(&fleet, &dying, run, &failed).await);
    }
    times.sort();
    println!(
        "from the provider's death to the swap on edge 3, {RUNS} runs: p50 {} ms, p99 {} ms; \
         client-visible errors {}",
        times[RUNS / 2].as_millis(),
        times[RUNS - 1].as_millis(),
        failed.load(Ordering::Relaxed)
    );
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert!(times[RUNS - 1] < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_carry_on_and_start_without_a_control_plane() {
    let (one, two) = (provider().await, provider().await);
    let mut fleet = fleet(&one, &two).await;
    for number in 0..3 {
        assert_eq!(
            fleet
                .client(number)
                .post(CHAT, &body(&model(0)))
                .await
                .unwrap()
                .status,
            200
        );
    }
    // The key cache is written behind the request.
    let keys = fleet.edges()[1].data_dir().join("keys.cache");
    let known = KeyHash::of(fleet.key()).to_string();
    let written = || async {
        let file = std::fs::read(&keys).unwrap_or_default();
        String::from_utf8_lossy(&file)
            .contains(&known)
            .then_some(())
    };
    assert!(eventually(Duration::from_secs(20), written).await.is_some());

    fleet.control().kill();
    for turn in 0..60 {
        let reply = fleet
            .client(turn % 3)
            .post(CHAT, &body(&model(turn % RUNS)))
            .await
            .unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    // A key that nobody knows can't be judged now: that is never a 401.
    let stranger = Client::new(&fleet.edges()[0].url()).with_key("sk-gw-v1-nobody-knows-this-one");
    assert_eq!(
        stranger.post(CHAT, &body(&model(0))).await.unwrap().status,
        503
    );

    let begun = Instant::now();
    fleet.edge(1).unwrap().restart().await.unwrap();
    let client = fleet.client(1);
    let served = || async {
        let reply = client.post(CHAT, &body(&model(0))).await.ok()?;
        (reply.status == 200).then(|| begun.elapsed())
    };
    let took = eventually(Duration::from_secs(10), served).await.unwrap();
    println!(
        "an edge restarted without a control plane served after {} ms",
        took.as_millis()
    );

    fleet.restart_control().await.unwrap();
    let reply = fleet.client(0).post(CHAT, &body(&model(1))).await.unwrap();
    assert_eq!(reply.status, 200);
}
