//! What an answer of Gemini's says.

use crate::golden::said::{Said, number, text};
use serde_json::Value;

impl Said {
    /// Takes a response: a whole answer, or one of a stream.
    pub(crate) fn gemini(&mut self, value: &Value) {
        self.error |= !value["error"].is_null();
        for candidate in value["candidates"].as_array().into_iter().flatten() {
            let index = number(&candidate["index"]).unwrap_or(0);
            let parts = candidate["content"]["parts"].as_array();
            for part in parts.into_iter().flatten() {
                self.gemini_part(index, part);
            }
            let word = match &candidate["finishReason"] {
                Value::Null => continue,
                Value::Number(_) => "STOP",
                word => text(word),
            };
            let word = match word {
                "STOP" if self.calls.contains_key(&index) => "tool_calls",
                "STOP" => "stop",
                "MAX_TOKENS" => "length",
                _ => "content_filter",
            };
            self.finish.insert(index, word.to_owned());
        }
        if !value["promptFeedback"]["blockReason"].is_null() {
            self.finish.insert(0, "content_filter".to_owned());
        }
        let usage = &value["usageMetadata"];
        let field = |name: &str| number(&usage[name]).unwrap_or(0);
        if !usage["promptTokenCount"].is_null() {
            let thoughts = field("thoughtsTokenCount");
            self.usage = Some((
                field("promptTokenCount") + field("toolUsePromptTokenCount"),
                field("cachedContentTokenCount"),
                field("candidatesTokenCount") + thoughts,
                thoughts,
            ));
        }
    }

    fn gemini_part(&mut self, index: u64, part: &Value) {
        let said = if part["thought"] == true {
            self.reasoning.entry(index).or_default()
        } else {
            self.texts.entry(index).or_default()
        };
        said.push_str(text(&part["text"]));
        let call = &part["functionCall"];
        if call.is_null() {
            return;
        }
        let calls = self.calls.entry(index).or_default();
        let at = calls.len() as u64;
        // Ids that are missing are made of the generation's.
        let id = call["id"].as_str();
        let id = id.map_or_else(|| format!("call_test_{at}"), ToOwned::to_owned);
        let name = text(&call["name"]).to_owned();
        calls.push((at, id, name, call["args"].to_string()));
    }
}
