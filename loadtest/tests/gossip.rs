//! Gossip within a point of presence: with the control plane dead, what one edge sees fail the others
//! leave alone within seconds; a restart keeps the peers; what is no packet is dropped and counted.
//! Measured times are printed (`-- --nocapture`).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic and print what it measured"
)]

use loadtest::client::Client;
use loadtest::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use loadtest::provider::{Config, Dialect, Kind, Provider, Rule, Running};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const CHAT: &str = "/api/v1/chat/completions";
const MODEL: &str = "test/model";
const PATIENCE: Duration = Duration::from_secs(20);

async fn provider() -> Running {
    let quick = Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(2),
        ..Config::default()
    };
    Provider::start(quick).await.unwrap()
}

async fn fleet(dying: &Running, steady: &Running) -> Fleet {
    let catalog = CatalogSpec::default()
        .provider("dying", Dialect::OpenaiChat, &dying.base_url())
        .provider("steady", Dialect::OpenaiChat, &steady.base_url())
        .model(MODEL, &["dying", "steady"]);
    let mut config = FleetConfig::new(catalog, 3).edge_key("gossip_listen", "127.0.0.1:0");
    for (pop, _) in &mut config.edges {
        "pop-1".clone_into(pop);
    }
    config.start().await.unwrap()
}

fn body() -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": "godwits" }] })
}

/// The value of the first line of the metrics that begins so.
async fn metric(admin: &Client, begin: &str) -> f64 {
    let text = admin.get("/metrics").await.map(|page| page.text());
    let text = text.unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(begin));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or(0.0)
}

async fn reaches(admin: &Client, begin: &str, least: f64) {
    let reached = || async { (metric(admin, begin).await >= least).then_some(()) };
    let found = eventually(PATIENCE, reached).await;
    assert!(found.is_some(), "{begin} is {}", metric(admin, begin).await);
}

/// Does the edge leave the dying endpoint alone?
async fn leaves_alone(admin: &Client) -> bool {
    let plan = admin.post("/debug/plan", &body()).await.unwrap().json();
    let candidates = plan["candidates"].as_array().unwrap();
    let dying = candidates
        .iter()
        .find(|it| it["endpoint"] == format!("{MODEL}@dying"));
    dying.is_some_and(|it| it["reason"] == "paused")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_control_plane_one_edges_failures_are_news_for_the_others() {
    let (dying, steady) = (provider().await, provider().await);
    let mut fleet = fleet(&dying, &steady).await;
    let admins: Vec<Client> = fleet.edges().iter().map(|edge| edge.admin()).collect();
    for (number, admin) in admins.iter().enumerate() {
        reaches(admin, "godwit_gossip_peers", 2.0).await;
        // A key that is known serves without a control plane.
        let reply = fleet.client(number).post(CHAT, &body()).await.unwrap();
        assert_eq!(reply.status, 200);
    }
    fleet.control().kill();

    dying.set_faults(vec![Rule::new(Kind::Reset)]);
    let (client, died) = (fleet.client(0), Instant::now());
    let before = metric(&admins[1], "godwit_gossip_packets_total{result=\"paused\"}").await;
    let told = || async {
        let reply = client.post(CHAT, &body()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        leaves_alone(&admins[0]).await.then(|| died.elapsed())
    };
    let first = eventually(PATIENCE, told).await.unwrap();
    for admin in &admins[1..] {
        let heard = || async { leaves_alone(admin).await.then(|| died.elapsed()) };
        let took = eventually(Duration::from_secs(6), heard).await.unwrap();
        println!("edge 1 after {first:?}, another edge after {took:?}");
    }
    let after = metric(&admins[1], "godwit_gossip_packets_total{result=\"paused\"}").await;
    assert!(after > before);
    let asked = dying.totals().requests;
    for number in [1, 2] {
        let reply = fleet.client(number).post(CHAT, &body()).await.unwrap();
        assert_eq!(reply.status, 200);
    }
    assert_eq!(
        dying.totals().requests,
        asked,
        "a failing endpoint was asked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_packet_is_dropped_and_a_restart_keeps_the_peers() {
    let (dying, steady) = (provider().await, provider().await);
    let mut fleet = fleet(&dying, &steady).await;
    let admin = fleet.edges()[1].admin();
    reaches(&admin, "godwit_gossip_peers", 2.0).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = fleet.edges()[1].gossip().unwrap();
    for (bytes, result) in [
        (vec![1_u8; 8], "size"),
        (vec![2; 5000], "size"),
        (
            b"GWG1 and what looks like a packet, made without the key of this place".to_vec(),
            "forged",
        ),
    ] {
        let line = format!("godwit_gossip_packets_total{{result=\"{result}\"}}");
        let before = metric(&admin, &line).await;
        socket.send_to(&bytes, target).unwrap();
        reaches(&admin, &line, before + 1.0).await;
    }
    assert!(!leaves_alone(&admin).await);

    fleet.control().kill();
    fleet.edge(2).unwrap().restart().await.unwrap();
    reaches(&fleet.edges()[2].admin(), "godwit_gossip_peers", 2.0).await;
}
