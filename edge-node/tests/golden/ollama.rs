//! What an answer of Ollama's says.

use crate::golden::said::{Said, number, text};
use serde_json::Value;

impl Said {
    /// Takes a line, or a whole answer.
    pub(crate) fn ollama(&mut self, value: &Value) {
        let message = &value["message"];
        let texts = self.texts.entry(0).or_default();
        texts.push_str(text(&message["content"]));
        let thoughts = self.reasoning.entry(0).or_default();
        thoughts.push_str(text(&message["thinking"]));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let calls = self.calls.entry(0).or_default();
            let function = &call["function"];
            let (id, name) = (text(&call["id"]), text(&function["name"]));
            let arguments = function["arguments"].to_string();
            let index = calls.len() as u64;
            calls.push((index, id.to_owned(), name.to_owned(), arguments));
        }
        if value["done"] == true {
            let word = if self.calls.is_empty() {
                text(&value["done_reason"])
            } else {
                "tool_calls"
            };
            self.finish.insert(0, word.to_owned());
            let count = |name: &str| number(&value[name]).unwrap();
            self.usage = Some((count("prompt_eval_count"), 0, count("eval_count"), 0));
        }
    }
}
