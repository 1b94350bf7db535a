//! Anthropic's messages, whole and as events.

use super::{Call, Choice, Reading, Tokens, list, number, parse, present, replace, string};
use serde_json::Value;

/// Reads an Anthropic message.
pub(in crate::replay) fn json(body: &Value) -> Reading {
    let mut reading = Reading {
        terminal: true,
        error: present(body.get("error")).is_some(),
        message: string(body.pointer("/error/message")).to_owned(),
        ..Reading::default()
    };
    let mut counts = Counts::default();
    counts.take(body.get("usage"));
    reading.usage = counts.tokens();
    let mut choice = Choice::default();
    for block in list(body.get("content")) {
        match string(block.get("type")) {
            "text" => {
                choice.text.push_str(string(block.get("text")));
                for citation in list(block.get("citations")) {
                    cite(citation, &mut choice);
                }
            }
            "thinking" => {
                choice.reasoning.push_str(string(block.get("thinking")));
                choice
                    .proofs
                    .push(string(block.get("signature")).to_owned());
            }
            "image" => choice.images.push(image(block)),
            "redacted_thinking" => choice.proofs.push(string(block.get("data")).to_owned()),
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
pub(in crate::replay) fn stream<'a>(data: impl Iterator<Item = &'a str>) -> Reading {
    let mut reading = Reading::default();
    let mut counts = Counts::default();
    let mut choice = Choice::default();
    for data in data {
        let event = parse(data);
        match string(event.get("type")) {
            // Vertex may answer a stream by one event with everything in it.
            "message" => return json(&event),
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
            "content_block_start"
                if event.pointer("/content_block/type") == Some(&"redacted_thinking".into()) =>
            {
                let data = string(event.pointer("/content_block/data"));
                choice.proofs.push(data.to_owned());
            }
            "content_block_delta" => {
                let signature = string(event.pointer("/delta/signature"));
                choice.proofs.push(signature.to_owned());
                choice.text.push_str(string(event.pointer("/delta/text")));
                if let Some(citation) = event.pointer("/delta/citation") {
                    cite(citation, &mut choice);
                }
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
            "error" => {
                reading.error = true;
                string(event.pointer("/error/message")).clone_into(&mut reading.message);
            }
            _ => {}
        }
    }
    reading.usage = counts.tokens();
    reading.choices.insert(0, choice);
    reading
}

fn image(block: &Value) -> String {
    let source = |name: &str| block.get("source").and_then(|source| source.get(name));
    string(source("data").or_else(|| source("url"))).to_owned()
}

/// A source on the web, or a document or result that the client gave.
fn cite(citation: &Value, into: &mut Choice) {
    for name in ["url", "source", "document_title"] {
        into.citations.push(string(citation.get(name)).to_owned());
    }
}

/// Anthropic's counts: the last value of each field; nothing absent or zero replaces anything.
#[derive(Default)]
struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
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
        replace(
            &mut self.searches,
            at("/server_tool_use/web_search_requests"),
        );
    }

    fn tokens(&self) -> Tokens {
        let cached = self.cache_read.unwrap_or(0) + self.cache_write.unwrap_or(0);
        Tokens {
            prompt: self.input.map(|input| input + cached),
            cached: self.cache_read,
            completion: self.output,
            reasoning: self.thinking,
            written: self.cache_write,
            searches: self.searches,
            ..Tokens::default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_never_added_nor_wiped() {
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
