//! The fault proxy between a client and a simulated provider: each kind of bad network does what
//! it says, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::Client;
use loadtest::provider::{Config, Provider, Running, expected_answer};
use loadtest::server::Server;
use loadtest::wire::{Weather, Wire, WireControl};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATH: &str = "/v1/chat/completions";

async fn start() -> (Running, Arc<Wire>) {
    let running = Provider::start(Config::default()).await.unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let wire = Wire::start(any, running.addr()).await.unwrap();
    (running, Arc::new(wire))
}

fn fresh(wire: &Wire) -> Client {
    Client::new(&format!("http://{}", wire.addr()))
}

fn chat(tokens: u64) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": format!("#tokens={tokens}")}]})
}

#[tokio::test]
async fn good_weather_passes_everything() {
    let (_running, wire) = start().await;
    let reply = fresh(&wire).post(PATH, &chat(50)).await.unwrap();
    let text = expected_answer(&chat(50)).text();
    assert_eq!(reply.json()["choices"][0]["message"]["content"], text);
    let traffic = wire.traffic();
    assert_eq!(traffic.connections, 1);
    assert!(traffic.bytes_up > 100 && traffic.bytes_down > 200);
}

#[tokio::test]
async fn a_delay_costs_a_round_trip_and_no_bandwidth() {
    let (_running, wire) = start().await;
    wire.set(Weather {
        delay_ms: 40,
        ..Weather::default()
    });
    let started = Instant::now();
    let reply = fresh(&wire).post(PATH, &chat(10_000)).await.unwrap();
    assert_eq!(reply.status, 200);
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(80) && took < Duration::from_millis(400),
        "{took:?}"
    );
}

#[tokio::test]
async fn bandwidth_and_drip_slow_it_down() {
    let (_running, wire) = start().await;
    for weather in [
        Weather {
            bytes_per_second: 5_000,
            ..Weather::default()
        },
        Weather {
            drip_bytes: 20,
            drip_ms: 2,
            ..Weather::default()
        },
    ] {
        wire.set(weather);
        let started = Instant::now();
        let reply = fresh(&wire).post(PATH, &chat(100)).await.unwrap();
        assert_eq!(reply.status, 200);
        assert!(
            started.elapsed() >= Duration::from_millis(90),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn resets_truncation_corruption_and_refusal_break_it() {
    let (_running, wire) = start().await;
    for weather in [
        Weather {
            reset_after: Some(300),
            ..Weather::default()
        },
        Weather {
            truncate_after: Some(300),
            ..Weather::default()
        },
        Weather {
            refuse: true,
            ..Weather::default()
        },
    ] {
        wire.set(weather.clone());
        assert!(
            fresh(&wire).post(PATH, &chat(500)).await.is_err(),
            "{weather:?}"
        );
    }
    wire.set(Weather {
        corrupt_every: 400,
        ..Weather::default()
    });
    if let Ok(reply) = fresh(&wire).post(PATH, &chat(500)).await {
        let text = expected_answer(&chat(500)).text();
        assert_ne!(reply.json()["choices"][0]["message"]["content"], text);
    }
}

#[tokio::test]
async fn a_black_hole_opens_and_closes_again() {
    let (_running, wire) = start().await;
    let client = fresh(&wire);
    assert_eq!(client.post(PATH, &chat(5)).await.unwrap().status, 200);
    wire.set(Weather {
        black_hole: true,
        ..Weather::default()
    });
    let body = chat(6);
    let mut call = Box::pin(client.post(PATH, &body));
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut call).await;
    assert!(waited.is_err());
    wire.set(Weather::default());
    assert_eq!(call.await.unwrap().status, 200);
}

#[tokio::test]
async fn the_control_interface_sets_and_shows_the_weather() {
    let (_running, wire) = start().await;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let control = Arc::new(WireControl(Arc::clone(&wire)));
    let server = Server::start(any, None, control).await.unwrap();
    let client = Client::new(&format!("http://{}", server.addr()));
    let put = |body: &'static str| client.call(http::Method::PUT, "/_wire", body.into());
    assert_eq!(put(r#"{"delay_ms": 7}"#).await.unwrap().status, 200);
    assert_eq!(wire.weather().delay_ms, 7);
    assert_eq!(put(r#"{"delay": 7}"#).await.unwrap().status, 400);
    let shown = client.get("/_wire").await.unwrap().json();
    assert_eq!(shown["weather"]["delay_ms"], 7);
    client
        .call(http::Method::DELETE, "/_wire", "".into())
        .await
        .unwrap();
    assert_eq!(wire.weather(), Weather::default());
}
