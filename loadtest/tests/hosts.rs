//! Hosts with ways of their own, through a running node: one that refuses a turn whose thoughts do
//! not come back, and one that counts an answer and then breaks it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use loadtest::client::Client;
use loadtest::cluster::{CatalogSpec, Heard, Standalone, StandaloneConfig, eventually};
use loadtest::provider::Dialect;
use loadtest::server::{Answer, Cut, Server};
use serde_json::{Value, json};
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const CHAT: &str = "/api/v1/chat/completions";
const QUIRK: &str = "reasoning-content-back";

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A response of this text and what follows it.
fn response(
    status: u16,
    kind: &str,
    text: String,
    more: impl Future<Output = &'static str> + Send + 'static,
) -> Response<Body> {
    let piece = |text: Bytes| Ok(Frame::data(text));
    let text = stream::once(ready(Bytes::from(text)));
    let more = stream::once(more).map(Bytes::from);
    let body = StreamBody::new(text.chain(more).map(piece));
    let mut response = Response::new(BodyExt::boxed_unsync(body));
    *response.status_mut() = status.try_into().unwrap();
    let kind = kind.parse().unwrap();
    response.headers_mut().insert("content-type", kind);
    response
}

/// An event stream.
fn events(
    chunks: &[Value],
    more: impl Future<Output = &'static str> + Send + 'static,
) -> Response<Body> {
    let chunks = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    response(200, "text/event-stream", chunks.collect(), more)
}

fn done() -> Ready<&'static str> {
    ready("data: [DONE]\n\n")
}

fn chunk(delta: &Value, finish: &Value) -> Value {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] })
}

async fn asked(request: Request<Incoming>) -> Value {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Calls a tool, then says what it thought; refuses a call of its own that comes without.
struct Thinker;

impl Answer for Thinker {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Cut) -> Response<Body> {
        let body = asked(request).await;
        let messages = body["messages"].as_array().unwrap();
        let Some(turn) = messages.iter().find(|turn| turn["tool_calls"].is_array()) else {
            let call = json!([{ "index": 0, "id": "call_1", "type": "function",
                "function": { "name": "f", "arguments": "{}" } }]);
            let chunks = [
                chunk(
                    &json!({ "role": "assistant", "reasoning_content": "hm, " }),
                    &Value::Null,
                ),
                chunk(&json!({ "reasoning_content": "so" }), &Value::Null),
                chunk(&json!({ "tool_calls": call }), &Value::Null),
                chunk(&json!({}), &json!("tool_calls")),
            ];
            return events(&chunks, done());
        };
        let thought = turn["reasoning_content"].as_str().unwrap_or("");
        if thought.is_empty() {
            let message =
                "The `reasoning_content` in the thinking mode must be passed back to the API.";
            let error = json!({ "error": { "message": message, "type": "invalid_request_error" } });
            return response(400, "application/json", error.to_string(), ready(""));
        }
        let chunks = [
            chunk(
                &json!({ "role": "assistant", "content": thought }),
                &Value::Null,
            ),
            chunk(&json!({}), &json!("stop")),
        ];
        events(&chunks, done())
    }
}

async fn node(server: &Server, make: impl FnOnce(CatalogSpec, &str) -> CatalogSpec) -> Standalone {
    let url = format!("http://{}/v1", server.addr());
    let catalog = make(CatalogSpec::default(), &url);
    StandaloneConfig::new(catalog).start().await.unwrap()
}

/// A status, and what was heard of a stream.
async fn listen(client: &Client, body: &Value) -> (u16, Heard) {
    let mut stream = client.stream(CHAT, body).await.unwrap();
    if stream.status != 200 {
        return (stream.status, Heard::default());
    }
    let (events, end) = stream.rest().await;
    end.unwrap();
    (200, Heard::of(&events))
}

#[tokio::test(flavor = "multi_thread")]
async fn thoughts_come_back_to_who_demands_them() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let host = Server::start(any, None, Arc::new(Thinker)).await.unwrap();
    let mut godwit = node(&host, |catalog, url| {
        let mut catalog = catalog
            .provider_with("says-so", Dialect::OpenaiChat, url, |row| {
                row.quirks = vec![QUIRK.to_owned()];
            })
            .provider("serves-one", Dialect::OpenaiChat, url)
            .model("acme/all", &["says-so"])
            .model("acme/one", &["serves-one"])
            .model("acme/other", &["serves-one"]);
        let one = catalog.endpoints.iter_mut();
        for endpoint in one.filter(|endpoint| endpoint.model == "acme/one") {
            endpoint.quirks = vec![QUIRK.to_owned()];
        }
        catalog
    })
    .await;
    let client = godwit.client();
    for (model, status) in [("acme/all", 200), ("acme/one", 200), ("acme/other", 400)] {
        let user = json!({ "role": "user", "content": "x" });
        let body = json!({ "model": model, "stream": true, "messages": [user] });
        let (_, heard) = listen(&client, &body).await;
        assert_eq!(heard.reasoning, "hm, so", "{model}");
        let turn = json!({ "role": "assistant", "content": null,
            "reasoning": heard.reasoning, "tool_calls": heard.calls });
        let result = json!({ "role": "tool", "tool_call_id": "call_1", "content": "1" });
        let body = json!({ "model": model, "stream": true, "messages": [user, turn, result] });
        let (told, heard) = listen(&client, &body).await;
        assert_eq!(told, status, "{model}");
        let text = if status == 200 { "hm, so" } else { "" };
        assert_eq!(heard.text, text, "{model}");
    }
    godwit.terminate(Duration::from_secs(20)).await;
    host.stop().await;
}

/// Says something, counts it, and, when it is told to, breaks off in the way that it was asked for.
struct Breaker(Arc<Notify>);

impl Answer for Breaker {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Cut) -> Response<Body> {
        let body = asked(request).await;
        let usage = json!({ "id": "c", "choices": [],
            "usage": { "prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47 } });
        let text = json!({ "role": "assistant", "content": "four score" });
        let chunks = [chunk(&text, &Value::Null), usage];
        let end = match body["messages"][0]["content"].as_str() {
            Some("error") => concat!(
                r#"data: {"error":{"message":"broke","type":"server_error"}}"#,
                "\n\n"
            ),
            _ => "",
        };
        let go_on = Arc::clone(&self.0);
        events(&chunks, async move {
            go_on.notified().await;
            end
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_behind_its_usage_is_counted_and_costs_nothing() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let go_on = Arc::new(Notify::new());
    let breaker = Arc::new(Breaker(Arc::clone(&go_on)));
    let host = Server::start(any, None, breaker).await.unwrap();
    let mut godwit = node(&host, |catalog, url| {
        let catalog = catalog.provider("breaks", Dialect::OpenaiChat, url);
        catalog.model("acme/model", &["breaks"])
    })
    .await;
    let client = godwit.client();
    // One that stalls is never told to go on.
    for how in ["error", "cut", "stall"] {
        let user = json!({ "role": "user", "content": how });
        let body = json!({ "model": "acme/model", "stream": true, "messages": [user] });
        let mut stream = client.stream(CHAT, &body).await.unwrap();
        assert_eq!(stream.status, 200, "{how}");
        let id = stream.headers["x-generation-id"].to_str().unwrap();
        let path = format!("/api/v1/generation?id={id}");
        let mut all = vec![stream.next().await.unwrap().unwrap()];
        if how != "stall" {
            go_on.notify_one();
        }
        let (rest, end) = stream.rest().await;
        end.unwrap();
        all.extend(rest);
        let heard = Heard::of(&all);
        assert_eq!(heard.text, "four score", "{how}");
        assert!(heard.error.is_some() && !heard.done, "{how}: {heard:?}");
        let told = || async {
            let reply = client.get(&path).await.ok()?;
            let data = reply.json()["data"].clone();
            data.is_object().then_some(data)
        };
        let told = eventually(Duration::from_secs(20), told).await.unwrap();
        assert_eq!(told["tokens_prompt"], 40, "{how}: {told}");
        assert_eq!(told["tokens_completion"], 7, "{how}: {told}");
        assert_eq!(told["total_cost"].as_f64(), Some(0.0), "{how}: {told}");
    }
    let holds = godwit
        .edge_admin()
        .get("/debug/holds")
        .await
        .unwrap()
        .json();
    assert_eq!(holds["in_flight"], 0, "{holds}");
    for lease in holds["leases"].as_array().unwrap() {
        assert_eq!(lease["held_usd"], holds["held_usd"], "{holds}");
    }
    godwit.terminate(Duration::from_secs(20)).await;
    host.stop().await;
}

/// Two hosts behind one address: one does not know a parameter, the other answers.
struct Picky;

impl Answer for Picky {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Cut) -> Response<Body> {
        let is_strict = request.uri().path().starts_with("/strict/");
        let body = asked(request).await;
        if is_strict && body.get("seed").is_some() {
            let message = "Unsupported parameter: 'seed' is not supported with this model.";
            let error = json!({ "error": { "message": message, "code": "unsupported_parameter" } });
            return response(400, "application/json", error.to_string(), ready(""));
        }
        let text = json!({ "role": "assistant", "content": "served" });
        events(&[chunk(&text, &json!("stop"))], done())
    }
}

/// Nobody is sick where a request does not fit, however many of them come.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_a_request_uses_up_nobodys_retries() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let host = Server::start(any, None, Arc::new(Picky)).await.unwrap();
    let mut godwit = node(&host, |catalog, url| {
        let at = |name: &str| url.replace("/v1", &format!("/{name}/v1"));
        catalog
            .provider("strict", Dialect::OpenaiChat, &at("strict"))
            .provider("lenient", Dialect::OpenaiChat, &at("lenient"))
            .model("acme/model", &["strict", "lenient"])
    })
    .await;
    let client = godwit.client();
    let user = json!({ "role": "user", "content": "x" });
    let body = json!({ "model": "acme/model", "stream": true, "messages": [user], "seed": 1,
        "provider": { "order": ["strict"] } });
    // More than any budget for retries has at once.
    for number in 0..80 {
        let (status, heard) = listen(&client, &body).await;
        assert_eq!((status, heard.text.as_str()), (200, "served"), "{number}");
    }
    godwit.terminate(Duration::from_secs(20)).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_not_there_yet_is_no_missing_endpoint() {
    let catalog = CatalogSpec::default()
        .provider_of("vertex", "vertex-gemini", "http://127.0.0.1:1", |row| {
            row.api_key_env = Some("HOSTS_TEST_ACCOUNT".to_owned());
        })
        .provider_of("unset", "vertex-gemini", "http://127.0.0.1:1", |row| {
            row.api_key_env = Some("HOSTS_TEST_NOTHING".to_owned());
        })
        .model("acme/soon", &["vertex"])
        .model("acme/never", &["unset"]);
    let mut config = StandaloneConfig::new(catalog);
    let account = ("HOSTS_TEST_ACCOUNT", "/no/such/account.json");
    config.environment = vec![(account.0.to_owned(), account.1.to_owned())];
    let mut godwit = config.start().await.unwrap();
    let client = godwit.client();
    let user = json!({ "role": "user", "content": "x" });
    for (model, status, retry) in [("acme/soon", 503, Some("2")), ("acme/never", 404, None)] {
        let body = json!({ "model": model, "messages": [user] });
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_eq!(reply.status, status, "{model}: {}", reply.json());
        let after = reply.headers.get("retry-after");
        assert_eq!(after.map(|it| it.to_str().unwrap()), retry, "{model}");
        let availability = &reply.json()["error"]["availability"];
        let retryable = availability["retryable"].as_bool();
        assert_eq!(retryable, Some(status == 503), "{model}: {availability}");
    }
    godwit.terminate(Duration::from_secs(20)).await;
}
