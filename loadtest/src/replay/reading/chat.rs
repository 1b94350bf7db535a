//! Chat answers, whole and in chunks: OpenAI's, and those of the many hosts that look like them.

use super::{Call, Choice, Reading, Tokens, classes, keep, list, number, picture, present, string};
use serde_json::Value;

/// Reads a `chat.completion`.
pub(in crate::replay) fn json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        ..Reading::default()
    };
    error(body, &mut reading);
    usage(body, &mut reading.usage);
    for (position, choice) in list(body.get("choices")).iter().enumerate() {
        error(choice, &mut reading);
        let index = number(choice.get("index")).unwrap_or(position as u64);
        let into = reading.choices.entry(index).or_default();
        part(choice.get("message").unwrap_or(&Value::Null), into);
        probabilities(choice, into);
        into.finish = finish(choice.get("finish_reason")).or_else(|| into.finish.take());
    }
    sources(body, &mut reading);
    reading
}

/// Reads `chat.completion.chunk`s.
pub(in crate::replay) fn stream<'a>(data: impl Iterator<Item = &'a str>) -> Reading {
    let mut reading = Reading::default();
    for data in data {
        if data.trim() == "[DONE]" {
            reading.terminal = true;
            continue;
        }
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            reading.garbage += 1;
            continue;
        };
        error(&chunk, &mut reading);
        usage(&chunk, &mut reading.usage);
        for choice in list(chunk.get("choices")) {
            let index = number(choice.get("index")).unwrap_or(0);
            let into = reading.choices.entry(index).or_default();
            part(choice.get("delta").unwrap_or(&Value::Null), into);
            probabilities(choice, into);
            into.finish = finish(choice.get("finish_reason")).or_else(|| into.finish.take());
        }
        sources(&chunk, &mut reading);
    }
    reading
}

/// Lists of sources beside the choices; each chunk repeats them.
fn sources(body: &Value, into: &mut Reading) {
    let results = list(body.get("search_results")).iter();
    let results: Vec<&Value> = results.filter_map(|result| result.get("url")).collect();
    let links = list(body.get("citations")).iter();
    let all = if results.is_empty() {
        links.collect()
    } else {
        results
    };
    if let Some(choice) = into.choices.get_mut(&0) {
        let urls = all.into_iter().map(|url| string(Some(url)).to_owned());
        choice.citations.extend(urls);
    }
}

fn probabilities(choice: &Value, into: &mut Choice) {
    for name in ["content", "refusal"] {
        let tokens = choice.pointer(&format!("/logprobs/{name}"));
        into.logprobs += list(tokens).len();
    }
}

fn error(body: &Value, into: &mut Reading) {
    // Mistral's own.
    if body.get("object") == Some(&"error".into()) {
        into.error = true;
        string(body.get("message")).clone_into(&mut into.message);
    }
    if let Some(error) = present(body.get("error")) {
        into.error = true;
        string(error.get("message")).clone_into(&mut into.message);
    }
}

fn part(part: &Value, into: &mut Choice) {
    content(part.get("content"), into);
    into.refusal.push_str(string(part.get("refusal")));
    into.spoken
        .push_str(string(part.pointer("/audio/transcript")));
    into.sound.push_str(string(part.pointer("/audio/data")));
    for image in list(part.get("images")) {
        let url = string(image.pointer("/image_url/url"));
        into.images.push(picture(url));
    }
    for annotation in list(part.get("annotations")) {
        let url = string(annotation.pointer("/url_citation/url"));
        into.citations.push(url.to_owned());
    }
    for detail in list(part.get("reasoning_details")) {
        for name in ["signature", "data"] {
            into.proofs.push(string(detail.get(name)).to_owned());
        }
    }
    let reasoning = string(part.get("reasoning"));
    let reasoning = if reasoning.is_empty() {
        string(part.get("reasoning_content"))
    } else {
        reasoning
    };
    into.reasoning.push_str(reasoning);
    for (position, call) in list(part.get("tool_calls")).iter().enumerate() {
        let index = number(call.get("index")).unwrap_or(position as u64);
        let id = string(call.get("id"));
        let function = call.get("function").unwrap_or(&Value::Null);
        add_call(into, index, id, function);
    }
    if let Some(function) = present(part.get("function_call")) {
        add_call(into, 0, "", function);
    }
}

/// A new non-empty id on a used index opens a new call.
fn add_call(into: &mut Choice, index: u64, id: &str, function: &Value) {
    let same = |call: &&mut Call| {
        call.index == index && (id.is_empty() || call.id.is_empty() || call.id == id)
    };
    let call = match into.calls.iter_mut().rev().find(same) {
        Some(call) => call,
        None => {
            into.calls.push(Call {
                index,
                id: id.to_owned(),
                ..Call::default()
            });
            let Some(call) = into.calls.last_mut() else {
                return;
            };
            call
        }
    };
    if call.name.is_empty() {
        string(function.get("name")).clone_into(&mut call.name);
    }
    call.arguments.push_str(string(function.get("arguments")));
}

fn usage(body: &Value, into: &mut Tokens) {
    let usage = present(body.get("usage")).or_else(|| present(body.pointer("/x_groq/usage")));
    let Some(usage) = usage else { return };
    let at = |path: &str| number(usage.pointer(path));
    keep(&mut into.prompt, at("/prompt_tokens"));
    keep(&mut into.completion, at("/completion_tokens"));
    let cached = at("/prompt_tokens_details/cached_tokens")
        .or_else(|| at("/cached_tokens"))
        .or_else(|| at("/prompt_cache_hit_tokens"));
    keep(&mut into.cached, cached);
    keep(
        &mut into.reasoning,
        at("/completion_tokens_details/reasoning_tokens"),
    );
    keep(&mut into.searches, at("/num_search_queries"));
    classes(usage, into);
}

fn finish(word: Option<&Value>) -> Option<String> {
    let word = word
        .and_then(Value::as_str)
        .filter(|word| !word.is_empty())?;
    let finish = match word {
        "function_call" | "tool_calls" => "tool_calls",
        "length" | "content_filter" | "error" => word,
        "insufficient_system_resource" => "error",
        _ => "stop",
    };
    Some(finish.to_owned())
}

/// A string, or parts: Mistral's thinking is a part.
fn content(value: Option<&Value>, into: &mut Choice) {
    match value {
        Some(Value::String(text)) => into.text.push_str(text),
        Some(Value::Array(parts)) => {
            for part in parts {
                into.text.push_str(string(part.get("text")));
                for piece in list(part.get("thinking")) {
                    into.reasoning.push_str(string(piece.get("text")));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_with_interleaved_calls_and_reused_indices() {
        let chunk = |index: u64, id: &str, name: &str, arguments: &str| {
            serde_json::json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index,
                "id": id, "function": {"name": name, "arguments": arguments}}]}}]})
            .to_string()
        };
        let data = [
            chunk(0, "a", "f", "{"),
            chunk(1, "b", "g", ""),
            chunk(0, "", "", "}"),
            chunk(0, "c", "h", "{}"),
        ];
        let reading = stream(data.iter().map(String::as_str));
        let calls = &reading.choices[&0].calls;
        let seen: Vec<_> = calls
            .iter()
            .map(|c| (c.name.as_str(), c.arguments.as_str()))
            .collect();
        assert_eq!(seen, [("f", "{}"), ("g", ""), ("h", "{}")]);
        assert!(!reading.terminal);
    }
}
