//! OpenAI's Responses, whole and as events. A stream is read from its deltas, not from the object
//! that repeats all at its end.

use super::{Call, Choice, Reading, Tokens, list, number, parse, picture, present, string};
use serde_json::Value;

/// Reads a response object.
pub(in crate::replay) fn json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        ..Reading::default()
    };
    let mut choice = Choice::default();
    for item in list(body.get("output")) {
        match string(item.get("type")) {
            "message" => {
                for part in list(item.get("content")) {
                    choice.text.push_str(string(part.get("text")));
                    choice.logprobs += list(part.get("logprobs")).len();
                    for annotation in list(part.get("annotations")) {
                        cite(annotation, &mut choice);
                    }
                    choice.refusal.push_str(string(part.get("refusal")));
                }
            }
            "image_generation_call" => {
                choice.images.push(picture(string(item.get("result"))));
            }
            "reasoning" => {
                choice.reasoning.push_str(&thoughts(item));
                let hidden = string(item.get("encrypted_content"));
                choice.proofs.push(hidden.to_owned());
            }
            "function_call" => choice.calls.push(Call {
                index: choice.calls.len() as u64,
                id: string(item.get("call_id")).to_owned(),
                name: string(item.get("name")).to_owned(),
                arguments: string(item.get("arguments")).to_owned(),
            }),
            _ => {}
        }
    }
    reading.choices.insert(0, choice);
    close(body, &mut reading);
    reading
}

/// Reads events.
pub(in crate::replay) fn stream<'a>(data: impl Iterator<Item = &'a str>) -> Reading {
    let mut reading = Reading::default();
    let mut choice = Choice::default();
    for data in data.filter(|data| data.trim() != "[DONE]") {
        let event = parse(data);
        let delta = string(event.get("delta"));
        let place = number(event.get("output_index")).unwrap_or(0);
        match string(event.get("type")) {
            "response.output_text.delta" => {
                choice.text.push_str(delta);
                choice.logprobs += list(event.get("logprobs")).len();
            }
            "response.output_text.annotation.added" => {
                cite(event.get("annotation").unwrap_or(&Value::Null), &mut choice);
            }
            "response.refusal.delta" => choice.refusal.push_str(delta),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                choice.reasoning.push_str(delta);
            }
            "response.output_item.added"
                if event.pointer("/item/type") == Some(&"function_call".into()) =>
            {
                choice.calls.push(Call {
                    index: place,
                    id: string(event.pointer("/item/call_id")).to_owned(),
                    name: string(event.pointer("/item/name")).to_owned(),
                    arguments: String::new(),
                });
            }
            "response.output_item.done"
                if event.pointer("/item/type") == Some(&"reasoning".into()) =>
            {
                let hidden = string(event.pointer("/item/encrypted_content"));
                choice.proofs.push(hidden.to_owned());
            }
            "response.output_item.done"
                if event.pointer("/item/type") == Some(&"image_generation_call".into()) =>
            {
                let made = string(event.pointer("/item/result"));
                choice.images.push(picture(made));
            }
            "response.function_call_arguments.delta" => {
                if let Some(call) = choice.calls.iter_mut().find(|call| call.index == place) {
                    call.arguments.push_str(delta);
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                reading.choices.insert(0, std::mem::take(&mut choice));
                close(event.get("response").unwrap_or(&Value::Null), &mut reading);
                reading.terminal = true;
            }
            "error" => {
                reading.error = true;
                let said = event
                    .get("message")
                    .or_else(|| event.pointer("/error/message"));
                string(said).clone_into(&mut reading.message);
            }
            _ => {}
        }
    }
    reading.choices.entry(0).or_insert(choice);
    reading
}

/// A source on the web, or one that has only a name.
fn cite(annotation: &Value, into: &mut Choice) {
    for name in ["url", "file_id"] {
        into.citations.push(string(annotation.get(name)).to_owned());
    }
}

/// How it ended, and what was used.
fn close(body: &Value, reading: &mut Reading) {
    if let Some(error) = present(body.get("error")) {
        reading.error = true;
        string(error.get("message")).clone_into(&mut reading.message);
    }
    let usage = body.get("usage").unwrap_or(&Value::Null);
    let at = |path: &str| number(usage.pointer(path));
    reading.usage = Tokens {
        prompt: at("/input_tokens"),
        cached: at("/input_tokens_details/cached_tokens"),
        completion: at("/output_tokens"),
        reasoning: at("/output_tokens_details/reasoning_tokens"),
        written: at("/input_tokens_details/cache_write_tokens"),
        searches: at("/server_tool_use_details/web_search_requests"),
        ..Tokens::default()
    };
    let why = string(body.pointer("/incomplete_details/reason"));
    if let Some(choice) = reading.choices.get_mut(&0) {
        let finish = match (string(body.get("status")), why) {
            ("completed", _) if !choice.calls.is_empty() => "tool_calls",
            ("completed", _) => "stop",
            ("incomplete", "content_filter") => "content_filter",
            ("incomplete", _) => "length",
            _ => return,
        };
        choice.finish = Some(finish.to_owned());
    }
}

/// Summaries, else the text itself.
fn thoughts(item: &Value) -> String {
    let text = |name: &str| -> String {
        let parts = list(item.get(name)).iter();
        parts.map(|part| string(part.get("text"))).collect()
    };
    let summary = text("summary");
    if summary.is_empty() {
        text("content")
    } else {
        summary
    }
}
