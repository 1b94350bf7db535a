//! Bad input: every malformed request gets a precise error in the client's shape, quickly, and
//! leaves the connection, the node and the providers as they were.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::{Client, raw};
use loadtest::cluster::scene::{ALPHA, CHAT, Scene, chat, streamed};
use loadtest::cluster::{DEV_KEY, eventually};
use loadtest::measure::account;
use loadtest::provider::expected_answer;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How fast an error must come.
const QUICK: Duration = Duration::from_secs(2);

async fn still_well(client: &Client) {
    let body = chat(ALPHA, "still well?");
    let reply = client.post(CHAT, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = expected_answer(&body).text();
    assert_eq!(reply.json()["choices"][0]["message"]["content"], text);
}

fn assert_error(json: &Value, status: u16, what: &str) {
    let error = &json["error"];
    assert_eq!(error["code"], status, "{what}: {json}");
    let message = error["message"].as_str().unwrap_or("");
    assert!(!message.is_empty(), "{what}: {json}");
}

/// Bodies that are no chat request, each with a word for it.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let user = r#"[{"role":"user","content":"x"}]"#;
    let deep = format!(
        r#"{{"model":"{ALPHA}","messages":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    vec![
        ("empty", Vec::new()),
        ("not JSON", b"{".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a number", b"1".to_vec()),
        (
            "trailing text",
            format!(r#"{{"model":"{ALPHA}","messages":{user}}} x"#).into(),
        ),
        ("no model", format!(r#"{{"messages":{user}}}"#).into()),
        (
            "model is a number",
            format!(r#"{{"model":1,"messages":{user}}}"#).into(),
        ),
        (
            "model is empty",
            format!(r#"{{"model":"","messages":{user}}}"#).into(),
        ),
        ("no messages", format!(r#"{{"model":"{ALPHA}"}}"#).into()),
        (
            "messages is text",
            format!(r#"{{"model":"{ALPHA}","messages":"x"}}"#).into(),
        ),
        (
            "stream is text",
            format!(r#"{{"model":"{ALPHA}","messages":{user},"stream":"yes"}}"#).into(),
        ),
        (
            "max_tokens is negative",
            format!(r#"{{"model":"{ALPHA}","messages":{user},"max_tokens":-1}}"#).into(),
        ),
        (
            "a huge number",
            format!(r#"{{"model":"{ALPHA}","messages":{user},"max_tokens":1e400}}"#).into(),
        ),
        (
            "two models",
            format!(r#"{{"model":"{ALPHA}","messages":{user},"model":"test/beta"}}"#).into(),
        ),
        (
            "two models, one escaped",
            format!(r#"{{"model":"{ALPHA}","messages":{user},"mod\u0065l":"test/beta"}}"#).into(),
        ),
        ("deep nesting", deep.into()),
        (
            "a bare NUL",
            b"{\"model\":\"te\0st\",\"messages\":[]}".to_vec(),
        ),
        (
            "invalid UTF-8",
            b"{\"model\":\"\xff\xfe\",\"messages\":[]}".to_vec(),
        ),
    ]
}

#[tokio::test]
async fn malformed_bodies_get_400_and_the_connection_stays() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for (what, body) in malformed() {
        let started = Instant::now();
        let reply = client
            .call(http::Method::POST, CHAT, body.into())
            .await
            .unwrap();
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        assert_error(&reply.json(), 400, what);
        assert!(started.elapsed() < QUICK, "{what}: {:?}", started.elapsed());
    }
    still_well(&client).await;
    assert_eq!(
        scene.alpha.totals().requests,
        1,
        "bad requests reached a provider"
    );
}

#[tokio::test]
async fn unknown_models_and_later_features_get_precise_errors() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    let reply = client.post(CHAT, &chat("test/alhpa", "x")).await.unwrap();
    assert!(matches!(reply.status, 400 | 404), "{}", reply.text());
    assert_error(&reply.json(), reply.status, "unknown model");
    assert!(
        reply.text().contains("test/alpha"),
        "no hint: {}",
        reply.text()
    );
    let mut plugged = chat(ALPHA, "x");
    plugged["plugins"] = json!([{"id": "fusion"}]);
    for (what, body) in [
        ("preset", chat("test/alpha@preset/x", "x")),
        ("plugins", plugged),
    ] {
        let reply = client.post(CHAT, &body).await.unwrap();
        assert!(
            (400..500).contains(&reply.status),
            "{what}: {}",
            reply.text()
        );
        assert_error(&reply.json(), reply.status, what);
    }
    still_well(&client).await;
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for (method, path, status) in [
        (http::Method::GET, "/nowhere", 404),
        (http::Method::POST, "/api/v1/nowhere", 404),
        (http::Method::GET, CHAT, 405),
        (http::Method::DELETE, CHAT, 405),
    ] {
        let reply = client.call(method.clone(), path, "".into()).await.unwrap();
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert_error(&reply.json(), status, path);
    }
    still_well(&client).await;
}

fn api(scene: &Scene) -> SocketAddr {
    scene.godwit.addresses().get("api").unwrap()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {DEV_KEY}\r\n\
         Content-Type: application/json\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let scene = Scene::start().await.unwrap();
    let body = chat(ALPHA, "one").to_string();
    let one = post(&format!("Content-Length: {}\r\n", body.len()), &body);
    let two = [one.clone(), one].concat();
    let answer = raw(api(&scene), &two, Duration::from_secs(2))
        .await
        .unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
}

#[tokio::test]
async fn bodies_over_the_limit_get_413() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    let large = chat(ALPHA, &"x".repeat(33 << 20)).to_string();
    let reply = client
        .call(http::Method::POST, CHAT, large.clone().into())
        .await
        .unwrap();
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_error(&reply.json(), 413, "33 MiB");

    // The same in chunks, without a length that says so beforehand, and without an end.
    let mut socket = TcpStream::connect(api(&scene)).await.unwrap();
    let head = post("Transfer-Encoding: chunked\r\n", "");
    socket.write_all(&head).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let mut sent = 0;
    let endless = async {
        while sent < 400 && socket.write_all(&chunk).await.is_ok() {
            sent += 1;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), endless).await;
    assert!(sent < 400, "an endless body was read for {sent} MiB");
    drop(socket);
    still_well(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_bodies_at_once_are_shed_and_memory_stays_bounded() {
    const BODIES: usize = 40;
    const LIMIT_MIB: u64 = 80;
    let flags = |config: loadtest::cluster::StandaloneConfig| {
        config.flag("bodies-limit", &(LIMIT_MIB << 20).to_string())
    };
    let mut scene = Scene::start_with(0.0, flags).await.unwrap();
    let client = scene.client();
    still_well(&client).await;
    let pid = scene.godwit.process().pid();
    let before = account(pid).unwrap().rss_peak >> 20;
    let large = chat(ALPHA, &"a ".repeat(31 << 19)).to_string();
    let large = bytes::Bytes::from(large);
    let started = Instant::now();
    let calls = (0..BODIES).map(|_| async {
        let called = client.call(http::Method::POST, CHAT, large.clone()).await;
        (called, started.elapsed())
    });
    let (mut served, mut shed) = (0, 0);
    for (reply, took) in futures::future::join_all(calls).await {
        match reply {
            Ok(reply) if reply.status == 200 => served += 1,
            Ok(reply) => {
                assert_eq!(reply.status, 503, "{}", reply.text());
                assert_error(&reply.json(), 503, "a body too many");
                assert!(took < Duration::from_secs(8), "{took:?}");
                shed += 1;
            }
            // The answer to a client that goes on sending may be lost to the close.
            Err(_) => shed += 1,
        }
    }
    assert!(shed >= BODIES / 2, "{served} served, {shed} shed");
    let peak = account(pid).unwrap().rss_peak >> 20;
    // A body grows by doubling and is written anew for its endpoint; all of them would be 1,240.
    let bound = before + 5 * LIMIT_MIB;
    assert!(
        peak < bound,
        "{peak} MiB after {before} MiB with {BODIES} bodies of 31 MiB and a limit of {LIMIT_MIB}"
    );
    let calm = || async {
        let reply = client.post(CHAT, &chat(ALPHA, "after")).await.ok()?;
        (reply.status == 200).then_some(())
    };
    assert!(eventually(QUICK, calm).await.is_some());
}

#[tokio::test]
async fn strange_but_legal_text_comes_through() {
    let scene = Scene::start().await.unwrap();
    let client = scene.client();
    for text in [
        "\u{0} \u{7f} \u{85}",
        "\u{202e}abc",
        "\u{1f468}\u{200d}\u{1f469}",
        "a\\u0000\"b",
    ] {
        for model in [ALPHA, "test/beta"] {
            let body = chat(model, text);
            let reply = client.post(CHAT, &body).await.unwrap();
            assert_eq!(reply.status, 200, "{text:?}: {}", reply.text());
            let wanted = expected_answer(&body).text();
            assert_eq!(reply.json()["choices"][0]["message"]["content"], wanted);
            let reply = client.post(CHAT, &streamed(body)).await.unwrap();
            assert_eq!(reply.status, 200);
        }
    }
}
