use crate::dialect::fixture::{Fixture, Played};
use crate::failure::Retry;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::Dialect;

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const END: &str = r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":9}"#;

fn ollama() -> Fixture {
    Fixture::new(Dialect::Ollama)
}

fn asked(request: &Value) -> String {
    let mut request = request.clone();
    request["model"] = json!("a/b");
    if request["messages"].is_null() {
        request["messages"] = json!([{"role": "user", "content": "q"}]);
    }
    request.to_string()
}

fn sent(fixture: &Fixture, request: &Value) -> Value {
    serde_json::from_str(&fixture.body(&asked(request)).unwrap()).unwrap()
}

fn refused(request: &Value) -> String {
    let failure = ollama().body(&asked(request)).unwrap_err();
    assert_eq!(failure.retry, Retry::OtherEndpoint);
    failure.param.unwrap()
}

fn lines(list: &[&str]) -> String {
    list.iter().map(|line| format!("{line}\n")).collect()
}

fn played(list: &[&str]) -> Played {
    ollama().play(STREAM, lines(list).as_bytes(), usize::MAX)
}

#[test]
fn a_request_of_every_kind() {
    let body = sent(
        &ollama(),
        &json!({
            "messages": [
                {"role": "developer", "content": "d"},
                {"role": "user", "content": [
                    {"type": "text", "text": "a"}, {"type": "text", "text": "b"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
                ]},
                {"role": "assistant", "content": null, "reasoning": "Hm", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"n\": 1}"}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "r"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
            "temperature": 0, "top_k": 5, "repetition_penalty": 1.1, "seed": 7, "stop": ["END"],
            "max_tokens": 50, "logit_bias": {}, "logprobs": true, "top_logprobs": 2,
            "response_format": {"type": "json_object"}, "reasoning": {"effort": "high"},
        }),
    );
    let expected = json!({
        "model": "theirs",
        "messages": [
            {"role": "system", "content": "d"},
            {"role": "user", "content": "a\nb", "images": ["QQ=="]},
            {"role": "assistant", "content": "", "thinking": "Hm", "tool_calls": [
                {"id": "c1", "function": {"name": "f", "arguments": {"n": 1}}}]},
            {"role": "tool", "content": "r", "tool_name": "f", "tool_call_id": "c1"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "format": "json",
        "options": {"num_predict": 50, "temperature": 0, "top_k": 5, "repeat_penalty": 1.1, "seed": 7, "stop": ["END"]},
        "think": true, "logprobs": true, "top_logprobs": 2, "stream": false,
    });
    assert_eq!(body, expected);
}

#[test]
fn forms_efforts_and_what_can_not_be_said() {
    let schema = json!({"type": "object"});
    let form = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    assert_eq!(
        sent(&ollama(), &json!({"response_format": form}))["format"],
        schema
    );
    let effort = |model: &str, effort: &str| {
        let mut fixture = ollama();
        model.clone_into(&mut fixture.endpoint.provider_model);
        sent(&fixture, &json!({"reasoning": {"effort": effort}}))["think"].clone()
    };
    assert_eq!(effort("gpt-oss:120b", "minimal"), "low");
    assert_eq!(effort("gpt-oss:120b", "xhigh"), "high");
    assert_eq!(effort("qwen3", "none"), false);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let with = |choice: &str| json!({"tools": tools.clone(), "tool_choice": choice});
    assert_eq!(refused(&with("required")), "tool_choice");
    assert_eq!(sent(&ollama(), &with("none")).get("tools"), None);
    assert_eq!(refused(&json!({"n": 3})), "n");
    let link = json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}});
    assert_eq!(
        refused(&json!({"messages": [{"role": "user", "content": [link]}]})),
        "messages[0].content[0]"
    );
}

#[test]
fn a_stream_of_lines_is_read() {
    let got = played(&[
        r#"{"model":"m","message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}"#,
        r#"{"model":"m","message":{"role":"assistant","content":"Hi"},"logprobs":[{"token":"Hi","logprob":-1,"bytes":[72,105],"top_logprobs":[]}],"done":false}"#,
        r#"{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"f","arguments":{"n": 1.0}}}]},"done":false}"#,
        r#"{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"id":"x","function":{"index":0,"name":"g","arguments":{}}}]},"done":false}"#,
        END,
    ]);
    let chunks = got.chunks();
    let delta = |index: usize| chunks[index]["choices"][0]["delta"].clone();
    assert_eq!(delta(1)["reasoning"], "Hm");
    assert_eq!(delta(2), json!({"content": "Hi"}));
    assert_eq!(
        chunks[3]["choices"][0]["logprobs"]["content"][0]["token"],
        "Hi"
    );
    let call = |index: usize| delta(index)["tool_calls"][0].clone();
    assert_eq!(
        (&call(4)["index"], &call(4)["id"]),
        (&json!(0), &json!("call_1_0"))
    );
    assert_eq!(call(5)["function"]["arguments"], "{\"n\": 1.0}");
    assert_eq!(
        (&call(6)["index"], &call(6)["id"]),
        (&json!(1), &json!("x"))
    );
    assert_eq!(call(7)["function"]["arguments"], "{}");
    assert_eq!(chunks[8]["choices"][0]["finish_reason"], "tool_calls");
    let usage = got.usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.completion, usage.estimated),
        (26, 9, false)
    );
}

#[test]
fn ends_are_told_apart() {
    let text = r#"{"message":{"role":"assistant","content":"a"},"done":false}"#;
    let end = |reason: &str| {
        let end = format!(r#"{{"message":{{}},"done":true{reason},"eval_count":1}}"#);
        let got = played(&[text, &end]);
        got.chunks()[2]["choices"][0]["finish_reason"].clone()
    };
    assert_eq!(end(""), "stop");
    assert_eq!(end(r#","done_reason":"stop""#), "stop");
    assert_eq!(end(r#","done_reason":"length""#), "length");
    assert_eq!(played(&[text]).reason(), "truncated");
    assert_eq!(played(&[]).reason(), "empty");
    let failed = played(&[
        text,
        r#"{"error":"an error was encountered while running the model"}"#,
    ]);
    assert_eq!(failed.reason(), "provider_error");
    let load = r#"{"message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}"#;
    assert_eq!(played(&[load]).reason(), "finish_error");
    let whole = ollama().play(WHOLE, END.as_bytes(), 5).answer();
    assert_eq!(whole["usage"]["total_tokens"], 35);
    assert_eq!(
        ollama().play(WHOLE, text.as_bytes(), 5).reason(),
        "truncated"
    );
}

proptest! {
    #[test]
    fn no_cut_and_no_broken_byte_changes_or_breaks_the_reader(
        size in 1usize..40,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let answer = lines(&[
            r#"{"message":{"role":"assistant","content":"é😀","thinking":"Hm"},"done":false}"#,
            r#"{"message":{"tool_calls":[{"id":"x","function":{"name":"g","arguments":{}}}]},"done":false}"#,
            END,
        ]);
        let whole = ollama().play(STREAM, answer.as_bytes(), usize::MAX);
        prop_assert!(whole.failure.is_none());
        prop_assert_eq!(&whole.out, &ollama().play(STREAM, answer.as_bytes(), size).out);
        let mut broken = answer.into_bytes();
        let at = at.index(broken.len());
        broken[at] = byte;
        ollama().play(STREAM, &broken, size);
        ollama().play(WHOLE, &broken, size);
    }
}
