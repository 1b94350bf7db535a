//! The bare pass-through changes nothing that goes through it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::Client;
use loadtest::peer::Peer;
use loadtest::provider::{Config, Provider, expected_answer};
use serde_json::json;
use std::net::SocketAddr;

#[tokio::test]
async fn answers_and_streams_pass_unchanged() {
    let provider = Provider::start(Config::default()).await.unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let peer = Peer::start(any, provider.addr()).await.unwrap();
    let client = Client::new(&format!("http://{}", peer.addr()));
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "#tokens=300"}]});
    let expected = expected_answer(&body).text();
    for _ in 0..3 {
        let reply = client.post("/v1/chat/completions", &body).await.unwrap();
        assert_eq!(reply.json()["choices"][0]["message"]["content"], expected);
    }
    body["stream"] = true.into();
    for _ in 0..3 {
        let mut stream = client.stream("/v1/chat/completions", &body).await.unwrap();
        let (events, end) = stream.rest().await;
        end.unwrap();
        let text: String = events
            .iter()
            .filter_map(|event| {
                let json = event.json();
                json["choices"][0]["delta"]["content"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        assert_eq!(text, expected);
        assert_eq!(events.last().unwrap().data, "[DONE]");
    }
    assert_eq!(provider.totals().completed, 6);
}
