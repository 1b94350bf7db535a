//! Answers that are no streams.

use super::*;

#[test]
fn an_answer_passes_but_for_our_marks() {
    let answer = concat!(
        "\n\n{ \"id\":\"c1\",\"object\":\"chat.completion\",\"created\":5, \"model\":\"theirs\",\n",
        " \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u00e9\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\n",
        " \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}, \"x\" : 1.0 }\n",
    );
    let played = openai().play(WHOLE, answer.as_bytes(), 5);
    let expected = concat!(
        "{ \"id\":\"gen-1\",\"object\":\"chat.completion\",\"created\":5, \"model\":\"author/model\",\n",
        " \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u00e9\"},\"logprobs\":null,\"finish_reason\":\"stop\",\"native_finish_reason\":\"stop\"}], \"x\" : 1.0,",
        "\"provider\":\"Acme AI\",\"system_fingerprint\":null,\"usage\":{\"prompt_tokens\":1,",
    );
    assert!(played.out.starts_with(expected), "{}", played.out);
    assert_eq!(played.answer()["usage"]["cost"], json!(0.000003));
}

#[test]
fn odd_answers_come_out_even() {
    let answer = |choice: &str| {
        let body = format!(r#"{{"choices":[{choice}]}}"#);
        openai().play(WHOLE, body.as_bytes(), usize::MAX)
    };
    let choice = |text: &str| answer(text).answer()["choices"][0].clone();
    assert_eq!(
        choice(
            r#"{"message":{"reasoning_content":"r","tool_calls":[{"id":"","function":{"name":"f","arguments":""}}]},"finish_reason":null}"#
        ),
        json!({
            "message": {
                "reasoning": "r",
                "tool_calls": [{"function": {"name": "f", "arguments": "{}"}, "id": "call_1_0", "type": "function"}],
                "role": "assistant", "content": null,
            },
            "finish_reason": "tool_calls", "index": 0, "native_finish_reason": null,
        })
    );
    assert_eq!(
        choice(r#"{"message":{"content":{"a": 1}}}"#)["message"]["content"],
        "{\"a\": 1}"
    );
    let whole = answer(r#"{"message":{"content":"x"}}"#).answer();
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["system_fingerprint"], Value::Null);
    assert!(
        whole
            .as_object()
            .unwrap()
            .contains_key("system_fingerprint")
    );
    assert_eq!(answer("{}").reason(), "garbage");
    assert_eq!(answer("").reason(), "empty");
    let error = openai().play(
        WHOLE,
        br#"{"error":{"code":503,"message":"x"}}"#,
        usize::MAX,
    );
    assert_eq!(error.failure.unwrap().retry, Retry::OtherEndpoint);
    assert_eq!(openai().play(WHOLE, b"", 1).reason(), "empty");
    assert_eq!(openai().play(WHOLE, b"<html>", 1).reason(), "garbage");
    assert_eq!(
        openai().play(WHOLE, b"{\"choices\":[\xff]}", 99).reason(),
        "garbage"
    );
}
