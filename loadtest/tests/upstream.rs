//! The leg to a provider over TLS: HTTP/1.1 and HTTP/2 as ALPN settles, connections shared, a
//! certificate that is not right is another endpoint's turn, and who leaves takes only its own
//! stream along.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::certificate::{Authority, ServerIdentity};
use loadtest::client::Client;
use loadtest::cluster::scene::{ALPHA, BETA, BOTH, CHAT, catalog, chat, ordered, spoken, streamed};
use loadtest::cluster::{Standalone, StandaloneConfig, eventually};
use loadtest::provider::{Config, Dialect, Kind, Provider, Rule, Running, expected_answer};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How fast a cancellation must arrive.
const QUICK: Duration = Duration::from_millis(500);

/// Two providers with TLS, and a `godwit` that trusts their authority.
struct Secured {
    alpha: Running,
    beta: Running,
    godwit: Standalone,
    _files: TempDir,
}

impl Secured {
    /// Both providers with a good certificate and these protocols.
    async fn start(alpn: &[&str]) -> Self {
        let authority = Authority::new().unwrap();
        let good = authority.local().unwrap();
        Self::with(&authority, [&good, &good], alpn).await
    }

    async fn with(authority: &Authority, shown: [&ServerIdentity; 2], alpn: &[&str]) -> Self {
        let files = TempDir::new().unwrap();
        let trusted = authority.write(files.path()).unwrap();
        let alpha = provider(Dialect::OpenaiChat, shown[0], alpn).await;
        let beta = provider(Dialect::AnthropicMessages, shown[1], alpn).await;
        let config = StandaloneConfig::new(catalog(&alpha, &beta))
            .flag("keep-alive", "100ms")
            .flag("upstream-ca-file", trusted.to_str().unwrap());
        Self {
            godwit: config.start().await.unwrap(),
            alpha,
            beta,
            _files: files,
        }
    }

    fn client(&self) -> Client {
        self.godwit.client()
    }
}

async fn provider(dialect: Dialect, shown: &ServerIdentity, alpn: &[&str]) -> Running {
    let config = Config {
        dialect: Some(dialect),
        tls: Some(shown.server(alpn).unwrap()),
        ..Config::default()
    };
    Provider::start(config).await.unwrap()
}

/// A whole answer and a stream.
async fn answers(client: &Client, model: &str, text: &str) {
    let body = chat(model, text);
    let wanted = expected_answer(&body).text();
    let reply = client.post(CHAT, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{model} {text}: {}", reply.text());
    let json = reply.json();
    assert_eq!(json["choices"][0]["message"]["content"], wanted, "{text}");
    says(client, &streamed(body), wanted).await;
}

async fn says(client: &Client, body: &serde_json::Value, wanted: String) {
    let mut stream = client.stream(CHAT, body).await.unwrap();
    assert_eq!(stream.status, 200, "{body}");
    let (events, end) = stream.rest().await;
    end.unwrap();
    assert_eq!(spoken(&events), (wanted, true), "{body}");
}

#[tokio::test]
async fn http1_over_tls_keeps_its_connection() {
    for alpn in [&["http/1.1"][..], &[]] {
        let secured = Secured::start(alpn).await;
        let client = secured.client();
        for turn in 0..4 {
            for model in [ALPHA, BETA] {
                answers(&client, model, &format!("turn {turn} {alpn:?}")).await;
            }
        }
        for provider in [&secured.alpha, &secured.beta] {
            // The answer is out before its connection is given back: a quick client may find none.
            let (requests, connections) = (provider.totals().requests, provider.connections());
            assert!(connections <= 3, "{connections} for {requests}, {alpn:?}");
        }
    }
}

#[tokio::test]
async fn many_http2_streams_share_few_connections() {
    let secured = Secured::start(&["h2", "http/1.1"]).await;
    let client = secured.client();
    for model in [ALPHA, BETA] {
        answers(&client, model, "the first").await;
    }
    let calls = (0..60).map(|number| {
        let model = [ALPHA, BETA][number % 2];
        let body = chat(model, &format!("stream {number} #tokens=100 #rate=200"));
        let (client, wanted) = (client.clone(), expected_answer(&body).text());
        async move { says(&client, &streamed(body), wanted).await }
    });
    futures::future::join_all(calls).await;
    for provider in [&secured.alpha, &secured.beta] {
        let (streams, connections) = (provider.totals().requests, provider.connections());
        assert_eq!(streams, 32);
        // Usually two; but who comes while none can be had, all at once, each make one.
        assert!(connections <= 16, "{connections} connections for {streams}");
    }
}

#[tokio::test]
async fn a_provider_that_speaks_only_http2_is_served() {
    let secured = Secured::start(&["h2"]).await;
    let client = secured.client();
    let large = format!("large {}", "x".repeat(3 << 20));
    for model in [ALPHA, BETA] {
        answers(&client, model, "small").await;
        answers(&client, model, &large).await;
    }
    assert!(secured.alpha.connections() <= 2);
}

#[tokio::test]
async fn failures_over_http2_are_another_endpoints_turn() {
    let secured = Secured::start(&["h2"]).await;
    let client = secured.client();
    let mut refusing = Rule::new(Kind::Status);
    refusing.status = 503;
    for rule in [
        refusing,
        Rule::new(Kind::Reset),
        Rule::new(Kind::Truncate),
        Rule::new(Kind::EmptyStream),
        Rule::new(Kind::BlackHole),
    ] {
        let body = ordered(chat(BOTH, &format!("{:?}", rule.kind)), "alpha", "beta");
        let wanted = expected_answer(&body).text();
        secured.alpha.set_faults(vec![rule]);
        says(&client, &streamed(body.clone()), wanted.clone()).await;
        let reply = client.post(CHAT, &body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    secured.alpha.set_faults(Vec::new());
    assert!(secured.alpha.totals().requests > 0, "never tried");
}

#[tokio::test]
async fn a_wrong_certificate_is_another_endpoints_turn() {
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let good = authority.local().unwrap();
    for (what, bad) in [
        ("unknown authority", stranger.local().unwrap()),
        ("another's name", authority.issue(&["example.com"]).unwrap()),
        ("expired", authority.expired().unwrap()),
    ] {
        let secured = Secured::with(&authority, [&bad, &good], &["h2", "http/1.1"]).await;
        let client = secured.client();
        let body = ordered(chat(BOTH, what), "alpha", "beta");
        let wanted = expected_answer(&body).text();
        says(&client, &streamed(body), wanted).await;
        assert!(secured.alpha.connections() > 0, "{what}: never tried");

        let reply = client.post(CHAT, &chat(ALPHA, what)).await.unwrap();
        assert!(
            matches!(reply.status, 502 | 503),
            "{what}: {}",
            reply.text()
        );
        assert_eq!(reply.json()["error"]["code"], reply.status, "{what}");
        assert_eq!(secured.alpha.totals().requests, 0, "{what}: was trusted");
    }
}

#[tokio::test]
async fn who_leaves_resets_its_stream_and_not_the_connection() {
    let secured = Secured::start(&["h2"]).await;
    let client = secured.client();
    for (model, provider) in [(ALPHA, &secured.alpha), (BETA, &secured.beta)] {
        answers(&client, model, "the first").await;
        let before = provider.connections();
        let mut body = chat(model, "#tokens=4000 #rate=200 long");
        body["max_tokens"] = 4000.into();
        let mut left = client.stream(CHAT, &streamed(body.clone())).await.unwrap();
        let mut kept = client.stream(CHAT, &streamed(body)).await.unwrap();
        for stream in [&mut left, &mut kept] {
            stream.next().await.unwrap().unwrap();
        }
        drop(left);
        let gone = Instant::now();
        let one = || async { (provider.totals().open == 1).then_some(()) };
        let seen = eventually(Duration::from_secs(5), one).await;
        assert!(seen.is_some(), "{model}: still open");
        assert!(gone.elapsed() < QUICK, "{model}: {:?}", gone.elapsed());
        for _ in 0..20 {
            kept.next().await.unwrap().unwrap();
        }
        answers(&client, model, "the same connection").await;
        assert!(provider.connections() <= before + 1, "{model}");
        drop(kept);
        let none = || async { (provider.totals().open == 0).then_some(()) };
        assert!(eventually(Duration::from_secs(5), none).await.is_some());
    }
}
