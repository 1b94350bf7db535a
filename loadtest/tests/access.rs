//! Who may ask: missing, malformed, unknown and revoked keys are told apart from a key that
//! cannot be checked, which is never a 401.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::Client;
use loadtest::cluster::scene::{ALPHA, CHAT, Scene, chat};
use loadtest::cluster::{DEV_KEY, eventually};
use std::time::Duration;

#[tokio::test]
async fn keys_are_taken_as_bearer_and_as_x_api_key() {
    let scene = Scene::start().await.unwrap();
    let stranger = scene.godwit.stranger();
    for client in [
        stranger
            .clone()
            .with_header("authorization", &format!("Bearer {DEV_KEY}")),
        stranger
            .clone()
            .with_header("authorization", &format!("bearer {DEV_KEY}")),
        stranger.clone().with_header("x-api-key", DEV_KEY),
    ] {
        let reply = client.post(CHAT, &chat(ALPHA, "x")).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test]
async fn no_key_and_wrong_keys_get_401_without_a_word_about_them() {
    let scene = Scene::start().await.unwrap();
    let stranger = scene.godwit.stranger();
    let unknown = format!("sk-gw-v1-{}", "ab".repeat(32));
    let mut clients: Vec<(&str, Client)> = vec![("none", stranger.clone())];
    for (what, value) in [
        ("unknown", format!("Bearer {unknown}")),
        ("foreign", "Bearer sk-or-v1-123".to_owned()),
        ("empty", "Bearer ".to_owned()),
        ("basic", "Basic abc".to_owned()),
        ("long", format!("Bearer {}", "x".repeat(8_000))),
    ] {
        clients.push((what, stranger.clone().with_header("authorization", &value)));
    }
    for (what, client) in clients {
        let reply = client.post(CHAT, &chat(ALPHA, "x")).await.unwrap();
        assert_eq!(reply.status, 401, "{what}: {}", reply.text());
        assert_eq!(reply.json()["error"]["code"], 401, "{what}");
        assert!(
            !reply.text().contains(&unknown),
            "{what}: the key is repeated"
        );
    }
    assert_eq!(scene.alpha.totals().requests, 0);
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_revoked_one_stops_within_two_seconds() {
    let scene = Scene::start().await.unwrap();
    let made = scene
        .godwit
        .admin(&["keys", "create", "--name", "short"])
        .unwrap();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let client = scene.godwit.stranger().with_key(key);
    let reply = client.post(CHAT, &chat(ALPHA, "x")).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    scene.godwit.admin(&["keys", "revoke", id]).unwrap();
    let refused = || async {
        let reply = client.post(CHAT, &chat(ALPHA, "x")).await.unwrap();
        (reply.status != 200).then_some(reply)
    };
    let reply = eventually(Duration::from_secs(2), refused).await.unwrap();
    assert_eq!(reply.status, 401, "{}", reply.text());
}
