use super::{bedrock, claude, refused, sent};
use serde_json::{Value, json};

#[test]
fn messages_alternate_and_results_come_first() {
    let long = format!("functions.f:0 {}", "x".repeat(80));
    let body = sent(
        &claude(),
        &json!({"messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": "b"},
            {"role": "user", "content": [{"type": "text", "text": "c", "cache_control": {"type": "ephemeral", "ttl": "1h"}}, {"type": "text", "text": " "}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{\"n\": 1}"}},
                {"id": long, "type": "function", "function": {"name": "g", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": "one"},
            {"role": "user", "content": "and"},
            {"role": "tool", "tool_call_id": long, "content": ""},
            {"role": "assistant", "content": "e \n"},
        ]}),
    );
    assert_eq!(body["system"], json!([{"text": "a"}]));
    let messages = &body["messages"];
    assert_eq!(
        messages[0]["content"],
        json!([{"text": "b"}, {"text": "c"}, {"cachePoint": {"type": "default", "ttl": "1h"}}])
    );
    let call = &messages[1]["content"][1]["toolUse"];
    let id = call["toolUseId"].as_str().unwrap();
    assert_eq!((id.len(), &id[..16]), (64, "functions.f:0_xx"));
    assert_eq!(call["input"], json!({}));
    assert_eq!(
        messages[2]["content"],
        json!([
            {"toolResult": {"toolUseId": "functions.f:0", "content": [{"text": "one"}]}},
            {"toolResult": {"toolUseId": id, "content": [{"text": "(no result)"}]}},
            {"text": "and"},
        ])
    );
    assert_eq!(messages[3]["content"], json!([{"text": "e"}]));
    // Tools that the history uses must be declared.
    let names: Vec<&Value> = body["toolConfig"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["toolSpec"]["name"])
        .collect();
    assert_eq!(names, ["f", "g"]);
    assert_eq!(
        body["additionalModelRequestFields"],
        json!({"tool_choice": {"type": "none"}})
    );
    assert_eq!(
        refused(
            &claude(),
            &json!({"messages": [{"role": "assistant", "content": "x"}]})
        ),
        "messages[0]"
    );
}

#[test]
fn media_come_as_bytes() {
    let of = |parts: Value| {
        let body = sent(
            &claude(),
            &json!({"messages": [{"role": "user", "content": parts}]}),
        );
        body["messages"][0]["content"].clone()
    };
    let file = |name: &str| json!({"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,BBBB"}});
    assert_eq!(
        of(json!([
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QQ=="}},
            file("a_b..c.pdf"), file("a_b..c.pdf"),
        ])),
        json!([
            {"image": {"format": "jpeg", "source": {"bytes": "QQ=="}}},
            {"document": {"format": "pdf", "source": {"bytes": "BBBB"}, "name": "a b c pdf 1"}},
            {"document": {"format": "pdf", "source": {"bytes": "BBBB"}, "name": "a b c pdf 2"}},
        ])
    );
    let refuses = |part: Value| {
        refused(
            &claude(),
            &json!({"messages": [{"role": "user", "content": [part]}]}),
        )
    };
    let place = "messages[0].content[0]";
    let url = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    assert_eq!(refuses(url("https://x/y.png")), place);
    assert_eq!(refuses(url("data:image/tiff;base64,QQ==")), place);
    let sound = json!({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}});
    assert_eq!(refuses(sound), place);
}

#[test]
fn thoughts_go_back_to_their_maker_only() {
    let turn = json!({"role": "assistant", "content": "x", "reasoning_details": [
        {"type": "reasoning.text", "text": "Hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "EtkECkgIBxABGAIqQJTfqS/PYuAF", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "unsigned", "format": "unknown", "index": 2},
    ]});
    let messages =
        json!([{"role": "user", "content": "q"}, turn, {"role": "user", "content": "r"}]);
    let of = |model: &str| {
        let body = sent(&bedrock(model), &json!({"messages": messages.clone()}));
        body["messages"][1]["content"].clone()
    };
    assert_eq!(
        of("eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        json!([
            {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "sig"}}},
            {"reasoningContent": {"redactedContent": "RXRrRUNrZ0lCeEFCR0FJcVFKVGZxUy9QWXVBRg=="}},
            {"text": "x"},
        ])
    );
    assert_eq!(of("deepseek.r1-v1:0"), json!([{"text": "x"}]));
}

#[test]
fn tools_and_choices() {
    let tools = json!([{"type": "function", "function": {
        "name": "f", "description": "d", "strict": true, "parameters": {"type": "object"}}}]);
    let with = |model: &str, choice: Value, parallel: Value| {
        let request =
            json!({"tools": tools.clone(), "tool_choice": choice, "parallel_tool_calls": parallel});
        sent(&bedrock(model), &request)
    };
    let claude = "anthropic.claude-3-haiku";
    let body = with(claude, Value::Null, Value::Null);
    assert_eq!(
        body["toolConfig"],
        json!({"tools": [{"toolSpec": {"name": "f", "description": "d",
            "inputSchema": {"json": {"type": "object"}}, "strict": true}}]})
    );
    let choice = |choice: Value| {
        with("amazon.nova-lite-v1:0", choice, json!(false))["toolConfig"]["toolChoice"].clone()
    };
    assert_eq!(choice(json!("auto")), json!({"auto": {}}));
    assert_eq!(choice(json!("required")), json!({"any": {}}));
    let one = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(choice(one.clone()), json!({"tool": {"name": "f"}}));
    let own = |choice: Value, parallel: Value| {
        with(claude, choice, parallel)["additionalModelRequestFields"]["tool_choice"].clone()
    };
    assert_eq!(
        own(one, json!(false)),
        json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true})
    );
    // Without tools in the history none need be there.
    let body = with("amazon.nova-lite-v1:0", json!("none"), Value::Null);
    assert_eq!(body.get("toolConfig"), None);
    let history = json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ]);
    let request = json!({"messages": history, "tools": tools, "tool_choice": "none"});
    assert_eq!(
        refused(&bedrock("amazon.nova-lite-v1:0"), &request),
        "tool_choice"
    );
    let body = sent(&bedrock(claude), &request);
    assert_eq!(
        body["additionalModelRequestFields"]["tool_choice"],
        json!({"type": "none"})
    );
}

#[test]
fn parameters_fit_or_go() {
    let request = json!({
        "temperature": 1.7, "top_p": 0.5, "top_k": 40, "stop": ["END", " "], "seed": 1,
        "max_completion_tokens": 77, "service_tier": "default", "user": "u",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    });
    let body = sent(&claude(), &request);
    assert_eq!(
        body,
        json!({
            "messages": [{"role": "user", "content": [{"text": "q"}]}],
            "inferenceConfig": {"maxTokens": 77, "temperature": 1, "topP": 0.5, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 40},
            "additionalModelResponseFieldPaths": ["/stop_sequence"],
            "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
                "schema": "{\"type\":\"object\"}", "name": "n"}}}},
            "serviceTier": {"type": "default"},
        })
    );
    let body = sent(&bedrock("us.amazon.nova-lite-v1:0"), &request);
    assert_eq!(
        body["additionalModelRequestFields"],
        json!({"inferenceConfig": {"topK": 40}})
    );
    assert_eq!(body.get("additionalModelResponseFieldPaths"), None);
    let body = sent(
        &claude(),
        &json!({"response_format": {"type": "json_object"}}),
    );
    assert!(body["system"][0]["text"].as_str().unwrap().contains("JSON"));
    assert_eq!(refused(&claude(), &json!({"n": 2})), "n");
}

#[test]
fn thinking_is_said_in_each_makers_words() {
    let of = |model: &str, reasoning: Value, max: Value| {
        let body = sent(
            &bedrock(model),
            &json!({"reasoning": reasoning, "max_tokens": max, "temperature": 0}),
        );
        let temperature = body["inferenceConfig"].get("temperature").is_some();
        (body["additionalModelRequestFields"].clone(), temperature)
    };
    let high = json!({"effort": "high"});
    assert_eq!(
        of("anthropic.claude-x", high.clone(), json!(10_000)),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 8000}}),
            false
        )
    );
    assert_eq!(
        of("openai.gpt-oss-120b-1:0", high.clone(), json!(10_000)),
        (json!({"reasoning_effort": "high"}), true)
    );
    let nova = |effort: &str| json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}});
    let model = "us.amazon.nova-2-lite-v1:0";
    assert_eq!(of(model, high.clone(), Value::Null), (nova("high"), true));
    assert_eq!(of(model, high.clone(), json!(900)), (nova("medium"), true));
    assert_eq!(
        of(model, json!({"effort": "minimal"}), Value::Null),
        (nova("low"), true)
    );
    assert_eq!(
        of(model, json!({"effort": "none"}), Value::Null),
        (Value::Null, true)
    );
    assert_eq!(of("meta.llama3", high, Value::Null), (Value::Null, true));
}

#[test]
fn marks_become_points_where_they_are_known() {
    let mark = json!({"type": "ephemeral"});
    let request = json!({
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": mark}]},
            {"role": "user", "content": "q"},
        ],
        "cache_control": mark,
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": mark}],
    });
    let point = json!({"cachePoint": {"type": "default"}});
    let body = sent(&claude(), &request);
    assert_eq!(body["system"], json!([{"text": "s"}, point]));
    assert_eq!(body["toolConfig"]["tools"][1], point);
    assert_eq!(
        body["messages"][0]["content"],
        json!([{"text": "q"}, point])
    );
    let body = sent(&bedrock("meta.llama3"), &request);
    assert_eq!(body["system"], json!([{"text": "s"}]));
    assert_eq!(body["messages"][0]["content"], json!([{"text": "q"}]));
}
