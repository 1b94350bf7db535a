use crate::dialect::fixture::{Fixture, Played, data};
use crate::failure::Retry;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter};

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;

fn mistral() -> Fixture {
    Fixture::new(Dialect::MistralChat)
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

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        r#"{{"id":"i","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}],"p":"abc"}}"#
    )
}

fn played(list: &[&str]) -> Played {
    mistral().play(STREAM, data(list).as_bytes(), usize::MAX)
}

#[test]
fn only_what_is_known_is_sent() {
    let request = json!({
        "temperature": 2, "top_p": 0.9, "top_k": 5, "seed": 7, "logprobs": true, "user": "u",
        "logit_bias": {}, "frequency_penalty": 0.5, "max_completion_tokens": 9, "n": 2,
        "stop": "END", "stream": true, "stream_options": {"include_usage": true},
        "prompt_cache_key": "k", "parallel_tool_calls": false, "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "f", "strict": false}}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}, "strict": true}},
        "unknown": 1,
    });
    assert_eq!(
        sent(&mistral(), &request),
        json!({
            "model": "theirs", "messages": [{"role": "user", "content": "q"}], "max_tokens": 9,
            "temperature": 1.5, "top_p": 0.9, "random_seed": 7, "frequency_penalty": 0.5,
            "stop": ["END"],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
            "tool_choice": "any", "parallel_tool_calls": false,
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": true}},
            "n": 2, "prompt_cache_key": "k", "stream": true,
        })
    );
}

#[test]
fn foreign_ids_become_nine_letters_both_ways() {
    let body = sent(
        &mistral(),
        &json!({"messages": [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "toolu_01ABC", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "VzeppoSaq", "type": "function", "function": {"name": "g", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "toolu_01ABC", "content": "1"},
            {"role": "tool", "tool_call_id": "VzeppoSaq", "content": "2"},
        ]}),
    );
    let messages = &body["messages"];
    assert_eq!(messages[0]["role"], "system");
    let calls = &messages[2]["tool_calls"];
    let id = calls[0]["id"].as_str().unwrap();
    assert_eq!(id.len(), 9);
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(messages[3]["tool_call_id"], id);
    assert_eq!(messages[3]["name"], "f");
    assert_eq!(calls[1]["id"], "VzeppoSaq");
    assert_eq!(messages[4]["tool_call_id"], "VzeppoSaq");
    assert_eq!(messages[2].get("prefix"), None);
}

#[test]
fn ids_stay_what_they_are_and_apart() {
    let names: Vec<String> = (0..100).map(|n| format!("call_1_{n}")).collect();
    let calls: Vec<Value> = names
        .iter()
        .map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}))
        .collect();
    let mut history = vec![
        json!({"role": "user", "content": "q"}),
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
    ];
    history.extend(
        names
            .iter()
            .map(|id| json!({"role": "tool", "tool_call_id": id, "content": "1"})),
    );
    let ids = || -> Vec<String> {
        let body = sent(&mistral(), &json!({"messages": history}));
        let of = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let messages = body["messages"].as_array().unwrap();
        let calls = messages[1]["tool_calls"].as_array().unwrap();
        let ids: Vec<String> = calls.iter().map(|call| of(call, "id")).collect();
        let answered: Vec<String> = messages[2..]
            .iter()
            .map(|result| of(result, "tool_call_id"))
            .collect();
        assert_eq!(answered, ids);
        ids
    };
    let first = ids();
    assert_eq!(first, ids());
    let different: std::collections::BTreeSet<&String> = first.iter().collect();
    assert_eq!(different.len(), 100);
    assert!(first.iter().all(|id| id.len() == 9));
}

#[test]
fn messages_of_every_kind() {
    let messages = json!([
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
        ]},
        {"role": "assistant", "content": "so", "reasoning": "Hm"},
    ]);
    let request = json!({"messages": messages});
    let body = sent(&mistral(), &request);
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "document_url", "document_url": "data:application/pdf;base64,QQ==", "document_name": "a.pdf"},
                {"type": "input_audio", "input_audio": "QQ=="},
            ]},
            {"role": "assistant", "content": "so", "prefix": true},
        ])
    );
    let thinker = mistral().supporting(&[Parameter::Reasoning]);
    assert_eq!(
        sent(&thinker, &request)["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
            {"type": "text", "text": "so"},
        ])
    );
    let film = json!({"type": "video_url", "video_url": {"url": "https://x/y.mp4"}});
    let request = json!({"messages": [{"role": "user", "content": [film]}]});
    let failure = mistral().body(&asked(&request)).unwrap_err();
    assert_eq!(failure.retry, Retry::OtherEndpoint);
    assert_eq!(failure.param.as_deref(), Some("messages[0].content[0]"));
}

#[test]
fn efforts_are_high_none_or_a_mode() {
    let of = |model: &str, effort: &str| {
        let mut fixture = mistral();
        model.clone_into(&mut fixture.endpoint.provider_model);
        let body = sent(&fixture, &json!({"reasoning": {"effort": effort}}));
        (
            body["reasoning_effort"].clone(),
            body["prompt_mode"].clone(),
        )
    };
    let none = Value::Null;
    assert_eq!(of("mistral-small", "low"), (json!("high"), none.clone()));
    assert_eq!(of("mistral-small", "none"), (json!("none"), none.clone()));
    assert_eq!(
        of("magistral-medium", "high"),
        (none.clone(), json!("reasoning"))
    );
    assert_eq!(of("magistral-medium", "none"), (none.clone(), none));
}

#[test]
fn content_in_parts_is_reasoning_and_text() {
    let thinking = r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}],"closed":true},{"type":"text","text":"1"}]}"#;
    let got = played(&[
        &chunk(r#"{"role":"assistant","content":""}"#, "null"),
        &chunk(thinking, "null"),
        &chunk(r#"{"content":"44"}"#, "\"model_length\""),
        r#"{"choices":[],"usage":{"prompt_tokens":31,"completion_tokens":66,"num_cached_tokens":8}}"#,
        "[DONE]",
    ]);
    let chunks = got.chunks();
    let all = |name: &str| -> String {
        let pieces = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["delta"][name]);
        pieces.filter_map(Value::as_str).collect()
    };
    assert_eq!(
        (all("reasoning"), all("content")),
        ("Hm".into(), "144".into())
    );
    assert_eq!(got.usage.unwrap().cache_read, 8);
    let ends = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["finish_reason"]);
    let ends: Vec<&str> = ends.filter_map(Value::as_str).collect();
    assert_eq!(ends, ["length"]);
}

#[test]
fn calls_need_no_index_and_no_type() {
    let calls = r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{\"x\":1}"}}]}"#;
    let got = played(&[&chunk(calls, "\"tool_calls\""), "[DONE]"]);
    let chunks = got.chunks();
    let opened: Vec<(&Value, &Value)> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| call["id"].is_string())
        .map(|call| (&call["index"], &call["id"]))
        .collect();
    assert_eq!(opened, [(&json!(0), &json!("a")), (&json!(1), &json!("b"))]);
}

#[test]
fn errors_inside_an_answer_are_seen() {
    let error = r#"{"object":"error","message":"Service tier capacity exceeded","type":"service_tier_capacity_exceeded","param":null,"code":"3505","raw_status_code":429}"#;
    assert_eq!(played(&[error]).reason(), "rate_limited");
    let text = chunk(r#"{"content":"a"}"#, "null");
    assert_eq!(played(&[&text, error]).reason(), "rate_limited");
    assert_eq!(
        mistral().play(WHOLE, error.as_bytes(), 9).reason(),
        "rate_limited"
    );
    assert_eq!(
        mistral().play(STREAM, error.as_bytes(), 9).reason(),
        "rate_limited"
    );
    assert_eq!(played(&[&text]).reason(), "truncated");
    assert_eq!(
        played(&[&chunk(r#"{"content":"a"}"#, "\"error\"")]).reason(),
        "finish_error"
    );
}

proptest! {
    #[test]
    fn no_cut_and_no_broken_byte_changes_or_breaks_the_reader(
        size in 1usize..40,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let thinking = r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"é😀"}]},{"type":"text","text":"1"}]}"#;
        let answer = data(&[
            &chunk(thinking, "null"),
            &chunk(r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}"#, "\"tool_calls\""),
            "[DONE]",
        ]);
        let whole = mistral().play(STREAM, answer.as_bytes(), usize::MAX);
        prop_assert!(whole.failure.is_none());
        prop_assert_eq!(&whole.out, &mistral().play(STREAM, answer.as_bytes(), size).out);
        let mut broken = answer.into_bytes();
        let at = at.index(broken.len());
        broken[at] = byte;
        mistral().play(STREAM, &broken, size);
    }
}
