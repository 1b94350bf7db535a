//! The openai-responses side of the simulated provider: items in, items out, and the events that
//! open and close each of them.

mod request;

use super::write::event;
use super::{Head, Place, Refusal, Script, Wire, openai};
use crate::provider::answer::{Answer, Finish, Piece, Prompt, ToolCall};
use serde_json::{Value, json};

/// `POST …/responses`.
pub(super) struct Responses;

impl Wire for Responses {
    fn owns(&self, path: &str) -> bool {
        path.ends_with("/responses")
    }

    fn id_prefix(&self) -> &'static str {
        "resp_"
    }

    fn prompt(&self, _at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        request::read(body)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        openai::error(refusal)
    }

    fn whole(&self, head: &Head, answer: &Answer) -> Value {
        let mut output = Vec::new();
        let (reasoning, text) = (answer.reasoning(), answer.text());
        if !reasoning.is_empty() {
            output.push(reasoning_item(head, output.len(), Some(&reasoning)));
        }
        if !text.is_empty() {
            output.push(message_item(head, output.len(), Some(&text)));
        }
        for call in answer.tool_calls() {
            output.push(call_item(head, output.len(), &call, true));
        }
        ended(head, &output, answer)
    }

    fn script(&self, _at: &Place, head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(Events {
            head,
            sequence: 0,
            open: None,
            done: Vec::new(),
        })
    }
}

fn item_id(prefix: &str, head: &Head, place: usize) -> String {
    let bare = head.id.strip_prefix("resp_").unwrap_or(&head.id);
    format!("{prefix}_{bare}{place:02x}")
}

fn reasoning_item(head: &Head, place: usize, text: Option<&str>) -> Value {
    let summary: Vec<Value> = text.map(summary_part).into_iter().collect();
    json!({"id": item_id("rs", head, place), "type": "reasoning", "summary": summary})
}

fn summary_part(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

fn message_item(head: &Head, place: usize, text: Option<&str>) -> Value {
    let status = if text.is_some() {
        "completed"
    } else {
        "in_progress"
    };
    let content: Vec<Value> = text.map(text_part).into_iter().collect();
    json!({"id": item_id("msg", head, place), "type": "message", "status": status,
        "role": "assistant", "content": content})
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

/// A call with what is known of its arguments.
fn call_item(head: &Head, place: usize, call: &ToolCall, done: bool) -> Value {
    let status = if done { "completed" } else { "in_progress" };
    json!({"id": item_id("fc", head, place), "type": "function_call", "status": status,
        "arguments": call.arguments, "call_id": format!("call_{}", call.id), "name": call.name})
}

/// A response object; `rest` goes over what stands in an unfinished one.
fn response(head: &Head, status: &str, output: &[Value], rest: Value) -> Value {
    let mut response = json!({
        "id": head.id, "object": "response", "created_at": head.created, "status": status,
        "background": false, "error": null, "incomplete_details": null, "instructions": null,
        "max_output_tokens": null, "model": head.model, "output": output,
        "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "store": false, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": null, "metadata": {},
    });
    if let (Some(members), Value::Object(rest)) = (response.as_object_mut(), rest) {
        members.extend(rest);
    }
    response
}

/// The response as it is at its end.
fn ended(head: &Head, output: &[Value], answer: &Answer) -> Value {
    let usage = json!({
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": answer.cached_tokens},
        "output_tokens": answer.output_tokens(),
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens()},
        "total_tokens": answer.input_tokens + answer.output_tokens(),
    });
    if answer.finish == Finish::Length {
        let why = json!({"reason": "max_output_tokens"});
        let rest = json!({"usage": usage, "incomplete_details": why});
        return response(head, "incomplete", output, rest);
    }
    response(head, "completed", output, json!({"usage": usage}))
}

/// The item that is being written.
enum Open {
    Reasoning(String),
    Message(String),
    Call(ToolCall),
}

/// The events of one answer.
struct Events {
    head: Head,
    sequence: u64,
    open: Option<Open>,
    done: Vec<Value>,
}

impl Events {
    fn event(&mut self, kind: &str, rest: Value, out: &mut Vec<u8>) {
        let mut data = json!({"type": kind, "sequence_number": self.sequence});
        if let (Some(members), Value::Object(rest)) = (data.as_object_mut(), rest) {
            members.extend(rest);
        }
        event(kind, &data, out);
        self.sequence += 1;
    }

    /// An event about a part of the open item.
    fn of_item(&mut self, kind: &str, prefix: &str, rest: Value, out: &mut Vec<u8>) {
        let place = self.done.len();
        let mut data = json!({"item_id": item_id(prefix, &self.head, place),
            "output_index": place});
        if let (Some(members), Value::Object(rest)) = (data.as_object_mut(), rest) {
            members.extend(rest);
        }
        self.event(kind, data, out);
    }

    fn added(&mut self, item: &Value, out: &mut Vec<u8>) {
        let data = json!({"output_index": self.done.len(), "item": item});
        self.event("response.output_item.added", data, out);
    }

    fn reasoning(&mut self, text: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Open::Reasoning(_))) {
            self.close(out);
            self.open = Some(Open::Reasoning(String::new()));
            self.added(&reasoning_item(&self.head, self.done.len(), None), out);
            let part = json!({"summary_index": 0, "part": summary_part("")});
            self.of_item("response.reasoning_summary_part.added", "rs", part, out);
        }
        if let Some(Open::Reasoning(all)) = &mut self.open {
            all.push_str(text);
        }
        let delta = json!({"summary_index": 0, "delta": text});
        self.of_item("response.reasoning_summary_text.delta", "rs", delta, out);
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Open::Message(_))) {
            self.close(out);
            self.open = Some(Open::Message(String::new()));
            self.added(&message_item(&self.head, self.done.len(), None), out);
            let part = json!({"content_index": 0, "part": text_part("")});
            self.of_item("response.content_part.added", "msg", part, out);
        }
        if let Some(Open::Message(all)) = &mut self.open {
            all.push_str(text);
        }
        let delta = json!({"content_index": 0, "delta": text, "logprobs": []});
        self.of_item("response.output_text.delta", "msg", delta, out);
    }

    /// Closes the open item.
    fn close(&mut self, out: &mut Vec<u8>) {
        let place = self.done.len();
        let item = match self.open.take() {
            None => return,
            Some(Open::Reasoning(text)) => {
                let done = json!({"summary_index": 0, "text": text});
                self.of_item("response.reasoning_summary_text.done", "rs", done, out);
                let done = json!({"summary_index": 0, "part": summary_part(&text)});
                self.of_item("response.reasoning_summary_part.done", "rs", done, out);
                reasoning_item(&self.head, place, Some(&text))
            }
            Some(Open::Message(text)) => {
                let done = json!({"content_index": 0, "text": text, "logprobs": []});
                self.of_item("response.output_text.done", "msg", done, out);
                let done = json!({"content_index": 0, "part": text_part(&text)});
                self.of_item("response.content_part.done", "msg", done, out);
                message_item(&self.head, place, Some(&text))
            }
            Some(Open::Call(call)) => {
                let done = json!({"arguments": call.arguments});
                self.of_item("response.function_call_arguments.done", "fc", done, out);
                call_item(&self.head, place, &call, true)
            }
        };
        let data = json!({"output_index": place, "item": item});
        self.event("response.output_item.done", data, out);
        self.done.push(item);
    }
}

impl Script for Events {
    fn start(&mut self, _answer: &Answer, out: &mut Vec<u8>) {
        for kind in ["response.created", "response.in_progress"] {
            let fresh = response(&self.head, "in_progress", &[], Value::Null);
            self.event(kind, json!({"response": fresh}), out);
        }
    }

    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        match piece {
            Piece::Reasoning(text) => self.reasoning(text, out),
            Piece::Text(text) => self.text(text, out),
            Piece::Call { id, name, .. } => {
                self.close(out);
                let call = ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                };
                let item = call_item(&self.head, self.done.len(), &call, false);
                self.added(&item, out);
                self.open = Some(Open::Call(call));
            }
            Piece::Arguments { text, .. } => {
                if let Some(Open::Call(call)) = &mut self.open {
                    call.arguments.push_str(text);
                }
                let delta = json!({"delta": text});
                self.of_item("response.function_call_arguments.delta", "fc", delta, out);
            }
        }
    }

    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.close(out);
        let ended = ended(&self.head, &self.done, answer);
        let kind = match answer.finish {
            Finish::Length => "response.incomplete",
            Finish::Stop | Finish::ToolCalls => "response.completed",
        };
        self.event(kind, json!({"response": ended}), out);
    }

    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        let body = openai::error(refusal);
        let error = body.get("error").unwrap_or(&Value::Null).clone();
        let code = error
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or("server_error");
        let why = json!({"code": code, "message": refusal.message});
        self.event("error", json!({"error": error}), out);
        let failed = response(&self.head, "failed", &self.done, json!({"error": why}));
        self.event("response.failed", json!({"response": failed}), out);
    }
}
