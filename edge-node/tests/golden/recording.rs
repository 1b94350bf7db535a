//! A recorded exchange on disk.

use edge_node::ingress::Api;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use shared::catalog::Dialect;
use std::path::{Path, PathBuf};

pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    request: Value,
    headers: Value,
}

/// All of them, by name.
pub(crate) fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.join("meta.json").is_file());
    folders.sort();
    folders.iter().map(|path| Recording::read(path)).collect()
}

/// The corpus has names of its own for some.
fn dialect(name: &str) -> Dialect {
    match name {
        "bedrock-invoke-stream" => Dialect::BedrockInvoke,
        "bedrock-converse-stream" => Dialect::BedrockConverse,
        "ollama-native" => Dialect::Ollama,
        "azure-openai-chat" => Dialect::AzureOpenai,
        "azure-openai-responses" => Dialect::OpenaiResponses,
        "cohere-v2-chat" => Dialect::CohereV2,
        name => Dialect::parse(name).unwrap(),
    }
}

impl Recording {
    fn read(folder: &Path) -> Self {
        let json = |name: &str| -> Value {
            let text = std::fs::read(folder.join(name)).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let meta = json("meta.json");
        Self {
            name: meta["case"].as_str().unwrap().to_owned(),
            dialect: dialect(meta["dialect"].as_str().unwrap()),
            status: meta["status"].as_u64().unwrap().try_into().unwrap(),
            body: std::fs::read(folder.join("response.body")).unwrap(),
            request: json("request.json"),
            headers: json("response.headers.json"),
        }
    }

    /// A chat answer that was made, not recorded, because it is too long to be kept: a text of so
    /// many bytes, in which characters of one to four bytes and escapes stand.
    pub(crate) fn made(length: usize) -> Self {
        let text = "A godwit \"flies\" für 11 Tage, 鳥, 🐦.\n";
        let text = text.repeat(length / text.len());
        let body = json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": text } }],
            "usage": { "prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14 },
        });
        Self {
            name: format!("made, {length} bytes"),
            dialect: Dialect::OpenaiChat,
            status: 200,
            body: body.to_string().into_bytes(),
            request: Value::Null,
            headers: Value::Null,
        }
    }

    /// True when the recorded answer is an event stream.
    pub(crate) fn is_stream(&self) -> bool {
        !self.body.trim_ascii_start().starts_with(b"{")
    }

    /// The recorded request where a client of this API could have made it, else the least that
    /// asks for an answer of the same form.
    pub(crate) fn client_request(&self, api: Api) -> String {
        let recorded = &self.request["body"];
        let own = match api {
            Api::Chat => Some(Dialect::OpenaiChat),
            Api::Messages => Some(Dialect::AnthropicMessages),
            Api::Responses => Some(Dialect::OpenaiResponses),
            Api::Completions | Api::Embeddings | Api::Rerank => None,
        };
        let mut request = if own == Some(self.dialect) && recorded.is_object() {
            recorded.clone()
        } else if api == Api::Completions {
            json!({ "prompt": "hello" })
        } else if api == Api::Responses {
            json!({ "input": "hello" })
        } else {
            json!({ "messages": [{ "role": "user", "content": "hello" }], "max_tokens": 1000 })
        };
        if api == Api::Responses {
            // Tools of the provider's own and tiers at other prices are refused.
            if let Some(tools) = request["tools"].as_array_mut() {
                tools.retain(|tool| tool["type"] == "function");
            }
            request["service_tier"] = Value::Null;
        }
        request["model"] = json!("test/model");
        if self.status == 200 {
            request["stream"] = json!(self.is_stream());
        }
        request.to_string()
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.headers.as_object().into_iter().flatten() {
            let Some(value) = value.as_str() else {
                continue;
            };
            let name: HeaderName = name.parse().unwrap();
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }
}
