//! The ollama side of the simulated provider: `POST /api/chat`, streamed unless told otherwise,
//! one JSON object a line. It knows no choice of tools and tells nothing of its cache.

use super::write::{Gather, object};
use super::{Head, Place, Refusal, Script, Wire, invalid, items, openai, word};
use crate::provider::answer::{Answer, Finish, Piece, Prompt, ToolCall, answer};
use serde_json::{Value, json};
use std::io::Write as _;

/// `POST …/api/chat`.
pub(super) struct Ollama;

impl Wire for Ollama {
    fn owns(&self, path: &str) -> bool {
        path.ends_with("/api/chat")
    }

    fn bad_key(&self) -> Refusal {
        Refusal::new(401, "unauthorized")
    }

    fn prompt(&self, _at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        let model = word(body, "model").filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| invalid("model is required"))?;
        // Negative numbers ask for no end.
        let cap = body.pointer("/options/num_predict").and_then(Value::as_u64);
        let mut prompt = Prompt {
            model: model.to_owned(),
            stream: body.get("stream").and_then(Value::as_bool).unwrap_or(true),
            max_tokens: cap,
            tools: openai::tools(body)?,
            ..Prompt::default()
        };
        for message in items(body, "messages") {
            read_message(message, &mut prompt)?;
        }
        Ok(prompt)
    }

    /// What is read from a cache costs as much, for all that the caller can see.
    fn answer(&self, prompt: &Prompt) -> Answer {
        Answer {
            cached_tokens: 0,
            ..answer(prompt)
        }
    }

    fn error(&self, refusal: &Refusal) -> Value {
        json!({"error": refusal.message})
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        let mut message = json!({"role": "assistant", "content": answer.text()});
        let reasoning = answer.reasoning();
        let calls: Vec<Value> = answer
            .tool_calls()
            .iter()
            .enumerate()
            .filter_map(|(index, call)| call_value(index, call))
            .collect();
        if let Some(members) = message.as_object_mut() {
            if !reasoning.is_empty() {
                members.insert("thinking".into(), reasoning.into());
            }
            if !calls.is_empty() {
                members.insert("tool_calls".into(), calls.into());
            }
        }
        last(head, &message, answer)
    }

    fn script(&self, _at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Lines {
            head,
            index: 0,
            calls: Gather::default(),
        })
    }
}

fn read_message(message: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let text = match message.get("content") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => {
            let field = "field ChatRequest.messages.content of type string";
            return Err(invalid(&format!(
                "json: cannot unmarshal array into Go struct {field}"
            )));
        }
    };
    for call in items(message, "tool_calls") {
        let arguments = call.pointer("/function/arguments");
        if !arguments.is_some_and(Value::is_object) {
            let field = "field ChatRequest.messages.tool_calls.function.arguments";
            return Err(invalid(&format!(
                "json: cannot unmarshal string into Go struct {field}"
            )));
        }
    }
    match word(message, "role") {
        Some("system") => prompt.system.push_str(text),
        Some("user") => prompt.said(true, text),
        Some("assistant") => prompt.said(false, text),
        Some("tool") => prompt.returned(text),
        _ => return Err(invalid("invalid role")),
    }
    Ok(())
}

/// A call is given out whole; one that the cap cut off is not given out.
fn call_value(index: usize, call: &ToolCall) -> Option<Value> {
    let arguments = object(&call.arguments)?;
    let function = json!({"index": index, "name": call.name, "arguments": arguments});
    Some(json!({"id": format!("call_{}", call.id), "function": function}))
}

fn part(head: &Head, message: &Value) -> Value {
    json!({"model": head.model, "created_at": moment(head.created), "message": message,
        "done": false})
}

fn last(head: &Head, message: &Value, answer: &Answer) -> Value {
    let word = match answer.finish {
        Finish::Stop | Finish::ToolCalls => "stop",
        Finish::Length => "length",
    };
    json!({"model": head.model, "created_at": moment(head.created), "message": message,
        "done": true, "done_reason": word, "total_duration": 1_735_248_334_u64,
        "load_duration": 139_246_000, "prompt_eval_count": answer.input_tokens,
        "prompt_eval_duration": 247_164_000, "eval_count": answer.output_tokens(),
        "eval_duration": 1_337_032_000})
}

/// RFC 3339 of seconds since 1970 (Hinnant's days to civil).
fn moment(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    let day = day - (153 * shifted + 2) / 5 + 1;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let second = second % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000001Z")
}

/// The lines of one answer.
struct Lines {
    head: Head,
    index: usize,
    calls: Gather,
}

impl Lines {
    fn call(&mut self, call: Option<ToolCall>, out: &mut Vec<u8>) {
        let Some(call) = call.and_then(|call| call_value(self.index, &call)) else {
            return;
        };
        self.index += 1;
        let message = json!({"role": "assistant", "content": "", "tool_calls": [call]});
        line(&part(&self.head, &message), out);
    }
}

impl Script for Lines {
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn start(&mut self, _answer: &Answer, _out: &mut Vec<u8>) {}

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let call = self.calls.take(piece);
        self.call(call, out);
        let message = match piece {
            Piece::Reasoning(text) => json!({"role": "assistant", "content": "", "thinking": text}),
            Piece::Text(text) => json!({"role": "assistant", "content": text}),
            Piece::Call { .. } | Piece::Arguments { .. } => return,
        };
        line(&part(&self.head, &message), out);
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        let call = self.calls.rest();
        self.call(call, out);
        let message = json!({"role": "assistant", "content": ""});
        line(&last(&self.head, &message, answer), out);
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        line(&Ollama.error(refusal), out);
    }
}

fn line(value: &Value, out: &mut Vec<u8>) {
    let _ = writeln!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_dates() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000001Z");
        assert_eq!(moment(1_709_210_096), "2024-02-29T12:34:56.000001Z");
        assert_eq!(moment(1_787_150_179), "2026-08-19T14:36:19.000001Z");
    }
}
