//! A stranger's first minutes: `godwit` in an empty folder, no credential, the shipped catalogue.
//! What it prints works when pasted, and every API answers for the models that one would try.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use loadtest::client::Client;
use loadtest::cluster::{Process, Programs, Spawn, eventually};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A first start of an unoptimised program on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct FirstRun {
    process: Process,
    spawn: Spawn,
    dir: TempDir,
}

impl FirstRun {
    fn start() -> Self {
        let programs = Programs::find("godwit").unwrap();
        let dir = TempDir::new().unwrap();
        let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalog");
        let mut spawn = Spawn::new("godwit", &programs.path("godwit").unwrap(), dir.path())
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .arg("--catalog")
            .arg(catalog);
        for listener in ["listen", "admin-listen", "control-listen", "console-listen"] {
            spawn = spawn.arg(format!("--{listener}")).arg("127.0.0.1:0");
        }
        Self {
            process: spawn.start().unwrap(),
            spawn,
            dir,
        }
    }

    /// What it printed, once the last line (the request to paste) is there.
    async fn banner(&self) -> String {
        let printed = || async {
            let log = self.process.log();
            log.contains("\"Hello\"}]}'\n").then_some(log)
        };
        let log = eventually(PATIENCE, printed).await;
        log.unwrap_or_else(|| self.process.log())
    }
}

/// The value of a line of the banner.
fn told<'a>(banner: &'a str, label: &str) -> &'a str {
    let line = banner
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label));
    line.unwrap().split_whitespace().next().unwrap()
}

#[tokio::test]
async fn what_the_first_start_prints_works_when_pasted() {
    let mut run = FirstRun::start();
    let banner = run.banner().await;
    assert!(banner.contains("answers come from simulated"), "{banner}");
    let line = banner.lines().find(|line| line.starts_with("curl "));
    let pasted = Command::new("sh").arg("-c").arg(line.unwrap()).output();
    let output = pasted.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty(), "{answer}");
    assert_eq!(answer["provider"], "simulated", "{answer}");

    let console = Client::new(told(&banner, "console").trim_end_matches('/'));
    assert_eq!(console.get("/readyz").await.unwrap().status, 200);
    for label in ["edge metrics", "control metrics"] {
        let page = Client::new("").get(told(&banner, label)).await;
        assert_eq!(page.unwrap().status, 200, "{label}");
    }

    // What is kept is nobody else's to look at.
    for folder in ["data", "data/edge", "data/pki"] {
        let found = std::fs::metadata(run.dir.path().join(folder)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o700, "{folder}");
    }

    // The key is shown once.
    run.process.kill();
    std::fs::remove_file(run.spawn.logs.join("godwit.log")).unwrap();
    run.process = run.spawn.start().unwrap();
    let again = run.banner().await;
    assert!(!again.contains("sk-gw-v1-"), "{again}");
    assert!(again.contains("$GODWIT_API_KEY"), "{again}");
}

#[tokio::test]
async fn every_api_answers_for_the_models_that_one_would_try() {
    let run = FirstRun::start();
    let banner = run.banner().await;
    let client = Client::new(told(&banner, "API").trim_end_matches("/api/v1"))
        .with_key(told(&banner, "API key"));
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let chat = |model: &str| {
        (
            "/api/v1/chat/completions",
            json!({"model": model, "messages": messages}),
        )
    };
    let asked = [
        chat("openai/gpt-4o"),
        chat("google/gemini-2.5-pro"),
        chat("openai/gpt-oss-20b:free"),
        chat("openrouter/auto"),
        chat("openrouter/free"),
        (
            "/v1/messages",
            json!({"model": "anthropic/claude-sonnet-4.5", "max_tokens": 16, "messages": messages}),
        ),
        (
            "/v1/responses",
            json!({"model": "openai/gpt-5", "input": "Hello"}),
        ),
        (
            "/v1/completions",
            json!({"model": "deepseek/deepseek-chat-v3.1", "prompt": "Hello"}),
        ),
        (
            "/v1/embeddings",
            json!({"model": "openai/text-embedding-3-small", "input": "Hello"}),
        ),
        (
            "/v1/rerank",
            json!({"model": "cohere/rerank-v3.5", "query": "Hello", "documents": ["a", "b"]}),
        ),
    ];
    for (path, body) in asked {
        let reply = client.post(path, &body).await.unwrap();
        assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
        assert_eq!(reply.json()["provider"], "simulated", "{path} {body}");
    }
}
