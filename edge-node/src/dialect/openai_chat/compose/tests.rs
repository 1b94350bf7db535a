use crate::dialect::fixture::Fixture;
use crate::dialect::openai_chat::composed;
use crate::failure::Failure;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter, Quirk};

fn openai() -> Fixture {
    Fixture::new(Dialect::OpenaiChat)
}

fn sent(fixture: &Fixture, request: &Value) -> Result<Value, Failure> {
    let mut request = request.clone();
    request["model"] = json!("a/b");
    let call = fixture.call(&request.to_string());
    let (body, _) = fixture.with_target(|target| composed(&call, target))?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn messages(fixture: &Fixture, messages: &Value) -> Value {
    sent(fixture, &json!({ "messages": messages })).unwrap()["messages"].clone()
}

#[test]
fn everything_that_is_said_is_said_again() {
    let request = json!({
        "messages": [
            {"role": "developer", "content": "d"},
            {"role": "user", "name": "u", "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "https://v"}},
                {"type": "file", "file": {"filename": "n", "file_data": "data:a/b;base64,QQ=="}},
                {"type": "file", "file": {"filename": "n", "file_id": "f1"}},
            ]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false, "temperature": 0.5, "seed": 7, "top_logprobs": 2, "logprobs": true,
        "stop": ["a"], "user": "me", "prompt_cache_key": "k", "max_tokens": 9, "n": 2,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
        "stream": true, "stream_options": {"include_usage": true},
    });
    let mut expected = request.clone();
    expected["model"] = json!("theirs");
    assert_eq!(sent(&openai(), &request).unwrap(), expected);
}

#[test]
fn quirks_and_unknown_parameters_are_honoured() {
    let request = json!({
        "messages": [{"role": "developer", "content": "d"}],
        "max_tokens": 9, "temperature": 1, "seed": 3, "stream": true, "metadata": {"a": "b"},
    });
    let quirks = [
        Quirk::NoDeveloperRole,
        Quirk::MaxCompletionTokens,
        Quirk::NoStreamOptions,
    ];
    let mut fixture = openai().quirks(&quirks).supporting(&[Parameter::Seed]);
    fixture.clamp = Some(5);
    let expected = json!({
        "model": "theirs", "messages": [{"role": "system", "content": "d"}],
        "max_completion_tokens": 5, "seed": 3, "stream": true,
    });
    assert_eq!(sent(&fixture, &request).unwrap(), expected);
}

#[test]
fn turns_of_the_model_are_one_message_and_results_are_text() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"n\": 1.0}"}});
    let image = json!({"type": "image_url", "image_url": {"url": "data:a/b;base64,QQ=="}});
    let history = json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b", "tool_calls": [call("1")]},
        {"role": "assistant", "content": null, "tool_calls": [call("2")]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r"}, image]},
        {"role": "tool", "tool_call_id": "2", "content": ""},
        {"role": "user", "content": "z"},
    ]);
    assert_eq!(
        messages(&openai(), &history),
        json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "ab", "tool_calls": [call("1"), call("2")]},
            {"role": "tool", "tool_call_id": "1", "content": "r"},
            {"role": "tool", "tool_call_id": "2", "content": ""},
            {"role": "user", "content": [image]},
            {"role": "user", "content": "z"},
        ])
    );
}

#[test]
fn thoughts_go_back_where_the_provider_wants_them() {
    let detail = json!({"type": "reasoning.text", "text": "hm", "signature": "s", "format": "f", "index": 0});
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let history = json!([
        {"role": "assistant", "content": "a", "tool_calls": [call], "reasoning_details": [detail]},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "assistant", "content": "b", "reasoning": "said"},
        {"role": "user", "content": "z"},
    ]);
    let plain = messages(&openai(), &history).to_string();
    assert!(!plain.contains("reasoning"), "{plain}");
    let back = messages(&openai().quirks(&[Quirk::ReasoningContentBack]), &history);
    assert_eq!(back[0]["reasoning_content"], "hm");
    assert_eq!(back[2].get("reasoning_content"), None);
    let details = messages(&openai().quirks(&[Quirk::ReasoningDetails]), &history);
    assert_eq!(details[0]["reasoning_details"], json!([detail]));
}

#[test]
fn cache_marks_go_only_where_they_are_known() {
    let mark = json!({"type": "ephemeral"});
    let text = json!([{"type": "text", "text": "t", "cache_control": mark}]);
    let history = json!([{"role": "user", "content": text}, {"role": "assistant", "content": text}, {"role": "user", "content": "z"}]);
    let plain = messages(&openai(), &history);
    assert_eq!(plain[0]["content"], "t");
    assert_eq!(plain[1]["content"], "t");
    let marked = messages(&openai().quirks(&[Quirk::CacheControl]), &history);
    assert_eq!(marked[0]["content"], text);
    assert_eq!(marked[1]["content"], text);
}

#[test]
fn what_hosts_refuse_of_messages_is_left_out() {
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let history = json!([
        {"role": "user", "content": "q", "name": "u"},
        {"role": "assistant", "content": "a", "name": "m", "reasoning": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "r", "name": "f"},
        {"role": "assistant", "content": "b", "reasoning_details": [
            {"type": "reasoning.summary", "summary": "so", "format": "f", "index": 0}]},
        {"role": "user", "content": "z"},
    ]);
    let plain = messages(&openai(), &history);
    let names = |messages: &Value| -> Vec<Value> {
        let all = messages.as_array().unwrap().iter();
        all.filter_map(|one| one.get("name").cloned()).collect()
    };
    assert_eq!(names(&plain), ["u", "m", "f"]);
    let unnamed = messages(&openai().quirks(&[Quirk::NoNames]), &history);
    assert_eq!(names(&unnamed), [Value::Null; 0]);
    assert_eq!(unnamed[0], json!({"role": "user", "content": "q"}));
    let back = messages(&openai().quirks(&[Quirk::ReasoningBack]), &history);
    assert_eq!(
        (&back[1]["reasoning"], &back[3]["reasoning"]),
        (&json!("hm"), &json!("so"))
    );
    for turn in back.as_array().unwrap() {
        let other = ["reasoning_content", "reasoning_details"];
        assert!(other.iter().all(|name| turn.get(name).is_none()), "{turn}");
    }
    assert_eq!(back[0].get("reasoning"), None);
}

#[test]
fn a_space_stands_for_thoughts_that_are_lost() {
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let turn = |thought: Value| {
        let history = json!([
            {"role": "assistant", "content": null, "tool_calls": [call], "reasoning_content": thought},
            {"role": "tool", "tool_call_id": "1", "content": "r"},
        ]);
        let quirks = [Quirk::ReasoningContentBack, Quirk::ReasoningContentFilled];
        messages(&openai().quirks(&quirks), &history)[0]["reasoning_content"].clone()
    };
    assert_eq!(turn(Value::Null), " ");
    assert_eq!(turn(json!("")), " ");
    assert_eq!(turn(json!("hm")), "hm");
}
