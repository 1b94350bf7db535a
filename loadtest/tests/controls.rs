//! The client's routing controls through a running gateway: who serves, what it is told, what the
//! answer and the refusal say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use loadtest::client::Event;
use loadtest::cluster::scene::{ALPHA, BETA, BOTH, CHAT, Scene, catalog, chat, fault, streamed};
use loadtest::cluster::{CatalogSpec, StandaloneConfig};
use loadtest::provider::{Config, Dialect, Kind, Provider, Rule, Running};
use serde_json::{Value, json};

async fn provider(dialect: Dialect) -> Running {
    let config = Config {
        dialect: Some(dialect),
        tokens_per_second: 0.0,
        ..Config::default()
    };
    Provider::start(config).await.unwrap()
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// The scene's catalogue, with a dearer priority endpoint of `BOTH` at `alpha`.
fn tiered(alpha: &Running, beta: &Running) -> CatalogSpec {
    let mut catalog = catalog(alpha, beta);
    let plain = catalog.endpoints.iter();
    let mut fast = plain.filter(|it| it.model == BOTH && it.provider == "alpha");
    let mut fast = fast.next().unwrap().clone();
    fast.tag = Some("alpha/priority".to_owned());
    fast.prompt = "0.000001".to_owned();
    fast.completion = "0.000003".to_owned();
    catalog.endpoints.push(fast);
    catalog
}

#[tokio::test]
async fn a_tier_serves_who_asks_for_it_and_says_so_in_every_api() {
    let (alpha, beta) = (
        provider(Dialect::OpenaiChat).await,
        provider(Dialect::AnthropicMessages).await,
    );
    let godwit = StandaloneConfig::new(tiered(&alpha, &beta))
        .start()
        .await
        .unwrap();
    let client = godwit.client().with_header("x-godwit-explain", "1");
    let body = with(chat(BOTH, "hello"), "service_tier", json!("fast"));
    let reply = client.post(CHAT, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["provider"], "alpha");
    let attempts = &answer["godwit_explain"]["attempts"];
    assert_eq!(
        attempts[0]["endpoint"], "test/both@alpha/priority",
        "{answer}"
    );
    let plain = client
        .post(CHAT, &chat(BOTH, "hello"))
        .await
        .unwrap()
        .json();
    let excluded = plain["godwit_explain"]["excluded"].to_string();
    assert!(excluded.contains("service_tier"), "{excluded}");
    let messages = json!({"model": BOTH, "max_tokens": 50, "speed": "fast",
        "messages": [{"role": "user", "content": "hello"}]});
    let reply = client.post("/api/v1/messages", &messages).await.unwrap();
    let endpoint = &reply.json()["godwit_explain"]["attempts"][0]["endpoint"];
    assert_eq!(endpoint, "test/both@alpha/priority", "{}", reply.text());
    let responses = json!({"model": BOTH, "input": "hello", "service_tier": "priority"});
    let reply = client.post("/api/v1/responses", &responses).await.unwrap();
    let endpoint = &reply.json()["godwit_explain"]["attempts"][0]["endpoint"];
    assert_eq!(endpoint, "test/both@alpha/priority", "{}", reply.text());
    // The dearer endpoint falls back to the default tier when it fails.
    alpha.set_faults(vec![Rule::new(Kind::Reset)]);
    let reply = client.post(CHAT, &body).await.unwrap();
    assert_eq!(reply.json()["provider"], "beta", "{}", reply.text());
}

#[tokio::test]
async fn metadata_stands_in_every_answer_a_streams_last_chunk_and_errors() {
    let scene = Scene::start().await.unwrap();
    let client = scene
        .client()
        .with_header("x-openrouter-metadata", "Enabled");
    let check = |told: &Value| {
        assert_eq!(told["attempt"], 1, "{told}");
        assert_eq!(told["strategy"], "direct");
        assert_eq!(told["is_byok"], false);
        assert_eq!(told["endpoints"]["total"], 1);
        assert_eq!(told["endpoints"]["available"][0]["selected"], true);
        assert_eq!(told["attempts"][0]["status"], 200);
    };
    let paths = [
        (CHAT, chat(ALPHA, "hi")),
        (
            "/api/v1/completions",
            json!({"model": ALPHA, "prompt": "hi"}),
        ),
        ("/api/v1/responses", json!({"model": ALPHA, "input": "hi"})),
        (
            "/api/v1/messages",
            json!({"model": ALPHA, "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}]}),
        ),
    ];
    for (path, body) in paths {
        let reply = client.post(path, &body).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        check(&reply.json()["openrouter_metadata"]);
        let mut stream = client.stream(path, &streamed(body)).await.unwrap();
        let (events, end) = stream.rest().await;
        end.unwrap();
        let told: Vec<Value> = events.iter().map(Event::json).collect();
        let told = told.iter().filter_map(|event| {
            let here = event.get("openrouter_metadata");
            here.or_else(|| event.pointer("/response/openrouter_metadata"))
        });
        let told: Vec<&Value> = told.collect();
        assert_eq!(told.len(), 1, "{path}");
        check(told[0]);
    }
    let cheap = json!({"max_price": {"prompt": 0.01}});
    let refused = client
        .post(CHAT, &with(chat(ALPHA, "hi"), "provider", cheap))
        .await
        .unwrap();
    let body = refused.json();
    assert_eq!(refused.status, 404);
    let availability = &body["error"]["availability"];
    assert_eq!(availability["code"], "constraint_filtered", "{body}");
    assert_eq!(availability["excluded_by"], json!(["max_price"]));
    assert_eq!(availability["constraint"]["field"], "provider.max_price");
    assert_eq!(body["openrouter_metadata"]["attempt"], 0);
    let plain = scene.client().post(CHAT, &chat(ALPHA, "hi")).await.unwrap();
    assert_eq!(plain.json().get("openrouter_metadata"), None);
}

#[tokio::test]
async fn a_named_session_goes_on_where_it_was_unless_that_fails() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    let body = with(chat(BOTH, "hello"), "session_id", json!("s-1"));
    let ask = async |body: &Value| {
        let reply = client.post(CHAT, body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["provider"].as_str().unwrap().to_owned()
    };
    let first = ask(&body).await;
    for _ in 0..12 {
        assert_eq!(ask(&body).await, first);
    }
    let (failing, other) = if first == "alpha" {
        (&scene.alpha, "beta")
    } else {
        (&scene.beta, "alpha")
    };
    failing.set_faults(vec![Rule::new(Kind::Reset)]);
    assert_eq!(ask(&body).await, other);
    scene.behave();
    for _ in 0..6 {
        assert_eq!(ask(&body).await, other, "it has moved");
    }
    let ordered = with(body, "provider", json!({"order": [first]}));
    assert_eq!(ask(&ordered).await, first, "an order is no session's");
}

#[tokio::test]
async fn any_error_moves_on_to_the_next_model() {
    let scene = Scene::start().await.unwrap();
    let client = scene
        .client()
        .with_header("x-openrouter-metadata", "enabled");
    let mut refuses = Rule::new(Kind::Status);
    refuses.status = 400;
    scene.alpha.set_faults(vec![refuses]);
    let alone = client.post(CHAT, &chat(ALPHA, "hi")).await.unwrap();
    assert_eq!(alone.status, 400, "{}", alone.text());
    let told = &alone.json()["openrouter_metadata"];
    assert_eq!(
        (&told["attempt"], &told["attempts"][0]["status"]),
        (&json!(1), &json!(400))
    );
    let body = with(chat(ALPHA, "hi"), "models", json!([ALPHA, BETA]));
    let reply = client.post(CHAT, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["model"], BETA);
    assert_eq!(answer["openrouter_metadata"]["strategy"], "fallback");
    assert_eq!(answer["openrouter_metadata"]["attempts"][0]["status"], 400);
    let unknown = with(chat("test/nothing:nitro", "hi"), "models", json!([BETA]));
    let reply = client.post(CHAT, &unknown).await.unwrap();
    let answer = reply.json();
    assert_eq!(answer["model"], BETA, "{}", reply.text());
    let told = &answer["openrouter_metadata"];
    assert_eq!(told["strategy"], "fallback");
    let passed = "passed over test/nothing:nitro (model_not_found)";
    assert!(told["summary"].as_str().unwrap().contains(passed), "{told}");
}

#[tokio::test]
async fn a_failure_tells_the_same_whole_and_in_mid_stream() {
    let scene = Scene::start().await.unwrap();
    let client = scene
        .client()
        .with_header("x-openrouter-metadata", "enabled");
    let client = client.with_header("x-godwit-explain", "1");
    let mut refuses = Rule::new(Kind::Status);
    refuses.status = 401;
    scene.alpha.set_faults(vec![refuses]);
    let reply = client.post(CHAT, &chat(ALPHA, "hi")).await.unwrap();
    assert_eq!(reply.status, 502, "{}", reply.text());
    let body = reply.json();
    // The client's own key is good: the status of ours at the provider stands among the errors.
    assert_eq!(
        body["error"]["metadata"]["previous_errors"][0]["status"],
        401
    );
    assert_eq!(body["openrouter_metadata"]["attempts"][0]["status"], 401);
    assert_eq!(body["godwit_explain"]["attempts"][0]["status"], 401);
    scene.alpha.set_faults(fault(Kind::Truncate, 5));
    let bodies = [
        (CHAT, chat(ALPHA, "#tokens=60 fly")),
        (
            "/api/v1/messages",
            json!({"model": ALPHA, "max_tokens": 90,
            "messages": [{"role": "user", "content": "#tokens=60 fly"}]}),
        ),
        (
            "/api/v1/responses",
            json!({"model": ALPHA, "input": "#tokens=60 fly"}),
        ),
    ];
    for (path, body) in bodies {
        let mut stream = client.stream(path, &streamed(body)).await.unwrap();
        let (events, _) = stream.rest().await;
        let last = events.last().unwrap().json();
        let last = last.get("response").unwrap_or(&last);
        assert_eq!(last["provider"], "alpha", "{path}: {last}");
        let told = &last["openrouter_metadata"];
        assert_eq!(told["attempt"], 1, "{path}: {last}");
        assert_eq!(told["attempts"][0]["model"], ALPHA);
        assert_eq!(last["godwit_explain"]["attempts"][0]["code"], "truncated");
    }
}

#[tokio::test]
async fn suffixes_and_words_route_or_are_refused_by_name() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for suffix in ["nitro", "floor", "exacto", "nitro:floor", "online"] {
        let reply = client
            .post(CHAT, &chat(&format!("{BOTH}:{suffix}"), "hi"))
            .await
            .unwrap();
        assert_eq!(reply.status, 200, "{suffix}: {}", reply.text());
        assert_eq!(reply.json()["model"], BOTH);
    }
    let unknown = chat(&format!("{BOTH}:extended"), "hi");
    let reply = client.post(CHAT, &unknown).await.unwrap();
    assert_eq!(reply.status, 400);
    let text = reply.text();
    assert!(text.contains("not a valid model ID"), "{text}");
    let only = with(chat(BOTH, "hi"), "provider", json!({"only": ["nobody"]}));
    let text = client.post(CHAT, &only).await.unwrap().text();
    assert!(
        text.contains("No allowed providers are available"),
        "{text}"
    );
    let models = client
        .get("/api/v1/models?sort=newest&model_authors=test&zdr=false")
        .await
        .unwrap();
    assert_eq!(
        models.json()["data"].as_array().unwrap().len(),
        3,
        "{}",
        models.text()
    );
    let refused = client.get("/api/v1/models?category=legal").await.unwrap();
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn options_reach_their_provider_alone_and_set_nothing_that_was_judged() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    let ask = async |model: &str, options: Value| {
        let provider = json!({"order": ["beta", "alpha"], "options": options});
        let body = with(chat(model, "hi"), "provider", provider);
        client.post(CHAT, &body).await.unwrap()
    };
    let odd = json!({"tool_choice": {"type": "odd"}});
    for (model, slug, other) in [(ALPHA, "alpha", "beta"), (BETA, "beta", "alpha")] {
        let reply = ask(model, json!({slug: odd, other: {}})).await;
        assert_eq!(reply.status, 400, "{slug}: {}", reply.text());
        assert!(reply.text().contains("tool_choice"), "{}", reply.text());
        let reply = ask(model, json!({other: odd})).await;
        assert_eq!(reply.status, 200, "{slug}: {}", reply.text());
    }
    // What the first provider understands alone does not follow to the second.
    let hers = json!({"tool_choice": {"type": "none"}});
    assert_eq!(ask(BETA, json!({"beta": hers})).await.status, 200);
    assert_eq!(ask(ALPHA, json!({"alpha": hers})).await.status, 400);
    scene.beta.set_faults(vec![Rule::new(Kind::Reset)]);
    let reply = ask(BOTH, json!({"beta": hers, "alpha": {"user": "someone"}})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for (member, value) in [
        ("messages", json!([])),
        ("model", json!("other")),
        ("max_tokens", json!(9)),
        ("stream", json!(true)),
        ("store", json!(true)),
    ] {
        let reply = ask(ALPHA, json!({"alpha": {member: value}})).await;
        assert_eq!(reply.status, 400, "{member}: {}", reply.text());
        let place = format!("provider.options.alpha.{member}");
        assert!(reply.text().contains(&place), "{}", reply.text());
    }
}
