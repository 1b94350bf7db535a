//! What an answer comes to when it is not just whole: nothing for what is nothing, our own count in
//! the place of one that can't be, and all of a stream that its provider makes for nobody.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::MapErr};
use hyper::body::Incoming;
use hyper::{Request, Response};
use loadtest::client::Client;
use loadtest::cluster::{CatalogSpec, Standalone, StandaloneConfig, eventually};
use loadtest::provider::{Config, Dialect, Entry, Provider, Running};
use loadtest::server::{Answer, Cut, Server};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const CHAT: &str = "/api/v1/chat/completions";
const MODEL: &str = "acme/model";

/// Says of each request what its last message tells it to say.
struct Parrot;

impl Answer for Parrot {
    type Body = MapErr<Full<Bytes>, fn(Infallible) -> io::Error>;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Cut) -> Response<Self::Body> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let text = body["messages"][0]["content"].as_str().unwrap().to_owned();
        let never: fn(Infallible) -> io::Error = |never| match never {};
        let mut response = Response::new(Full::new(Bytes::from(text)).map_err(never));
        let json = "application/json".parse().unwrap();
        response.headers_mut().insert("content-type", json);
        response
    }
}

fn answer(text: &str, finish: &Value, prompt: &Value) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{
            "index": 0, "finish_reason": finish,
            "message": { "role": "assistant", "content": text },
        }],
        "usage": { "prompt_tokens": prompt, "completion_tokens": text.len(), "total_tokens": 9 },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_costs_nothing_and_what_can_not_be_is_estimated() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let parrot = Server::start(any, None, Arc::new(Parrot)).await.unwrap();
    let url = format!("http://{}/v1", parrot.addr());
    let catalog = CatalogSpec::default()
        .provider("acme", Dialect::OpenaiChat, &url)
        .model(MODEL, &["acme"]);
    let mut godwit = StandaloneConfig::new(catalog).start().await.unwrap();
    let client = godwit.client();
    let ask = async |said: String| {
        let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": said }] });
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["usage"]["cost"].as_f64().unwrap()
    };
    let whole = ask(answer("godwit", &json!("stop"), &json!(40))).await;
    assert!(whole > 0.0);
    // It says why it says nothing: that is an answer.
    assert!(ask(answer("", &json!("stop"), &json!(40))).await > 0.0);
    assert!(ask(answer("", &Value::Null, &json!(40))).await == 0.0);
    let absurd = ask(answer(
        "godwit",
        &json!("stop"),
        &json!(9_000_000_000_000_u64),
    ))
    .await;
    assert!(absurd > 0.0 && absurd < 100.0 * whole, "{absurd}, {whole}");
    godwit.terminate(Duration::from_secs(20)).await;
    parrot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_the_last_resort_and_costs_nothing() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let parrot = Server::start(any, None, Arc::new(Parrot)).await.unwrap();
    let url = format!("http://{}/v1", parrot.addr());
    let config = Config {
        dialect: Some(Dialect::OpenaiChat),
        ..Config::default()
    };
    let sound = Provider::start(config).await.unwrap();
    let catalog = CatalogSpec::default()
        .provider("acme", Dialect::OpenaiChat, &url)
        .provider("beta", Dialect::OpenaiChat, &sound.base_url())
        .model(MODEL, &["acme"])
        .model("acme/both", &["acme", "beta"]);
    let mut godwit = StandaloneConfig::new(catalog).start().await.unwrap();
    let client = godwit.client();
    let half = answer("half an answer", &json!("error"), &json!(40));
    let body = |model: &str| {
        json!({
            "model": model, "messages": [{ "role": "user", "content": half }],
            "provider": { "order": ["acme", "beta"] },
        })
    };
    let reply = client.post(CHAT, &body(MODEL)).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    let choice = &said["choices"][0];
    assert_eq!(choice["finish_reason"], "error");
    assert_eq!(choice["message"]["content"], "half an answer");
    assert_eq!(choice["error"]["code"], 502);
    assert_eq!(said["usage"]["cost"], json!(0));
    assert_eq!(said["usage"]["prompt_tokens"], 40);
    // Who gives a whole one is heard instead.
    let reply = client.post(CHAT, &body("acme/both")).await.unwrap();
    let said = reply.json();
    assert_eq!(said["choices"][0]["finish_reason"], "stop", "{said}");
    assert!(said["usage"]["cost"].as_f64().unwrap() > 0.0);
    godwit.terminate(Duration::from_secs(20)).await;
    parrot.stop().await;
}

/// A provider's bill in tokens against the books.
fn reconciled(godwit: &Standalone, slug: &str, provider: &Running) -> Value {
    let file = godwit.data_dir().join(format!("{slug}.json"));
    let bill = serde_json::to_string(&provider.bill()).unwrap();
    std::fs::write(&file, bill).unwrap();
    let file = file.to_string_lossy();
    let arguments = ["ledger", "reconcile", "--provider", slug, "--bill", &file];
    godwit.admin(&arguments).unwrap()
}

/// Asks for an answer and leaves it: a whole one before it is there, a stream after its first event.
/// Gives how many requests the provider has cut off.
async fn leave(client: &Client, provider: &Running, (model, whole): (&str, bool)) -> u64 {
    let before = provider.totals();
    let body = json!({
        "model": model, "stream": !whole, "max_tokens": 4000,
        "session_id": "talk-1", "user": "u-7",
        "messages": [{ "role": "user", "content": "#tokens=120 godwits" }],
    });
    if whole {
        let asked = client.post(CHAT, &body);
        let left = tokio::time::timeout(Duration::from_millis(200), asked).await;
        assert!(left.is_err(), "{model}");
    } else {
        let mut stream = client.stream(CHAT, &body).await.unwrap();
        stream.next().await.unwrap().unwrap();
    }
    let idle = || async { (provider.totals().open == 0).then_some(()) };
    assert!(eventually(Duration::from_secs(10), idle).await.is_some());
    provider.totals().cancelled - before.cancelled
}

/// What is told of a request that was left.
async fn told(client: &Client, entry: &Entry) -> Value {
    let told = || async {
        let path = format!("/api/v1/generation?id={}", entry.id);
        let reply = client.get(&path).await.ok()?;
        let data = reply.json()["data"].clone();
        data.is_object().then_some(data)
    };
    let told = eventually(Duration::from_secs(20), told).await.unwrap();
    assert_eq!(told["cancelled"], true, "{told}");
    let asker = (&told["session_id"], &told["external_user"]);
    assert_eq!(asker, (&json!("talk-1"), &json!("u-7")));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_left_is_charged_as_its_provider_bills_it() {
    let paced = || Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(10),
        tokens_per_second: 200.0,
        ..Config::default()
    };
    let stops = Provider::start(paced()).await.unwrap();
    let goes_on = Provider::start(paced()).await.unwrap();
    let mut catalog = CatalogSpec::default()
        .provider("stops", Dialect::OpenaiChat, &stops.base_url())
        .provider("goes-on", Dialect::OpenaiChat, &goes_on.base_url())
        .model("acme/stops", &["stops"])
        .model("acme/goes-on", &["goes-on"]);
    // Of one offer alone it holds as of all of its provider's.
    catalog.endpoints[1].quirks = vec!["bills-abandoned".to_owned()];
    let mut godwit = StandaloneConfig::new(catalog).start().await.unwrap();
    let client = godwit.client();
    for whole in [false, true] {
        assert_eq!(leave(&client, &stops, ("acme/stops", whole)).await, 1);
        assert_eq!(leave(&client, &goes_on, ("acme/goes-on", whole)).await, 0);
    }
    for entry in &goes_on.bill().requests {
        assert!(entry.completed, "{entry:?}");
        let told = told(&client, entry).await;
        assert_eq!(told["tokens_completion"], entry.output_tokens, "{told}");
    }
    for entry in stops.bill().requests.iter().filter(|it| !it.stream) {
        let told = told(&client, entry).await;
        assert_eq!(told["total_cost"], json!(0), "{told}");
        let response = &told["provider_responses"][0];
        assert_eq!(response["endpoint_id"], "acme/stops@stops", "{told}");
        assert_eq!(response["status"], Value::Null, "{told}");
    }
    // What is billed to the end was charged to the digit; what else was billed has its price, though
    // nobody was charged for it.
    let done = reconciled(&godwit, "goes-on", &goes_on);
    assert_eq!((&done["equal"], &done["unknown"]), (&json!(2), &json!(0)));
    assert_eq!(done["expense_usd"], "0", "{done}");
    let done = reconciled(&godwit, "stops", &stops);
    let open = (&done["unknown"], &done["differences"]);
    assert_eq!(open, (&json!(0), &json!([])), "{done}");
    let again = reconciled(&godwit, "stops", &stops);
    let changed = (&again["adjusted"], &again["beyond"]);
    assert_eq!(changed, (&json!(0), &json!(0)), "{again}");
    godwit.terminate(Duration::from_secs(20)).await;
}
