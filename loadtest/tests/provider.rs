//! The simulated provider seen from outside: every token as expected, faults as asked for, a bill
//! that is exact. The gateway has no part in this.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::{Client, Event};
use loadtest::provider::{Bill, Config, Dialect, Kind, Provider, Rule, Running, expected_answer};
use serde_json::{Value, json};
use std::time::Duration;

const OPENAI: &str = "/v1/chat/completions";
const ANTHROPIC: &str = "/v1/messages";

async fn start() -> (Running, Client) {
    let running = Provider::start(Config::default()).await.unwrap();
    let client = client(&running);
    (running, client)
}

fn client(running: &Running) -> Client {
    let base = format!("http://{}", running.addr());
    Client::new(&base).with_header("anthropic-version", "2023-06-01")
}

fn chat(text: &str) -> Value {
    json!({"model": "m", "messages": [
        {"role": "system", "content": "be brief"}, {"role": "user", "content": text}]})
}

fn messages(text: &str) -> Value {
    json!({"model": "m", "max_tokens": 1000, "system": "be brief",
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]})
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

fn with_tool(mut body: Value, dialect: Dialect) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    body["tools"] = match dialect {
        Dialect::OpenaiChat => json!([{"type": "function",
            "function": {"name": "weather", "parameters": schema}}]),
        _ => json!([{"name": "weather", "input_schema": schema}]),
    };
    body
}

/// The bill once every request on it has ended.
async fn settled(running: &Running) -> Bill {
    for _ in 0..500 {
        if running.totals().open == 0 {
            return running.bill();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a request stays open: {:?}", running.totals());
}

fn content(events: &[Event]) -> String {
    let piece = |event: &Event| {
        let delta = event.json();
        let delta = delta.pointer("/choices/0/delta/content").cloned();
        delta.and_then(|text| text.as_str().map(str::to_owned))
    };
    events.iter().filter_map(piece).collect()
}

#[tokio::test]
async fn both_dialects_say_the_same_whole_and_streamed() {
    let (running, client) = start().await;
    let expected = expected_answer(&chat("fly #think=3"));
    let reply = client.post(OPENAI, &chat("fly #think=3")).await.unwrap();
    let json = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(json["choices"][0]["message"]["content"], expected.text());
    assert_eq!(
        json["choices"][0]["message"]["reasoning_content"],
        expected.reasoning()
    );
    assert_eq!(json["usage"]["prompt_tokens"], expected.input_tokens);
    assert_eq!(json["usage"]["completion_tokens"], expected.output_tokens());

    let reply = client
        .post(ANTHROPIC, &messages("fly #think=3"))
        .await
        .unwrap();
    let json = reply.json();
    assert_eq!(json["content"][0]["thinking"], expected.reasoning());
    assert_eq!(json["content"][1]["text"], expected.text());
    assert_eq!(json["usage"]["output_tokens"], expected.output_tokens());

    let mut stream = client
        .stream(OPENAI, &streamed(chat("fly #think=3")))
        .await
        .unwrap();
    let (events, end) = stream.rest().await;
    end.unwrap();
    assert_eq!(content(&events), expected.text());
    assert_eq!(events.last().unwrap().data, "[DONE]");
    assert!(
        events
            .iter()
            .all(|event| event.json().get("usage").is_none())
    );

    let mut stream = client
        .stream(ANTHROPIC, &streamed(messages("fly #think=3")))
        .await
        .unwrap();
    let (events, end) = stream.rest().await;
    end.unwrap();
    let text: String = events
        .iter()
        .filter_map(|event| event.json()["delta"]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, expected.text());
    assert_eq!(events[0].name, "message_start");
    assert_eq!(events.last().unwrap().name, "message_stop");

    let bill = settled(&running).await;
    assert_eq!(bill.requests.len(), 4);
    assert!(
        bill.requests
            .iter()
            .all(|entry| entry.completed && !entry.cancelled)
    );
    assert_eq!(bill.totals.output_tokens, 4 * expected.output_tokens());
    assert_eq!(bill.totals.input_tokens, 4 * expected.input_tokens);
}

#[tokio::test]
async fn usage_is_streamed_when_asked_for() {
    let (_running, client) = start().await;
    let mut body = streamed(chat("hello"));
    body["stream_options"] = json!({"include_usage": true});
    let (events, _) = client.stream(OPENAI, &body).await.unwrap().rest().await;
    let usage = events[events.len() - 2].json();
    assert_eq!(usage["choices"], json!([]));
    let expected = expected_answer(&chat("hello"));
    assert_eq!(
        usage["usage"]["completion_tokens"],
        expected.output_tokens()
    );
}

#[tokio::test]
async fn tools_are_called_in_both_dialects() {
    let (_running, client) = start().await;
    let body = with_tool(chat("go #tools=2"), Dialect::OpenaiChat);
    let expected = expected_answer(&body).tool_calls();
    assert_eq!(expected.len(), 2);
    let json = client.post(OPENAI, &body).await.unwrap().json();
    let calls = json["choices"][0]["message"]["tool_calls"]
        .as_array()
        .unwrap();
    assert_eq!(json["choices"][0]["finish_reason"], "tool_calls");
    for (call, expected) in calls.iter().zip(&expected) {
        assert_eq!(call["function"]["name"], expected.name);
        assert_eq!(call["function"]["arguments"], expected.arguments);
    }
    let body = with_tool(messages("go #tools=2"), Dialect::AnthropicMessages);
    let (events, _) = client
        .stream(ANTHROPIC, &streamed(body))
        .await
        .unwrap()
        .rest()
        .await;
    let arguments = |index: u64| -> String {
        let of_block = events
            .iter()
            .map(Event::json)
            .filter(|json| json["index"] == index);
        of_block
            .filter_map(|json| json["delta"]["partial_json"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(arguments(0), expected[0].arguments);
    assert_eq!(arguments(1), expected[1].arguments);
}

#[tokio::test]
async fn bad_requests_get_the_dialects_error() {
    let (running, client) = start().await;
    for (path, body) in [
        (
            OPENAI,
            json!({"messages": [{"role": "user", "content": "x"}]}),
        ),
        (OPENAI, json!({"model": "m", "messages": []})),
        (
            OPENAI,
            json!({"model": "m", "messages": [{"role": "tool", "content": "x"}]}),
        ),
        (
            ANTHROPIC,
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}),
        ),
        (
            ANTHROPIC,
            json!({"model": "m", "max_tokens": 9,
            "messages": [{"role": "system", "content": "x"}]}),
        ),
        (
            ANTHROPIC,
            json!({"model": "m", "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}),
        ),
    ] {
        let reply = client.post(path, &body).await.unwrap();
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
    let reply = client
        .call(http::Method::POST, OPENAI, "{".into())
        .await
        .unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(running.totals().requests, 0);
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_billed_for_what_it_got() {
    let config = Config {
        tokens_per_second: 200.0,
        ..Config::default()
    };
    let running = Provider::start(config).await.unwrap();
    let client = client(&running);
    let body = streamed(chat("long #tokens=10000"));
    let mut stream = client.stream(OPENAI, &body).await.unwrap();
    for _ in 0..6 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    let bill = settled(&running).await;
    let entry = &bill.requests[0];
    assert!(entry.cancelled && !entry.completed);
    assert!((5..1000).contains(&entry.output_tokens), "{entry:?}");
    assert_eq!(bill.totals.cancelled_output_tokens, entry.output_tokens);
}

#[tokio::test]
async fn tokens_come_at_their_pace() {
    let config = Config {
        ttft: Duration::from_millis(80),
        tokens_per_second: 100.0,
        ..Config::default()
    };
    let running = Provider::start(config).await.unwrap();
    let body = streamed(chat("#tokens=20"));
    let (events, _) = client(&running)
        .stream(OPENAI, &body)
        .await
        .unwrap()
        .rest()
        .await;
    assert!(events[0].at >= Duration::from_millis(80));
    let span = events.last().unwrap().at - events[0].at;
    assert!(span >= Duration::from_millis(190), "{span:?}");
}

#[tokio::test]
async fn faults_before_the_answer() {
    let (running, client) = start().await;
    let put = |rule: Value| {
        let client = client.clone();
        async move {
            let body = rule.to_string().into();
            let reply = client
                .call(http::Method::PUT, "/_fault", body)
                .await
                .unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    };
    put(json!({"kind": "status", "status": 429, "retry_after": 2})).await;
    let reply = client.post(OPENAI, &chat("x")).await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (429, "2"));
    assert_eq!(
        client.post(ANTHROPIC, &messages("x")).await.unwrap().json()["error"]["type"],
        "rate_limit_error"
    );

    put(json!({"kind": "html"})).await;
    let reply = client.post(OPENAI, &chat("x")).await.unwrap();
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "text/html")
    );

    put(json!({"kind": "reset"})).await;
    assert!(client.post(OPENAI, &chat("x")).await.is_err());

    put(json!({"kind": "black_hole"})).await;
    let body = chat("x");
    let waiting = client.post(OPENAI, &body);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), waiting)
            .await
            .is_err()
    );

    let reply = client
        .call(http::Method::DELETE, "/_fault", "".into())
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(client.post(OPENAI, &chat("x")).await.unwrap().status, 200);

    let bill = settled(&running).await;
    let faults: Vec<&str> = bill
        .requests
        .iter()
        .map(|entry| entry.fault.as_str())
        .collect();
    assert_eq!(faults.len(), 6);
    assert_eq!(bill.totals.completed, 1);
    assert_eq!(
        bill.totals.output_tokens,
        expected_answer(&chat("x")).output_tokens()
    );
    let read = client.get("/_bill").await.unwrap().json();
    assert_eq!(read["totals"]["completed"], 1);
}

#[tokio::test]
async fn faults_inside_a_stream() {
    let (running, client) = start().await;
    let body = streamed(chat("fly #tokens=30"));
    let expected = expected_answer(&body).text();
    for (kind, clean) in [
        (Kind::Truncate, false),
        (Kind::Truncate, true),
        (Kind::Reset, false),
        (Kind::ErrorEvent, true),
        (Kind::Garbage, true),
        (Kind::EmptyStream, true),
    ] {
        let mut rule = Rule::new(kind);
        rule.after_tokens = 7;
        rule.clean = clean;
        running.set_faults(vec![rule]);
        let (events, end) = client.stream(OPENAI, &body).await.unwrap().rest().await;
        assert_eq!(end.is_ok(), clean, "{kind:?}");
        assert!(
            events.iter().all(|event| event.data != "[DONE]"),
            "{kind:?}"
        );
        if kind == Kind::EmptyStream {
            assert!(events.is_empty());
        } else if kind != Kind::Reset {
            let text = content(&events);
            assert!(
                expected.starts_with(&text) && !text.is_empty(),
                "{kind:?}: {text}"
            );
        }
        if kind == Kind::ErrorEvent {
            assert!(events.last().unwrap().json()["error"].is_object());
        }
    }
    let mut rule = Rule::new(Kind::Stall);
    rule.after_tokens = 2;
    running.set_faults(vec![rule]);
    let mut stream = client.stream(OPENAI, &body).await.unwrap();
    let silent = async { while stream.next().await.unwrap().is_some() {} };
    assert!(
        tokio::time::timeout(Duration::from_millis(100), silent)
            .await
            .is_err()
    );
    drop(stream);
    let bill = settled(&running).await;
    assert_eq!(bill.totals.completed, 0);
    assert_eq!(bill.requests[0].output_tokens, 7);
    assert!(bill.requests.last().unwrap().cancelled);
}

#[tokio::test]
async fn http2_in_clear_is_spoken_and_one_stream_can_be_left() {
    let config = Config {
        tokens_per_second: 100.0,
        ..Config::default()
    };
    let running = Provider::start(config).await.unwrap();
    let client = Client::h2c(&format!("http://{}", running.addr()));
    let body = streamed(chat("#tokens=30"));
    let mut left = client.stream(OPENAI, &body).await.unwrap();
    let mut kept = client.stream(OPENAI, &body).await.unwrap();
    left.next().await.unwrap().unwrap();
    drop(left);
    let (events, end) = kept.rest().await;
    end.unwrap();
    assert_eq!(content(&events), expected_answer(&body).text());
    let totals = settled(&running).await.totals;
    assert_eq!((totals.completed, totals.cancelled), (1, 1));
}

#[tokio::test]
async fn a_stopped_provider_refuses_and_cuts() {
    let config = Config {
        tokens_per_second: 50.0,
        ..Config::default()
    };
    let running = Provider::start(config).await.unwrap();
    let client = client(&running);
    let body = streamed(chat("#tokens=1000"));
    let mut stream = client.stream(OPENAI, &body).await.unwrap();
    stream.next().await.unwrap().unwrap();
    running.stop().await;
    assert!(stream.rest().await.1.is_err());
    assert!(client.post(OPENAI, &chat("x")).await.is_err());
}
