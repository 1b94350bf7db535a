//! Embeddings and rankings through a running `godwit`, by a provider of each form: the same vectors
//! from all, charged to the digit of the provider's own bill, with failover; the wrong path is told
//! by name.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use loadtest::client::{Client, Reply};
use loadtest::cluster::{CatalogSpec, Standalone, StandaloneConfig};
use loadtest::provider::{Config, Dialect, Kind, Provider, Rule, Running, score, vector};
use serde_json::{Value, json};
use std::time::Duration;

const EMBED: &str = "acme/embed";
const RANK: &str = "acme/rank";
const CHAT: &str = "acme/chat";
const DIALECTS: [(&str, Dialect); 3] = [
    ("open", Dialect::OpenaiChat),
    ("coral", Dialect::CohereV2),
    ("twin", Dialect::Gemini),
];

struct Bench {
    providers: Vec<Running>,
    _godwit: Standalone,
    client: Client,
}

async fn bench() -> Bench {
    let mut catalog = CatalogSpec::default();
    let mut providers = Vec::new();
    for (slug, dialect) in DIALECTS {
        let quick = Config {
            dialect: Some(dialect),
            ttft: Duration::from_millis(2),
            tokens_per_second: 0.0,
            ..Config::default()
        };
        let provider = Provider::start(quick).await.unwrap();
        catalog = catalog.provider(slug, dialect, &provider.base_url());
        providers.push(provider);
    }
    let catalog = catalog
        .model_giving("embeddings", EMBED, &["open", "coral", "twin"])
        .model_giving("rerank", RANK, &["open", "coral"])
        .model(CHAT, &["open"]);
    let godwit = StandaloneConfig::new(catalog).start().await.unwrap();
    Bench {
        client: godwit.client(),
        providers,
        _godwit: godwit,
    }
}

fn pico(reply: &Reply) -> u64 {
    let usd = reply.json()["usage"]["cost"].as_f64().unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small amount, above zero"
    )]
    let pico = (usd * 1e12).round() as u64;
    pico
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_gives_the_same_vectors() {
    let bench = bench().await;
    for base in ["/api/v1", "/v1"] {
        for (at, (slug, _)) in DIALECTS.iter().enumerate() {
            let body = json!({
                "model": EMBED, "input": ["a crane", "a godwit"], "dimensions": 4,
                "input_type": "query", "provider": { "only": [slug] },
            });
            let reply = bench
                .client
                .post(&format!("{base}/embeddings"), &body)
                .await;
            let reply = reply.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
            let answer = reply.json();
            assert_eq!(
                (&answer["model"], &answer["provider"]),
                (&json!(EMBED), &json!(slug))
            );
            let expected = [vector("a crane", 4), vector("a godwit", 4)];
            for (item, vector) in answer["data"].as_array().unwrap().iter().zip(expected) {
                assert_eq!(item["embedding"], json!(vector), "{slug}");
            }
            let entry = bench.providers[at].bill().requests.last().cloned().unwrap();
            assert!(entry.completed && entry.status == 200);
            assert_eq!(answer["usage"]["prompt_tokens"], entry.input_tokens);
            assert_eq!(pico(&reply), entry.input_tokens * 500_000);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rankings_name_their_documents() {
    let bench = bench().await;
    let documents = ["a crane", "a godwit", "a stone"];
    for (slug, _) in &DIALECTS[..2] {
        let body = json!({
            "model": RANK, "query": "birds", "documents": documents, "top_n": 2,
            "provider": { "only": [slug] },
        });
        let reply = bench.client.post("/api/v1/rerank", &body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.json();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            let index = usize::try_from(result["index"].as_u64().unwrap()).unwrap();
            assert_eq!(result["document"]["text"], documents[index]);
            assert_eq!(
                result["relevance_score"],
                json!(score("birds", documents[index]))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_endpoint_helps() {
    let bench = bench().await;
    let mut refuses = Rule::new(Kind::Status);
    refuses.status = 503;
    bench.providers[0].set_faults(vec![refuses]);
    let body = json!({
        "model": EMBED, "input": "x", "provider": { "order": ["open", "coral"] },
    });
    let reply = bench.client.post("/v1/embeddings", &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["provider"], "coral");
    // What only one form can say goes where it can be said.
    bench.providers[0].set_faults(Vec::new());
    let body = json!({ "model": EMBED, "input": [1, 2, 3] });
    let reply = bench.client.post("/v1/embeddings", &body).await.unwrap();
    let sent_to_open = reply.status == 400 && reply.text().contains("input");
    assert!(sent_to_open, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_path_is_told_by_name() {
    let bench = bench().await;
    let turns = json!([{ "role": "user", "content": "hi" }]);
    for (path, body, right) in [
        (
            "/v1/chat/completions",
            json!({ "model": EMBED, "messages": turns }),
            "/embeddings",
        ),
        (
            "/v1/messages",
            json!({ "model": RANK, "max_tokens": 5, "messages": turns }),
            "/rerank",
        ),
        (
            "/v1/embeddings",
            json!({ "model": CHAT, "input": "x" }),
            "/chat/completions",
        ),
        (
            "/v1/rerank",
            json!({ "model": EMBED, "query": "q", "documents": ["x"] }),
            "/embeddings",
        ),
    ] {
        let reply = bench.client.post(path, &body).await.unwrap();
        assert_eq!(reply.status, 400, "{path}");
        let message = reply.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(message.contains(right), "{path}: {message}");
    }
    let served: Value = bench
        .client
        .post(
            "/v1/chat/completions",
            &json!({ "model": CHAT, "messages": turns }),
        )
        .await
        .unwrap()
        .json();
    assert!(served["choices"][0]["message"]["content"].is_string());
}
