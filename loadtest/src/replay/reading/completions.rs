//! Text completions as the edge gives them out, whole and in chunks.

use super::{Reading, classes, keep, list, number, parse, present, string};
use serde_json::Value;

pub(in crate::replay) fn json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        ..Reading::default()
    };
    take(body, &mut reading);
    reading
}

pub(in crate::replay) fn stream<'a>(data: impl Iterator<Item = &'a str>) -> Reading {
    let mut reading = Reading::default();
    for data in data {
        if data.trim() == "[DONE]" {
            reading.terminal = true;
        } else {
            take(&parse(data), &mut reading);
        }
    }
    reading
}

fn take(body: &Value, reading: &mut Reading) {
    if let Some(error) = present(body.get("error")) {
        reading.error = true;
        string(error.get("message")).clone_into(&mut reading.message);
    }
    for choice in list(body.get("choices")) {
        let index = number(choice.get("index")).unwrap_or(0);
        if let Some(error) = present(choice.get("error")) {
            reading.error = true;
            string(error.get("message")).clone_into(&mut reading.message);
        }
        let into = reading.choices.entry(index).or_default();
        into.text.push_str(string(choice.get("text")));
        into.logprobs += list(choice.pointer("/logprobs/tokens")).len();
        let word = string(choice.get("finish_reason"));
        if !word.is_empty() {
            into.finish = Some(word.to_owned());
        }
    }
    let at = |path: &str| number(body.pointer(path));
    keep(&mut reading.usage.prompt, at("/usage/prompt_tokens"));
    keep(
        &mut reading.usage.completion,
        at("/usage/completion_tokens"),
    );
    let cached = at("/usage/prompt_tokens_details/cached_tokens");
    keep(&mut reading.usage.cached, cached);
    let reasoning = at("/usage/completion_tokens_details/reasoning_tokens");
    keep(&mut reading.usage.reasoning, reasoning);
    classes(
        body.get("usage").unwrap_or(&Value::Null),
        &mut reading.usage,
    );
}
