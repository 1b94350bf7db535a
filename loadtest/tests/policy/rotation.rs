//! The master key is rotated while own keys are used and asked for.

use super::{EDGES, Stage};
use loadtest::client::Client;
use loadtest::cluster::scene::{ALPHA, CHAT, chat};
use serde_json::json;
use shared::task::lock;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

const OWN: &str = "sk-marked-own-key-rotated-0001";
const ROTATIONS: usize = 8;
/// Requests that each edge has open at a time.
const CLIENTS: usize = 2;
/// Between two requests of a client: what is shown is that none fails, not who gets the processor.
const PACE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    served: AtomicU64,
    failed: Mutex<Vec<String>>,
}

async fn ask(client: Client, counts: Arc<Counts>) {
    let mut pace = tokio::time::interval(PACE);
    while !counts.stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let reply = client.post(CHAT, &chat(ALPHA, "hello")).await;
        match reply {
            Ok(it) if it.json()["usage"]["is_byok"] == json!(true) => {
                counts.served.fetch_add(1, Ordering::Relaxed);
            }
            Ok(it) => lock(&counts.failed).push(it.text()),
            Err(error) => lock(&counts.failed).push(error.to_string()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_rotated_under_load() {
    let mut stage = Stage::start().await;
    let others: Vec<String> = (0..20)
        .map(|number| stage.own_key(&format!("{OWN}-{number:02}"), &["--sort-order", "5"]))
        .collect();
    let id = stage.own_key(OWN, &["--required"]);
    let own = |it: &loadtest::client::Reply| it.json()["usage"]["is_byok"] == json!(true);
    stage.until(&chat(ALPHA, "hello"), own).await;
    let (counts, mut clients) = (Arc::new(Counts::default()), JoinSet::new());
    for client in stage.clients() {
        for _ in 0..CLIENTS {
            clients.spawn(ask(client.clone(), Arc::clone(&counts)));
        }
    }
    let mut rotated = Vec::new();
    for round in 0..ROTATIONS {
        let done = stage.admin(&["credentials", "rotate-master-key"]);
        assert_eq!(done["rewrapped"], 21, "{done}");
        rotated.push(done["master_key"].as_str().unwrap().to_owned());
        // Every edge drops what it knows and asks for everything, sealed anew.
        let name = format!("round {round}");
        stage.admin(&["credentials", "update", &id, "--name", &name]);
    }
    counts.stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    let (served, failed) = (&counts.served, lock(&counts.failed).clone());
    println!(
        "{ROTATIONS} rotations of the master key over {} own keys, {EDGES} edges: {} requests \
         served with the own key, {} not",
        others.len() + 1,
        served.load(Ordering::Relaxed),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    rotated.sort_unstable();
    rotated.dedup();
    assert_eq!(rotated.len(), ROTATIONS);
    // What was wrapped by the first key opens with the last, also after a restart.
    stage.fleet.restart_control().await.unwrap();
    stage.admin(&["credentials", "update", &id, "--name", "restarted"]);
    stage.until(&chat(ALPHA, "hello"), own).await;
    no_secret_in(stage.fleet.control_data());
    for edge in stage.fleet.edges() {
        no_secret_in(edge.data_dir());
    }
}

/// The own key is in no file, in clear or in hex.
fn no_secret_in(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_secret_in(&path);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let hex = shared::key::hex(OWN.as_bytes());
        for needle in [OWN.as_bytes(), hex.as_bytes()] {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "a provider's key is in {}", path.display());
        }
    }
}
