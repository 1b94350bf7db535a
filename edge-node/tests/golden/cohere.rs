//! What an answer of Cohere's says.

use crate::golden::said::{Said, number, text};
use serde_json::Value;

/// The object, or all of the list.
fn all(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

impl Said {
    /// Takes an event, or a whole answer.
    pub(crate) fn cohere(&mut self, value: &Value) {
        let holder = if value["delta"].is_null() {
            value
        } else {
            &value["delta"]
        };
        let message = &holder["message"];
        let thoughts = self.reasoning.entry(0).or_default();
        for part in all(&message["content"]) {
            thoughts.push_str(text(&part["thinking"]));
        }
        thoughts.push_str(text(&message["tool_plan"]));
        for part in all(&message["content"]) {
            self.texts
                .entry(0)
                .or_default()
                .push_str(text(&part["text"]));
        }
        for call in all(&message["tool_calls"]) {
            let calls = self.calls.entry(0).or_default();
            let id = text(&call["id"]);
            if !id.is_empty() {
                let name = text(&call["function"]["name"]);
                let index = calls.len() as u64;
                calls.push((index, id.to_owned(), name.to_owned(), String::new()));
            }
            let arguments = text(&call["function"]["arguments"]);
            calls.last_mut().unwrap().3.push_str(arguments);
        }
        let word = match text(&holder["finish_reason"]) {
            "" => return,
            "COMPLETE" | "STOP_SEQUENCE" => "stop",
            "MAX_TOKENS" => "length",
            "TOOL_CALL" => "tool_calls",
            other => other,
        };
        self.finish.insert(0, word.to_owned());
        let usage = &holder["usage"];
        let tokens = &usage["tokens"];
        self.usage = Some((
            number(&tokens["input_tokens"]).unwrap(),
            number(&usage["cached_tokens"]).unwrap_or(0),
            number(&tokens["output_tokens"]).unwrap(),
            number(&tokens["reasoning_tokens"]).unwrap_or(0),
        ));
    }
}
