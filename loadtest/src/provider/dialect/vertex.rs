//! The vertex-anthropic side of the simulated provider: Anthropic's messages under Vertex's
//! paths. The model stands in the path and nowhere else, the version in the body; a refusal by
//! the platform has Google's shape, one by the model Anthropic's.

use super::{Head, Place, Refusal, Script, Wire, anthropic, flag, gemini, invalid, word};
use crate::provider::answer::{Answer, Prompt};
use serde_json::Value;

/// `POST …/publishers/anthropic/models/M:rawPredict` and `:streamRawPredict`.
pub(super) struct VertexAnthropic;

impl Wire for VertexAnthropic {
    fn owns(&self, path: &str) -> bool {
        target(path).is_some()
    }

    fn id_prefix(&self) -> &'static str {
        "msg_vrtx_"
    }

    fn prompt(&self, at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        let unknown = || Refusal::new(404, "unknown path");
        let (model, streamed) = target(&at.path).ok_or_else(unknown)?;
        if word(body, "anthropic_version") != Some("vertex-2023-10-16") {
            return Err(invalid("anthropic_version: Field required"));
        }
        if body.get("model").is_some() {
            return Err(invalid("model: Extra inputs are not permitted"));
        }
        if flag(body, "stream") != streamed {
            return Err(invalid("stream: does not fit the method"));
        }
        anthropic::prompt_for(model, body)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        match refusal.status {
            401 | 403 | 404 | 429 => gemini::error(refusal),
            _ => anthropic::error(refusal),
        }
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        anthropic::whole(head, answer)
    }

    fn script(&self, _at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(anthropic::Events::new(head))
    }
}

/// The model, and true where the method streams.
fn target(path: &str) -> Option<(&str, bool)> {
    let (_, behind) = path.split_once("/publishers/anthropic/models/")?;
    match behind.rsplit_once(':')? {
        (model, "rawPredict") => Some((model, false)),
        (model, "streamRawPredict") => Some((model, true)),
        _ => None,
    }
}
