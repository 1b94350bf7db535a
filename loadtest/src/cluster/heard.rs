//! What a stream of chat chunks said, put together as a client does.

use crate::client::Event;
use serde_json::Value;

/// A stream that was read to its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The whole text.
    pub text: String,
    /// The whole reasoning.
    pub reasoning: String,
    /// The details of reasoning, as they came.
    pub details: Vec<Value>,
    /// The calls, each as a whole answer has it.
    pub calls: Vec<Value>,
    /// Every reason for the end that was given.
    pub finish: Vec<String>,
    /// Every usage that was given.
    pub usage: Vec<Value>,
    /// The error that came last.
    pub error: Option<Value>,
    /// `[DONE]` came.
    pub done: bool,
    /// Events that are no chunks, or came after the last.
    pub odd: Vec<Event>,
}

impl Heard {
    /// Puts events together.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut heard = Self::default();
        for event in events {
            let chunk = event.json();
            if !heard.done && event.data == "[DONE]" {
                heard.done = true;
            } else if heard.done || !chunk.is_object() {
                heard.odd.push(event.clone());
            } else {
                heard.chunk(&chunk);
            }
        }
        heard
    }

    /// The calls' names and arguments.
    #[must_use]
    pub fn called(&self) -> Vec<(String, String)> {
        let text = |call: &Value, at: &str| {
            let value = call.pointer(at).and_then(Value::as_str);
            value.unwrap_or("").to_owned()
        };
        let called = |call| {
            (
                text(call, "/function/name"),
                text(call, "/function/arguments"),
            )
        };
        self.calls.iter().map(called).collect()
    }

    fn chunk(&mut self, chunk: &Value) {
        let given = |name: &str| chunk.get(name).filter(|value| !value.is_null()).cloned();
        self.error = given("error").or_else(|| self.error.take());
        self.usage.extend(given("usage"));
        let choices = chunk.get("choices").and_then(Value::as_array);
        for choice in choices.into_iter().flatten() {
            if let Some(delta) = choice.get("delta") {
                self.delta(delta);
            }
            let finish = choice.get("finish_reason").and_then(Value::as_str);
            self.finish.extend(finish.map(str::to_owned));
        }
    }

    fn delta(&mut self, delta: &Value) {
        let text = |name: &str| delta.get(name).and_then(Value::as_str);
        self.text.push_str(text("content").unwrap_or(""));
        let reasoning = text("reasoning").or_else(|| text("reasoning_content"));
        self.reasoning.push_str(reasoning.unwrap_or(""));
        let list = |name: &str| delta.get(name).and_then(Value::as_array);
        let details = list("reasoning_details").into_iter().flatten();
        self.details.extend(details.cloned());
        for call in list("tool_calls").into_iter().flatten() {
            self.call(call);
        }
    }

    fn call(&mut self, part: &Value) {
        let index = part.get("index").and_then(Value::as_u64);
        let index = index.and_then(|index| usize::try_from(index).ok());
        let Some(call) = index.and_then(|index| self.calls.get_mut(index)) else {
            self.calls.push(part.clone());
            return;
        };
        let more = part.pointer("/function/arguments").and_then(Value::as_str);
        let all = call.pointer_mut("/function/arguments");
        if let (Some(Value::String(all)), Some(more)) = (all, more) {
            all.push_str(more);
        }
    }
}
