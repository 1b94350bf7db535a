use super::*;
use crate::dialect::fixture::{Fixture, data};
use crate::ingress::Api;
use serde_json::Value;
use shared::catalog::Dialect;

const STREAM: &str = r#"{"model":"a/b","prompt":"hi","stream":true}"#;
const WHOLE: &str = r#"{"model":"a/b","prompt":"hi"}"#;
const USAGE: &str = r#""usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}"#;

fn fixture() -> Fixture {
    Fixture::new(Dialect::OpenaiChat).api(Api::Completions)
}

fn stream() -> String {
    data(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a\n"},"logprobs":{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.5},{"token":"b","logprob":-1.50}]},{"token":"\n","logprob":-1}]}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"other"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"\u00e9"},"logprobs":{"content":[{"token":"\u00e9","logprob":-2}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
        &format!(r#"{{"choices":[{{"index":1,"delta":{{}},"finish_reason":"stop"}}],{USAGE}}}"#),
        "[DONE]",
    ])
}

#[test]
fn a_stream_has_the_legacy_form() {
    let request = STREAM.replace("\"hi\"", "\"hi\",\"n\":2,\"logprobs\":2");
    let played = fixture().play(&request, stream().as_bytes(), usize::MAX);
    for size in [1, 2, 3, 29] {
        assert_eq!(
            fixture().play(&request, stream().as_bytes(), size).out,
            played.out
        );
    }
    let chunks = played.chunks();
    let mut texts = [String::new(), String::new()];
    let mut ends = Vec::new();
    let mut logprobs = Vec::new();
    for chunk in &chunks {
        assert_eq!(chunk["object"], "text_completion");
        assert_eq!(
            (&chunk["id"], &chunk["model"]),
            (&json!("gen-1"), &json!("author/model"))
        );
        for choice in chunk["choices"].as_array().unwrap() {
            let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            texts[index].push_str(choice["text"].as_str().unwrap());
            if !choice["finish_reason"].is_null() {
                ends.push((index, choice["finish_reason"].as_str().unwrap().to_owned()));
            }
            if !choice["logprobs"].is_null() {
                logprobs.push(choice["logprobs"].clone());
            }
        }
    }
    assert_eq!(texts, ["a\n\u{e9}", "other"]);
    assert_eq!(ends, [(0, "length".to_owned()), (1, "stop".to_owned())]);
    let expected = [
        json!({
            "tokens": ["a", "\n"], "token_logprobs": [-0.5, -1],
            "top_logprobs": [{ "a": -0.5, "b": -1.50 }, {}], "text_offset": [0, 1],
        }),
        json!({
            "tokens": ["\u{e9}"], "token_logprobs": [-2], "top_logprobs": [{}],
            "text_offset": [2],
        }),
    ];
    assert_eq!(logprobs, expected);
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 4);
    assert_eq!(last["usage"]["cost"], json!(0.000_018));
}

#[test]
fn a_whole_answer_has_the_legacy_form() {
    let answer = format!(
        r#"{{"choices":[{{"index":0,"message":{{"content":"x\"y","reasoning":"hm"}},"finish_reason":"stop",
        "logprobs":null}}],{USAGE}}}"#
    );
    let played = fixture().play(WHOLE, answer.as_bytes(), 7).answer();
    assert_eq!(played["object"], "text_completion");
    assert_eq!(
        played["choices"],
        json!([{
            "index": 0, "text": "x\"y", "reasoning": "hm", "logprobs": null,
            "finish_reason": "stop", "native_finish_reason": "stop",
        }])
    );
    assert_eq!(played["usage"]["total_tokens"], 14);
}

#[test]
fn any_upstream_serves_it() {
    let answer = r#"{"id":"m","type":"message","content":[{"type":"text","text":"ok"}],
        "stop_reason":"max_tokens","usage":{"input_tokens":3,"output_tokens":2}}"#;
    let fixture = Fixture::new(Dialect::AnthropicMessages).api(Api::Completions);
    let played = fixture.play(WHOLE, answer.as_bytes(), 9).answer();
    assert_eq!(played["choices"][0]["text"], "ok");
    assert_eq!(played["choices"][0]["finish_reason"], "length");
    let sent: Value = serde_json::from_str(&fixture.body(WHOLE).unwrap()).unwrap();
    assert_eq!(sent["messages"][0]["role"], "user");
    let two = WHOLE.replace("\"hi\"", "\"hi\",\"n\":2");
    assert_eq!(fixture.body(&two).unwrap_err().param.as_deref(), Some("n"));
}

#[test]
fn a_cut_stream_ends_in_its_own_error() {
    let failure = Failure::provider(502, "truncated", "cut");
    let told = json!({"openrouter_metadata": {"attempt": 1}});
    let marks = Marks {
        model: "a/b",
        provider: Some("Acme AI"),
        created: 7,
    };
    let told = told.as_object().unwrap();
    let event = error_event(&failure, &GenerationId::from("gen-1"), marks, told);
    let text = std::str::from_utf8(&event).unwrap();
    let chunk: Value = serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(chunk["object"], "text_completion");
    assert_eq!(chunk["error"]["code"], 502);
    assert_eq!(chunk["provider"], "Acme AI");
    assert_eq!(chunk["openrouter_metadata"]["attempt"], 1);
    assert_eq!(chunk["choices"][0]["finish_reason"], "error");
}
