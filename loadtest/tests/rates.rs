//! Limits of requests per minute over a control plane and three edges as processes of their own:
//! however clients spread their requests, no more pass than the limit says, and all that it says.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::{Client, Reply};
use loadtest::cluster::scene::{ALPHA, CHAT, chat};
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use loadtest::provider::{Config, Dialect, Provider, Running};
use shared::clock::Clock;
use std::time::Duration;

const EDGES: usize = 3;
const FREE: &str = "test/alpha:free";
const PATIENCE: Duration = Duration::from_secs(20);

async fn stage() -> (Running, Fleet) {
    let config = Config {
        dialect: Some(Dialect::OpenaiChat),
        ..Config::default()
    };
    let alpha = Provider::start(config).await.unwrap();
    let catalog = CatalogSpec::default()
        .provider("alpha", Dialect::OpenaiChat, &alpha.base_url())
        .model(ALPHA, &["alpha"])
        .model(FREE, &["alpha"]);
    let fleet = FleetConfig::new(catalog, EDGES).start().await.unwrap();
    for edge in 0..EDGES {
        let client = fleet.client(edge);
        let served = || async {
            let reply = client.post(CHAT, &chat(ALPHA, "hello")).await.unwrap();
            (reply.status == 200).then_some(())
        };
        eventually(PATIENCE, served).await.unwrap();
    }
    (alpha, fleet)
}

fn minute() -> u64 {
    Clock::system().unix_s() / 60
}

/// Sends requests in turn to all edges at once until `count` were answered; gives the answers and
/// in how many minutes they came.
async fn burst(clients: &[Client], model: &str, count: usize) -> (Vec<Reply>, usize) {
    let begun = minute();
    let mut replies = Vec::new();
    while replies.len() < count {
        let body = chat(model, "hello");
        let sent = clients.iter().map(|client| client.post(CHAT, &body));
        for reply in futures::future::join_all(sent).await {
            replies.push(reply.unwrap());
        }
    }
    let minutes = minute() - begun + 1;
    (replies, usize::try_from(minutes).unwrap())
}

/// Everything that is not served is refused for the limit, and the sum is the limit.
fn check(replies: &[Reply], minutes: usize, limit: usize, source: &str) {
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    assert!(passed >= limit, "{passed} of {limit}");
    assert!(passed <= limit * minutes, "{passed} in {minutes} minutes");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.status, 429, "{}", reply.json());
        let body = reply.json();
        let metadata = &body["error"]["metadata"];
        assert_eq!(metadata["limit_source"], source, "{body}");
        assert_eq!(metadata["limit"]["interval"], "minute");
        assert_eq!(metadata["limit"]["requests"], limit);
        let header = |name| reply.header(name).parse::<u64>().unwrap();
        assert_eq!(header("x-ratelimit-limit"), limit as u64);
        assert_eq!(header("x-ratelimit-remaining"), 0);
        assert_eq!(header("x-ratelimit-reset") % 60_000, 0);
        assert!((1..=60).contains(&header("retry-after")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_free_models_are_limited_over_all_edges() {
    let (_alpha, fleet) = stage().await;
    let policy = r#"{"requests_per_minute": 30}"#;
    let made = fleet
        .admin(&["keys", "create", "--name", "slow", "--policy", policy])
        .unwrap();
    let key = made["key"].as_str().unwrap();
    let clients: Vec<Client> = (0..EDGES)
        .map(|edge| fleet.client(edge).with_key(key))
        .collect();
    let (replies, minutes) = burst(&clients, ALPHA, 60).await;
    check(&replies, minutes, 30, "key_requests_per_min");

    let clients: Vec<Client> = (0..EDGES).map(|edge| fleet.client(edge)).collect();
    let (replies, minutes) = burst(&clients, FREE, 30).await;
    check(&replies, minutes, 20, "free_models_per_min");
    // What is paid for is not free.
    let paid = clients[0].post(CHAT, &chat(ALPHA, "hello")).await.unwrap();
    assert_eq!(paid.status, 200);
    let mut either = chat(FREE, "hello");
    either["models"] = serde_json::json!([ALPHA]);
    let paid = clients[0].post(CHAT, &either).await.unwrap();
    assert_eq!(paid.status, 200);
    assert_eq!(paid.json()["model"], ALPHA);
}
