//! The edge's sockets as real clients meet them: HTTP/1.1 and HTTP/2, in clear and over TLS with
//! ALPN; each carries whole answers and streams.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use http::Version;
use loadtest::certificate::Authority;
use loadtest::client::{Client, raw};
use loadtest::cluster::scene::{ALPHA, BETA, CHAT, Scene, chat, spoken, streamed};
use loadtest::cluster::{DEV_KEY, eventually};
use loadtest::provider::expected_answer;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How fast a refusal must come.
const QUICK: Duration = Duration::from_secs(2);

/// A scene whose clients come over TLS.
struct Secured {
    scene: Scene,
    authority: Authority,
    _files: TempDir,
}

impl Secured {
    async fn start() -> Self {
        let (authority, files) = (Authority::new().unwrap(), TempDir::new().unwrap());
        let identity = authority.local().unwrap();
        let (certificate, key) = identity.write(files.path()).unwrap();
        let scene = Scene::start_with(0.0, |config| {
            config
                .flag("listen-tls-cert", certificate.to_str().unwrap())
                .flag("listen-tls-key", key.to_str().unwrap())
        });
        Self {
            scene: scene.await.unwrap(),
            authority,
            _files: files,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.scene.godwit.addresses().get("api").unwrap()
    }

    fn client(&self, alpn: &[&str]) -> Client {
        let tls = self.authority.client(alpn).unwrap();
        Client::over_tls(&format!("https://{}", self.addr()), tls).with_key(DEV_KEY)
    }
}

/// A whole answer and a stream of each dialect, spoken in `version`.
async fn serves(client: &Client, version: Version, what: &str) {
    for model in [ALPHA, BETA] {
        let body = chat(model, &format!("{what} #tokens=80"));
        let wanted = expected_answer(&body).text();
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_eq!(reply.version, version, "{what}");
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        let json = reply.json();
        assert_eq!(json["choices"][0]["message"]["content"], wanted, "{what}");

        let mut stream = client.stream(CHAT, &streamed(body)).await.unwrap();
        assert_eq!((stream.status, stream.version), (200, version), "{what}");
        let kind = stream.headers["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{what}: {kind}");
        let (events, end) = stream.rest().await;
        end.unwrap();
        assert_eq!(spoken(&events), (wanted, true), "{what}");
    }
}

#[tokio::test]
async fn both_versions_are_served_in_clear() {
    let scene = Scene::start().await.unwrap();
    let base = scene.godwit.addresses().url("api");
    serves(&scene.client(), Version::HTTP_11, "HTTP/1.1 in clear").await;
    let h2c = Client::h2c(&base).with_key(DEV_KEY);
    serves(&h2c, Version::HTTP_2, "HTTP/2 in clear").await;
}

#[tokio::test]
async fn both_versions_are_served_over_tls_as_alpn_settles() {
    let secured = Secured::start().await;
    for (alpn, version) in [
        (&["http/1.1"][..], Version::HTTP_11),
        (&["h2"], Version::HTTP_2),
        (&["http/1.1", "h2"], Version::HTTP_2),
        (&[], Version::HTTP_11),
    ] {
        let what = format!("TLS with ALPN {alpn:?}");
        serves(&secured.client(alpn), version, &what).await;
    }
}

#[tokio::test]
async fn one_connection_carries_many_streams() {
    let secured = Secured::start().await;
    let client = secured.client(&["h2"]);
    serves(&client, Version::HTTP_2, "the first").await;
    let calls = (0..40).map(|number| {
        let body = chat(ALPHA, &format!("stream {number} #tokens=60 #rate=400"));
        let client = client.clone();
        async move {
            let wanted = expected_answer(&body).text();
            let mut stream = client.stream(CHAT, &streamed(body)).await.unwrap();
            assert_eq!(stream.version, Version::HTTP_2);
            let (events, end) = stream.rest().await;
            end.unwrap();
            assert_eq!(spoken(&events), (wanted, true));
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_cancels_only_itself() {
    let secured = Secured::start().await;
    let client = secured.client(&["h2"]);
    let long = |text: &str| {
        let mut body = chat(ALPHA, &format!("{text} #tokens=4000 #rate=200"));
        body["max_tokens"] = 4000.into();
        streamed(body)
    };
    let mut left = client.stream(CHAT, &long("left")).await.unwrap();
    let mut kept = client.stream(CHAT, &long("kept")).await.unwrap();
    for stream in [&mut left, &mut kept] {
        stream.next().await.unwrap().unwrap();
    }
    drop(left);
    let gone = Instant::now();
    let one = || async { (secured.scene.alpha.totals().open == 1).then_some(()) };
    assert!(eventually(QUICK, one).await.is_some(), "still open");
    assert!(gone.elapsed() < QUICK);
    for _ in 0..20 {
        kept.next().await.unwrap().unwrap();
    }
    serves(&client, Version::HTTP_2, "the same connection").await;
    drop(kept);
    assert!(secured.scene.quiet(QUICK).await, "still open");
    assert_eq!(secured.scene.alpha.totals().cancelled, 2);
}

#[tokio::test]
async fn what_is_not_tls_is_turned_away() {
    let secured = Secured::start().await;
    let started = Instant::now();
    let request = b"GET /api/v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = raw(secured.addr(), request, QUICK).await.unwrap();
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    assert!(started.elapsed() < QUICK, "the connection was held open");
    let stranger = Authority::new().unwrap().client(&["h2"]).unwrap();
    let client = Client::over_tls(&format!("https://{}", secured.addr()), stranger);
    assert!(client.get("/api/v1/models").await.is_err());
    serves(&secured.client(&["h2"]), Version::HTTP_2, "after that").await;
}
