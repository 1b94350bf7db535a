//! What is sent: turns, tools, media and parameters.

use super::*;
use crate::failure::{Fault, Retry};

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
        let request = json!({"messages": [{"role": "user", "content": "q"}], "max_tokens": wish});
        sent(&fixture, &request)["max_tokens"].as_u64().unwrap()
    };
    assert_eq!(of(None, None, Value::Null), 4096);
    assert_eq!(of(Some(8000), None, Value::Null), 8000);
    assert_eq!(of(Some(8000), Some(100), Value::Null), 100);
    assert_eq!(of(Some(8000), None, json!(90_000)), 8000);
    assert_eq!(of(Some(8000), None, json!(5)), 5);
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
