//! The items of an answer as they grow, and how each is written. Texts are the insides of JSON
//! strings.

use crate::egress::responses::put;
use crate::egress::responses::reasoning::Reasoning;
use bytes::BytesMut;

/// An item of the output.
#[derive(Debug)]
pub(super) enum Item {
    Message {
        id: String,
        parts: Vec<Part>,
    },
    Reasoning(Reasoning),
    Call(Call),
    Image {
        id: String,
        data: String,
    },
    /// As its maker wrote it.
    Raw(String),
}

/// A part of a message.
#[derive(Debug)]
pub(super) enum Part {
    Text {
        text: String,
        /// Objects with commas between.
        annotations: String,
        count: usize,
        /// Objects with commas between.
        logprobs: String,
    },
    Refusal(String),
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) call_id: String,
    pub(super) name: String,
    /// Or, of a tool that takes it, a text.
    pub(super) arguments: String,
    pub(super) is_text: bool,
}

impl Call {
    /// What the item, its member and their events are called.
    pub(super) const fn words(&self) -> (&'static str, &'static str, &'static str) {
        if self.is_text {
            ("custom_tool_call", "input", "custom_tool_call_input")
        } else {
            ("function_call", "arguments", "function_call_arguments")
        }
    }
}

/// Appends an item to a list of them.
pub(super) fn join(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(item);
}

impl Part {
    pub(super) const fn text() -> Self {
        Self::Text {
            text: String::new(),
            annotations: String::new(),
            count: 0,
            logprobs: String::new(),
        }
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Text {
                text,
                annotations,
                logprobs,
                ..
            } => {
                put(out, &["{\"type\":\"output_text\",\"text\":\"", text]);
                put(out, &["\",\"annotations\":[", annotations]);
                put(out, &["],\"logprobs\":[", logprobs, "]}"]);
            }
            Self::Refusal(text) => {
                put(out, &["{\"type\":\"refusal\",\"refusal\":\"", text, "\"}"]);
            }
        }
    }
}

impl Item {
    /// Appends the item with this status; `bare` leaves out what comes in pieces.
    pub(super) fn write(&self, status: &str, bare: bool, out: &mut BytesMut) {
        match self {
            Self::Message { id, parts } => {
                put(out, &["{\"type\":\"message\",\"id\":\"", id]);
                put(out, &["\",\"status\":\"", status]);
                put(out, &["\",\"role\":\"assistant\",\"content\":["]);
                for (place, part) in parts.iter().enumerate().filter(|_| !bare) {
                    put(out, &[if place == 0 { "" } else { "," }]);
                    part.write(out);
                }
                put(out, &["]}"]);
            }
            Self::Reasoning(reasoning) => reasoning.write(bare, out),
            Self::Call(call) => {
                let arguments = if bare { "" } else { &call.arguments };
                let (kind, member, _) = call.words();
                put(out, &["{\"type\":\"", kind, "\",\"id\":\"", &call.id]);
                put(out, &["\",\"status\":\"", status]);
                put(out, &["\",\"call_id\":\"", &call.call_id]);
                put(out, &["\",\"name\":\"", &call.name]);
                put(out, &["\",\"", member, "\":\"", arguments, "\"}"]);
            }
            Self::Raw(raw) => put(out, &[raw]),
            Self::Image { id, data } => {
                put(out, &["{\"type\":\"image_generation_call\",\"id\":\"", id]);
                put(out, &["\",\"status\":\"", status, "\",\"result\":"]);
                if bare {
                    put(out, &["null}"]);
                } else {
                    put(out, &["\"", data, "\"}"]);
                }
            }
        }
    }
}
