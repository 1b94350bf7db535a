use crate::dialect::fixture::{Fixture, Played, data};
use crate::failure::{Fault, Retry};
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter};

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

mod requests {
    use super::*;

    fn sent(fixture: &Fixture, request: &Value) -> Value {
        let mut request = request.clone();
        request["model"] = json!("a/b");
        serde_json::from_str(&fixture.body(&request.to_string()).unwrap()).unwrap()
    }

    fn messages(messages: &Value) -> Value {
        sent(&anthropic(), &json!({ "messages": messages }))
    }

    #[test]
    fn the_least_request() {
        let body = messages(&json!([{"role": "user", "content": "hi"}]));
        assert_eq!(
            body,
            json!({
                "model": "theirs", "max_tokens": 4096,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            })
        );
    }

    #[test]
    fn systems_stand_apart_and_neighbours_are_merged() {
        let body = messages(&json!([
            {"role": "system", "content": "a"},
            {"role": "user", "content": "b"},
            {"role": "user", "content": [{"type": "text", "text": "c", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": " "}]},
            {"role": "developer", "content": "d"},
            {"role": "assistant", "content": "e \n"},
        ]));
        assert_eq!(
            body["system"],
            json!([{"type": "text", "text": "a"}, {"type": "text", "text": "d"}])
        );
        assert_eq!(
            body["messages"],
            json!([
                {"role": "user", "content": [
                    {"type": "text", "text": "b"},
                    {"type": "text", "text": "c", "cache_control": {"type": "ephemeral"}},
                ]},
                {"role": "assistant", "content": [{"type": "text", "text": "e"}]},
            ])
        );
    }

    #[test]
    fn results_of_one_turn_are_one_message_before_any_text() {
        let body = messages(&json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{\"n\": 12345678901234567890123}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": "one"},
            {"role": "user", "content": "and"},
            {"role": "tool", "tool_call_id": "b", "content": ""},
        ]));
        assert_eq!(
            body["messages"][2],
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "functions_f_0", "content": [{"type": "text", "text": "one"}]},
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "text", "text": "and"},
            ]})
        );
        // Tools that the history uses must be declared.
        let names: Vec<&Value> = body["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| &t["name"])
            .collect();
        assert_eq!(names, ["f", "g"]);
        assert_eq!(body["tool_choice"], json!({"type": "none"}));
    }

    #[test]
    fn arguments_keep_their_digits() {
        let request = r#"{"model":"a/b","messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"n\": 12345678901234567890123, \"b\":1,\"a\":2}"}}]}]}"#;
        let body = anthropic().body(request).unwrap();
        assert!(
            body.contains(r#""input":{"n": 12345678901234567890123, "b":1,"a":2}"#),
            "{body}"
        );
    }

    #[test]
    fn tools_and_choices_are_translated() {
        let with = |choice: Value, parallel: Value| {
            sent(
                &anthropic(),
                &json!({
                    "messages": [{"role": "user", "content": "q"}],
                    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true, "parameters": {"type": "object"}}}],
                    "tool_choice": choice, "parallel_tool_calls": parallel,
                }),
            )
        };
        let body = with(Value::Null, Value::Null);
        assert_eq!(
            body["tools"],
            json!([{"name": "f", "description": "d", "input_schema": {"type": "object"}}])
        );
        assert_eq!(body.get("tool_choice"), None);
        let choice = |choice, parallel| with(choice, parallel)["tool_choice"].clone();
        assert_eq!(choice(json!("auto"), Value::Null), json!({"type": "auto"}));
        assert_eq!(
            choice(json!("required"), Value::Null),
            json!({"type": "any"})
        );
        assert_eq!(choice(json!("none"), json!(false)), json!({"type": "none"}));
        assert_eq!(
            choice(
                json!({"type": "function", "function": {"name": "f"}}),
                json!(true)
            ),
            json!({"type": "tool", "name": "f"})
        );
        assert_eq!(
            choice(Value::Null, json!(false)),
            json!({"type": "auto", "disable_parallel_tool_use": true})
        );
    }

    #[test]
    fn pictures_and_documents_come_by_url_or_inline() {
        let body = messages(&json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
        ]}]));
        assert_eq!(
            body["messages"][0]["content"],
            json!([
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"},
            ])
        );
    }

    #[test]
    fn parameters_fit_or_go() {
        let body = sent(
            &anthropic(),
            &json!({
                "messages": [{"role": "user", "content": "q"}],
                "temperature": 1.7, "top_p": 1, "top_k": 40, "stop": ["END", " "], "user": "u", "seed": 1,
                "logit_bias": {}, "max_completion_tokens": 77, "stream": true,
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            }),
        );
        assert_eq!(
            body,
            json!({
                "model": "theirs", "max_tokens": 77,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}],
                "stop_sequences": ["END"], "temperature": 1, "top_k": 40,
                "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
                "metadata": {"user_id": "u"}, "stream": true,
            })
        );
        let fixture = anthropic().supporting(&[Parameter::Stop]);
        let body = sent(
            &fixture,
            &json!({"messages": [{"role": "user", "content": "q"}], "temperature": 1}),
        );
        assert_eq!(body.get("temperature"), None);
    }

    #[test]
    fn max_tokens_is_what_may_be_asked_for() {
        let of = |most: Option<u64>, clamp: Option<u64>, wish: Value| {
            let mut fixture = anthropic();
            fixture.endpoint.max_completion_tokens = most;
            fixture.clamp = clamp;
            let request =
                json!({"messages": [{"role": "user", "content": "q"}], "max_tokens": wish});
            sent(&fixture, &request)["max_tokens"].as_u64().unwrap()
        };
        assert_eq!(of(None, None, Value::Null), 4096);
        assert_eq!(of(Some(8000), None, Value::Null), 8000);
        assert_eq!(of(Some(8000), Some(100), Value::Null), 100);
        assert_eq!(of(Some(8000), None, json!(90_000)), 8000);
        assert_eq!(of(Some(8000), None, json!(5)), 5);
    }

    #[test]
    fn thinking_is_budgeted_adaptive_or_off() {
        let of = |fixture: &Fixture, reasoning: Value, more: Value| {
            let mut request = json!({"messages": [{"role": "user", "content": "q"}], "reasoning": reasoning, "max_tokens": 10_000, "temperature": 0});
            for (name, value) in more.as_object().unwrap() {
                request[name] = value.clone();
            }
            let body = sent(fixture, &request);
            (body["thinking"].clone(), body.get("temperature").is_some())
        };
        let enabled = |tokens: u64| (json!({"type": "enabled", "budget_tokens": tokens}), false);
        let plain = anthropic();
        let none = json!({});
        assert_eq!(
            of(&plain, json!({"effort": "high"}), none.clone()),
            enabled(8000)
        );
        assert_eq!(
            of(&plain, json!({"effort": "minimal"}), none.clone()),
            enabled(1024)
        );
        assert_eq!(
            of(&plain, json!({"max_tokens": 3000}), none.clone()),
            enabled(3000)
        );
        assert_eq!(
            of(&plain, json!({"max_tokens": 30_000}), none.clone()),
            enabled(9999)
        );
        assert_eq!(
            of(&plain, json!({"effort": "none"}), none.clone()).0,
            json!({"type": "disabled"})
        );
        assert_eq!(
            of(
                &plain,
                json!({"effort": "high"}),
                json!({"max_tokens": 800})
            )
            .0,
            Value::Null
        );
        assert_eq!(
            of(
                &plain,
                json!({"effort": "high"}),
                json!({"tool_choice": "required"})
            )
            .0,
            Value::Null
        );
        let lost = json!({"messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "r"},
        ]});
        assert_eq!(of(&plain, json!({"effort": "high"}), lost).0, Value::Null);
        let adaptive = anthropic().supporting(&[Parameter::Reasoning, Parameter::ReasoningEffort]);
        assert_eq!(
            of(&adaptive, json!({"effort": "high"}), none.clone()).0,
            json!({"type": "adaptive"})
        );
        let unable = anthropic().supporting(&[Parameter::Temperature]);
        assert_eq!(
            of(&unable, json!({"effort": "high"}), none),
            (Value::Null, true)
        );
    }

    #[test]
    fn thoughts_go_back_unchanged_and_first() {
        let body = messages(&json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "t", "reasoning_details": [
                {"type": "reasoning.text", "text": "a ", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.text", "text": "b", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.text", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.encrypted", "data": "xyz", "format": "anthropic-claude-v1", "index": 1},
                {"type": "reasoning.encrypted", "data": "foreign", "format": "google-gemini-v1"},
            ]},
            {"role": "user", "content": "r"},
        ]));
        assert_eq!(
            body["messages"][1]["content"],
            json!([
                {"type": "thinking", "thinking": "a b", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "t"},
            ])
        );
    }

    #[test]
    fn a_turn_that_called_tools_begins_with_its_thoughts() {
        let body = messages(&json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "t", "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ], "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "sig+/=", "format": "anthropic-claude-v1", "index": 0},
            ]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "r"},
        ]));
        assert_eq!(
            body["messages"][1]["content"],
            json!([
                {"type": "thinking", "thinking": "hm", "signature": "sig+/="},
                {"type": "text", "text": "t"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
            ])
        );
    }

    #[test]
    fn what_only_the_clients_dialect_can_say_is_refused_by_its_place() {
        for (members, param) in [
            (r#""n":2"#, "n"),
            (r#""functions":[{"name":"f"}]"#, "functions"),
            (r#""tools":[{"type":"browser_search"}]"#, "tools[0].type"),
            (
                r#""tools":[{"type":"function","function":{}}]"#,
                "tools[0].function.name",
            ),
        ] {
            let request = WHOLE.replace("}]", &format!("}}],{members}"));
            let failure = anthropic().body(&request).unwrap_err();
            let got = (failure.fault, failure.retry, failure.param.as_deref());
            assert_eq!(
                got,
                (Fault::Caller, Retry::OtherEndpoint, Some(param)),
                "{request}"
            );
        }
        let audio = r#"{"model":"a/b","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"QQ==","format":"wav"}}]}]}"#;
        let failure = anthropic().body(audio).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("messages[0].content[0]"));
        let system = r#"{"model":"a/b","messages":[{"role":"system","content":"x"}]}"#;
        assert_eq!(
            anthropic().body(system).unwrap_err().param.as_deref(),
            Some("messages")
        );
    }
}

#[test]
fn parallel_calls_count_from_zero_whatever_stands_between() {
    let played = played(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\u00e9"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{}}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":" 1}"}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        &END.replace("end_turn", "tool_use"),
        STOP,
    ]);
    assert_eq!(
        deltas(&played),
        [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "aé"}),
            json!({"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            json!({"tool_calls": [{"index": 1, "id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 1, "function": {"arguments": "{\"x\":"}}]}),
            json!({"tool_calls": [{"index": 1, "function": {"arguments": " 1}"}}]}),
            json!({"reasoning_details": [{
                "type": "reasoning.server_tool_call", "tool_name": "web_search",
                "arguments": "{}", "tool_call_id": "s",
                "result": r#"[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]"#,
                "format": "anthropic-claude-v1", "index": 0,
            }]}),
        ]
    );
    let chunks = played.chunks();
    let end = &chunks[chunks.len() - 2]["choices"][0];
    assert_eq!(
        (&end["finish_reason"], &end["native_finish_reason"]),
        (&json!("tool_calls"), &json!("tool_use"))
    );
    assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], 15);
    assert!(!played.tool_error);
}

#[test]
fn calls_that_nobody_ends_are_whole() {
    let call = |input: &str, id: &str| {
        format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"{id}","name":"f","input":{input}}}}}"#
        )
    };
    let end = END.replace("end_turn", "tool_use");
    let told = |blocks: &[&str], ends: &[&str]| {
        let played = played(&[&[START], blocks, ends].concat());
        assert!(played.failure.is_none(), "{:?}", played.failure);
        let calls: Vec<Value> = deltas(&played)
            .iter()
            .flat_map(|delta| delta["tool_calls"].as_array().cloned().unwrap_or_default())
            .collect();
        let arguments: String = calls
            .iter()
            .filter_map(|call| call["function"]["arguments"].as_str())
            .collect();
        (calls[0]["id"].as_str().unwrap().to_owned(), arguments)
    };
    let full = call(r#"{"a":1}"#, "toolu_1");
    for ends in [&[&*end, STOP][..], &[STOP]] {
        let expected = ("toolu_1".to_owned(), r#"{"a":1}"#.to_owned());
        assert_eq!(told(&[&full], ends), expected);
        let (id, arguments) = told(&[&call("{}", "")], ends);
        assert_eq!((&*id, &*arguments), ("call_1_0", "{}"));
    }
    // The next block of the same index ends it, too.
    let text =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"x"}}"#;
    assert_eq!(told(&[&full, text], &[&end, STOP]).1, r#"{"a":1}"#);
    // Pieces stand for themselves.
    let piece = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"b\":2}"}}"#;
    let (_, arguments) = told(&[&call("{}", "t"), piece], &[&end, STOP]);
    assert_eq!(arguments, r#"{"b":2}"#);
}

#[test]
fn nothing_but_a_beginning_is_not_owed() {
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let played = played(&[START, r#"{"type":"ping"}"#, overloaded]);
    assert!(!played.owed);
    assert_eq!(played.failure.unwrap().status, 529);
}

#[test]
fn an_end_in_an_error_is_none() {
    let failed = END.replace("end_turn", "network_error");
    let text =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;
    for (list, owed) in [
        (&[START, &failed, STOP][..], false),
        (&[START, text, &failed, STOP], true),
    ] {
        let played = played(list);
        assert_eq!((played.reason(), played.owed), ("finish_error", owed));
        assert_eq!(played.usage.map(|usage| usage.completion), Some(5));
        assert_eq!(played.failure.unwrap().status, 502);
    }
}

#[test]
fn thoughts_come_as_details_that_can_go_back() {
    let list = [
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"xyz"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        END,
        STOP,
    ];
    let format = "anthropic-claude-v1";
    assert_eq!(
        deltas(&played(&list))[1..],
        [
            json!({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": format, "index": 0}]}),
            json!({"reasoning_details": [{"type": "reasoning.text", "signature": "sig", "format": format, "index": 0}]}),
            json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz", "format": format, "index": 1}]}),
        ]
    );
    let hidden = STREAM.replace("}],", r#"}],"include_reasoning":false,"#);
    let played = anthropic().play(&hidden, events(&list).as_bytes(), usize::MAX);
    assert!(!played.out.contains("reasoning\""), "{}", played.out);
    assert!(played.owed);
}

#[test]
fn sources_are_annotated_where_they_belong() {
    let played = played(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"ab"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":[]}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://x","title":"T\"","cited_text":"c"}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"c"}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"cdé"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        END,
        STOP,
    ]);
    let citation = json!({"url": "https://x", "title": "T\"", "content": "c", "start_index": 2, "end_index": 5});
    assert_eq!(
        deltas(&played).last().unwrap(),
        &json!({"annotations": [{"type": "url_citation", "url_citation": citation}]})
    );
}

#[test]
fn a_failure_has_its_class_before_and_after_the_first_content() {
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let text =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    let check = |list: &[&str], reason: &str, status: u16, owed: bool| {
        let played = played(list);
        let failure = played.failure.as_ref().unwrap();
        let got = (failure.reason, failure.status, played.owed);
        assert_eq!(got, (reason, status, owed), "{list:?}");
        assert!(!played.out.contains("[DONE]"), "{list:?}");
    };
    check(&[overloaded], "overloaded", 529, false);
    check(&[START, overloaded], "overloaded", 529, false);
    check(&[START, text, overloaded], "overloaded", 529, true);
    check(&[START, text], "truncated", 502, true);
    check(&[START], "truncated", 502, false);
    check(&[START, STOP], "empty", 502, false);
    check(&[], "empty", 502, false);
    let cut = anthropic().play(STREAM, &events(&[START, text]).as_bytes()[..150], 9);
    assert_eq!(cut.reason(), "truncated");
    assert_eq!(anthropic().play(STREAM, b"<html>", 1).reason(), "garbage");
    let rate = br#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#;
    assert_eq!(
        anthropic().play(STREAM, rate, 5).failure.unwrap().status,
        429
    );
    assert_eq!(
        anthropic().play(WHOLE, rate, 5).failure.unwrap().status,
        429
    );
}

#[test]
fn a_cut_stream_is_metered_by_what_came() {
    let text = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{}"}}}}"#,
        "a".repeat(40)
    );
    let usage = played(&[START, &text]).usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.completion, usage.estimated),
        (10, 10, true)
    );
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

#[test]
fn sources_that_the_client_gave_have_names() {
    let answer = json!({"type": "message", "id": "m", "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
    "content": [{"type": "text", "text": "x", "citations": [
        {"type": "char_location", "cited_text": "c", "document_index": 0,
            "document_title": "facts.txt", "start_char_index": 0, "end_char_index": 1},
        {"type": "page_location", "cited_text": "c", "document_index": 3,
            "document_title": null, "start_page_number": 1, "end_page_number": 2},
        {"type": "search_result_location", "cited_text": "c", "source": "https://s",
            "title": "S", "search_result_index": 0},
        {"type": "search_result_location", "cited_text": "c", "source": "kb-1",
            "title": "K", "search_result_index": 0},
    ]}]});
    let said = anthropic()
        .play(WHOLE, answer.to_string().as_bytes(), 50)
        .answer();
    let list = said["choices"][0]["message"]["annotations"].clone();
    let told: Vec<(&str, &str)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["url_citation"])
        .map(|it| (it["url"].as_str().unwrap(), it["title"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("facts.txt", "facts.txt"),
            ("document 3", "document 3"),
            ("https://s", "S"),
            ("kb-1", "K"),
        ]
    );
    assert_eq!(list[0]["url_citation"]["content"], "c");
}

#[test]
fn sources_of_what_was_said_outlive_a_break() {
    let events = [
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://a.b","title":"t","cited_text":"c","encrypted_index":"x"}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"said"}}"#,
    ];
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let fixture = Fixture::new(Dialect::AnthropicMessages);
    for rest in ["", error] {
        let mut all = events.to_vec();
        all.extend(Some(rest).filter(|rest| !rest.is_empty()));
        let played = fixture.play(STREAM, data(&all).as_bytes(), 9);
        assert!(played.failure.is_some());
        assert!(played.out.contains("https://a.b"), "{}", played.out);
    }
}
