//! OpenAI's and Anthropic's official SDKs, unmodified, against a running `godwit` with a provider of each wire
//! dialect. The SDKs are installed by `make test` from the pinned lists beside the scripts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use loadtest::cluster::{CatalogSpec, DEV_KEY, Standalone, StandaloneConfig};
use loadtest::provider::{Config, Dialect, Provider, Running};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MODELS: [&str; 2] = ["acme/chatty", "acme/claudish"];

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

/// Where `make test` put Python's packages.
fn python() -> PathBuf {
    scripts().join(".venv/bin/python")
}

async fn provider(dialect: Dialect) -> Running {
    let quick = Config {
        dialect: Some(dialect),
        ttft: Duration::from_millis(5),
        tokens_per_second: 2000.0,
        ..Config::default()
    };
    Provider::start(quick).await.unwrap()
}

async fn godwit(chat: &Running, messages: &Running) -> Standalone {
    let catalog = CatalogSpec::default()
        .provider("chat", Dialect::OpenaiChat, &chat.base_url())
        .provider("messages", Dialect::AnthropicMessages, &messages.base_url())
        .model(MODELS[0], &["chat"])
        .model(MODELS[1], &["messages"]);
    StandaloneConfig::new(catalog).start().await.unwrap()
}

async fn run(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_python_is_served_on_both_paths() {
    let (chat, messages) = (
        provider(Dialect::OpenaiChat).await,
        provider(Dialect::AnthropicMessages).await,
    );
    let godwit = godwit(&chat, &messages).await;
    for base in ["api/v1", "v1"] {
        let mut command = Command::new(python());
        command
            .arg(scripts().join("openai_python.py"))
            .arg(format!("{}/{base}", godwit.addresses().url("api")))
            .arg(DEV_KEY)
            .args(MODELS);
        run(command).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_node_is_served_on_both_paths() {
    let (chat, messages) = (
        provider(Dialect::OpenaiChat).await,
        provider(Dialect::AnthropicMessages).await,
    );
    let godwit = godwit(&chat, &messages).await;
    for base in ["api/v1", "v1"] {
        let mut command = Command::new("node");
        command
            .arg(scripts().join("openai_node.mjs"))
            .arg(format!("{}/{base}", godwit.addresses().url("api")))
            .arg(DEV_KEY)
            .args(MODELS);
        run(command).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_python_is_served_on_both_paths() {
    let (chat, messages) = (
        provider(Dialect::OpenaiChat).await,
        provider(Dialect::AnthropicMessages).await,
    );
    let godwit = godwit(&chat, &messages).await;
    for base in ["/api", ""] {
        let mut command = Command::new(python());
        command
            .arg(scripts().join("anthropic_python.py"))
            .arg(format!("{}{base}", godwit.addresses().url("api")))
            .arg(DEV_KEY)
            .args(MODELS);
        run(command).await;
    }
}
