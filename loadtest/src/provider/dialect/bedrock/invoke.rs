//! The bedrock-invoke side of the simulated provider, for Anthropic's models: their own JSON, and
//! in a stream each of their events in base64 inside a binary message.

use super::request::{decoded, target};
use super::stream::{JSON, broken, exception, message};
use super::{error_headers, invalid_key};
use crate::provider::answer::{Answer, Piece, Prompt};
use crate::provider::dialect::{
    Head, Place, Refusal, Script, Wire, anthropic, invalid, items, word,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Value, json};

/// `POST …/model/ID/invoke` and `/invoke-with-response-stream`.
pub(in crate::provider::dialect) struct Invoke;

/// The model's id, still encoded, and true where the method streams.
fn invoked(path: &str) -> Option<(&str, bool)> {
    match target(path)? {
        (id, "invoke") => Some((id, false)),
        (id, "invoke-with-response-stream") => Some((id, true)),
        _ => None,
    }
}

impl Wire for Invoke {
    fn owns(&self, path: &str) -> bool {
        invoked(path).is_some()
    }

    fn id_prefix(&self) -> &'static str {
        "msg_bdrk_"
    }

    fn bad_key(&self) -> Refusal {
        invalid_key()
    }

    fn prompt(&self, at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        let unknown = || Refusal::new(404, "unknown operation");
        let (id, stream) = invoked(&at.path).ok_or_else(unknown)?;
        let model = decoded(id);
        let model = model.ok_or_else(|| invalid("The provided model identifier is invalid."))?;
        if word(body, "anthropic_version") != Some("bedrock-2023-05-31") {
            return Err(invalid("anthropic_version: Field required"));
        }
        for name in ["model", "stream"] {
            if body.get(name).is_some() {
                let rule = "Extra inputs are not permitted";
                return Err(invalid(&format!("{name}: {rule}")));
            }
        }
        for message in items(body, "messages") {
            let sources = items(message, "content").iter();
            let mut kinds = sources.filter_map(|block| word(block.get("source")?, "type"));
            if kinds.any(|kind| kind == "url") {
                return Err(invalid("URL sources are not supported"));
            }
        }
        let mut prompt = anthropic::prompt_for(&model, body)?;
        prompt.stream = stream;
        Ok(prompt)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        json!({"message": refusal.message})
    }

    fn error_headers(&self, refusal: &Refusal, headers: &mut HeaderMap) {
        error_headers(refusal, headers);
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        anthropic::whole(head, answer)
    }

    fn script(&self, _at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Chunks(anthropic::Events::new(head)))
    }
}

struct Chunks(anthropic::Events);

/// Puts each event of a text stream into a binary message. There are no pings.
fn wrap(events: &[u8], last: Option<&Value>, out: &mut Vec<u8>) {
    for line in events.split(|byte| *byte == b'\n') {
        let data = line.strip_prefix(b"data: ");
        let data = data.and_then(|data| serde_json::from_slice::<Value>(data).ok());
        let Some(mut data) = data.filter(|data| word(data, "type") != Some("ping")) else {
            continue;
        };
        let stops = word(&data, "type") == Some("message_stop");
        if let (Some(metrics), Some(members)) = (last.filter(|_| stops), data.as_object_mut()) {
            members.insert("amazon-bedrock-invocationMetrics".into(), metrics.clone());
        }
        let bytes = STANDARD.encode(data.to_string());
        let payload = json!({"bytes": bytes, "p": "abcdefghijkl"}).to_string();
        let kind = (":message-type", "event");
        let headers = [(":event-type", "chunk"), (":content-type", JSON), kind];
        message(&headers, payload.as_bytes(), out);
    }
}

impl Script for Chunks {
    fn content_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn start(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        self.0.start(answer, &mut events);
        wrap(&events, None, out);
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        self.0.piece(piece, &mut events);
        wrap(&events, None, out);
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        self.0.finish(answer, &mut events);
        let metrics = json!({"inputTokenCount": answer.input_tokens - answer.cached_tokens,
            "outputTokenCount": answer.output_tokens(), "invocationLatency": 3042,
            "firstByteLatency": 791, "cacheReadInputTokenCount": answer.cached_tokens,
            "cacheWriteInputTokenCount": 0});
        wrap(&events, Some(&metrics), out);
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        exception(refusal, out);
    }

    fn garbage(&mut self, out: &mut Vec<u8>) {
        broken(out);
    }
}
