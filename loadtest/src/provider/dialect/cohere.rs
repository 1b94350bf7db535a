//! The cohere-v2 side of the simulated provider. As the real one it reads a template of its own
//! before every prompt: `tokens` count it, `billed_units` do not. Where anything of a prompt is
//! cached, the template before it is.

use super::write::event;
use super::{Head, Place, Refusal, Script, Wire, flag, invalid, items, only_known, openai, word};
use crate::provider::answer::{Answer, Choice, Finish, Piece, Prompt};
use serde_json::{Map, Value, json};

/// Tokens of the template.
pub(super) const TEMPLATE_TOKENS: u64 = 496;
const STOPS_MAX: usize = 5;
const FIELDS: [&str; 24] = [
    "model",
    "messages",
    "stream",
    "tools",
    "strict_tools",
    "documents",
    "citation_options",
    "response_format",
    "safety_mode",
    "max_tokens",
    "stop_sequences",
    "temperature",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "k",
    "p",
    "return_prompt",
    "logprobs",
    "tool_choice",
    "thinking",
    "priority",
    "raw_prompting",
    "metadata",
];

/// `POST …/v2/chat`.
pub(super) struct Cohere;

impl Wire for Cohere {
    fn owns(&self, path: &str) -> bool {
        path.ends_with("/v2/chat")
    }

    fn bad_key(&self) -> Refusal {
        Refusal::new(401, "invalid api token")
    }

    fn prompt(&self, _at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        only_known(body, &FIELDS).map_err(|name| {
            let message = format!("unknown field: parameter '{name}' is not a valid field");
            Refusal::new(422, &message)
        })?;
        let model = word(body, "model").ok_or_else(|| invalid("model is required"))?;
        let messages = items(body, "messages");
        if messages.is_empty() {
            return Err(invalid("messages must not be empty"));
        }
        let mut prompt = Prompt {
            model: model.to_owned(),
            stream: flag(body, "stream"),
            max_tokens: body.get("max_tokens").and_then(Value::as_u64),
            tools: openai::tools(body)?,
            choice: choice(body)?,
            ..Prompt::default()
        };
        if items(body, "stop_sequences").len() > STOPS_MAX {
            return Err(invalid("stop_sequences: at most 5"));
        }
        if body.get("response_format").is_some() && !prompt.tools.is_empty() {
            return Err(invalid("response_format is not supported with tools"));
        }
        for message in messages {
            read_message(message, &mut prompt)?;
        }
        Ok(prompt)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        json!({"id": "5f9d12a6-b220-87ad-9fec-307e90d1e55a", "message": refusal.message})
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        let calls: Vec<Value> = answer
            .tool_calls()
            .into_iter()
            .map(|call| {
                let function = json!({"name": call.name, "arguments": call.arguments});
                json!({"id": call_id(&call.name, &call.id), "type": "function",
                    "function": function})
            })
            .collect();
        if !calls.is_empty() {
            message.insert("tool_calls".into(), calls.into());
        }
        let (reasoning, text) = (answer.reasoning(), answer.text());
        let mut content = Vec::new();
        if !reasoning.is_empty() {
            content.push(json!({"type": "thinking", "thinking": reasoning}));
        }
        if !text.is_empty() {
            content.push(json!({"type": "text", "text": text}));
        }
        if !content.is_empty() {
            message.insert("content".into(), content.into());
        }
        json!({"id": head.id, "message": message, "finish_reason": finish_word(answer.finish),
            "usage": usage(answer)})
    }

    fn script(&self, _at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Events {
            head,
            open: None,
            index: 0,
        })
    }
}

fn read_message(message: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let content = message.get("content").unwrap_or(&Value::Null);
    match word(message, "role") {
        Some("system") => openai::each_text(content, |text| prompt.system.push_str(text)),
        Some("user") => openai::each_text(content, |text| prompt.said(true, text)),
        Some("assistant") => {
            prompt.answers_tools = false;
            for call in items(message, "tool_calls") {
                let arguments = call.pointer("/function/arguments");
                if arguments.is_none_or(|arguments| !arguments.is_string()) {
                    return Err(invalid("tool_calls.function.arguments must be a string"));
                }
            }
            openai::each_text(content, |text| prompt.said(false, text))
        }
        Some("tool") if word(message, "tool_call_id").is_none() => {
            Err(invalid("tool_call_id is required for role tool"))
        }
        Some("tool") => {
            prompt.answers_tools = true;
            openai::each_text(content, |text| prompt.returned(text))?;
            let documents = items(message, "content").iter();
            for data in documents.filter_map(|part| part.pointer("/document/data")) {
                let text = data
                    .as_str()
                    .map_or_else(|| data.to_string(), str::to_owned);
                prompt.returned(&text);
            }
            Ok(())
        }
        _ => Err(invalid(
            "role must be one of: user, assistant, system, tool",
        )),
    }
}

fn choice(body: &Value) -> Result<Choice, Refusal> {
    match body.get("tool_choice").map(Value::as_str) {
        None => Ok(Choice::Auto),
        Some(Some("REQUIRED")) => Ok(Choice::Any),
        Some(Some("NONE")) => Ok(Choice::None),
        Some(_) => Err(invalid("tool_choice must be REQUIRED or NONE")),
    }
}

fn call_id(name: &str, id: &str) -> String {
    format!("{name}_{id}")
}

fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "COMPLETE",
        Finish::Length => "MAX_TOKENS",
        Finish::ToolCalls => "TOOL_CALL",
    }
}

fn usage(answer: &Answer) -> Value {
    let output = answer.output_tokens();
    let cached = match answer.cached_tokens {
        0 => 0,
        tokens => TEMPLATE_TOKENS + tokens,
    };
    json!({
        "billed_units": {"input_tokens": answer.input_tokens, "output_tokens": output},
        "tokens": {"input_tokens": answer.input_tokens + TEMPLATE_TOKENS,
            "output_tokens": output, "reasoning_tokens": answer.reasoning_tokens()},
        "cached_tokens": cached,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
    Call(usize),
}

/// The events of one answer. Content blocks are counted together, calls by themselves.
struct Events {
    head: Head,
    open: Option<Block>,
    index: usize,
}

impl Events {
    fn close(&mut self, out: &mut Vec<u8>) {
        match self.open.take() {
            None => {}
            Some(Block::Call(index)) => {
                let data = json!({"type": "tool-call-end", "index": index});
                event("tool-call-end", &data, out);
            }
            Some(Block::Thinking | Block::Text) => {
                let data = json!({"type": "content-end", "index": self.index});
                event("content-end", &data, out);
                self.index += 1;
            }
        }
    }

    fn content(&mut self, block: Block, empty: &Value, content: &Value, out: &mut Vec<u8>) {
        if self.open != Some(block) {
            self.close(out);
            self.open = Some(block);
            let data = json!({"type": "content-start", "index": self.index,
                "delta": {"message": {"content": empty}}});
            event("content-start", &data, out);
        }
        let data = json!({"type": "content-delta", "index": self.index,
            "delta": {"message": {"content": content}}});
        event("content-delta", &data, out);
    }
}

/// An event about a call: `tool_calls` is an object, not a list.
fn call_event(kind: &str, index: usize, call: &Value, out: &mut Vec<u8>) {
    let delta = json!({"message": {"tool_calls": call}});
    let data = json!({"type": kind, "index": index, "delta": delta});
    event(kind, &data, out);
}

impl Script for Events {
    fn start(&mut self, _answer: &Answer, out: &mut Vec<u8>) {
        let message = json!({"role": "assistant", "content": [], "tool_plan": "",
            "tool_calls": [], "citations": []});
        let data = json!({"id": self.head.id, "type": "message-start",
            "delta": {"message": message}});
        event("message-start", &data, out);
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        match piece {
            Piece::Reasoning(text) => {
                let empty = json!({"type": "thinking", "thinking": ""});
                self.content(Block::Thinking, &empty, &json!({"thinking": text}), out);
            }
            Piece::Text(text) => {
                let empty = json!({"type": "text", "text": ""});
                self.content(Block::Text, &empty, &json!({"text": text}), out);
            }
            Piece::Call { index, id, name } => {
                self.close(out);
                self.open = Some(Block::Call(*index));
                let call = json!({"id": call_id(name, id), "type": "function",
                    "function": {"name": name, "arguments": ""}});
                call_event("tool-call-start", *index, &call, out);
            }
            Piece::Arguments { index, text } => {
                let call = json!({"function": {"arguments": text}});
                call_event("tool-call-delta", *index, &call, out);
            }
        }
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.close(out);
        let delta = json!({"finish_reason": finish_word(answer.finish), "usage": usage(answer)});
        let data = json!({"type": "message-end", "delta": delta});
        event("message-end", &data, out);
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        let delta = json!({"finish_reason": "ERROR", "error": refusal.message});
        let data = json!({"type": "message-end", "delta": delta});
        event("message-end", &data, out);
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}
