//! OpenAI's, Anthropic's and OpenRouter's official SDKs, unmodified, against a running `godwit`: with
//! simulated providers, and with the recorded answers of every dialect as providers. The SDKs are
//! installed by `make test` from the pinned lists beside the scripts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use loadtest::cluster::{CatalogSpec, DEV_KEY, Standalone, StandaloneConfig};
use loadtest::provider::{Config, Dialect, Provider, Running};
use loadtest::replay::{self, Api, Case, Filter, Format, Stage};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MODELS: [&str; 2] = ["acme/chatty", "acme/claudish"];
/// For embeddings and rankings.
const VECTORS: [&str; 2] = ["acme/embed", "acme/rank"];

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
        .model(MODELS[1], &["messages"])
        .model_giving("embeddings", VECTORS[0], &["chat"])
        .model_giving("rerank", VECTORS[1], &["chat"]);
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
            .arg(VECTORS[0])
            .args(MODELS);
        run(command).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrouter_is_served_with_models_and_vectors() {
    let (chat, messages) = (
        provider(Dialect::OpenaiChat).await,
        provider(Dialect::AnthropicMessages).await,
    );
    let godwit = godwit(&chat, &messages).await;
    let base = godwit.addresses().url("api") + "/api/v1";
    for (program, script) in [
        (python(), "openrouter_python.py"),
        (PathBuf::from("node"), "openrouter_node.mjs"),
    ] {
        let mut command = Command::new(program);
        command.arg(scripts().join(script)).arg(&base).arg(DEV_KEY);
        command.args(VECTORS).args(MODELS);
        run(command).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrouter_manages_accounts() {
    let (chat, messages) = (
        provider(Dialect::OpenaiChat).await,
        provider(Dialect::AnthropicMessages).await,
    );
    let godwit = godwit(&chat, &messages).await;
    let create = ["keys", "create", "--kind", "management"];
    let made = godwit.admin(&create).unwrap();
    let base = godwit.addresses().url("api") + "/api/v1";
    for (program, script) in [
        (python(), "openrouter_account.py"),
        (PathBuf::from("node"), "openrouter_account.mjs"),
    ] {
        let mut command = Command::new(program);
        command.arg(scripts().join(script)).arg(&base);
        command.arg(made["key"].as_str().unwrap()).arg(MODELS[0]);
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

/// Pictures and speech in answers, of which the tree has no recording.
fn made_up() -> Vec<Case> {
    let picture = json!({"candidates": [{"index": 0, "finishReason": "STOP", "content": {
        "role": "model", "parts": [{"text": "Here:"},
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 9}});
    let audio = json!({"id": "audio_1", "data": "UklGRg==", "transcript": "Hello.",
        "expires_at": 1_800_000_000});
    let speech = |body: &str, object: &str| {
        json!({"id": "c", "object": object, "created": 5, "model": "m", "choices": [{"index": 0,
            "finish_reason": "stop", body: {"role": "assistant", "content": null, "audio": audio}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}})
    };
    let case = |name: &str, format: Format, body: &Value, stream: bool| {
        let body = if stream {
            format!("data: {body}\n\n")
        } else {
            body.to_string()
        };
        Case {
            name: name.to_owned(),
            key: name.split('-').next().unwrap().to_owned(),
            format,
            provider: "acme".to_owned(),
            model: "m".to_owned(),
            status: 200,
            stream,
            request: None,
            headers: Vec::new(),
            body: body.into(),
        }
    };
    let (chunk, answer) = ("chat.completion.chunk", "chat.completion");
    vec![
        case(
            "m001-gemini-json-image-out",
            Format::Gemini,
            &picture,
            false,
        ),
        case(
            "m002-gemini-stream-image-out",
            Format::Gemini,
            &picture,
            true,
        ),
        case(
            "m003-openai-chat-json-audio-out",
            Format::Chat,
            &speech("message", answer),
            false,
        ),
        case(
            "m004-openai-chat-stream-audio-out",
            Format::Chat,
            &speech("delta", chunk),
            true,
        ),
    ]
}

/// Every recording of the tree behind an edge, and the file that tells a script of it.
async fn stage(apis: &[Api]) -> (Stage, tempfile::NamedTempFile) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge-node/tests/corpus");
    let mut cases = replay::load(&corpus, &Filter::default()).unwrap();
    cases.extend(made_up());
    let stage = Stage::start(cases).await.unwrap();
    let questions = |api: &Api| {
        let all = serde_json::to_value(stage.questions(*api)).unwrap();
        (api.as_str().to_owned(), all)
    };
    let questions: Map<String, Value> = apis.iter().map(questions).collect();
    let told = json!({
        "base_url": stage.edge().addresses().url("api") + "/api/v1",
        "key": DEV_KEY,
        "asked_url": stage.asked_url(),
        "questions": questions,
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), told.to_string()).unwrap();
    (stage, file)
}

async fn reads_all(program: &Path, script: &str, apis: &[Api]) {
    let (stage, file) = stage(apis).await;
    let mut command = Command::new(program);
    command.arg(scripts().join(script)).arg(file.path());
    run(command).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_python_reads_every_recording() {
    let apis = [Api::Chat, Api::Responses, Api::Completions];
    reads_all(&python(), "recordings_openai.py", &apis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_python_reads_every_recording() {
    reads_all(&python(), "recordings_anthropic.py", &[Api::Messages]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_node_reads_every_recording() {
    let apis = [Api::Chat, Api::Responses, Api::Completions];
    reads_all(Path::new("node"), "recordings_openai.mjs", &apis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openrouter_python_reads_every_recording() {
    let apis = [Api::Chat, Api::Responses];
    reads_all(&python(), "recordings_openrouter.py", &apis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openrouter_node_reads_every_recording() {
    let apis = [Api::Chat, Api::Responses];
    reads_all(Path::new("node"), "recordings_openrouter.mjs", &apis).await;
}
