//! The openai-chat side of the simulated provider: reads a request strictly enough to catch a
//! wrong translation, writes answers as JSON or as chunks. Usage is streamed only when asked for,
//! as OpenAI does.

use super::write::quoted;
use super::{Head, Place, Refusal, Script, Wire, flag, invalid, word};
use crate::provider::answer::{Answer, Choice, Finish, Piece, Prompt, Tool};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Write as _;

/// `POST …/chat/completions`.
pub(super) struct Chat;

impl Wire for Chat {
    fn owns(&self, path: &str) -> bool {
        path.ends_with("/chat/completions")
    }

    fn id_prefix(&self) -> &'static str {
        "chatcmpl-"
    }

    fn prompt(&self, _at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        prompt(body)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        error(refusal)
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        whole(head, answer)
    }

    fn script(&self, _at: &Place, head: Head, prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Chunks::new(&head, prompt.include_usage))
    }
}

/// Reads a body.
///
/// # Errors
/// A refusal in OpenAI's words, status 400.
pub(super) fn prompt(body: &Value) -> Result<Prompt, Refusal> {
    let model = word(body, "model");
    let model = model.ok_or_else(|| invalid("you must provide a model parameter"))?;
    prompt_for(model, body)
}

/// Reads a body whose model stands elsewhere.
pub(super) fn prompt_for(model: &str, body: &Value) -> Result<Prompt, Refusal> {
    let messages = body.get("messages").and_then(Value::as_array);
    let messages = messages.filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| invalid("'messages' must be a non-empty array"))?;
    let mut prompt = Prompt {
        model: model.to_owned(),
        stream: flag(body, "stream"),
        include_usage: body
            .get("stream_options")
            .is_some_and(|options| flag(options, "include_usage")),
        max_tokens: ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| body.get(*name).and_then(Value::as_u64)),
        choices: body.get("n").and_then(Value::as_u64).unwrap_or_default(),
        tools: tools(body)?,
        choice: choice(body)?,
        ..Prompt::default()
    };
    if prompt.include_usage && !prompt.stream {
        return Err(invalid(
            "'stream_options' is only allowed when 'stream' is enabled",
        ));
    }
    for message in messages {
        read_message(message, &mut prompt)?;
    }
    Ok(prompt)
}

fn read_message(message: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("");
    let content = message.get("content").unwrap_or(&Value::Null);
    prompt.answers_tools = role == "tool";
    match role {
        "system" | "developer" => each_text(content, |text| prompt.system.push_str(text)),
        "user" => each_text(content, |text| {
            prompt.conversation.push_str(text);
            text.clone_into(&mut prompt.last_user);
        }),
        "assistant" => each_text(content, |text| prompt.conversation.push_str(text)),
        "tool" if message.get("tool_call_id").is_none_or(|id| !id.is_string()) => Err(invalid(
            "messages with role 'tool' must have a 'tool_call_id'",
        )),
        "tool" | "function" => each_text(content, |text| prompt.conversation.push_str(text)),
        other => Err(invalid(&format!("unknown role '{other}'"))),
    }
}

/// Gives each text of a message's content.
pub(super) fn each_text(content: &Value, mut take: impl FnMut(&str)) -> Result<(), Refusal> {
    match content {
        Value::Null => {}
        Value::String(text) => take(text),
        Value::Array(parts) => {
            for text in parts.iter().filter_map(|part| part.get("text")?.as_str()) {
                take(text);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(invalid("'content' must be a string or an array of parts"));
        }
    }
    Ok(())
}

/// Reads the tools.
pub(super) fn tools(body: &Value) -> Result<Vec<Tool>, Refusal> {
    let list = body.get("tools").and_then(Value::as_array);
    let read = |tool: &Value| {
        let function = tool.get("function").unwrap_or(&Value::Null);
        let name = function.get("name").and_then(Value::as_str);
        Ok(Tool {
            name: name
                .ok_or_else(|| invalid("a tool needs 'function.name'"))?
                .to_owned(),
            schema: function.get("parameters").cloned().unwrap_or_default(),
        })
    };
    list.into_iter().flatten().map(read).collect()
}

/// Reads `tool_choice`.
pub(super) fn choice(body: &Value) -> Result<Choice, Refusal> {
    match body.get("tool_choice") {
        None | Some(Value::Null) => Ok(Choice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "required" => Ok(Choice::Any),
            _ => Err(invalid("unknown 'tool_choice'")),
        },
        Some(choice) => {
            let name = choice.pointer("/function/name").and_then(Value::as_str);
            let name = name.ok_or_else(|| invalid("'tool_choice' needs 'function.name'"))?;
            Ok(Choice::Named(name.to_owned()))
        }
    }
}

/// An error body.
pub(super) fn error(refusal: &Refusal) -> Value {
    let (kind, code) = match refusal.status {
        400 => ("invalid_request_error", None),
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        503 | 529 => ("server_error", Some("overloaded")),
        _ => ("server_error", None),
    };
    json!({"error": {"message": refusal.message, "type": kind, "param": null, "code": code}})
}

/// The whole answer as JSON.
pub(super) fn whole(head: &Head, answer: &Answer) -> Value {
    let one = if answer.choices > 1 {
        Cow::Owned(answer.first())
    } else {
        Cow::Borrowed(answer)
    };
    let text = one.text();
    let calls: Vec<Value> = one
        .tool_calls()
        .into_iter()
        .map(|call| {
            json!({"id": format!("call_{}", call.id), "type": "function",
                "function": {"name": call.name, "arguments": call.arguments}})
        })
        .collect();
    let content = if text.is_empty() {
        Value::Null
    } else {
        text.into()
    };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if let Some(members) = message.as_object_mut() {
        if !calls.is_empty() {
            members.insert("tool_calls".into(), calls.into());
        }
        let reasoning = one.reasoning();
        if !reasoning.is_empty() {
            members.insert("reasoning_content".into(), reasoning.into());
        }
    }
    let choice = |index| {
        json!({"index": index, "message": message, "logprobs": null,
            "finish_reason": finish_word(answer.finish)})
    };
    json!({
        "id": head.id, "object": "chat.completion", "created": head.created, "model": head.model,
        "system_fingerprint": "fp_simulated",
        "choices": (0..answer.choices).map(choice).collect::<Vec<_>>(),
        "usage": usage(answer),
    })
}

/// Usage as OpenAI counts.
pub(super) fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens(),
        "total_tokens": answer.input_tokens + answer.output_tokens(),
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens()},
    })
}

/// Why the answer ended.
pub(super) fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
    }
}

/// The chunks of one answer. The part before `choices` is the same in all of them, so it is
/// written once.
pub(super) struct Chunks {
    prefix: String,
    usage_null: &'static str,
    include_usage: bool,
    /// Tokens of each answer,
    each: usize,
    /// and how many have been written of all.
    written: usize,
}

impl Chunks {
    pub(super) fn new(head: &Head, include_usage: bool) -> Self {
        let model = Value::from(head.model.as_str());
        let id = Value::from(head.id.as_str());
        Self {
            prefix: format!(
                "data: {{\"id\":{id},\"object\":\"chat.completion.chunk\",\"created\":{},\
                 \"model\":{model},\"system_fingerprint\":\"fp_simulated\",\"choices\":",
                head.created
            ),
            usage_null: if include_usage { ",\"usage\":null" } else { "" },
            include_usage,
            each: usize::MAX,
            written: 0,
        }
    }

    /// The part that all chunks begin with, up to the value of `choices`.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn chunk(&self, index: usize, delta: &str, finish: Option<&str>, out: &mut Vec<u8>) {
        let finish = finish.map_or_else(|| "null".to_owned(), |word| format!("\"{word}\""));
        let _ = write!(
            out,
            "{}[{{\"index\":{index},\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{}}}\n\n",
            self.prefix, self.usage_null
        );
    }
}

impl Script for Chunks {
    fn start(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.each = answer.each();
        for index in 0..answer.choices {
            let role = "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}";
            self.chunk(index, role, None, out);
        }
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let delta = match piece {
            Piece::Reasoning(text) => format!("{{\"reasoning_content\":{}}}", quoted(text)),
            Piece::Text(text) => format!("{{\"content\":{}}}", quoted(text)),
            Piece::Call { index, id, name } => {
                let name = quoted(name);
                format!(
                    "{{\"tool_calls\":[{{\"index\":{index},\"id\":\"call_{id}\",\
                     \"type\":\"function\",\"function\":{{\"name\":{name},\"arguments\":\"\"}}}}]}}"
                )
            }
            Piece::Arguments { index, text } => {
                let text = quoted(text);
                format!(
                    "{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":{text}}}}}]}}"
                )
            }
        };
        self.chunk(self.written / self.each, &delta, None, out);
        self.written += 1;
    }

    /// The finish chunk, the usage chunk if asked for, the terminal event.
    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        for index in 0..answer.choices {
            self.chunk(index, "{}", Some(finish_word(answer.finish)), out);
        }
        if self.include_usage {
            let _ = write!(out, "{}[],\"usage\":{}}}\n\n", self.prefix, usage(answer));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        let _ = write!(out, "data: {}\n\n", error(refusal));
    }
}
