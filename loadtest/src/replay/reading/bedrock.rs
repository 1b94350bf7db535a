//! Bedrock's Converse: a JSON answer, or frames of AWS's event stream; and the frames of its invoke
//! API, with Anthropic's events in them.

use super::{Call, Choice, Reading, Tokens, list, messages, number, string};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub(super) fn json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        ..Reading::default()
    };
    string(body.get("message")).clone_into(&mut reading.message);
    let mut choice = Choice::default();
    for block in list(body.pointer("/output/message/content")) {
        choice.text.push_str(string(block.get("text")));
        let thought = string(block.pointer("/reasoningContent/reasoningText/text"));
        choice.reasoning.push_str(thought);
        for path in [
            "/reasoningContent/reasoningText/signature",
            "/reasoningContent/redactedContent",
        ] {
            let proof = string(block.pointer(path));
            choice.proofs.push(proof.to_owned());
        }
        if block.get("image").is_some() {
            let bytes = string(block.pointer("/image/source/bytes"));
            choice.images.push(bytes.to_owned());
        }
        if let Some(call) = block.get("toolUse") {
            let mut call = opened(call, choice.calls.len() as u64);
            let input = block.pointer("/toolUse/input").map(Value::to_string);
            call.arguments = input.unwrap_or_default();
            choice.calls.push(call);
        }
    }
    choice.finish = finish(string(body.get("stopReason")));
    reading.choices.insert(0, choice);
    usage(body.get("usage"), &mut reading.usage);
    reading
}

pub(super) fn stream(body: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut choice = Choice::default();
    let mut rest = body;
    while let Some((frame, after)) = frame(rest) {
        rest = after;
        if let Some(name) = frame.header(":exception-type") {
            reading.error = true;
            let said = string(frame.json().get("message")).to_owned();
            reading.message = format!("{name}: {said}");
            continue;
        }
        let event = frame.json();
        let place = number(event.get("contentBlockIndex")).unwrap_or(0);
        match frame.header(":event-type").unwrap_or_default().as_str() {
            "contentBlockStart" => {
                if let Some(call) = event.pointer("/start/toolUse") {
                    choice.calls.push(opened(call, place));
                }
            }
            "contentBlockDelta" => {
                choice.text.push_str(string(event.pointer("/delta/text")));
                let thought = string(event.pointer("/delta/reasoningContent/text"));
                choice.reasoning.push_str(thought);
                for path in [
                    "/delta/reasoningContent/signature",
                    "/delta/reasoningContent/redactedContent",
                ] {
                    let proof = string(event.pointer(path));
                    choice.proofs.push(proof.to_owned());
                }
                let picture = string(event.pointer("/delta/image/source/bytes"));
                choice.images.push(picture.to_owned());
                let piece = string(event.pointer("/delta/toolUse/input"));
                if let Some(call) = choice.calls.iter_mut().find(|call| call.index == place) {
                    call.arguments.push_str(piece);
                }
            }
            "messageStop" => {
                choice.finish = finish(string(event.get("stopReason")));
                reading.terminal = true;
            }
            "metadata" => usage(event.get("usage"), &mut reading.usage),
            _ => {}
        }
    }
    reading.choices.insert(0, choice);
    reading
}

/// Reads Anthropic's events out of the frames of an invoke stream.
pub(super) fn invoked(body: &[u8]) -> Reading {
    let (mut events, mut broken) = (Vec::new(), None);
    let mut rest = body;
    while let Some((frame, after)) = frame(rest) {
        rest = after;
        if let Some(name) = frame.header(":exception-type") {
            broken = Some(format!("{name}: {}", string(frame.json().get("message"))));
        }
        let bytes = STANDARD.decode(string(frame.json().get("bytes")));
        events.extend(bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()));
    }
    let mut reading = messages::stream(events.iter().map(String::as_str));
    if let Some(message) = broken {
        reading.error = true;
        reading.message = message;
    }
    reading
}

fn opened(call: &Value, index: u64) -> Call {
    Call {
        index,
        id: string(call.get("toolUseId")).to_owned(),
        name: string(call.get("name")).to_owned(),
        arguments: String::new(),
    }
}

fn finish(word: &str) -> Option<String> {
    let finish = match word {
        "" => return None,
        "end_turn" | "stop_sequence" => "stop",
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "guardrail_intervened" | "content_filtered" => "content_filter",
        _ => "error",
    };
    Some(finish.to_owned())
}

fn usage(usage: Option<&Value>, into: &mut Tokens) {
    let at = |name: &str| number(usage.and_then(|usage| usage.get(name)));
    let beside = at("cacheReadInputTokens").unwrap_or(0) + at("cacheWriteInputTokens").unwrap_or(0);
    into.prompt = at("inputTokens").map(|input| input + beside);
    into.cached = at("cacheReadInputTokens");
    into.completion = at("outputTokens");
    into.written = at("cacheWriteInputTokens");
}

/// One message of the event stream: lengths and checksums before, a checksum behind.
struct Frame<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
}

fn frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let long = |at: usize| -> Option<usize> {
        let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(word)).ok()
    };
    let (total, headers) = (long(0)?, long(4)?);
    let frame = Frame {
        headers: bytes.get(12..12 + headers)?,
        payload: bytes.get(12 + headers..total.checked_sub(4)?)?,
    };
    Some((frame, bytes.get(total..)?))
}

impl Frame<'_> {
    fn json(&self) -> Value {
        serde_json::from_slice(self.payload).unwrap_or_default()
    }

    /// A header's text.
    fn header(&self, wanted: &str) -> Option<String> {
        let mut rest = self.headers;
        while let Some((length, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(*length))?;
            // Type 7, a string, is the only one in use.
            let (size, after) = after.get(1..)?.split_first_chunk::<2>()?;
            let size = usize::from(u16::from_be_bytes(*size));
            let (value, after) = after.split_at_checked(size)?;
            if name == wanted.as_bytes() {
                return Some(String::from_utf8_lossy(value).into_owned());
            }
            rest = after;
        }
        None
    }
}
