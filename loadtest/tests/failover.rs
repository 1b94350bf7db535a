//! What an edge decides while it waits: who is rested and who is ill, when a competitor starts, and
//! that a decision can be made again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use loadtest::client::{Client, Reply};
use loadtest::cluster::scene::{ALPHA, BOTH, CHAT, Scene, chat, ordered, streamed};
use loadtest::cluster::{CatalogSpec, StandaloneConfig, eventually};
use loadtest::provider::{Answer, Config, Dialect, Kind, Provider, Rule, expected_answer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn assert_answer(reply: &Reply, answer: &Answer) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    let content = json["choices"][0]["message"]["content"].as_str();
    assert_eq!(content.unwrap_or(""), answer.text());
}

#[tokio::test]
async fn an_explained_decision_can_be_made_again() {
    let scene = Scene::start().await.unwrap();
    let body = chat(BOTH, "hello");
    let client = scene.client().with_header("x-godwit-explain", "1");
    let told = client.post(CHAT, &body).await.unwrap().json();
    let told = &told["godwit_explain"];
    let again = |replay: &Value| {
        let admin = scene.godwit.edge_admin();
        let admin = admin.with_header("x-godwit-replay", &replay.to_string());
        let body = body.clone();
        async move { admin.post("/debug/plan", &body).await.unwrap() }
    };
    let page = again(&told["replay"]).await;
    // The tables may have moved on meanwhile; then it says so.
    if page.status == 200 {
        let made = page.json();
        assert_eq!(made["candidates"], told["candidates"]);
        assert_eq!(made["seed"], told["seed"]);
    } else {
        assert!(page.text().contains("other tables"), "{}", page.text());
    }
    assert_eq!(again(&json!({"seed": "1"})).await.status, 400);
}

#[tokio::test]
async fn a_refusal_with_a_rest_is_kept_and_not_counted_as_failure() {
    let scene = Scene::start().await.unwrap();
    let mut rule = Rule::new(Kind::Status);
    (rule.status, rule.retry_after) = (429, Some(30));
    scene.alpha.set_faults(vec![rule]);
    let client = scene.client();
    let body = ordered(chat(BOTH, "hello"), "alpha", "beta");
    for _ in 0..5 {
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_answer(&reply, &expected_answer(&body));
    }
    assert_eq!(scene.alpha.totals().requests, 1, "it asked for a rest");
    let page = scene.godwit.edge_admin().post("/debug/plan", &body).await;
    let plan = page.unwrap().json();
    assert_eq!(plan["candidates"][1]["reason"], "capacity", "{plan}");
}

#[tokio::test]
async fn what_is_too_long_for_one_may_fit_another() {
    let scene = Scene::start().await.unwrap();
    let mut rule = Rule::new(Kind::Status);
    rule.status = 400;
    rule.message = Some("This model's maximum context length is 8192 tokens.".to_owned());
    scene.alpha.set_faults(vec![rule]);
    let client = scene.client();
    let body = ordered(chat(BOTH, "hello"), "alpha", "beta");
    for _ in 0..5 {
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_answer(&reply, &expected_answer(&body));
        assert_eq!(reply.json()["provider"], "beta");
    }
    assert_eq!(scene.alpha.totals().requests, 5, "it is not ill");
    let alone = ordered(chat(ALPHA, "hello"), "alpha", "beta");
    let reply = client.post(CHAT, &alone).await.unwrap();
    assert_eq!(reply.status, 400);
    assert!(
        reply.text().contains("context_length_exceeded"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn a_whole_answer_that_stays_silent_gets_a_competitor_each_time() {
    let scene = Scene::start().await.unwrap();
    scene.alpha.set_faults(vec![Rule::new(Kind::BlackHole)]);
    let client = scene.client();
    let body = ordered(chat(BOTH, "hello"), "alpha", "beta");
    let begun = Instant::now();
    for _ in 0..5 {
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_answer(&reply, &expected_answer(&body));
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    // Three silences in a row, and nobody waits for it any more.
    assert!(scene.alpha.totals().requests <= 4);
    assert!(
        scene.quiet(Duration::from_secs(5)).await,
        "all are called off"
    );
}

/// The explanation of a streamed answer, which came whole.
async fn told(client: &Client, body: &Value) -> Value {
    let mut stream = client.stream(CHAT, body).await.unwrap();
    assert_eq!(stream.status, 200);
    let (events, end) = stream.rest().await;
    end.unwrap();
    assert_eq!(events.last().unwrap().data, "[DONE]");
    let mut chunks = events.iter().filter(|event| event.data != "[DONE]");
    let told = chunks.find_map(|event| event.json().get("godwit_explain").cloned());
    told.unwrap()
}

#[tokio::test]
async fn a_slow_stream_gets_competitors_and_one_is_charged() {
    let quick = || Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(2),
        ..Config::default()
    };
    let slow = Provider::start(quick()).await.unwrap();
    let broken = Provider::start(quick()).await.unwrap();
    let steady = Provider::start(quick()).await.unwrap();
    let catalog = CatalogSpec::default()
        .provider("slow", Dialect::OpenaiChat, &slow.base_url())
        .provider("broken", Dialect::OpenaiChat, &broken.base_url())
        .provider("steady", Dialect::OpenaiChat, &steady.base_url())
        .model(BOTH, &["slow", "broken", "steady"]);
    let godwit = StandaloneConfig::new(catalog).start().await.unwrap();
    let client = godwit.client().with_header("x-godwit-explain", "1");
    let mut body = streamed(chat(BOTH, "hello"));
    body["provider"] = json!({"order": ["slow", "broken", "steady"]});
    let mut late = Rule::new(Kind::Latency);
    late.delay_ms = 2_500;
    let mut fails = Rule::new(Kind::Status);
    fails.status = 500;
    broken.set_faults(vec![fails]);
    // A competitor that fails leaves its place to the next one at once: the slow one has not become
    // any faster by it.
    let replaced = eventually(Duration::from_secs(30), || async {
        // The fleet learns how fast it usually is.
        slow.set_faults(Vec::new());
        for _ in 0..20 {
            told(&client, &body).await;
        }
        slow.set_faults(vec![late.clone()]);
        let begun = Instant::now();
        let told = told(&client, &body).await;
        let called_off = told["called_off"].as_array()?;
        assert!(begun.elapsed() < Duration::from_millis(2_400), "{told}");
        assert!(called_off[0].as_str()?.ends_with("@slow"), "{told}");
        let asked = told["attempts"].as_array()?.iter();
        let asked: Vec<_> = asked.map(|it| it["provider"].as_str().unwrap()).collect();
        assert_eq!(asked, ["broken", "steady"], "{told}");
        Some(())
    });
    assert!(replaced.await.is_some(), "no competitor ever started");
    let page = godwit.edge_admin().get("/metrics").await.unwrap().text();
    assert!(page.contains("godwit_hedges_called_off_total"), "{page}");
}
