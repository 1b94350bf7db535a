//! The request path as a client sees it: right answers from both dialects, failover before the
//! first content byte, an honest end after it, nothing left running when the client has gone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::{Client, Reply};
use loadtest::cluster::Heard;
use loadtest::cluster::scene::{
    ALPHA, BETA, BOTH, CHAT, OPENAI_CHAT, PATIENCE_MS, Scene, chat, cost_pico, fault, ordered,
    streamed, with_tool,
};
use loadtest::provider::{Answer, Kind, Rule, Running, expected_answer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn listen(client: &Client, path: &str, body: &Value) -> Heard {
    let mut stream = client.stream(path, body).await.unwrap();
    if stream.status != 200 {
        let status = stream.status;
        panic!(
            "{status}: {:?}",
            String::from_utf8_lossy(&stream.bytes().await.unwrap())
        );
    }
    let (events, end) = stream.rest().await;
    end.unwrap();
    let heard = Heard::of(&events);
    assert!(heard.odd.is_empty(), "{heard:?}");
    heard
}

fn wanted_calls(answer: &Answer) -> Vec<(String, String)> {
    let calls = answer.tool_calls().into_iter();
    calls.map(|call| (call.name, call.arguments)).collect()
}

fn assert_usage(usage: &Value, answer: &Answer) {
    assert_eq!(usage["prompt_tokens"], answer.input_tokens, "{usage}");
    assert_eq!(
        usage["completion_tokens"],
        answer.output_tokens(),
        "{usage}"
    );
    let cached = &usage["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(
        cached.as_u64().unwrap_or(0),
        answer.cached_tokens,
        "{usage}"
    );
    let cost = usage["cost"]
        .as_f64()
        .unwrap_or_else(|| panic!("no cost: {usage}"));
    let wanted = cost_pico(answer);
    let pico = (cost * 1e12).round();
    assert!(
        (pico - wanted as f64).abs() < 0.5,
        "{pico} pico-dollars instead of {wanted}"
    );
}

fn assert_answer(reply: &Reply, answer: &Answer) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    let message = &json["choices"][0]["message"];
    assert_eq!(message["content"].as_str().unwrap_or(""), answer.text());
    assert_usage(&json["usage"], answer);
}

#[tokio::test]
async fn both_dialects_answer_whole_and_streamed_with_exact_usage_and_cost() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for model in [ALPHA, BETA] {
        for text in ["hello", "why #think=7 #cached=3", "#tokens=500 on and on"] {
            let body = chat(model, text);
            let answer = expected_answer(&body);
            let reply = client.post(CHAT, &body).await.unwrap();
            assert_answer(&reply, &answer);
            let json = reply.json();
            assert_eq!(json["object"], "chat.completion");
            assert_eq!(json["choices"][0]["finish_reason"], "stop");
            assert_eq!(json["id"], reply.header("x-generation-id"), "{json}");
            assert!(reply.header("x-generation-id").starts_with("gen-"));
            let heard = listen(&client, CHAT, &streamed(body)).await;
            assert_eq!(heard.text, answer.text(), "{model}");
            assert_eq!(heard.reasoning, answer.reasoning(), "{model}");
            assert_eq!(heard.finish.last().unwrap(), "stop");
            assert!(heard.done && heard.error.is_none());
            assert_eq!(heard.usage.len(), 1, "{:?}", heard.usage);
            assert_usage(&heard.usage[0], &answer);
        }
    }
}

#[tokio::test]
async fn tools_and_length_come_through_both_dialects() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for model in [ALPHA, BETA] {
        let body = with_tool(chat(model, "weather #tools=3"));
        let wanted = wanted_calls(&expected_answer(&body));
        assert_eq!(wanted.len(), 3);
        let json = client.post(CHAT, &body).await.unwrap().json();
        let calls = json["choices"][0]["message"]["tool_calls"]
            .as_array()
            .unwrap();
        for (call, wanted) in calls.iter().zip(&wanted) {
            assert_eq!(call["function"]["name"], wanted.0);
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            let arguments = call["function"]["arguments"].as_str().unwrap();
            assert_eq!(parse(arguments), parse(&wanted.1), "{model}");
        }
        assert_eq!(json["choices"][0]["finish_reason"], "tool_calls");
        let heard = listen(&client, CHAT, &streamed(body.clone())).await;
        assert_eq!(heard.called(), wanted, "{model}");
        assert_eq!(heard.finish.last().unwrap(), "tool_calls");

        let mut followed = body.clone();
        let messages = followed["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
        for call in calls {
            messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}));
        }
        let reply = client.post(CHAT, &followed).await.unwrap();
        assert_answer(&reply, &expected_answer(&followed));

        let mut capped = chat(model, "#tokens=50 long");
        capped["max_tokens"] = 9.into();
        let reply = client.post(CHAT, &capped).await.unwrap();
        assert_answer(&reply, &expected_answer(&capped));
        assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
    }
}

#[tokio::test]
async fn usage_is_streamed_as_each_surface_promises() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for model in [ALPHA, BETA] {
        let mut body = streamed(chat(model, "hello"));
        let heard = listen(&client, OPENAI_CHAT, &body).await;
        assert!(heard.usage.is_empty() && heard.done, "{:?}", heard.usage);
        body["stream_options"] = json!({"include_usage": true});
        let heard = listen(&client, OPENAI_CHAT, &body).await;
        assert_eq!(heard.usage.len(), 1);
        assert_usage(&heard.usage[0], &expected_answer(&body));
        let mut body = json!({ "model": model, "prompt": "hello", "stream": true });
        let heard = listen(&client, "/v1/completions", &body).await;
        assert!(heard.usage.is_empty() && heard.done, "{:?}", heard.usage);
        body["stream_options"] = json!({"include_usage": true});
        let heard = listen(&client, "/v1/completions", &body).await;
        assert_eq!(heard.usage.len(), 1, "{model}");
        let said = json!([{ "role": "user", "content": "hello" }]);
        let meant = json!({ "model": model, "messages": said });
        assert_usage(&heard.usage[0], &expected_answer(&meant));
    }
}

/// Faults before any content, after which another endpoint must answer.
fn early_faults() -> Vec<Rule> {
    let status = |status| Rule {
        status,
        ..Rule::new(Kind::Status)
    };
    let mut rules: Vec<Rule> = [408, 429, 500, 502, 503, 529].map(status).into();
    for kind in [
        Kind::BlackHole,
        Kind::Reset,
        Kind::Html,
        Kind::Garbage,
        Kind::ErrorEvent,
        Kind::EmptyStream,
        Kind::Truncate,
        Kind::Stall,
    ] {
        rules.push(Rule::new(kind));
    }
    let mut cut = Rule::new(Kind::Truncate);
    cut.clean = true;
    rules.push(cut);
    rules
}

async fn fails_over(scene: &Scene, bad: &Running, order: [&str; 2]) {
    let client = scene.client();
    for rule in early_faults() {
        bad.set_faults(vec![rule.clone()]);
        let name = format!("{:?} {} at {}", rule.kind, rule.status, order[0]);
        let body = ordered(chat(BOTH, &name), order[0], order[1]);
        let answer = expected_answer(&body);
        let heard = listen(&client, CHAT, &streamed(body.clone())).await;
        assert!(
            heard.done && heard.error.is_none(),
            "{name}: {:?}",
            heard.error
        );
        assert_eq!(heard.text, answer.text(), "{name}");
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_answer(&reply, &answer);
        bad.set_faults(Vec::new());
    }
}

#[tokio::test]
async fn a_failing_openai_provider_is_not_noticed() {
    let scene = Scene::start().await.unwrap();
    fails_over(&scene, &scene.alpha, ["alpha", "beta"]).await;
    assert!(
        scene.alpha.totals().requests > 0,
        "the faulty provider was never tried"
    );
}

#[tokio::test]
async fn a_failing_anthropic_provider_is_not_noticed() {
    let scene = Scene::start().await.unwrap();
    fails_over(&scene, &scene.beta, ["beta", "alpha"]).await;
    assert!(
        scene.beta.totals().requests > 0,
        "the faulty provider was never tried"
    );
}

#[tokio::test]
async fn a_dead_provider_is_not_noticed_and_the_whole_body_is_sent_again() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    scene.alpha.stop().await;
    let filler = "a long prompt about birds \u{1f426} ".repeat(200_000);
    let body = ordered(chat(BOTH, &format!("#tokens=30 {filler}")), "alpha", "beta");
    let reply = client.post(CHAT, &body).await.unwrap();
    assert_answer(&reply, &expected_answer(&body));
}

#[tokio::test]
async fn the_callers_own_mistake_is_not_tried_elsewhere() {
    let scene = Scene::start().await.unwrap();
    let mut rule = Rule::new(Kind::Status);
    rule.status = 400;
    scene.alpha.set_faults(vec![rule]);
    let body = ordered(chat(BOTH, "hello"), "alpha", "beta");
    let reply = scene.client().post(CHAT, &body).await.unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(reply.json()["error"]["code"], 400);
    assert_eq!(scene.beta.totals().requests, 0);
}

#[tokio::test]
async fn when_all_fail_the_error_names_the_attempts() {
    let scene = Scene::start().await.unwrap();
    for provider in scene.providers() {
        let mut rule = Rule::new(Kind::Status);
        rule.status = 503;
        provider.set_faults(vec![rule]);
    }
    for body in [chat(BOTH, "hello"), streamed(chat(BOTH, "hello"))] {
        let reply = scene.client().post(CHAT, &body).await.unwrap();
        assert!(matches!(reply.status, 502 | 503), "{}", reply.text());
        let error = &reply.json()["error"];
        assert_eq!(error["code"], reply.status);
        assert!(error["message"].is_string());
        let attempts = error["metadata"]["previous_errors"].as_array().unwrap();
        assert!(!attempts.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn after_the_first_byte_a_failure_is_an_error_event_and_never_a_done() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for (provider, model) in [(&scene.alpha, ALPHA), (&scene.beta, BETA)] {
        for kind in [
            Kind::Truncate,
            Kind::Reset,
            Kind::Stall,
            Kind::ErrorEvent,
            Kind::Garbage,
        ] {
            provider.set_faults(fault(kind, 5));
            let body = streamed(chat(model, "#tokens=60 fly"));
            let heard = listen(&client, CHAT, &body).await;
            let wanted = expected_answer(&body).text();
            assert!(!heard.done, "{kind:?} at {model}: [DONE]");
            assert!(heard.error.is_some(), "{kind:?} at {model}: {heard:?}");
            assert_eq!(
                heard.finish.last().map(String::as_str),
                Some("error"),
                "{kind:?}"
            );
            assert!(
                wanted.starts_with(&heard.text) && !heard.text.is_empty(),
                "{heard:?}"
            );
            assert!(heard.text.len() < wanted.len());
        }
    }
    scene.behave();
    let body = chat(ALPHA, "still well?");
    assert_answer(
        &client.post(CHAT, &body).await.unwrap(),
        &expected_answer(&body),
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_provider() {
    let scene = Scene::start_with(40.0, |config| config).await.unwrap();
    let client = scene.client();
    for model in [ALPHA, BETA] {
        let body = streamed(chat(model, "#tokens=4000 long"));
        let mut stream = client.stream(CHAT, &body).await.unwrap();
        for _ in 0..5 {
            stream.next().await.unwrap().unwrap();
        }
        drop(stream);
        let gone = Instant::now();
        assert!(
            scene.quiet(Duration::from_secs(2)).await,
            "{model}: still open"
        );
        let took = gone.elapsed();
        assert!(took < Duration::from_millis(500), "{model}: {took:?}");
    }
    let mut body = chat(ALPHA, "#tokens=4000 long");
    body["max_tokens"] = 4000.into();
    let call = client.post(CHAT, &body);
    let given_up = tokio::time::timeout(Duration::from_millis(300), call).await;
    assert!(given_up.is_err());
    assert!(
        scene.quiet(Duration::from_secs(2)).await,
        "a whole answer is still being made"
    );
    let totals = scene.alpha.totals();
    assert_eq!(totals.cancelled, 2, "{totals:?}");
}

#[tokio::test]
async fn a_waiting_client_gets_comments() {
    let scene = Scene::start().await.unwrap();
    let mut late = Rule::new(Kind::Latency);
    late.delay_ms = PATIENCE_MS - 100;
    scene.alpha.set_faults(vec![late]);
    let body = streamed(chat(ALPHA, "hello"));
    let mut stream = scene.client().stream(CHAT, &body).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(stream.comments >= 2, "{} comments", stream.comments);
    assert!(first.at >= Duration::from_millis(PATIENCE_MS - 100));
    let (events, _) = stream.rest().await;
    assert!(Heard::of(&events).done);
}

#[tokio::test]
async fn the_routing_decision_is_explained_on_request() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client().with_header("x-godwit-explain", "1");
    let json = client
        .post(CHAT, &chat(BOTH, "hello"))
        .await
        .unwrap()
        .json();
    assert!(json["godwit_explain"].is_object(), "{json}");
    let heard = scene
        .client()
        .post(CHAT, &chat(BOTH, "hello"))
        .await
        .unwrap()
        .json();
    assert!(heard.get("godwit_explain").is_none());
}
