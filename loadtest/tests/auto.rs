//! `godwit/auto` as a client sees it, in every conversation API: a concrete model answers and is
//! named, the client's bounds hold, and nothing that is missing fails it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::Client;
use loadtest::cluster::scene::{ALPHA, BETA, BOTH, CHAT, Scene, chat};
use serde_json::{Value, json};

const TASK: &str = "x-router-task";

async fn scene() -> Scene {
    Scene::start_with(0.0, |mut config| {
        config.catalog = config
            .catalog
            .auto("default", "low", &[BETA])
            .auto("translate", "low", &[ALPHA, BOTH])
            .auto("translate", "max", &[BOTH]);
        config
    })
    .await
    .unwrap()
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body.as_object_mut().unwrap().insert(name.to_owned(), value);
    body
}

fn router(settings: Value) -> Value {
    let mut settings = settings;
    settings["id"] = "auto-router".into();
    json!([settings])
}

/// The model that answered and the task that was told.
async fn asked(client: &Client, path: &str, body: &Value) -> (String, String) {
    let reply = client.post(path, body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let model = reply.json()["model"].as_str().unwrap().to_owned();
    let task = reply.header(TASK).to_owned();
    (model, task)
}

fn pair(model: &str, task: &str) -> (String, String) {
    (model.to_owned(), task.to_owned())
}

#[tokio::test]
async fn the_task_decides_in_every_api_and_the_answer_names_the_model() {
    let scene = scene().await;
    let client = scene.client();
    let text = "Translate to German: the station is closed";
    for name in ["godwit/auto", "openrouter/auto"] {
        let body = with(
            chat(name, text),
            "plugins",
            router(json!({"cost_tier": "low"})),
        );
        assert_eq!(asked(&client, CHAT, &body).await, pair(ALPHA, "translate"));
    }
    let turns = json!([{"role": "user", "content": text}]);
    let tier = router(json!({"cost_tier": "max"}));
    for (path, member, turns) in [
        ("/api/v1/responses", "input", json!(text)),
        ("/api/v1/messages", "messages", turns.clone()),
        ("/api/v1/completions", "prompt", json!(text)),
    ] {
        let body = json!({"model": "godwit/auto", "max_tokens": 64, "plugins": tier});
        let body = with(body, member, turns);
        assert_eq!(
            asked(&client, path, &body).await,
            pair(BOTH, "translate"),
            "{path}"
        );
    }
    // What a client names itself is not looked at.
    assert_eq!(
        asked(&client, CHAT, &chat(BETA, text)).await,
        pair(BETA, "")
    );
}

#[tokio::test]
async fn bounds_hold_and_what_is_missing_does_not_fail() {
    let scene = scene().await;
    let client = scene.client();
    let text = "Translate to French: good morning";
    let only =
        router(json!({"allowed_models": ["*/beta", "*/both"], "excluded_models": ["test/bo*"]}));
    let body = with(chat("godwit/auto", text), "plugins", only);
    assert_eq!(asked(&client, CHAT, &body).await.0, BETA);
    let nobody = router(json!({"allowed_models": ["nobody/*"]}));
    let body = with(chat("godwit/auto", text), "plugins", nobody);
    assert_eq!(client.post(CHAT, &body).await.unwrap().status, 404);
    // Nothing is free here, and no model has such a variant; a suffix that routes is every model's.
    for (name, status, code) in [
        ("godwit/auto:free", 404, "no_endpoints"),
        ("openrouter/auto:batch", 400, "model_not_found"),
    ] {
        let reply = client.post(CHAT, &chat(name, text)).await.unwrap();
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.json()["error"]["availability"]["code"], code);
    }
    let told = client
        .clone()
        .with_header("x-openrouter-metadata", "enabled");
    for name in ["openrouter/auto:nitro", "godwit/auto:online"] {
        let reply = told.post(CHAT, &chat(name, text)).await;
        let told = &reply.unwrap().json()["openrouter_metadata"];
        assert_eq!(told["strategy"], "auto", "{told}");
        assert_eq!(told["requested"], name, "{told}");
    }
    let body = with(chat(BETA, text), "plugins", json!([{"id": "fusion"}]));
    assert_eq!(client.post(CHAT, &body).await.unwrap().status, 400);

    let client = client.with_header("x-godwit-explain", "1");
    let body = chat("godwit/auto", text);
    let reply = client.post(CHAT, &body).await.unwrap();
    let told = &reply.json()["godwit_explain"]["router"];
    assert_eq!(
        (&told["task"], &told["router"]),
        (&json!("translate"), &json!("auto")),
        "{told}"
    );
}

#[tokio::test]
async fn a_session_that_is_pinned_keeps_its_model() {
    let scene = scene().await;
    let client = scene.client();
    let body = |text: &str, session: &str, pinned: bool| {
        let settings = router(json!({"cost_tier": "low", "pin_model": pinned}));
        let body = with(chat("godwit/auto", text), "plugins", settings);
        with(body, "session_id", session.into())
    };
    let translate = "Translate to German: the station is closed";
    let other = "Good morning! How are you?";
    assert_eq!(
        asked(&client, CHAT, &body(translate, "one", true)).await.0,
        ALPHA
    );
    assert_eq!(
        asked(&client, CHAT, &body(other, "one", true)).await.0,
        ALPHA
    );
    // Another session, and one that is not pinned, go by their own task.
    assert_eq!(
        asked(&client, CHAT, &body(other, "two", true)).await.0,
        BETA
    );
    assert_eq!(
        asked(&client, CHAT, &body(other, "one", false)).await.0,
        BETA
    );
}

#[tokio::test]
async fn routers_are_listed_without_a_price() {
    let scene = scene().await;
    let client = scene.client();
    let models = client.get("/api/v1/models").await.unwrap().json();
    let auto = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["id"] == "godwit/auto");
    assert_eq!(auto.unwrap()["pricing"]["prompt"], "-1");
    let one = client
        .get("/api/v1/models/openrouter/auto/endpoints")
        .await
        .unwrap();
    assert_eq!(one.json()["data"]["endpoints"], json!([]));
}
