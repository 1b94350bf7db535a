//! The mistral-chat side of the simulated provider: chat completions with every unknown field
//! refused, ids of nine letters, thinking as an array of content and calls in one piece.

use super::write::Gather;
use super::{Head, Place, Refusal, Script, Wire, flag, items, only_known, openai, word};
use crate::provider::answer::{Answer, Choice, Piece, Prompt, ToolCall};
use serde_json::{Value, json};
use std::io::Write as _;

const FIELDS: [&str; 23] = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "stream",
    "stop",
    "random_seed",
    "metadata",
    "response_format",
    "tools",
    "tool_choice",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "prediction",
    "parallel_tool_calls",
    "prompt_mode",
    "reasoning_effort",
    "safe_prompt",
    "guardrails",
    "prompt_cache_key",
    "service_tier",
];
/// The roles and what a message of each may have.
const MESSAGES: [(&str, &[&str]); 4] = [
    ("system", &["role", "content"]),
    ("user", &["role", "content"]),
    ("assistant", &["role", "content", "tool_calls", "prefix"]),
    ("tool", &["role", "content", "name", "tool_call_id"]),
];
/// Letters of a tool call's id.
const ID_LETTERS: usize = 9;

/// `POST …/v1/chat/completions`.
pub(super) struct Mistral;

impl Wire for Mistral {
    fn owns(&self, path: &str) -> bool {
        path.ends_with("/chat/completions")
    }

    fn bad_key(&self) -> Refusal {
        Refusal::new(401, "Invalid API Key")
    }

    fn prompt(&self, _at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        only_known(body, &FIELDS).map_err(|name| forbidden(&name))?;
        let model = word(body, "model").ok_or_else(|| unfit("model: Field required"))?;
        let messages = items(body, "messages");
        let last = messages
            .last()
            .ok_or_else(|| unfit("messages: Field required"))?;
        if word(last, "role") == Some("assistant") && !flag(last, "prefix") {
            let message = "Expected last role User or Tool (or Assistant with prefix True) for \
                           serving but got assistant";
            return Err(Refusal::new(400, message));
        }
        for tool in items(body, "tools") {
            only_known(tool, &["type", "function"]).map_err(|name| forbidden(&name))?;
            let function = tool.get("function").unwrap_or(&Value::Null);
            let known = ["name", "description", "parameters", "strict"];
            only_known(function, &known).map_err(|name| forbidden(&name))?;
        }
        let mut prompt = Prompt {
            model: model.to_owned(),
            stream: flag(body, "stream"),
            max_tokens: body.get("max_tokens").and_then(Value::as_u64),
            tools: openai::tools(body)?,
            choice: match word(body, "tool_choice") {
                Some("any") => Choice::Any,
                _ => openai::choice(body)?,
            },
            ..Prompt::default()
        };
        for message in messages {
            read_message(message, &mut prompt)?;
        }
        Ok(prompt)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        let kind = match refusal.status {
            401 | 403 => return json!({"detail": refusal.message}),
            422 => {
                let (place, message) = refusal.message.split_once(": ").unwrap_or_default();
                let detail = json!({"type": "extra_forbidden", "loc": ["body", place],
                    "msg": message, "input": null});
                return json!({"detail": [detail]});
            }
            400 => "invalid_request_error",
            404 => "invalid_model",
            429 => "rate_limited",
            503 | 529 => "service_unavailable",
            _ => "internal_server_error",
        };
        json!({"object": "error", "message": refusal.message, "type": kind, "param": null,
            "code": refusal.status.to_string(), "raw_status_code": refusal.status})
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        let (reasoning, text) = (answer.reasoning(), answer.text());
        let content = if reasoning.is_empty() {
            json!(text)
        } else {
            json!([thinking(&reasoning), {"type": "text", "text": text}])
        };
        let mut message = json!({"role": "assistant", "content": content});
        let calls: Vec<Value> = calls(&answer.tool_calls());
        if let Some(members) = message.as_object_mut().filter(|_| !calls.is_empty()) {
            members.insert("tool_calls".into(), calls.into());
        }
        json!({"id": head.id, "created": head.created, "model": head.model, "usage": usage(answer),
            "object": "chat.completion", "choices": [{"index": 0, "message": message,
            "finish_reason": openai::finish_word(answer.finish)}]})
    }

    fn script(&self, _at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Chunks {
            head,
            gather: Gather::default(),
            calls: Vec::new(),
        })
    }
}

fn read_message(message: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let role = word(message, "role").unwrap_or("");
    let known = MESSAGES.iter().find(|(name, _)| *name == role);
    let (_, known) = known.ok_or_else(|| unfit("messages: unknown role"))?;
    only_known(message, known).map_err(|name| forbidden(&name))?;
    let content = message.get("content").unwrap_or(&Value::Null);
    for call in items(message, "tool_calls") {
        let known = ["id", "type", "function", "index"];
        only_known(call, &known).map_err(|name| forbidden(&name))?;
        check_id(word(call, "id"))?;
        let arguments = call.pointer("/function/arguments");
        if !arguments.is_some_and(|it| it.is_string() || it.is_object()) {
            return Err(unfit("arguments: Input should be a valid string"));
        }
    }
    match role {
        "system" => openai::each_text(content, |text| prompt.system.push_str(text)),
        "user" => openai::each_text(content, |text| prompt.said(true, text)),
        "assistant" => {
            prompt.answers_tools = false;
            openai::each_text(content, |text| prompt.said(false, text))
        }
        _ => {
            check_id(word(message, "tool_call_id"))?;
            prompt.answers_tools = true;
            openai::each_text(content, |text| prompt.returned(text))
        }
    }
}

fn check_id(id: Option<&str>) -> Result<(), Refusal> {
    let id = id.unwrap_or("");
    if id.len() == ID_LETTERS && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let rule = "must be a-z, A-Z, 0-9, with a length of 9.";
    Err(Refusal::new(
        400,
        &format!("Tool call id was {id} but {rule}"),
    ))
}

fn forbidden(name: &str) -> Refusal {
    unfit(&format!("{name}: Extra inputs are not permitted"))
}

fn unfit(message: &str) -> Refusal {
    Refusal::new(422, message)
}

fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": [{"type": "text", "text": text}], "closed": true})
}

fn calls(calls: &[ToolCall]) -> Vec<Value> {
    let value = |(index, call): (usize, &ToolCall)| {
        // The end differs from call to call.
        let id = call.id.get(call.id.len().saturating_sub(ID_LETTERS)..);
        json!({"id": id, "type": "function", "index": index,
            "function": {"name": call.name, "arguments": call.arguments}})
    };
    calls.iter().enumerate().map(value).collect()
}

fn usage(answer: &Answer) -> Value {
    json!({"prompt_tokens": answer.input_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens(),
        "completion_tokens": answer.output_tokens(),
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens}})
}

/// The chunks of one answer. Calls come with the last, beside the reason and the usage.
struct Chunks {
    head: Head,
    gather: Gather,
    calls: Vec<ToolCall>,
}

impl Chunks {
    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Value {
        json!({"id": self.head.id, "object": "chat.completion.chunk",
            "created": self.head.created, "model": self.head.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    }

    /// With random padding, against those who guess words from lengths.
    fn put(&self, mut chunk: Value, out: &mut Vec<u8>) {
        if let Some(members) = chunk.as_object_mut() {
            members.insert("p".into(), "abcdefghijklmnopqrstuvw".into());
        }
        let _ = write!(out, "data: {chunk}\n\n");
    }
}

impl Script for Chunks {
    fn start(&mut self, _answer: &Answer, out: &mut Vec<u8>) {
        let role = json!({"role": "assistant", "content": ""});
        self.put(self.chunk(&role, None), out);
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        self.calls.extend(self.gather.take(piece));
        let content = match piece {
            Piece::Reasoning(text) => json!([thinking(text)]),
            Piece::Text(text) => json!(text),
            Piece::Call { .. } | Piece::Arguments { .. } => return,
        };
        self.put(self.chunk(&json!({"content": content}), None), out);
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.calls.extend(self.gather.rest());
        let delta = if self.calls.is_empty() {
            json!({"content": ""})
        } else {
            json!({"tool_calls": calls(&self.calls)})
        };
        let mut chunk = self.chunk(&delta, Some(openai::finish_word(answer.finish)));
        if let Some(members) = chunk.as_object_mut() {
            members.insert("usage".into(), usage(answer));
        }
        self.put(chunk, out);
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn error(&mut self, _refusal: &Refusal, out: &mut Vec<u8>) {
        self.put(self.chunk(&json!({"content": ""}), Some("error")), out);
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}
