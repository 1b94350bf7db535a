//! Accounts over the edge: management routes on both bases, what they say of a request that was
//! made before, a control plane that is away, and how soon an edge follows a change.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use bytes::Bytes;
use http::Method;
use loadtest::client::{Client, Reply};
use loadtest::cluster::scene::{ALPHA, CHAT, Scene, chat};
use loadtest::cluster::{DEV_KEY, LOOK_EVERY, eventually};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long records may take to be in the ledger.
const PATIENCE: Duration = Duration::from_secs(10);
/// Changes whose way to the edge is timed.
const CHANGES: usize = 60;

struct People {
    scene: Scene,
    manager: Client,
}

async fn people() -> People {
    let scene = Scene::start().await.unwrap();
    let create = ["keys", "create", "--kind", "management", "--name", "m"];
    let made = scene.godwit.admin(&create).unwrap();
    let stranger = scene.godwit.stranger();
    let manager = stranger.with_key(made["key"].as_str().unwrap());
    People { scene, manager }
}

async fn call(client: &Client, method: Method, path: &str, body: Value) -> Reply {
    let body = match body {
        Value::Null => Bytes::new(),
        body => Bytes::from(body.to_string()),
    };
    client.call(method, path, body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_answers_for_accounts_on_both_bases() {
    let people = people().await;
    for base in ["/api/v1", "/v1"] {
        let given = json!({ "name": "a key", "limit": 5, "limit_reset": "daily" });
        let path = format!("{base}/keys");
        let made = call(&people.manager, Method::POST, &path, given).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert!(!made.header("x-generation-id").is_empty());
        let made = made.json();
        let client = people.scene.godwit.stranger();
        let client = client.with_key(made["key"].as_str().unwrap());

        let reply = client.post(CHAT, &chat(ALPHA, "x")).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id = reply.header("x-generation-id").to_owned();
        let told = || async {
            let told = client
                .get(&format!("{base}/generation?id={id}"))
                .await
                .unwrap();
            assert!([200, 404].contains(&told.status), "{}", told.text());
            (told.status == 200).then(|| told.json()["data"].clone())
        };
        let told = eventually(PATIENCE, told).await.unwrap();
        let cost = &reply.json()["usage"]["cost"];
        assert!(cost.as_f64().unwrap() > 0.0);
        assert_eq!((&told["total_cost"], &told["model"]), (cost, &json!(ALPHA)));
        assert_eq!(
            told["tokens_completion"],
            reply.json()["usage"]["completion_tokens"]
        );

        let own = client.get(&format!("{base}/key")).await.unwrap();
        assert_eq!(own.status, 200, "{}", own.text());
        let own = &own.json()["data"];
        assert_eq!((&own["usage"], &own["usage_daily"]), (cost, cost));
        assert_eq!(own["limit_reset"], "daily");
        let refused = client.get(&format!("{base}/credits")).await.unwrap();
        assert_eq!(refused.status, 403, "{}", refused.text());
        let path = format!("{base}/keys/{}", made["data"]["hash"].as_str().unwrap());
        let deleted = call(&people.manager, Method::DELETE, &path, Value::Null).await;
        assert_eq!(deleted.json(), json!({ "deleted": true }));
    }
    let credits = people.manager.get("/api/v1/credits").await.unwrap().json();
    assert!(credits["data"]["total_usage"].as_f64().unwrap() > 0.0);
    let verdict = people.scene.godwit.admin(&["ledger", "verify"]).unwrap();
    assert_eq!(verdict["problems"], json!([]), "{verdict}");
    let unknown = people.scene.godwit.stranger().with_key("sk-gw-v1-0");
    let refused = unknown.get("/v1/key").await.unwrap();
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (401, &json!(401))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_follows_a_change_within_two_seconds() {
    let people = people().await;
    let client = people.scene.godwit.client();
    let id = shared::key::KeyHash::of(DEV_KEY);
    let path = format!("/api/v1/keys/{id}");
    let mut took = Vec::with_capacity(CHANGES);
    for change in 0..CHANGES {
        let disabled = change % 2 == 0;
        let given = json!({ "disabled": disabled });
        let changed = call(&people.manager, Method::PATCH, &path, given).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        let since = Instant::now();
        let expect = if disabled { 401 } else { 200 };
        while client.post(CHAT, &chat(ALPHA, "x")).await.unwrap().status != expect {
            assert!(since.elapsed() < PATIENCE, "the edge does not follow");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        took.push(since.elapsed());
    }
    took.sort();
    let (p50, p99) = (took[CHANGES / 2], took[CHANGES - 1]);
    let _ = writeln!(
        std::io::stderr(),
        "a change reached the edge in {p50:?} (median), {p99:?} (worst of {CHANGES})"
    );
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
}
