//! The anthropic-messages side of the simulated provider: reads a request as strictly as the real
//! API does (roles, required `max_tokens`, no empty text, results before text), writes answers as
//! JSON or as typed events with a `ping` and thinking blocks that end in a signature.

use super::write::{event, object_or_empty};
use super::{Head, Place, Refusal, Script, Wire, invalid, word};
use crate::provider::answer::{Answer, Choice, Finish, Piece, Prompt, Tool};
use http::HeaderMap;
use serde_json::{Value, json};

/// `POST …/messages`.
pub(super) struct Messages;

impl Wire for Messages {
    fn owns(&self, path: &str) -> bool {
        path.ends_with("/messages")
    }

    fn id_prefix(&self) -> &'static str {
        "msg_"
    }

    fn key_headers(&self) -> &'static [&'static str] {
        &["x-api-key", "authorization"]
    }

    fn check_head(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key("anthropic-version") {
            return Ok(());
        }
        Err(invalid("anthropic-version: header is required"))
    }

    fn prompt(&self, _at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        let model = word(body, "model").ok_or_else(|| invalid("model: Field required"))?;
        prompt_for(model, body)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        error(refusal)
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        whole(head, answer)
    }

    fn script(&self, _at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Events::new(head))
    }
}

/// Reads a body whose model is known.
///
/// # Errors
/// A refusal in Anthropic's words, status 400.
pub(super) fn prompt_for(model: &str, body: &Value) -> Result<Prompt, Refusal> {
    let max_tokens = body.get("max_tokens").and_then(Value::as_u64);
    let max_tokens = max_tokens.ok_or_else(|| invalid("max_tokens: Field required"))?;
    if max_tokens == 0 {
        return Err(invalid("max_tokens: must be greater than or equal to 1"));
    }
    let messages = body.get("messages").and_then(Value::as_array);
    let messages = messages.filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| invalid("messages: at least one message is required"))?;
    let mut prompt = Prompt {
        model: model.to_owned(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        max_tokens: Some(max_tokens),
        tools: tools(body)?,
        choice: choice(body)?,
        ..Prompt::default()
    };
    match body.get("system") {
        None => {}
        Some(Value::String(text)) => prompt.system.push_str(text),
        Some(Value::Array(blocks)) => {
            for block in blocks {
                prompt.system.push_str(text_of(block)?);
            }
        }
        Some(_) => return Err(invalid("system: must be a string or a list of text blocks")),
    }
    for message in messages {
        read_message(message, &mut prompt)?;
    }
    Ok(prompt)
}

fn read_message(message: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let user = match message.get("role").and_then(Value::as_str) {
        Some("user") => true,
        Some("assistant") => false,
        _ => return Err(invalid("messages: role must be 'user' or 'assistant'")),
    };
    match message.get("content") {
        Some(Value::String(text)) => {
            prompt.said(user, text);
            Ok(())
        }
        Some(Value::Array(blocks)) => blocks
            .iter()
            .try_for_each(|block| read_block(block, user, prompt)),
        _ => Err(invalid(
            "messages: content must be a string or a list of blocks",
        )),
    }
}

fn read_block(block: &Value, user: bool, prompt: &mut Prompt) -> Result<(), Refusal> {
    match (block.get("type").and_then(Value::as_str), user) {
        (Some("text"), _) => prompt.said(user, text_of(block)?),
        (Some("tool_result"), true) => {
            if block.get("tool_use_id").is_none_or(|id| !id.is_string()) {
                return Err(invalid("tool_result: tool_use_id: Field required"));
            }
            match block.get("content") {
                Some(Value::String(text)) => prompt.conversation.push_str(text),
                Some(Value::Array(parts)) => {
                    for text in parts.iter().filter_map(|part| part.get("text")?.as_str()) {
                        prompt.conversation.push_str(text);
                    }
                }
                _ => {}
            }
            prompt.answers_tools = true;
        }
        (Some("tool_use"), false) => {
            let input = block.get("input").is_some_and(Value::is_object);
            if !input {
                return Err(invalid(
                    "tool_use: input: Input should be a valid dictionary",
                ));
            }
            prompt.answers_tools = false;
        }
        (Some("thinking" | "redacted_thinking"), false) | (Some("image" | "document"), true) => {}
        _ => return Err(invalid("messages: content: unexpected block")),
    }
    Ok(())
}

fn text_of(block: &Value) -> Result<&str, Refusal> {
    let text = block.get("text").and_then(Value::as_str).unwrap_or("");
    if text.is_empty() {
        return Err(invalid("messages: text content blocks must be non-empty"));
    }
    Ok(text)
}

fn tools(body: &Value) -> Result<Vec<Tool>, Refusal> {
    let list = body.get("tools").and_then(Value::as_array);
    let read = |tool: &Value| {
        let name = tool.get("name").and_then(Value::as_str);
        let schema = tool.get("input_schema").filter(|schema| schema.is_object());
        Ok(Tool {
            name: name
                .ok_or_else(|| invalid("tools: name: Field required"))?
                .to_owned(),
            schema: schema
                .ok_or_else(|| invalid("tools: input_schema: Field required"))?
                .clone(),
        })
    };
    // Tools that the provider runs itself have a type of their own and no schema.
    let own = |tool: &&Value| matches!(word(tool, "type"), None | Some("custom"));
    list.into_iter().flatten().filter(own).map(read).collect()
}

fn choice(body: &Value) -> Result<Choice, Refusal> {
    let Some(choice) = body.get("tool_choice") else {
        return Ok(Choice::Auto);
    };
    match choice.get("type").and_then(Value::as_str) {
        Some("auto") => Ok(Choice::Auto),
        Some("none") => Ok(Choice::None),
        Some("any") => Ok(Choice::Any),
        Some("tool") => {
            let name = choice.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| invalid("tool_choice: name: Field required"))?;
            Ok(Choice::Named(name.to_owned()))
        }
        _ => Err(invalid("tool_choice: unknown type")),
    }
}

/// An error body.
pub(super) fn error(refusal: &Refusal) -> Value {
    let kind = match refusal.status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 | 503 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": refusal.message}})
}

/// The whole answer as JSON.
pub(super) fn whole(head: &Head, answer: &Answer) -> Value {
    let mut content = Vec::new();
    let reasoning = answer.reasoning();
    if !reasoning.is_empty() {
        content.push(json!({"type": "thinking", "thinking": reasoning, "signature": SIGNATURE}));
    }
    let text = answer.text();
    if !text.is_empty() {
        content.push(json!({"type": "text", "text": text}));
    }
    for call in answer.tool_calls() {
        // Cut off by max_tokens, the arguments may be no JSON: the real API gives an object always.
        let input = object_or_empty(&call.arguments);
        let id = format!("toolu_{}", call.id);
        content.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": input}));
    }
    json!({
        "id": head.id, "type": "message", "role": "assistant", "model": head.model,
        "content": content, "stop_reason": finish_word(answer.finish), "stop_sequence": null,
        "usage": usage(answer, answer.output_tokens()),
    })
}

const SIGNATURE: &str = "c2ltdWxhdGVkLXNpZ25hdHVyZQ==";

fn usage(answer: &Answer, output_tokens: u64) -> Value {
    json!({
        "input_tokens": answer.input_tokens - answer.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached_tokens,
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": answer.reasoning_tokens().min(output_tokens)},
        "service_tier": "standard",
    })
}

fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
    Tool(usize),
}

/// The events of one answer: opens and closes blocks as the kind of token changes.
pub(super) struct Events {
    head: Head,
    open: Option<Block>,
    index: usize,
}

impl Events {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            open: None,
            index: 0,
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        if open == Block::Thinking {
            self.delta(
                &json!({"type": "signature_delta", "signature": SIGNATURE}),
                out,
            );
        }
        let stop = json!({"type": "content_block_stop", "index": self.index});
        event("content_block_stop", &stop, out);
        self.index += 1;
    }

    fn delta(&self, delta: &Value, out: &mut Vec<u8>) {
        let data = json!({"type": "content_block_delta", "index": self.index, "delta": delta});
        event("content_block_delta", &data, out);
    }
}

impl Script for Events {
    /// `message_start` and a `ping`.
    fn start(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        let message = json!({
            "id": self.head.id, "type": "message", "role": "assistant", "model": self.head.model,
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": usage(answer, 1),
        });
        event(
            "message_start",
            &json!({"type": "message_start", "message": message}),
            out,
        );
        event("ping", &json!({"type": "ping"}), out);
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let (block, empty) = match piece {
            Piece::Reasoning(_) => (
                Block::Thinking,
                json!({"type": "thinking", "thinking": "", "signature": ""}),
            ),
            Piece::Text(_) => (Block::Text, json!({"type": "text", "text": ""})),
            Piece::Call { index, id, name } => (
                Block::Tool(*index),
                json!({"type": "tool_use", "id": format!("toolu_{id}"), "name": name, "input": {}}),
            ),
            Piece::Arguments { index, .. } => (Block::Tool(*index), Value::Null),
        };
        if self.open != Some(block) {
            self.close(out);
            self.open = Some(block);
            let start =
                json!({"type": "content_block_start", "index": self.index, "content_block": empty});
            event("content_block_start", &start, out);
        }
        match piece {
            Piece::Reasoning(text) => {
                self.delta(&json!({"type": "thinking_delta", "thinking": text}), out);
            }
            Piece::Text(text) => self.delta(&json!({"type": "text_delta", "text": text}), out),
            Piece::Call { .. } => {
                self.delta(
                    &json!({"type": "input_json_delta", "partial_json": ""}),
                    out,
                );
            }
            Piece::Arguments { text, .. } => {
                self.delta(
                    &json!({"type": "input_json_delta", "partial_json": text}),
                    out,
                );
            }
        }
    }

    /// Closes the open block, gives the totals, ends the message.
    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.close(out);
        let delta = json!({"stop_reason": finish_word(answer.finish), "stop_sequence": null});
        let usage = usage(answer, answer.output_tokens());
        event(
            "message_delta",
            &json!({"type": "message_delta", "delta": delta, "usage": usage}),
            out,
        );
        event("message_stop", &json!({"type": "message_stop"}), out);
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        event("error", &error(refusal), out);
    }
}
