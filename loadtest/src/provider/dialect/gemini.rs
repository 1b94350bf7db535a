//! The gemini side of the simulated provider, on AI Studio's paths and on Vertex's. Reads a
//! request as strictly as the real API's protobuf parser does: unknown names are refused, and so is
//! a schema outside the subset.

mod request;

use super::write::{Gather, object};
use super::{Head, Place, Refusal, Script, Wire};
use crate::provider::answer::{Answer, Finish, Piece, Prompt, ToolCall};
use http::HeaderMap;
use serde_json::{Value, json};
use std::io::Write as _;

const SIGNATURE: &str = "c2ltdWxhdGVkLXNpZ25hdHVyZQ==";

/// `POST …/models/M:generateContent` and `:streamGenerateContent`.
pub(super) struct Gemini {
    /// Under `/publishers/google`.
    pub(super) vertex: bool,
}

impl Wire for Gemini {
    fn owns(&self, path: &str) -> bool {
        let vertex = path.contains("/publishers/google/models/");
        vertex == self.vertex && request::target(path).is_some()
    }

    fn key_headers(&self) -> &'static [&'static str] {
        if self.vertex {
            &["authorization"]
        } else {
            &["x-goog-api-key"]
        }
    }

    fn bad_key(&self) -> Refusal {
        if self.vertex {
            return Refusal::new(401, "Request had invalid authentication credentials.");
        }
        Refusal::new(400, "API key not valid. Please pass a valid API key.")
    }

    fn prompt(&self, at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        request::read(at, body, self.vertex)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        error(refusal)
    }

    /// The wait stands in the body.
    fn error_headers(&self, _refusal: &Refusal, _headers: &mut HeaderMap) {}

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        let mut parts = Vec::new();
        let reasoning = answer.reasoning();
        if !reasoning.is_empty() {
            parts.push(json!({"text": reasoning, "thought": true}));
        }
        let text = answer.text();
        if !text.is_empty() {
            parts.push(json!({"text": text}));
        }
        for call in answer.tool_calls() {
            let signed = parts.iter().any(|part| part.get("functionCall").is_some());
            parts.extend(call_part(&call, !signed));
        }
        let usage = usage(
            Input::of(answer),
            answer.output_tokens(),
            answer.reasoning_tokens(),
        );
        response(head, &parts, Some(finish_word(answer.finish)), &usage)
    }

    fn script(&self, at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Chunks {
            head,
            vertex: self.vertex,
            array: at.parameter("alt") != Some("sse"),
            begun: false,
            input: Input::default(),
            output: 0,
            thoughts: 0,
            called: false,
            calls: Gather::default(),
        })
    }
}

/// An error's body.
pub(super) fn error(refusal: &Refusal) -> Value {
    let status = match refusal.status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    let mut error = json!({"code": refusal.status, "message": refusal.message, "status": status});
    if let (Some(seconds), Some(members)) = (refusal.retry_after, error.as_object_mut()) {
        let wait = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{seconds}s")}]);
        members.insert("details".into(), wait);
    }
    json!({"error": error})
}

fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
    }
}

/// A call is given out whole; one that the cap cut off is not given out.
fn call_part(call: &ToolCall, signed: bool) -> Option<Value> {
    let args = object(&call.arguments)?;
    let mut part = json!({"functionCall": {"name": call.name, "args": args, "id": call.id}});
    if let Some(members) = part.as_object_mut().filter(|_| signed) {
        members.insert("thoughtSignature".into(), SIGNATURE.into());
    }
    Some(part)
}

/// Tokens of the prompt.
#[derive(Clone, Copy, Default)]
struct Input {
    all: u64,
    cached: u64,
}

impl Input {
    const fn of(answer: &Answer) -> Self {
        Self {
            all: answer.input_tokens,
            cached: answer.cached_tokens,
        }
    }
}

fn usage(input: Input, output: u64, thoughts: u64) -> Value {
    let mut usage = json!({
        "promptTokenCount": input.all,
        "totalTokenCount": input.all + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input.all}],
    });
    // What is zero is left out.
    let rest = [
        ("candidatesTokenCount", output - thoughts),
        ("thoughtsTokenCount", thoughts),
        ("cachedContentTokenCount", input.cached),
    ];
    for (name, count) in rest.into_iter().filter(|(_, count)| *count > 0) {
        if let Some(members) = usage.as_object_mut() {
            members.insert(name.into(), count.into());
        }
    }
    usage
}

fn response(head: &Head, parts: &[Value], finish: Option<&str>, usage: &Value) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let (Some(word), Some(members)) = (finish, candidate.as_object_mut()) {
        members.insert("finishReason".into(), word.into());
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": head.model,
        "responseId": head.id})
}

/// The chunks of one answer, each a whole response with the counts so far.
struct Chunks {
    head: Head,
    vertex: bool,
    /// Without `alt=sse` the stream is one JSON array.
    array: bool,
    begun: bool,
    input: Input,
    output: u64,
    thoughts: u64,
    called: bool,
    calls: Gather,
}

impl Chunks {
    fn call(&mut self, call: Option<ToolCall>, out: &mut Vec<u8>) {
        let part = call.and_then(|call| call_part(&call, !self.called));
        if let Some(part) = part {
            self.called = true;
            self.chunk(part, None, out);
        }
    }

    fn chunk(&mut self, part: Value, finish: Option<&str>, out: &mut Vec<u8>) {
        let usage = if self.vertex && finish.is_none() {
            json!({"trafficType": "ON_DEMAND"})
        } else {
            usage(self.input, self.output, self.thoughts)
        };
        let chunk = response(&self.head, &[part], finish, &usage);
        self.put(&chunk, out);
    }

    fn put(&mut self, chunk: &Value, out: &mut Vec<u8>) {
        let _ = match (self.array, self.begun) {
            (false, _) => write!(out, "data: {chunk}\r\n\r\n"),
            (true, false) => write!(out, "[{chunk}"),
            (true, true) => write!(out, ",\r\n{chunk}"),
        };
        self.begun = true;
    }
}

impl Script for Chunks {
    fn content_type(&self) -> &'static str {
        if self.array {
            "application/json; charset=UTF-8"
        } else {
            "text/event-stream"
        }
    }

    fn start(&mut self, answer: &Answer, _out: &mut Vec<u8>) {
        self.input = Input::of(answer);
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let call = self.calls.take(piece);
        self.call(call, out);
        self.output += 1;
        match piece {
            Piece::Reasoning(text) => {
                self.thoughts += 1;
                self.chunk(json!({"text": text, "thought": true}), None, out);
            }
            Piece::Text(text) => self.chunk(json!({"text": text}), None, out),
            Piece::Call { .. } | Piece::Arguments { .. } => {}
        }
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        let call = self.calls.rest();
        self.call(call, out);
        self.chunk(json!({"text": ""}), Some(finish_word(answer.finish)), out);
        if self.array {
            out.push(b']');
        }
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.put(&error(refusal), out);
        if self.array {
            out.push(b']');
        }
    }
}
