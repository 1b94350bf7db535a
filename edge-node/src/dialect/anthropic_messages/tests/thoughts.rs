//! How hard to think, and thoughts on their way there and back.

use super::*;

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
