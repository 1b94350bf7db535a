use crate::dialect::fixture::Fixture;
use crate::failure::Failure;
use crate::ingress::{Api, Call, Surface, parse};
use http::HeaderMap;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Modality, Parameter};

fn call(body: &Value) -> Result<Call, Failure> {
    let mut body = body.clone();
    body["model"] = json!("a/b");
    let body = body.to_string().into();
    parse(Api::Responses, Surface::OpenRouter, &HeaderMap::new(), body)
}

fn sent(body: &Value) -> Value {
    let mut body = body.clone();
    body["model"] = json!("a/b");
    let fixture = Fixture::new(Dialect::OpenaiChat).api(Api::Responses);
    serde_json::from_str(&fixture.body(&body.to_string()).unwrap()).unwrap()
}

#[test]
fn routing_learns_what_it_needs() {
    let call = call(&json!({
        "models": ["c/d"], "provider": {"only": ["acme"]}, "max_output_tokens": 50, "stream": true,
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["message.output_text.logprobs"],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_id": "f"}]},
        ],
    }))
    .unwrap();
    assert!(call.stream && call.demand.needs_tools);
    assert_eq!((call.max_tokens, call.n), (Some(50), 1));
    assert_eq!(call.demand.fallback_models, ["c/d"]);
    assert!(call.demand.prompt_tokens >= 2000);
    let input = &call.demand.input;
    assert!(input.contains(&Modality::Image) && input.contains(&Modality::File));
    for parameter in [
        Parameter::MaxTokens,
        Parameter::Reasoning,
        Parameter::Logprobs,
        Parameter::StructuredOutputs,
        Parameter::Verbosity,
        Parameter::Tools,
    ] {
        assert!(call.demand.parameters.contains(&parameter), "{parameter}");
    }
}

#[test]
fn what_would_have_to_be_kept_is_refused_by_name() {
    let check = |member: &str, value: Value, place: &str| {
        let mut body = json!({"input": "x"});
        body[member] = value;
        let failure = call(&body).unwrap_err();
        assert_eq!(
            (failure.status, failure.param.as_deref()),
            (400, Some(place))
        );
        assert!(failure.message.contains(place), "{}", failure.message);
    };
    check("store", json!(true), "store");
    check("background", json!(true), "background");
    check(
        "previous_response_id",
        json!("resp_1"),
        "previous_response_id",
    );
    check("conversation", json!("conv_1"), "conversation");
    check("prompt", json!({"id": "p"}), "prompt");
    check("n", json!(2), "n");
    check("input", json!([]), "input");
    check(
        "input",
        json!([{"type": "item_reference", "id": "msg_1"}]),
        "input[0]",
    );
    check(
        "input",
        json!([{"role": "tool", "content": "x"}]),
        "input[0].role",
    );
    check("input", json!([{"role": "user"}]), "input[0].content");
    check("input", json!([{"id": "x"}]), "input[0].type");
    check(
        "input",
        json!([{"role": "user", "content": [{"text": "x"}]}]),
        "input[0].content[0]",
    );
    let ours = json!([{ "type": "openrouter:web_search" }]);
    check("tools", ours, "tools[0].type");
    let fine = json!({
        "input": "x", "store": false, "background": false, "previous_response_id": null,
        "conversation": null, "prompt": null, "tools": [], "n": 1,
    });
    assert!(call(&fine).is_ok());
    let twice = r#"{"model":"a/b","input":[{"role":"user","role":"user","content":"x"}]}"#;
    let twice = parse(
        Api::Responses,
        Surface::OpenAi,
        &HeaderMap::new(),
        twice.into(),
    );
    assert_eq!(twice.unwrap_err().param.as_deref(), Some("input[0].role"));
}

#[test]
fn items_become_a_conversation() {
    let body = sent(&json!({
        "instructions": "be terse",
        "input": [
            {"role": "developer", "content": "d"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "t"},
                {"type": "input_image", "image_url": "https://x", "detail": "high"},
                {"type": "input_file", "filename": "f", "file_data": "data:a/b;base64,QQ=="},
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
                {"type": "input_video", "video_url": "https://v"},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA"},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "said", "annotations": []},
                {"type": "refusal", "refusal": "not"},
            ]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
            {"role": "user", "content": "and?"},
        ],
    }));
    let expected = json!([
        {"role": "system", "content": "be terse"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [
            {"type": "text", "text": "t"},
            {"type": "image_url", "image_url": {"url": "https://x", "detail": "high"}},
            {"type": "file", "file": {"filename": "f", "file_data": "data:a/b;base64,QQ=="}},
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            {"type": "video_url", "video_url": {"url": "https://v"}},
        ]},
        {"role": "assistant", "content": "said", "refusal": "not", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "user", "content": "and?"},
    ]);
    assert_eq!(body["messages"], expected);
}

#[test]
fn settings_find_their_words() {
    let body = sent(&json!({
        "input": "hi", "stream": true, "max_output_tokens": 9, "temperature": 1.0, "top_logprobs": 2,
        "parallel_tool_calls": true, "user": "u",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": true}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}],
        "tool_choice": {"type": "function", "name": "f"}, "reasoning": {"effort": "low"},
    }));
    let expected = json!({
        "model": "theirs", "messages": [{"role": "user", "content": "hi"}], "stream": true,
        "stream_options": {"include_usage": true}, "max_tokens": 9, "temperature": 1.0,
        "top_logprobs": 2, "logprobs": true, "parallel_tool_calls": true, "user": "u", "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": true}},
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "reasoning_effort": "low",
    });
    assert_eq!(body, expected);
}

#[test]
fn what_only_this_dialect_says_is_refused_to_others() {
    let check = |body: Value, place: &str| {
        let mut body = body;
        body["model"] = json!("a/b");
        let chat = Fixture::new(Dialect::OpenaiChat).api(Api::Responses);
        let failure = chat.body(&body.to_string()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some(place));
        let own = Fixture::new(Dialect::OpenaiResponses).api(Api::Responses);
        assert!(own.body(&body.to_string()).is_ok());
    };
    check(
        json!({"input": [{"type": "mcp_call", "id": "c", "name": "f"}]}),
        "input[0].type",
    );
    check(
        json!({"input": "x", "tool_choice": {"type": "mcp"}}),
        "tool_choice",
    );
}
