//! Cohere's v2 chat, whole and as events. The plan before a tool call is reasoning.

use super::{Call, Choice, Reading, Tokens, list, number, parse, string};
use serde_json::Value;

pub(super) fn json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        ..Reading::default()
    };
    string(body.get("message")).clone_into(&mut reading.message);
    let mut choice = Choice::default();
    let message = body.get("message").unwrap_or(&Value::Null);
    choice.reasoning.push_str(string(message.get("tool_plan")));
    for part in list(message.get("content")) {
        choice.text.push_str(string(part.get("text")));
        choice.reasoning.push_str(string(part.get("thinking")));
    }
    for call in list(message.get("tool_calls")) {
        let mut opened = opened(call, choice.calls.len() as u64);
        string(call.pointer("/function/arguments")).clone_into(&mut opened.arguments);
        choice.calls.push(opened);
    }
    for citation in list(message.get("citations")) {
        cite(citation, &mut choice);
    }
    choice.finish = finish(string(body.get("finish_reason")));
    reading.choices.insert(0, choice);
    usage(body.get("usage"), &mut reading.usage);
    reading
}

pub(super) fn stream<'a>(data: impl Iterator<Item = &'a str>) -> Reading {
    let mut reading = Reading::default();
    let mut choice = Choice::default();
    for data in data {
        let event = parse(data);
        let at = |path: &str| string(event.pointer(path));
        let place = number(event.get("index")).unwrap_or(0);
        match string(event.get("type")) {
            "tool-plan-delta" => choice.reasoning.push_str(at("/delta/message/tool_plan")),
            "content-start" | "content-delta" => {
                choice.text.push_str(at("/delta/message/content/text"));
                let thought = at("/delta/message/content/thinking");
                choice.reasoning.push_str(thought);
            }
            "tool-call-start" => {
                if let Some(call) = event.pointer("/delta/message/tool_calls") {
                    let mut opened = opened(call, place);
                    string(call.pointer("/function/arguments")).clone_into(&mut opened.arguments);
                    choice.calls.push(opened);
                }
            }
            "tool-call-delta" => {
                let piece = at("/delta/message/tool_calls/function/arguments");
                if let Some(call) = choice.calls.iter_mut().find(|call| call.index == place) {
                    call.arguments.push_str(piece);
                }
            }
            "citation-start" => {
                if let Some(citation) = event.pointer("/delta/message/citations") {
                    cite(citation, &mut choice);
                }
            }
            "message-end" => {
                choice.finish = finish(at("/delta/finish_reason"));
                usage(event.pointer("/delta/usage"), &mut reading.usage);
                reading.terminal = true;
            }
            _ => {}
        }
    }
    reading.choices.insert(0, choice);
    reading
}

/// Where each source is, or what it is called.
fn cite(citation: &Value, into: &mut Choice) {
    for source in list(citation.get("sources")) {
        let places = ["/document/url", "/tool_output/url", "/id"];
        let mut known = places.iter().filter_map(|path| source.pointer(path));
        let place = known.find_map(Value::as_str).unwrap_or_default();
        into.citations.push(place.to_owned());
    }
}

fn opened(call: &Value, index: u64) -> Call {
    Call {
        index,
        id: string(call.get("id")).to_owned(),
        name: string(call.pointer("/function/name")).to_owned(),
        arguments: String::new(),
    }
}

fn finish(word: &str) -> Option<String> {
    let finish = match word {
        "" => return None,
        "COMPLETE" | "STOP_SEQUENCE" => "stop",
        "MAX_TOKENS" => "length",
        "TOOL_CALL" => "tool_calls",
        _ => "error",
    };
    Some(finish.to_owned())
}

fn usage(usage: Option<&Value>, into: &mut Tokens) {
    let at = |path: &str| {
        let value = usage.and_then(|usage| usage.pointer(path));
        number(value).or_else(|| value.and_then(Value::as_f64).map(whole))
    };
    into.prompt = at("/tokens/input_tokens").or_else(|| at("/billed_units/input_tokens"));
    into.completion = at("/tokens/output_tokens").or_else(|| at("/billed_units/output_tokens"));
    into.cached = at("/cached_tokens");
}

/// Counts are written as `12.0` at times.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a token count is small and not negative"
)]
fn whole(count: f64) -> u64 {
    count as u64
}
