//! Ollama's native chat: one JSON answer, or one on each line.

use super::{Call, Choice, Reading, list, number, parse, present, string};
use serde_json::Value;

pub(super) fn lines(text: &str) -> Reading {
    let mut reading = Reading::default();
    let mut choice = Choice::default();
    let whole = parse(text);
    let lines: Vec<Value> = if whole.is_object() {
        vec![whole]
    } else {
        text.lines().map(parse).collect()
    };
    for line in &lines {
        if let Some(error) = present(line.get("error")) {
            reading.error = true;
            string(Some(error)).clone_into(&mut reading.message);
        }
        choice
            .text
            .push_str(string(line.pointer("/message/content")));
        let thought = string(line.pointer("/message/thinking"));
        choice.reasoning.push_str(thought);
        for call in list(line.pointer("/message/tool_calls")) {
            let arguments = call.pointer("/function/arguments").map(Value::to_string);
            choice.calls.push(Call {
                index: choice.calls.len() as u64,
                id: String::new(),
                name: string(call.pointer("/function/name")).to_owned(),
                arguments: arguments.unwrap_or_default(),
            });
        }
        if line.get("done") == Some(&true.into()) {
            reading.terminal = true;
            let finish = match string(line.get("done_reason")) {
                "length" => "length",
                _ if !choice.calls.is_empty() => "tool_calls",
                _ => "stop",
            };
            choice.finish = Some(finish.to_owned());
            reading.usage.prompt = number(line.get("prompt_eval_count"));
            reading.usage.completion = number(line.get("eval_count"));
        }
    }
    reading.choices.insert(0, choice);
    reading
}
