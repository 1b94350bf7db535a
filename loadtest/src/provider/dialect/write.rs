//! What several dialects' writers share: events, quoting, calls that are given out whole.

use crate::provider::answer::{Piece, ToolCall};
use serde_json::{Map, Value};
use std::io::Write as _;

/// A server-sent event with a name.
pub(super) fn event(name: &str, data: &Value, out: &mut Vec<u8>) {
    let _ = write!(out, "event: {name}\ndata: {data}\n\n");
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A call's arguments as an object; none where the caller's cap cut them off.
pub(super) fn object(arguments: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(arguments).ok()?;
    value.is_object().then_some(value)
}

/// The same, `{}` where they were cut off.
pub(super) fn object_or_empty(arguments: &str) -> Value {
    object(arguments).unwrap_or_else(|| Value::Object(Map::new()))
}

/// Gathers calls for dialects that give them out whole.
#[derive(Default)]
pub(super) struct Gather(Option<ToolCall>);

impl Gather {
    /// Takes a piece; gives the call that was complete before it.
    pub(super) fn take(&mut self, piece: &Piece) -> Option<ToolCall> {
        match piece {
            Piece::Call { id, name, .. } => self.0.replace(ToolCall {
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
            }),
            Piece::Arguments { text, .. } => {
                if let Some(call) = &mut self.0 {
                    call.arguments.push_str(text);
                }
                None
            }
            Piece::Reasoning(_) | Piece::Text(_) => self.0.take(),
        }
    }

    /// The last call.
    pub(super) fn rest(&mut self) -> Option<ToolCall> {
        self.0.take()
    }
}
