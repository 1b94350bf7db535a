use crate::dialect::fixture::{Fixture, Played, data};
use crate::failure::{ErrorType, Fault, Retry};
use crate::ingress::{Api, Surface};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter, Quirk};

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const DELTA: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"theirs","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"theirs","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"theirs","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;

fn openai() -> Fixture {
    Fixture::new(Dialect::OpenaiChat)
}

fn played(chunks: &[&str]) -> Played {
    openai().play(STREAM, data(chunks).as_bytes(), usize::MAX)
}

mod requests {
    use super::*;

    #[track_caller]
    fn check(fixture: &Fixture, request: &str, expected: &str) {
        assert_eq!(fixture.body(request).unwrap(), expected);
    }

    #[test]
    fn bytes_survive_but_for_the_declared_splices() {
        check(
            &openai(),
            concat!(
                "{ \"messages\" : [{\"role\":\"user\",\"content\":\"a\\u0062\\/\"}],\n",
                "  \"provider\": {\"order\":[\"acme\"]}, \"model\":\"author\\/model\",\n",
                "  \"big\": 123456789012345678901234567890.10e+3, \"z\":{\"b\":1,\"a\":2},\n",
                "  \"usage\":{\"include\":true}, \"plugins\":[], \"seed\" : 1,\"session_id\":\"s\" }",
            ),
            concat!(
                "{ \"messages\" : [{\"role\":\"user\",\"content\":\"a\\u0062\\/\"}], \"model\":\"theirs\",\n",
                "  \"big\": 123456789012345678901234567890.10e+3, \"z\":{\"b\":1,\"a\":2}, \"seed\" : 1 }",
            ),
        );
    }

    #[test]
    fn usage_is_always_asked_for_in_streams() {
        let request = |members: &str| {
            format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"model":"a/b"{members}}}"#)
        };
        let body = |members: &str| {
            format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"model":"theirs"{members}}}"#)
        };
        let check = |fixture: &Fixture, asked: &str, sent: &str| {
            super::requests::check(fixture, &request(asked), &body(sent));
        };
        let forced = r#","stream":true,"stream_options":{"include_usage":true}"#;
        check(&openai(), "", "");
        check(&openai(), r#","stream":true"#, forced);
        check(
            &openai(),
            r#","stream":true,"stream_options":{"include_usage":false}"#,
            forced,
        );
        check(&openai(), r#","stream":true,"stream_options":null"#, forced);
        check(
            &openai(),
            r#","stream":true,"stream_options":{"x":1}"#,
            r#","stream":true,"stream_options":{"x":1,"include_usage":true}"#,
        );
        check(&openai(), r#","stream_options":{"include_usage":true}"#, "");
        let without = openai().quirks(&[Quirk::NoStreamOptions]);
        check(&without, forced, r#","stream":true"#);
    }

    #[test]
    fn limits_get_their_name_and_their_clamp() {
        let check = |fixture: &Fixture, asked: &str, sent: &str| {
            let head = r#"{"messages":[{"role":"user","content":"x"}],"model":"#;
            super::requests::check(
                fixture,
                &format!(r#"{head}"a/b"{asked}}}"#),
                &format!(r#"{head}"theirs"{sent}}}"#),
            );
        };
        let clamped = |fixture: Fixture| Fixture {
            clamp: Some(50),
            ..fixture
        };
        let new_name = || openai().quirks(&[Quirk::MaxCompletionTokens]);
        let old_name = || openai().quirks(&[Quirk::MaxTokensOnly]);
        check(&openai(), r#","max_tokens":90"#, r#","max_tokens":90"#);
        check(
            &clamped(openai()),
            r#","max_tokens":90"#,
            r#","max_tokens":50"#,
        );
        check(
            &clamped(openai()),
            r#","max_tokens":9"#,
            r#","max_tokens":9"#,
        );
        check(&clamped(openai()), "", r#","max_tokens":50"#);
        check(
            &clamped(openai()),
            r#","max_tokens":null"#,
            r#","max_tokens":50"#,
        );
        check(
            &new_name(),
            r#","max_tokens":90"#,
            r#","max_completion_tokens":90"#,
        );
        check(&clamped(new_name()), "", r#","max_completion_tokens":50"#);
        check(
            &old_name(),
            r#","max_tokens":3,"max_completion_tokens":90"#,
            r#","max_tokens":90"#,
        );
        let listed = openai().supporting(&[Parameter::MaxTokens]);
        check(
            &listed,
            r#","max_completion_tokens":90"#,
            r#","max_tokens":90"#,
        );
    }

    #[test]
    fn what_the_endpoint_does_not_know_is_dropped() {
        let fixture = openai().supporting(&[Parameter::Temperature, Parameter::ReasoningEffort]);
        let request = r#"{"model":"a/b","top_k":5,"temperature":0,"logit_bias":{},"unknown":1,"tools":[{"type":"function"}],"messages":[{"role":"user","content":"x"}]}"#;
        let body = r#"{"model":"theirs","temperature":0,"unknown":1,"tools":[{"type":"function"}],"messages":[{"role":"user","content":"x"}]}"#;
        check(&fixture, request, body);
    }

    #[test]
    fn reasoning_is_said_as_an_effort() {
        let check = |fixture: &Fixture, asked: &str, sent: &str| {
            let head = r#"{"messages":[{"role":"user","content":"x"}],"model":"#;
            super::requests::check(
                fixture,
                &format!(r#"{head}"a/b"{asked}}}"#),
                &format!(r#"{head}"theirs"{sent}}}"#),
            );
        };
        let high = r#","reasoning_effort":"high""#;
        check(&openai(), high, high);
        check(&openai(), r#","reasoning":{"effort":"high"}"#, high);
        check(
            &openai(),
            r#","reasoning":{"effort":"high"},"reasoning_effort":"high""#,
            high,
        );
        check(
            &openai(),
            r#","max_tokens":1000,"reasoning":{"max_tokens":900}"#,
            r#","max_tokens":1000,"reasoning_effort":"high""#,
        );
        check(&openai(), r#","include_reasoning":false"#, "");
        let none = openai().supporting(&[Parameter::Temperature]);
        check(&none, r#","reasoning":{"effort":"high"}"#, "");
        check(&none, high, "");
    }

    #[test]
    fn reasoning_goes_back_by_the_providers_name() {
        let fixture = openai().quirks(&[Quirk::ReasoningContentBack, Quirk::NoDeveloperRole]);
        let check = |message: &str, expected: &str| {
            let of = |model: &str, message: &str| {
                format!(
                    r#"{{"model":"{model}","messages":[{message},{{"role":"user","content":"x"}}]}}"#
                )
            };
            let sent = fixture.body(&of("a/b", message)).unwrap();
            assert_eq!(sent, of("theirs", expected));
        };
        let calls = r#""tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]"#;
        check(
            &format!(r#"{{"role":"assistant","reasoning":"h\"m",{calls}}}"#),
            &format!(r#"{{"role":"assistant","reasoning_content":"h\"m",{calls}}}"#),
        );
        let details = r#""reasoning_details":[{"type":"reasoning.text","text":"h"},{"text":"m"}]"#;
        check(
            &format!(r#"{{"role":"assistant",{details}, {calls} }}"#),
            &format!(r#"{{"role":"assistant",{details}, {calls},"reasoning_content":"hm" }}"#),
        );
        let bare = format!(r#"{{"role":"assistant",{calls}"#);
        check(
            &format!("{bare}}}"),
            &format!(r#"{bare},"reasoning_content":""}}"#),
        );
        let same =
            format!(r#"{{"role":"assistant","reasoning":"a","reasoning_content":"b",{calls}}}"#);
        check(&same, &same);
        let spoken = r#"{"role":"assistant","content":"c","reasoning":"a"}"#;
        check(spoken, spoken);
    }

    #[test]
    fn developers_become_systems_where_they_must() {
        let request = r#"{"model":"a/b","messages":[{"role":"developer","content":"developer"},{"content":"x","role":"user"}]}"#;
        let body = r#"{"model":"theirs","messages":[{"role":"system","content":"developer"},{"content":"x","role":"user"}]}"#;
        check(&openai().quirks(&[Quirk::NoDeveloperRole]), request, body);
    }

    proptest! {
        #[test]
        fn a_spliced_request_is_the_request_edited(
            members in prop::collection::btree_map(
                "temperature|top_p|user|provider|usage|session_id|x|y|stop|metadata|transforms",
                any::<u8>(),
                0..8,
            ),
            stream in any::<bool>(),
            pretty in any::<bool>(),
        ) {
            let mut request = json!({"model": "a/b", "stream": stream, "messages": [{"role": "user", "content": "é\n"}]});
            for (name, value) in &members {
                request[name] = match name.as_str() {
                    "provider" | "usage" => json!({}),
                    "user" | "session_id" | "stop" => json!(value.to_string()),
                    "transforms" => json!([]),
                    _ => json!(value),
                };
            }
            let text = if pretty { format!("{request:#}") } else { request.to_string() };
            let body: Value = serde_json::from_str(&openai().body(&text).unwrap()).unwrap();
            let mut expected = request;
            expected["model"] = json!("theirs");
            for gone in ["provider", "usage", "session_id", "transforms"] {
                expected.as_object_mut().unwrap().remove(gone);
            }
            if stream {
                expected["stream_options"] = json!({"include_usage": true});
            }
            prop_assert_eq!(body, expected);
        }
    }
}

#[test]
fn chunks_pass_but_for_our_marks() {
    let chunk = r#"{ "id":"c1", "created":5,"model" : "theirs","object":"chat.completion.chunk", "x":{"b":1,"a":1.0e5},"choices":[{"delta":{"content":"\u00e9\/", "role":"assistant"},"index":0,"finish_reason":null,"logprobs":null}],"obfuscation":"abc","usage":null,"system_fingerprint":null}"#;
    let expected = r#"data: { "id":"gen-1", "created":5,"model" : "author/model","object":"chat.completion.chunk", "x":{"b":1,"a":1.0e5},"choices":[{"delta":{"content":"\u00e9\/", "role":"assistant"},"index":0,"finish_reason":null,"logprobs":null}],"provider":"Acme AI"}"#;
    let played = played(&[chunk, STOP, "[DONE]"]);
    assert_eq!(played.out.split("\n\n").next().unwrap(), expected);
}

#[test]
fn the_end_of_a_stream_has_usage_and_cost() {
    let played = played(&[DELTA, STOP, USAGE, "[DONE]"]);
    let chunks = played.chunks();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[1]["choices"][0]["native_finish_reason"], "stop");
    let last = &chunks[2];
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["id"], "gen-1");
    assert_eq!(
        last["usage"],
        json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "cost": 0.00002, "is_byok": false,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
            "cost_details": {
                "upstream_inference_cost": 0.00002,
                "upstream_inference_prompt_cost": 0.00001,
                "upstream_inference_completions_cost": 0.00001,
            },
        })
    );
}

#[test]
fn openais_habit_is_to_send_usage_when_asked() {
    let openai_surface = Fixture {
        surface: Surface::OpenAi,
        ..openai()
    };
    let body = data(&[DELTA, STOP, USAGE, "[DONE]"]);
    let unasked = openai_surface.play(STREAM, body.as_bytes(), usize::MAX);
    assert_eq!(unasked.chunks().len(), 2);
    assert!(!unasked.out.contains("usage"));
    let asked = STREAM.replace("}],", r#"}],"stream_options":{"include_usage":true},"#);
    let asked = openai_surface.play(&asked, body.as_bytes(), usize::MAX);
    assert_eq!(asked.chunks()[2]["usage"]["total_tokens"], 15);
    let explained = Fixture {
        explain: Some(json!({"why": 1})),
        ..openai_surface
    };
    let explained = explained.play(STREAM, body.as_bytes(), usize::MAX);
    assert_eq!(explained.chunks()[2]["godwit_explain"]["why"], 1);
    assert_eq!(explained.chunks()[2].get("usage"), None);
}

#[test]
fn a_failure_has_its_class_before_and_after_the_first_content() {
    let overloaded = r#"{"error":{"message":"Overloaded","type":"overloaded_error"}}"#;
    let check = |chunks: &[&str], reason: &str, status: u16, owed: bool| {
        let played = played(chunks);
        let failure = played.failure.as_ref().unwrap();
        let got = (failure.reason, failure.status, played.owed);
        assert_eq!(got, (reason, status, owed), "{chunks:?}");
        assert!(!played.out.contains("[DONE]"), "{chunks:?}");
    };
    check(&[overloaded], "overloaded", 529, false);
    check(&[DELTA, overloaded], "overloaded", 529, true);
    check(&[DELTA], "truncated", 502, true);
    check(&[], "empty", 502, false);
    check(&["[DONE]"], "empty", 502, false);
    check(&["not json"], "garbage", 502, false);
    check(&["[1,2]"], "garbage", 502, false);
    check(
        &[DELTA, r#"{"choices":[{"delta":{"content":"x"}"#],
        "garbage",
        502,
        true,
    );
    let gave_up = STOP.replace("\"stop\"", "\"insufficient_system_resource\"");
    check(&[DELTA, &gave_up], "finish_error", 502, true);
    let event = format!("event: error\ndata: {overloaded}\n\n");
    let played = openai().play(STREAM, event.as_bytes(), usize::MAX);
    assert_eq!(played.reason(), "overloaded");
}

#[test]
fn a_body_is_known_by_its_first_byte() {
    let check = |body: &str, reason: &str| {
        let played = openai().play(STREAM, body.as_bytes(), 3);
        assert_eq!(played.reason(), reason, "{body}");
        played
    };
    check("<html></html>", "garbage");
    check("  \n ", "empty");
    check("upstream connect error", "empty");
    let error = r#"{"error":{"message":"slow down","code":429}}"#;
    assert_eq!(
        check(error, "rate_limited").failure.unwrap().fault,
        Fault::Provider
    );
    check("{\"a\":1}", "garbage");
    check("{\"a\":", "garbage");
    let whole = r#"{"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let played = check(whole, "");
    let chunks = played.chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"]["content"], "hi");
    assert_eq!(
        chunks[0]["choices"][0]["delta"]["tool_calls"][0]["index"],
        0
    );
    assert_eq!(chunks[0]["object"], "chat.completion.chunk");
    assert_eq!(played.usage.unwrap().completion, 2);
}

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
    assert_eq!(out.matches("https://a").count(), 1, "{out}");
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

proptest! {
    #[test]
    fn cuts_make_no_difference(
        contents in prop::collection::vec(any::<String>(), 1..6),
        end in prop_oneof![Just("\n\n"), Just("\r\n\r\n"), Just("\r\r")],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut body = String::from(": hello\n\n");
        for content in &contents {
            let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]});
            body.push_str(&format!("data: {chunk}{end}"));
        }
        body.push_str(&data(&[STOP, USAGE, "[DONE]"]));
        let bytes = body.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|w| &bytes[w[0]..w[1]]);
        let cut = openai().play_pieces(STREAM, pieces);
        let whole = openai().play(STREAM, bytes, usize::MAX);
        prop_assert_eq!(&cut.out, &whole.out);
        let said: String = whole.chunks().iter().map(|chunk| {
            chunk["choices"][0]["delta"]["content"].as_str().unwrap_or("").to_owned()
        }).collect();
        prop_assert_eq!(said, contents.concat());
    }

    #[test]
    fn no_input_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
        openai().play(STREAM, &body, 7);
        openai().play(WHOLE, &body, 7);
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&body);
        openai().play(STREAM, &event, 50);
    }
}

#[test]
fn usage_is_told_in_one_place_only() {
    let last = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":2}}}"#;
    let played = played(&[DELTA, last]);
    let chunks = played.chunks();
    let holder = chunks.iter().find_map(|chunk| chunk.get("x_groq"));
    assert_eq!(holder, Some(&serde_json::json!({"id": "r"})));
    let told = chunks
        .iter()
        .filter(|chunk| chunk.to_string().contains("prompt_tokens\""));
    assert_eq!(told.count(), 1);
    assert_eq!(played.usage.unwrap().prompt, 3);
}
