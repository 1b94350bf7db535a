//! Writes a Converse stream: `application/vnd.amazon.eventstream`, each message with two
//! checksums.

use super::{SIGNATURE, finish_word, usage};
use crate::provider::answer::{Answer, Piece};
use crate::provider::dialect::{Refusal, Script};
use serde_json::{Value, json};

/// The type of a header's value that is a text.
const TEXT: u8 = 7;
/// Lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// The messages of one answer.
#[derive(Default)]
pub(super) struct Messages {
    open: Option<Block>,
    index: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Reasoning,
    Text,
    Call(usize),
}

impl Messages {
    /// Makes sure that a block of this kind is open. Only a call's block says that it begins.
    fn begin(&mut self, block: Block, out: &mut Vec<u8>) {
        if self.open != Some(block) {
            self.close(out);
            self.open = Some(block);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(block) = self.open.take() else {
            return;
        };
        if block == Block::Reasoning {
            self.delta(&json!({"reasoningContent": {"signature": SIGNATURE}}), out);
        }
        let stop = json!({"contentBlockIndex": self.index, "p": "abcdefghijklmnopqrstuvw"});
        event("contentBlockStop", &stop, out);
        self.index += 1;
    }

    fn delta(&self, delta: &Value, out: &mut Vec<u8>) {
        let data = json!({"contentBlockIndex": self.index, "delta": delta, "p": "abcdefgh"});
        event("contentBlockDelta", &data, out);
    }
}

impl Script for Messages {
    fn content_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn start(&mut self, _answer: &Answer, out: &mut Vec<u8>) {
        event(
            "messageStart",
            &json!({"p": "abcdefg", "role": "assistant"}),
            out,
        );
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        match piece {
            Piece::Reasoning(text) => {
                self.begin(Block::Reasoning, out);
                self.delta(&json!({"reasoningContent": {"text": text}}), out);
            }
            Piece::Text(text) => {
                self.begin(Block::Text, out);
                self.delta(&json!({"text": text}), out);
            }
            Piece::Call { index, id, name } => {
                self.begin(Block::Call(*index), out);
                let call = json!({"toolUseId": format!("tooluse_{id}"), "name": name});
                let start = json!({"contentBlockIndex": self.index, "start": {"toolUse": call}});
                event("contentBlockStart", &start, out);
            }
            // A part of the object's text, as a string.
            Piece::Arguments { text, .. } => self.delta(&json!({"toolUse": {"input": text}}), out),
        }
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.close(out);
        event(
            "messageStop",
            &json!({"stopReason": finish_word(answer.finish)}),
            out,
        );
        let metadata = json!({"metrics": {"latencyMs": 593}, "usage": usage(answer)});
        event("metadata", &metadata, out);
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        exception(refusal, out);
    }

    fn garbage(&mut self, out: &mut Vec<u8>) {
        broken(out);
    }
}

/// An error inside a stream.
pub(super) fn exception(refusal: &Refusal, out: &mut Vec<u8>) {
    let kind = match refusal.status {
        400 => "validationException",
        424 => "modelStreamErrorException",
        429 => "throttlingException",
        503 | 529 => "serviceUnavailableException",
        _ => "internalServerException",
    };
    let payload = json!({"message": refusal.message}).to_string();
    message(
        &[
            (":exception-type", kind),
            (":content-type", JSON),
            (":message-type", "exception"),
        ],
        payload.as_bytes(),
        out,
    );
}

/// A message whose last checksum is wrong.
pub(super) fn broken(out: &mut Vec<u8>) {
    let payload = json!({"contentBlockIndex": 0, "delta": {"text": "ab"}});
    event("contentBlockDelta", &payload, out);
    if let Some(last) = out.last_mut() {
        *last ^= 0xff;
    }
}

pub(super) const JSON: &str = "application/json";

fn event(kind: &str, payload: &Value, out: &mut Vec<u8>) {
    let headers = [
        (":event-type", kind),
        (":content-type", JSON),
        (":message-type", "event"),
    ];
    message(&headers, payload.to_string().as_bytes(), out);
}

/// Lengths, their checksum, headers, payload, the checksum of all before it.
pub(super) fn message(headers: &[(&str, &str)], payload: &[u8], out: &mut Vec<u8>) {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.extend_from_slice(&u8::try_from(name.len()).unwrap_or(0).to_be_bytes());
        block.extend_from_slice(name.as_bytes());
        block.push(TEXT);
        block.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE_BYTES + block.len() + payload.len() + CHECKSUM_BYTES;
    let mut message = Vec::with_capacity(total);
    for length in [total, block.len()] {
        message.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_be_bytes());
    }
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&block);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    out.extend_from_slice(&message);
}
