//! Streams that are odd, late or over-full, and what clients get of them.

use super::*;

#[test]
fn odd_chunks_come_out_even() {
    let check = |chunk: &str, expected: &Value| {
        let played = played(&[chunk, STOP, "[DONE]"]);
        assert_eq!(&played.chunks()[0]["choices"], expected, "{chunk}");
    };
    // No index, no finish_reason, a role that is not there.
    check(
        r#"{"choices":[{"delta":{"content":"a","role":null}}]}"#,
        &json!([{"delta": {"content": "a"}, "index": 0, "finish_reason": null}]),
    );
    // Azure: no delta.
    check(
        r#"{"choices":[{"index":0,"finish_reason":null,"content_filter_offsets":{}}]}"#,
        &json!([{"index": 0, "finish_reason": null, "content_filter_offsets": {}, "delta": {}}]),
    );
    // Reasoning under another name.
    check(
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":""}]}"#,
        &json!([{"index": 0, "delta": {"reasoning": "hm"}, "finish_reason": null}]),
    );
    // Content in parts.
    check(
        r#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]},"finish_reason":null}]}"#,
        &json!([{"index": 0, "delta": {"content": "a", "reasoning": "hm"}, "finish_reason": null}]),
    );
    // Azure's first chunk says nothing and is left out.
    let empty =
        r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}"#;
    assert_eq!(played(&[empty, DELTA, STOP, "[DONE]"]).chunks().len(), 3);
    let marks = &played(&[
        r#"{"id":"","object":"","created":0,"choices":[{"delta":{"content":"a"}}]}"#,
        STOP,
    ])
    .chunks()[0];
    assert_eq!(marks["object"], "chat.completion.chunk");
    assert_eq!(
        (&marks["created"], &marks["model"]),
        (&json!(7), &json!("author/model"))
    );
}

#[test]
fn tool_calls_have_one_index_and_whole_arguments() {
    let piece = |call: &str, finish: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}},"finish_reason":{finish}}}]}}"#
        )
    };
    let check = |pieces: &[String], expected: &[&str]| {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let played = played(&pieces);
        let chunks = played.chunks();
        let calls = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"].get("tool_calls"));
        let calls: Vec<String> = calls.map(Value::to_string).collect();
        assert_eq!(calls, expected);
        played
    };
    // The same index for two calls, an id that is empty later.
    check(
        &[
            piece(
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}"#,
                "null",
            ),
            piece(
                r#"{"index":0,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}"#,
                "null",
            ),
            piece(
                r#"{"index":0,"id":"","function":{"arguments":"}"}}"#,
                "\"tool_calls\"",
            ),
        ],
        &[
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]"#,
            r#"[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}]"#,
            r#"[{"index":1,"function":{"arguments":"}"}}]"#,
        ],
    );
    // No arguments at all: an empty object, before the end.
    check(
        &[
            piece(
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                "null",
            ),
            STOP.replace("\"stop\"", "\"tool_calls\""),
        ],
        &[
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"function":{"arguments":"{}"}}]"#,
        ],
    );
    // Whole calls with the end, arguments as an object, no index, type or id.
    check(
        &[piece(
            r#"{"function":{"name":"f","arguments":{"a":1.0}}},{"function":{"name":"g"}}"#,
            "\"stop\"",
        )],
        &[
            r#"[{"function":{"name":"f","arguments":"{\"a\":1.0}"},"index":0,"id":"call_1_0","type":"function"},{"function":{"name":"g","arguments":"{}"},"index":1,"id":"call_1_1","type":"function"}]"#,
        ],
    );
    let broken = [
        piece(
            r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\""}}"#,
            "null",
        ),
        STOP.replace("\"stop\"", "\"tool_calls\""),
    ];
    assert!(played(&[&broken[0], &broken[1]]).tool_error);
}

#[test]
fn a_full_context_ends_an_answer_that_has_begun() {
    let full = r#"{"error":{"message":"This model's maximum context length is 9","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
    for api in [Api::Chat, Api::Messages, Api::Responses, Api::Completions] {
        let request = match api {
            Api::Responses => r#"{"model":"a/b","input":"x","stream":true}"#,
            Api::Completions => r#"{"model":"a/b","prompt":"x","stream":true}"#,
            _ => {
                r#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":true}"#
            }
        };
        let fixture = openai().api(api);
        let played = fixture.play(request, data(&[DELTA, full]).as_bytes(), 9);
        assert!(played.failure.is_none(), "{api:?} {:?}", played.failure);
        let word = match api {
            Api::Messages => "\"stop_reason\":\"max_tokens\"",
            Api::Responses => "\"reason\":\"max_output_tokens\"",
            _ => "\"finish_reason\":\"length\"",
        };
        assert!(played.out.contains(word), "{api:?} {}", played.out);
        let at_once = fixture.play(request, data(&[full]).as_bytes(), 9);
        let failure = at_once.failure.unwrap();
        assert_eq!((failure.status, failure.fault), (400, Fault::Caller));
        assert_eq!(failure.error_type, ErrorType::ContextLengthExceeded);
    }
}

#[test]
fn sources_that_come_after_the_end_pass() {
    let late = r#"{"id":"c1","choices":[],"search_results":[{"url":"https://a"}]}"#;
    let out = played(&[DELTA, STOP, late, late, USAGE, "[DONE]"]).out;
    // In the list, and once as an annotation.
    assert_eq!(out.matches("https://a").count(), 2, "{out}");
    assert_eq!(out.matches("url_citation\":").count(), 1, "{out}");
}

#[test]
fn words_that_clients_do_not_know_become_some_that_they_do() {
    let tier = |word: &str| {
        let chunk = STOP.replace(
            "\"created\"",
            &format!("\"service_tier\":\"{word}\",\"created\""),
        );
        played(&[&chunk, USAGE, "[DONE]"]).chunks()[0]["service_tier"].clone()
    };
    assert_eq!(tier("on_demand"), "default");
    assert_eq!(tier("flex"), "flex");
    let probable = DELTA.replace(
        "\"finish_reason\"",
        "\"logprobs\":{\"reasoning_content\":[]},\"finish_reason\"",
    );
    let chunks = played(&[&probable, STOP, USAGE, "[DONE]"]).chunks();
    let expected = json!({ "reasoning_content": [], "content": null });
    assert_eq!(chunks[0]["choices"][0]["logprobs"], expected);
}

#[test]
fn a_stream_without_a_reason_to_end_gets_one() {
    let chunks = played(&[DELTA, "[DONE]"]).chunks();
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
    let words = [
        ("eos", "stop"),
        ("max_tokens", "length"),
        ("sensitive", "content_filter"),
        ("who knows", "stop"),
    ];
    for (word, expected) in words {
        let chunks = played(&[DELTA, &STOP.replace("\"stop\"", &format!("\"{word}\""))]).chunks();
        let choice = &chunks[1]["choices"][0];
        assert_eq!(choice["finish_reason"], expected);
        assert_eq!(choice["native_finish_reason"], word);
    }
}

#[test]
fn reasoning_is_hidden_when_asked() {
    let request = STREAM.replace("}],", r#"}],"reasoning":{"exclude":true},"#);
    let thinking = DELTA.replace(
        r#""content":"hi""#,
        r#""reasoning":"a","reasoning_details":[{}],"content":"""#,
    );
    let body = data(&[&thinking, DELTA, STOP, "[DONE]"]);
    let played = openai().play(&request, body.as_bytes(), usize::MAX);
    assert_eq!(
        played.chunks()[0]["choices"][0]["delta"],
        json!({"content": ""})
    );
}

#[test]
fn think_tags_are_split_where_a_provider_uses_them() {
    let fixture = openai().quirks(&[Quirk::ThinkTags]);
    let pieces = ["<thi", "nk>a", "b</th", "ink>\\n\\n", "c"].map(|text| DELTA.replace("hi", text));
    let mut chunks: Vec<&str> = pieces.iter().map(String::as_str).collect();
    chunks.extend([STOP, "[DONE]"]);
    let played = fixture.play(STREAM, data(&chunks).as_bytes(), usize::MAX);
    let said = |name: &str| -> String {
        let chunks = played.chunks();
        let texts = chunks.iter().map(|chunk| {
            chunk["choices"][0]["delta"][name]
                .as_str()
                .unwrap_or("")
                .to_owned()
        });
        texts.collect()
    };
    assert_eq!(
        (said("reasoning"), said("content")),
        ("ab".to_owned(), "c".to_owned())
    );
    let answer =
        r#"{"choices":[{"message":{"content":"<think>x</think>y"},"finish_reason":"stop"}]}"#;
    let message =
        &fixture.play(WHOLE, answer.as_bytes(), usize::MAX).answer()["choices"][0]["message"];
    assert_eq!(
        (&message["reasoning"], &message["content"]),
        (&json!("x"), &json!("y"))
    );
}
