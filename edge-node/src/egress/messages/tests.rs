use super::*;
use crate::dialect::fixture::{Fixture, data};
use crate::failure::Fault;
use crate::ingress::Api;
use shared::catalog::Dialect;

const STREAM: &str =
    r#"{"model":"a/b","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const WHOLE: &str = r#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;

fn fixture() -> Fixture {
    Fixture::new(Dialect::OpenaiChat).api(Api::Messages)
}

/// The events of a stream; each is named as its data says.
fn events(out: &str) -> Vec<Value> {
    let events = out.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let value: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), value["type"]);
        value
    });
    events.collect()
}

/// Checks that a stream is one that Anthropic's own clients can put together, and does so.
fn assemble(out: &str) -> Value {
    let all = events(out);
    let mut message = all[0]["message"].clone();
    let mut partial: Vec<String> = Vec::new();
    for event in &all[1..] {
        let at = usize::try_from(event["index"].as_u64().unwrap_or(0)).unwrap();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                let blocks = message["content"].as_array_mut().unwrap();
                assert_eq!(at, blocks.len());
                blocks.push(event["content_block"].clone());
                partial.push(String::new());
            }
            "content_block_delta" => {
                let (block, delta) = (&mut message["content"][at], &event["delta"]);
                let add = |block: &mut Value, name: &str| {
                    let text = block[name].as_str().unwrap().to_owned();
                    block[name] = (text + delta[name].as_str().unwrap()).into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add(block, "text"),
                    "thinking_delta" => add(block, "thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => partial[at] += delta["partial_json"].as_str().unwrap(),
                    "citations_delta" => {
                        if block["citations"].is_null() {
                            block["citations"] = json!([]);
                        }
                        let list = block["citations"].as_array_mut().unwrap();
                        list.push(delta["citation"].clone());
                    }
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                if message["content"][at]["type"] == "tool_use" {
                    message["content"][at]["input"] = serde_json::from_str(&partial[at]).unwrap();
                }
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["stop_sequence"] = event["delta"]["stop_sequence"].clone();
                message["usage"] = event["usage"].clone();
            }
            "ping" | "message_stop" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(all.last().unwrap()["type"], "message_stop");
    message
}

/// The same answer, streamed and whole, gives the same message.
fn both(deltas: &[&str], message: &str, finish: &str) -> Value {
    let usage = r#""usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,
        "prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}"#
        .replace('\n', " ");
    let mut chunks: Vec<String> = deltas
        .iter()
        .map(|delta| format!(r#"{{"choices":[{{"index":0,"delta":{{{delta}}}}}]}}"#))
        .collect();
    chunks.push(format!(
        r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{finish}"}}],{usage}}}"#
    ));
    let mut texts: Vec<&str> = chunks.iter().map(String::as_str).collect();
    texts.push("[DONE]");
    let stream = data(&texts);
    let played = fixture().play(STREAM, stream.as_bytes(), usize::MAX);
    for size in [1, 2, 3, 17] {
        let pieces = fixture().play(STREAM, stream.as_bytes(), size);
        assert_eq!(pieces.out, played.out);
    }
    let streamed = assemble(&played.out);
    let answer = format!(
        r#"{{"choices":[{{"index":0,"message":{{{message}}},"finish_reason":"{finish}"}}],{usage}}}"#
    );
    let whole = fixture().play(WHOLE, answer.as_bytes(), 9).answer();
    assert_eq!(streamed, whole);
    whole
}

#[test]
fn text_and_usage_have_their_form() {
    let answer = both(
        &[
            r#""role":"assistant","content":"""#,
            r#""content":"a\n""#,
            r#""content":"b""#,
        ],
        r#""content":"a\nb""#,
        "stop",
    );
    assert_eq!(
        answer,
        json!({
            "id": "gen-1", "type": "message", "role": "assistant", "model": "author/model",
            "provider": "Acme AI", "content": [{ "type": "text", "text": "a\nb" }],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {
                "input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0
                },
                "output_tokens": 4, "output_tokens_details": { "thinking_tokens": 2 },
                "cost": 0.000_018, "is_byok": false,
                "cost_details": {
                    "upstream_inference_cost": 0.000_018,
                    "upstream_inference_prompt_cost": 0.000_01,
                    "upstream_inference_completions_cost": 0.000_008
                },
            },
        })
    );
}

#[test]
fn thoughts_and_calls_are_blocks_in_order() {
    let answer = both(
        &[
            r#""reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","format":"anthropic-claude-v1","index":0}]"#,
            r#""reasoning_details":[{"type":"reasoning.text","signature":"Sig=","format":"anthropic-claude-v1","index":0}]"#,
            r#""content":"ok""#,
            r#""tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"f","arguments":""}}]"#,
            r#""tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]"#,
            r#""tool_calls":[{"index":0,"function":{"arguments":":1}"}}]"#,
            r#""tool_calls":[{"index":1,"id":"t1","type":"function","function":{"name":"g","arguments":""}}]"#,
        ],
        r#""reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"Sig=","format":"anthropic-claude-v1","index":0}],
        "content":"ok","tool_calls":[{"id":"t0","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
        {"id":"t1","type":"function","function":{"name":"g","arguments":""}}]"#,
        "tool_calls",
    );
    assert_eq!(answer["stop_reason"], "tool_use");
    assert_eq!(
        answer["content"],
        json!([
            { "type": "thinking", "thinking": "hm", "signature": "Sig=" },
            { "type": "text", "text": "ok" },
            { "type": "tool_use", "id": "t0", "name": "f", "input": { "a": 1 } },
            { "type": "tool_use", "id": "t1", "name": "g", "input": {} },
        ])
    );
}

#[test]
fn mixed_arguments_find_their_blocks() {
    let stream = data(&[
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ]);
    let message = assemble(&fixture().play(STREAM, stream.as_bytes(), 5).out);
    let inputs: Vec<&Value> = message["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| &block["input"])
        .collect();
    assert_eq!(inputs, [&json!({}), &json!({})]);
}

#[test]
fn ends_have_anthropics_words() {
    let check = |message: &str, finish: &str, expected: &str| {
        let answer = format!(
            r#"{{"choices":[{{"index":0,"message":{{{message}}},"finish_reason":"{finish}"}}]}}"#
        );
        let answer = fixture().play(WHOLE, answer.as_bytes(), 99).answer();
        assert_eq!(answer["stop_reason"], expected, "{finish}");
    };
    let text = r#""content":"x""#;
    check(text, "stop", "end_turn");
    check(text, "length", "max_tokens");
    check(text, "content_filter", "refusal");
    check(r#""content":null,"refusal":"no""#, "stop", "end_turn");
}

#[test]
fn reasoning_of_others_is_sealed_and_plain_reasoning_is_not() {
    let answer = both(
        &[
            r#""reasoning_details":[{"type":"reasoning.encrypted","data":"QQ==","id":"c1","format":"google-gemini-v1","index":0}]"#,
            r#""content":"ok""#,
        ],
        r#""reasoning_details":[{"type":"reasoning.encrypted","data":"QQ==","id":"c1","format":"google-gemini-v1","index":0}],"content":"ok""#,
        "stop",
    );
    assert_eq!(
        answer["content"][0],
        json!({
            "type": "redacted_thinking",
            "data": r#"gw1:{"kind":"reasoning.encrypted","format":"google-gemini-v1","id":"c1","data":"QQ=="}"#,
        })
    );
    let answer = both(
        &[r#""reasoning_content":"hm""#, r#""content":"ok""#],
        r#""reasoning_content":"hm","content":"ok""#,
        "stop",
    );
    let plain = json!({ "type": "thinking", "thinking": "hm", "signature": "" });
    assert_eq!(answer["content"][0], plain);
}

#[test]
fn hidden_thoughts_keep_their_signature() {
    let stream = data(&[
        r#"{"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"Sig=","format":"anthropic-claude-v1","index":0}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    let request = STREAM.replace(
        "\"stream\"",
        r#""thinking":{"type":"adaptive","display":"omitted"},"stream""#,
    );
    let message = assemble(&fixture().play(&request, stream.as_bytes(), 99).out);
    let hidden = json!({ "type": "thinking", "thinking": "", "signature": "Sig=" });
    assert_eq!(message["content"][0], hidden);
}

#[test]
fn sources_are_citations_of_the_text() {
    let answer = both(
        &[
            r#""content":"so""#,
            r#""annotations":[{"type":"url_citation","url_citation":{"url":"https://x","title":"X","start_index":0,"end_index":2}}]"#,
        ],
        r#""content":"so","annotations":[{"type":"url_citation","url_citation":{"url":"https://x","title":"X","start_index":0,"end_index":2}}]"#,
        "stop",
    );
    let citation = &answer["content"][0]["citations"][0];
    assert_eq!(citation["type"], "web_search_result_location");
    assert_eq!(citation["url"], "https://x");
}

#[test]
fn a_source_without_an_address_has_its_name() {
    let answer = r#"{"id":"1","message":{"role":"assistant","content":[{"type":"text","text":"so"}],
        "citations":[{"start":0,"end":2,"sources":[{"type":"tool","id":"f:0","tool_output":{"content":"why"}}]}]},
        "finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":1,"output_tokens":1}}}"#;
    let cohere = |api| Fixture::new(Dialect::CohereV2).api(api);
    let request = r#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
    let message = cohere(Api::Messages)
        .play(request, answer.as_bytes(), 9)
        .answer();
    let citation = &message["content"][0]["citations"][0];
    assert_eq!(citation["type"], "search_result_location");
    assert_eq!(
        (&citation["source"], &citation["cited_text"]),
        (&json!("f:0"), &json!("why"))
    );
    let request = r#"{"model":"a/b","input":"x"}"#;
    let response = cohere(Api::Responses)
        .play(request, answer.as_bytes(), 9)
        .answer();
    let annotation = &response["output"][0]["content"][0]["annotations"][0];
    let expected =
        json!({"type": "file_citation", "file_id": "f:0", "filename": "f:0", "index": 0});
    assert_eq!(*annotation, expected);
}

#[test]
fn pictures_are_blocks_as_in_requests() {
    let images = r#""images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QQ=="}},{"type":"image_url","image_url":{"url":"https://x"}}]"#;
    let answer = both(&[images], images, "stop");
    assert_eq!(
        answer["content"],
        json!([
            { "type": "image", "source": {
                "type": "base64", "media_type": "image/png", "data": "QQ=="
            } },
            { "type": "image", "source": { "type": "url", "url": "https://x" } },
        ])
    );
}

#[test]
fn errors_have_anthropics_form() {
    let id = GenerationId::from("gen-1");
    let overloaded = Failure::provider(529, "overloaded", "too busy");
    let body = error_body(&overloaded, &id);
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "overloaded_error");
    assert_eq!(body["error"]["message"], "too busy");
    assert_eq!(body["request_id"], "gen-1");
    let mut told = Map::new();
    told.insert("openrouter_metadata".into(), json!({"attempt": 1}));
    let marks = Marks {
        model: "a/b",
        provider: Some("Acme AI"),
        created: 7,
    };
    let event = error_event(&overloaded, &id, (marks, &told));
    let text = std::str::from_utf8(&event).unwrap();
    assert!(
        text.contains(r#""openrouter_metadata":{"attempt":1}"#),
        "{text}"
    );
    assert!(text.contains(r#""provider":"Acme AI""#), "{text}");
    assert!(event.starts_with(b"event: error\ndata: {") && event.ends_with(b"}\n\n"));
    let check = |kind: ErrorType, word: &str| {
        let failure = Failure::new(Fault::Caller, 400, kind, "x", "x");
        assert_eq!(error_body(&failure, &id)["error"]["type"], word);
    };
    check(ErrorType::Authentication, "authentication_error");
    check(ErrorType::PaymentRequired, "billing_error");
    check(ErrorType::PermissionDenied, "permission_error");
    check(ErrorType::NotFound, "not_found_error");
    check(ErrorType::PayloadTooLarge, "request_too_large");
    check(ErrorType::RateLimitExceeded, "rate_limit_error");
    check(ErrorType::Timeout, "timeout_error");
    check(ErrorType::ContextLengthExceeded, "invalid_request_error");
    check(ErrorType::Server, "api_error");
}

#[test]
fn an_answer_that_its_provider_gave_up_does_not_end_well() {
    let stream = data(&[
        r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"insufficient_system_resource"}]}"#,
        "[DONE]",
    ]);
    let played = fixture().play(STREAM, stream.as_bytes(), 99);
    if played.failure.is_none() {
        let all = events(&played.out);
        assert_eq!(all.last().unwrap()["type"], "error");
    }
}
