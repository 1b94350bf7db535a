use crate::dialect::fixture::{Fixture, Played, data};
use crate::failure::Fault;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter};

mod calls;
mod ends;
mod requests;
mod sources;
mod thoughts;

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":10,"output_tokens":1}}}"#;
const END: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn anthropic() -> Fixture {
    Fixture::new(Dialect::AnthropicMessages)
}

fn events(list: &[&str]) -> String {
    let events = list.iter().map(|data| {
        let value: Value = serde_json::from_str(data).unwrap();
        let name = value["type"].as_str().unwrap_or("");
        format!("event: {name}\ndata: {data}\n\n")
    });
    events.collect()
}

fn played(list: &[&str]) -> Played {
    anthropic().play(STREAM, events(list).as_bytes(), usize::MAX)
}

fn deltas(played: &Played) -> Vec<Value> {
    let chunks = played.chunks();
    let deltas = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"].clone());
    deltas
        .filter(|delta| delta.as_object().is_some_and(|d| !d.is_empty()))
        .collect()
}

fn sent(fixture: &Fixture, request: &Value) -> Value {
    let mut request = request.clone();
    request["model"] = json!("a/b");
    serde_json::from_str(&fixture.body(&request.to_string()).unwrap()).unwrap()
}

fn messages(messages: &Value) -> Value {
    sent(&anthropic(), &json!({ "messages": messages }))
}

#[test]
fn a_whole_answer_is_written_as_one() {
    let answer = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[
        {"type":"thinking","thinking":"hm","signature":"s"},
        {"type":"text","text":"a\n"},{"type":"text","text":"b"},
        {"type":"tool_use","id":"t","name":"f","input":{"b": 1.0, "a": "\"x"}},
        {"type":"tool_use","id":"u","name":"g","input":{}}],
        "stop_reason":"tool_use","usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":7}}"#;
    let played = anthropic().play(WHOLE, answer.as_bytes(), 11);
    let value = played.answer();
    assert_eq!(
        value["choices"],
        json!([{
            "index": 0,
            "message": {
                "role": "assistant", "content": "a\nb", "refusal": null, "reasoning": "hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0}],
                "tool_calls": [
                    {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 1.0, \"a\": \"\\\"x\"}"}},
                    {"id": "u", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                ],
            },
            "logprobs": null, "finish_reason": "tool_calls", "native_finish_reason": "tool_use",
        }])
    );
    assert_eq!(
        (&value["id"], &value["object"]),
        (&json!("gen-1"), &json!("chat.completion"))
    );
    assert_eq!(
        (&value["model"], &value["provider"]),
        (&json!("author/model"), &json!("Acme AI"))
    );
    assert_eq!(value["usage"]["prompt_tokens"], 15);
    assert_eq!(value["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
    // The same answer where a stream was asked for.
    let streamed = anthropic().play(STREAM, answer.as_bytes(), 11);
    let text: String = deltas(&streamed)
        .iter()
        .filter_map(|d| d["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "a\nb");
    let call = anthropic().play(WHOLE, br#"{"type":"message"}"#, 99);
    assert_eq!(call.failure.unwrap().fault, Fault::Provider);
}
