//! What an answer of Bedrock's Converse says, and how its frames are cut.

use crate::golden::said::{Said, number, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The frames of a body: `{NAME: payload}`, as in AWS's own SDKs, or `{"error": …}`.
pub(crate) fn frames(body: &[u8]) -> Vec<Value> {
    let long = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let mut all = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let (total, head) = (long(at), long(at + 4));
        let headers = String::from_utf8_lossy(&body[at + 12..at + 12 + head]);
        let payload: Value = serde_json::from_slice(&body[at + 12 + head..at + total - 4]).unwrap();
        let name = if headers.contains(":exception-type") {
            "error".to_owned()
        } else {
            let after = headers.split(":event-type").nth(1).unwrap();
            let name = after.chars().skip(3);
            name.take_while(char::is_ascii_alphanumeric).collect()
        };
        all.push(serde_json::json!({ name: payload }));
        at += total;
    }
    all
}

/// The events that the frames of the invoke API hold.
pub(crate) fn chunks(body: &[u8]) -> Vec<Value> {
    let frames = frames(body);
    let bytes = frames.iter().map(|frame| text(&frame["chunk"]["bytes"]));
    bytes
        .map(|bytes| serde_json::from_slice(&STANDARD.decode(bytes).unwrap()).unwrap())
        .collect()
}

impl Said {
    /// Takes a frame, or a whole answer.
    pub(crate) fn bedrock(&mut self, value: &Value) {
        self.error |= !value["error"].is_null();
        if let Some(call) = value["contentBlockStart"]["start"].get("toolUse") {
            self.bedrock_call(call);
        }
        self.bedrock_block(&value["contentBlockDelta"]["delta"]);
        let blocks = value["output"]["message"]["content"].as_array();
        for block in blocks.into_iter().flatten() {
            if let Some(call) = block.get("toolUse") {
                self.bedrock_call(call);
            }
            self.bedrock_block(block);
        }
        for holder in [value, &value["messageStop"]] {
            let word = match text(&holder["stopReason"]) {
                "" => continue,
                "tool_use" => "tool_calls",
                "max_tokens" => "length",
                "guardrail_intervened" | "content_filtered" => "content_filter",
                _ => "stop",
            };
            self.finish.insert(0, word.to_owned());
        }
        for usage in [&value["usage"], &value["metadata"]["usage"]] {
            if usage.is_object() {
                let of = |name: &str| number(&usage[name]).unwrap_or(0);
                let (read, write) = (of("cacheReadInputTokens"), of("cacheWriteInputTokens"));
                let prompt = of("inputTokens") + read + write;
                self.usage = Some((prompt, read, of("outputTokens"), 0));
            }
        }
    }

    fn bedrock_call(&mut self, call: &Value) {
        let calls = self.calls.entry(0).or_default();
        let (id, name) = (text(&call["toolUseId"]), text(&call["name"]));
        let index = calls.len() as u64;
        calls.push((index, id.to_owned(), name.to_owned(), String::new()));
    }

    fn bedrock_block(&mut self, block: &Value) {
        let texts = self.texts.entry(0).or_default();
        texts.push_str(text(&block["text"]));
        let thought = &block["reasoningContent"];
        let thoughts = self.reasoning.entry(0).or_default();
        thoughts.push_str(text(&thought["text"]));
        thoughts.push_str(text(&thought["reasoningText"]["text"]));
        let input = match &block["toolUse"]["input"] {
            Value::Null => return,
            Value::String(piece) => piece.clone(),
            whole => whole.to_string(),
        };
        let calls = self.calls.get_mut(&0).unwrap();
        calls.last_mut().unwrap().3.push_str(&input);
    }
}
