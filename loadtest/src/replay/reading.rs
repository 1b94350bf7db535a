//! What an answer says, read in the plainest way: text, reasoning, tool calls, finish reason and
//! usage, from chat JSON, chat chunks, Anthropic JSON and Anthropic events. Written from the
//! dialects' descriptions alone, so that it can disagree with the edge.

use super::corpus::Case;
use crate::provider::Dialect;
use serde_json::Value;
use std::collections::BTreeMap;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// By index.
    pub choices: BTreeMap<u64, Choice>,
    /// Token counts, in OpenAI's convention.
    pub usage: Tokens,
    /// An error stands in the body.
    pub error: bool,
    /// What that error says.
    pub message: String,
    /// The stream ended with the dialect's last event.
    pub terminal: bool,
    /// Data lines that are no JSON.
    pub garbage: usize,
}

/// One choice of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The text.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// The refusal.
    pub refusal: String,
    /// Tool calls in order: name and arguments.
    pub calls: Vec<Call>,
    /// The finish reason in OpenAI's words, `None` when there is none.
    pub finish: Option<String>,
}

/// One tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    index: u64,
    id: String,
    /// The function's name.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

/// Token counts; what is not given is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All of the prompt.
    pub prompt: Option<u64>,
    /// Of these: read from a cache.
    pub cached: Option<u64>,
    /// All of the answer.
    pub completion: Option<u64>,
    /// Of these: reasoning.
    pub reasoning: Option<u64>,
}

/// Reads a recording.
pub(super) fn recorded(case: &Case) -> Reading {
    let text = String::from_utf8_lossy(&case.body);
    let mut reading = match (case.dialect, case.stream) {
        (Dialect::OpenaiChat, false) => chat_json(&parse(&text)),
        (Dialect::OpenaiChat, true) => chat_stream(data_lines(&text).iter().map(String::as_str)),
        (Dialect::AnthropicMessages, false) => messages_json(&parse(&text)),
        (Dialect::AnthropicMessages, true) => messages_stream(&data_lines(&text)),
    };
    reading.error |= case.status >= 400;
    reading
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The data of each event, whatever the line ends.
fn data_lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let data = |block: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix("data:"));
        let lines: Vec<&str> = lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    text.split("\n\n").filter_map(data).collect()
}

/// Reads a `chat.completion`.
pub(super) fn chat_json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        ..Reading::default()
    };
    chat_error(body, &mut reading);
    chat_usage(body, &mut reading.usage);
    for (position, choice) in list(body.get("choices")).iter().enumerate() {
        let index = number(choice.get("index")).unwrap_or(position as u64);
        let into = reading.choices.entry(index).or_default();
        chat_part(choice.get("message").unwrap_or(&Value::Null), into);
        into.finish = finish(choice.get("finish_reason")).or_else(|| into.finish.take());
    }
    reading
}

/// Reads `chat.completion.chunk`s.
pub(super) fn chat_stream<'a>(data: impl Iterator<Item = &'a str>) -> Reading {
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
        chat_error(&chunk, &mut reading);
        chat_usage(&chunk, &mut reading.usage);
        for choice in list(chunk.get("choices")) {
            let index = number(choice.get("index")).unwrap_or(0);
            let into = reading.choices.entry(index).or_default();
            chat_part(choice.get("delta").unwrap_or(&Value::Null), into);
            into.finish = finish(choice.get("finish_reason")).or_else(|| into.finish.take());
        }
    }
    reading
}

fn chat_error(body: &Value, into: &mut Reading) {
    if let Some(error) = present(body.get("error")) {
        into.error = true;
        string(error.get("message")).clone_into(&mut into.message);
    }
}

fn chat_part(part: &Value, into: &mut Choice) {
    into.text.push_str(&content(part.get("content")));
    into.refusal.push_str(string(part.get("refusal")));
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

fn chat_usage(body: &Value, into: &mut Tokens) {
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
}

/// Reads an Anthropic message.
fn messages_json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        error: body.get("type").is_some_and(|kind| kind == "error"),
        ..Reading::default()
    };
    let mut counts = Counts::default();
    counts.take(body.get("usage"));
    reading.usage = counts.tokens();
    let mut choice = Choice::default();
    for block in list(body.get("content")) {
        match string(block.get("type")) {
            "text" => choice.text.push_str(string(block.get("text"))),
            "thinking" => choice.reasoning.push_str(string(block.get("thinking"))),
            "tool_use" => choice.calls.push(Call {
                index: choice.calls.len() as u64,
                id: string(block.get("id")).to_owned(),
                name: string(block.get("name")).to_owned(),
                arguments: block.get("input").map(Value::to_string).unwrap_or_default(),
            }),
            _ => {}
        }
    }
    choice.finish = stop_reason(body.get("stop_reason"));
    reading.choices.insert(0, choice);
    reading
}

/// Reads Anthropic events.
fn messages_stream(data: &[String]) -> Reading {
    let mut reading = Reading::default();
    let mut counts = Counts::default();
    let mut choice = Choice::default();
    for data in data {
        let event = parse(data);
        match string(event.get("type")) {
            "message_start" => counts.take(event.pointer("/message/usage")),
            "content_block_start"
                if event.pointer("/content_block/type") == Some(&"tool_use".into()) =>
            {
                choice.calls.push(Call {
                    index: number(event.get("index")).unwrap_or(0),
                    id: string(event.pointer("/content_block/id")).to_owned(),
                    name: string(event.pointer("/content_block/name")).to_owned(),
                    arguments: String::new(),
                });
            }
            "content_block_delta" => {
                choice.text.push_str(string(event.pointer("/delta/text")));
                choice
                    .reasoning
                    .push_str(string(event.pointer("/delta/thinking")));
                let index = number(event.get("index")).unwrap_or(0);
                let part = string(event.pointer("/delta/partial_json"));
                if let Some(call) = choice.calls.iter_mut().find(|call| call.index == index) {
                    call.arguments.push_str(part);
                }
            }
            "message_delta" => {
                counts.take(event.get("usage"));
                choice.finish = stop_reason(event.pointer("/delta/stop_reason"));
            }
            "message_stop" => reading.terminal = true,
            "error" => reading.error = true,
            _ => {}
        }
    }
    reading.usage = counts.tokens();
    reading.choices.insert(0, choice);
    reading
}

/// Anthropic's counts: the last value of each field; nothing absent or zero replaces anything.
#[derive(Default)]
struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Counts {
    fn take(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage else { return };
        let at = |path: &str| number(usage.pointer(path));
        replace(&mut self.input, at("/input_tokens"));
        replace(&mut self.cache_read, at("/cache_read_input_tokens"));
        replace(&mut self.cache_write, at("/cache_creation_input_tokens"));
        replace(&mut self.output, at("/output_tokens"));
        replace(
            &mut self.thinking,
            at("/output_tokens_details/thinking_tokens"),
        );
    }

    fn tokens(&self) -> Tokens {
        let cached = self.cache_read.unwrap_or(0) + self.cache_write.unwrap_or(0);
        Tokens {
            prompt: self.input.map(|input| input + cached),
            cached: self.cache_read,
            completion: self.output,
            reasoning: self.thinking,
        }
    }
}

fn stop_reason(word: Option<&Value>) -> Option<String> {
    let word = word.and_then(Value::as_str)?;
    let finish = match word {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    };
    Some(finish.to_owned())
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

fn content(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| string(part.get("text"))).collect(),
        _ => String::new(),
    }
}

fn keep(into: &mut Option<u64>, value: Option<u64>) {
    *into = value.or(*into);
}

fn replace(into: &mut Option<u64>, value: Option<u64>) {
    if into.is_none() || value.is_some_and(|value| value > 0) {
        *into = value.or(*into);
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn number(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64)
}

fn string(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or("")
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
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
        let reading = chat_stream(data.iter().map(String::as_str));
        let calls = &reading.choices[&0].calls;
        let seen: Vec<_> = calls
            .iter()
            .map(|c| (c.name.as_str(), c.arguments.as_str()))
            .collect();
        assert_eq!(seen, [("f", "{}"), ("g", ""), ("h", "{}")]);
        assert!(!reading.terminal);
    }

    #[test]
    fn anthropic_counts_are_never_added_nor_wiped() {
        let mut counts = Counts::default();
        counts.take(Some(
            &serde_json::json!({"input_tokens": 10, "cache_read_input_tokens": 5,
            "output_tokens": 1}),
        ));
        counts.take(Some(
            &serde_json::json!({"input_tokens": 0, "output_tokens": 9}),
        ));
        let tokens = counts.tokens();
        assert_eq!(
            (tokens.prompt, tokens.completion, tokens.cached),
            (Some(15), Some(9), Some(5))
        );
    }
}
