//! Tools with free text between client APIs and upstream dialects.

use crate::dialect::fixture::{Fixture, data};
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::Dialect;

/// Dialects that have only functions.
const FUNCTIONS: [Dialect; 6] = [
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::BedrockConverse,
    Dialect::CohereV2,
    Dialect::MistralChat,
    Dialect::OpenaiChat,
];

fn responses(stream: bool) -> String {
    json!({
        "model": "m", "stream": stream,
        "input": [
            { "role": "user", "content": "go" },
            { "type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "a\n\"b\"" },
            { "type": "custom_tool_call_output", "call_id": "c1", "output": "done" },
        ],
        "tools": [{
            "type": "custom", "name": "patch", "description": "Patches",
            "format": { "type": "grammar", "syntax": "lark", "definition": "start: \"x\"\n" },
        }],
        "tool_choice": { "type": "custom", "name": "patch" },
    })
    .to_string()
}

fn chat(stream: bool) -> String {
    json!({
        "model": "m", "stream": stream,
        "messages": [
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "custom", "custom": { "name": "patch", "input": "a\n\"b\"" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "done" },
        ],
        "tools": [{ "type": "custom", "custom": {
            "name": "patch", "description": "Patches",
            "format": {
                "type": "grammar",
                "grammar": { "syntax": "lark", "definition": "start: \"x\"\n" },
            },
        } }],
        "tool_choice": { "type": "custom", "custom": { "name": "patch" } },
    })
    .to_string()
}

#[test]
fn functions_stand_for_them_where_there_are_only_functions() {
    for dialect in FUNCTIONS {
        let mut apis = vec![(Api::Responses, responses(false))];
        if dialect != Dialect::OpenaiChat {
            apis.push((Api::Chat, chat(false)));
        }
        for (api, request) in apis {
            let body = Fixture::new(dialect).api(api).body(&request);
            let body = body.unwrap_or_else(|failure| panic!("{dialect:?} {api:?}: {failure:?}"));
            assert!(body.contains("\"patch\""), "{dialect:?}: {body}");
            let told = "which must match this grammar (lark):\\nstart: \\\"x\\\"\\n";
            assert!(body.contains(told), "{dialect:?}: {body}");
            // The argument of the call in the history, as an object or as a text.
            let plain = r#"{"input":"a\n\"b\""}"#;
            let quoted = Value::from(plain).to_string();
            assert!(
                body.contains(plain) || body.contains(&quoted),
                "{dialect:?}: {body}"
            );
            let value: Value = serde_json::from_str(&body).unwrap();
            assert!(value.is_object());
        }
    }
}

#[test]
fn the_responses_dialect_has_them() {
    let of = |body: String| serde_json::from_str::<Value>(&body).unwrap();
    let body = of(Fixture::new(Dialect::OpenaiResponses)
        .body(&chat(false))
        .unwrap());
    assert_eq!(
        body["tools"],
        json!([{
            "type": "custom", "name": "patch", "description": "Patches",
            "format": { "type": "grammar", "syntax": "lark", "definition": "start: \"x\"\n" },
        }])
    );
    assert_eq!(
        body["tool_choice"],
        json!({ "type": "custom", "name": "patch" })
    );
    assert_eq!(
        body["input"][1],
        json!({ "type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "a\n\"b\"" })
    );
    assert_eq!(
        body["input"][2],
        json!({ "type": "custom_tool_call_output", "call_id": "c1", "output": "done" })
    );
}

const CALLED: &str = r#"{"id":"r","object":"response","status":"completed","output":[{"type":"custom_tool_call","id":"ctc_1","status":"completed","call_id":"c9","name":"patch","input":"a\n\"b\""}],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}"#;

#[test]
fn whole_calls_come_in_the_clients_form() {
    let theirs = Fixture::new(Dialect::OpenaiResponses);
    let answer = theirs.play(&chat(false), CALLED.as_bytes(), 99).answer();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"]["tool_calls"],
        json!([{ "id": "c9", "type": "custom", "custom": { "name": "patch", "input": "a\n\"b\"" } }])
    );
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
    let theirs = theirs.api(Api::Messages);
    let answer = theirs.play(messages, CALLED.as_bytes(), 99).answer();
    assert_eq!(
        answer["content"],
        json!([{ "type": "tool_use", "id": "c9", "name": "patch", "input": { "input": "a\n\"b\"" } }])
    );

    let anthropic = r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"tool_use","id":"t","name":"patch","input":{"input":"a\n\"b\""}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":2}}"#;
    let fixture = Fixture::new(Dialect::AnthropicMessages);
    let answer = fixture
        .play(&chat(false), anthropic.as_bytes(), 99)
        .answer();
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        call["custom"],
        json!({ "name": "patch", "input": "a\n\"b\"" })
    );
    let fixture = fixture.api(Api::Responses);
    let answer = fixture.play(&responses(false), anthropic.as_bytes(), 99);
    let item = &answer.answer()["output"][0];
    assert_eq!(item["type"], "custom_tool_call");
    assert_eq!(item["input"], "a\n\"b\"");
    assert_eq!(item["call_id"], "t");
}

#[test]
fn streamed_calls_come_piece_by_piece() {
    let pieces = [r#"{\"inp"#, r#"ut\": \"a"#, r#"\\n\\"#, r#"\"b\"}"#];
    let mut chunks = vec![
        r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"patch","arguments":""}}]}}]}"#.to_owned(),
    ];
    chunks.extend(pieces.map(|piece| {
        format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{piece}"}}}}]}}}}]}}"#
        )
    }));
    chunks.push(
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
    );
    chunks.push("[DONE]".to_owned());
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    let stream = data(&chunks);
    let fixture = Fixture::new(Dialect::OpenaiChat).api(Api::Responses);
    for size in [1, 7, 9999] {
        let played = fixture.play(&responses(true), stream.as_bytes(), size);
        assert!(played.failure.is_none());
        let events = played.events();
        let of = |kind: &str| -> Vec<&Value> {
            let named = events.iter().filter(|event| event["type"] == kind);
            named.collect()
        };
        let deltas = of("response.custom_tool_call_input.delta");
        let text: String = deltas
            .iter()
            .map(|it| it["delta"].as_str().unwrap())
            .collect();
        assert_eq!(text, "a\n\"b");
        assert!(deltas.len() > 1);
        let done = of("response.custom_tool_call_input.done");
        assert_eq!(done[0]["input"], "a\n\"b");
        let item = &of("response.output_item.done")[0]["item"];
        assert_eq!(item["type"], "custom_tool_call");
        assert_eq!(item["input"], "a\n\"b");
        assert!(!played.tool_error);
    }
}

#[test]
fn calls_of_the_same_api_pass() {
    let stream = data(&[
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"custom","custom":{"name":"patch","input":""}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"custom":{"input":"no {json"}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ]);
    let fixture = Fixture::new(Dialect::OpenaiChat);
    let played = fixture.play(&chat(true), stream.as_bytes(), 11);
    let chunks = played.chunks();
    let calls: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!(calls.len(), 2, "{chunks:?}");
    assert_eq!(calls[1]["custom"]["input"], "no {json");
    assert_eq!(calls[1].get("function"), None);
    assert!(!played.tool_error);
    // And are read where another API is spoken.
    let fixture = fixture.api(Api::Responses);
    let played = fixture.play(&responses(true), stream.as_bytes(), 11);
    let events = played.events();
    let last = events.last().unwrap();
    assert_eq!(last["response"]["output"][0]["input"], "no {json");
}

#[test]
fn a_bad_declaration_is_named() {
    for (tool, place) in [
        (json!({ "type": "custom" }), "tools[0].name"),
        (
            json!({ "type": "custom", "name": "p", "format": { "type": "regex" } }),
            "tools[0].format.type",
        ),
    ] {
        let body = json!({ "model": "m", "input": "x", "tools": [tool] }).to_string();
        let failure = crate::ingress::parse(
            Api::Responses,
            crate::ingress::Surface::OpenAi,
            &http::HeaderMap::new(),
            body.into(),
        )
        .unwrap_err();
        assert_eq!(failure.param.as_deref(), Some(place));
    }
}
