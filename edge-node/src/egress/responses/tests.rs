use crate::dialect::fixture::{Fixture, Played, data};
use crate::egress::{Marks, error_event};
use crate::failure::{ErrorType, Failure};
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::Dialect;
use shared::id::GenerationId;

const STREAM: &str = r#"{"model":"author/model","input":"x","stream":true,
    "instructions":"be\nterse","temperature":0.5,"metadata":{"a":"b"}}"#;
const WHOLE: &str = r#"{"model":"author/model","input":"x"}"#;

fn chat() -> Fixture {
    Fixture::new(Dialect::OpenaiChat).api(Api::Responses)
}

fn chunk(delta: &Value, finish: &Value) -> String {
    json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        .to_string()
}

fn usage() -> String {
    json!({"id": "c", "choices": [], "usage": {
        "prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }})
    .to_string()
}

/// Plays deltas of a chat provider as a stream that ends for a reason.
fn streamed(deltas: &[Value], finish: &str) -> Played {
    let mut chunks: Vec<String> = deltas.iter().map(|d| chunk(d, &Value::Null)).collect();
    chunks.push(chunk(&json!({}), &json!(finish)));
    chunks.push(usage());
    let mut chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    chunks.push("[DONE]");
    let body = data(&chunks);
    let played = chat().play(STREAM, body.as_bytes(), usize::MAX);
    let pieces = chat().play(STREAM, body.as_bytes(), 3);
    assert_eq!(played.out, pieces.out);
    assert!(played.failure.is_none(), "{:?}", played.failure);
    played
}

/// What SDKs rely on: numbers without gaps, ids and places that fit, each beginning with its end,
/// pieces that add up to what their end says, and a last event that says all.
fn checked(played: &Played) -> Value {
    let events = played.events();
    let mut items: Vec<(Value, String)> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number), "{event}");
        let place = event["output_index"]
            .as_u64()
            .map(|at| usize::try_from(at).unwrap());
        let kind = event["type"].as_str().unwrap();
        match kind.strip_prefix("response.").unwrap() {
            "output_item.added" => {
                assert_eq!(place, Some(items.len()));
                items.push((event["item"]["id"].clone(), String::new()));
            }
            "output_item.done" => {
                let item = &items[place.unwrap()];
                assert_eq!(item.0, event["item"]["id"]);
            }
            _ => {}
        }
        if let Some(id) = event.get("item_id") {
            assert_eq!(*id, items[place.unwrap()].0, "{event}");
        }
        if let Some(delta) = event["delta"].as_str() {
            items[place.unwrap()].1.push_str(delta);
        }
        if kind.ends_with("text.done") {
            let text = event["text"].as_str().unwrap();
            assert!(items[place.unwrap()].1.contains(text), "{event}");
        }
    }
    let named = |name: &'static str| events.iter().filter(move |event| event["type"] == name);
    assert_eq!(named("response.output_item.done").count(), items.len());
    assert_eq!(
        named("response.content_part.added").count(),
        named("response.content_part.done").count()
    );
    let last = events.last().unwrap()["response"].clone();
    assert_eq!(last["output"].as_array().unwrap().len(), items.len());
    for done in named("response.output_item.done") {
        let at = usize::try_from(done["output_index"].as_u64().unwrap()).unwrap();
        assert_eq!(last["output"][at], done["item"]);
    }
    last
}

#[test]
fn text_comes_as_typed_events() {
    let played = streamed(
        &[
            json!({"role": "assistant", "content": ""}),
            json!({"content": "a\"b"}),
            json!({"content": "c"}),
        ],
        "stop",
    );
    let last = checked(&played);
    let names: Vec<String> = played
        .events()
        .iter()
        .map(|event| event["type"].as_str().unwrap().replace("response.", ""))
        .collect();
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names, expected);
    assert_eq!(last["status"], "completed");
    assert_eq!(
        (&last["id"], &last["object"]),
        (&json!("gen-1"), &json!("response"))
    );
    assert_eq!(last["model"], "author/model");
    assert_eq!(last["output"][0]["content"][0]["text"], "a\"bc");
    assert_eq!(last["output"][0]["role"], "assistant");
    // What was asked is said again, in one line.
    assert_eq!(last["instructions"], "be\nterse");
    assert_eq!(last["temperature"], 0.5);
    assert_eq!(last["metadata"], json!({"a": "b"}));
    assert_eq!(
        (&last["store"], &last["tools"]),
        (&json!(false), &json!([]))
    );
    let expected = json!({
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 16, "cost": 0.000_022, "is_byok": false,
        "cost_details": {
            "upstream_inference_cost": 0.000_022, "upstream_inference_input_cost": 0.000_01,
            "upstream_inference_output_cost": 0.000_012,
        },
    });
    assert_eq!(last["usage"], expected);
}

#[test]
fn calls_grow_side_by_side() {
    let call = |index: u32, id: &str, arguments: &str| {
        json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": if id.is_empty() { "" } else { "f" }, "arguments": arguments}}]})
    };
    let played = streamed(
        &[
            json!({"content": "well"}),
            call(0, "call_a", "{\"x\":"),
            call(1, "call_b", ""),
            call(0, "", "1}"),
        ],
        "tool_calls",
    );
    let last = checked(&played);
    let output = &last["output"];
    assert_eq!(output[0]["type"], "message");
    assert_eq!(output[1]["type"], "function_call");
    assert_eq!(
        (&output[1]["call_id"], &output[1]["arguments"]),
        (&json!("call_a"), &json!("{\"x\":1}"))
    );
    assert_eq!(
        (&output[2]["call_id"], &output[2]["arguments"]),
        (&json!("call_b"), &json!("{}"))
    );
    assert_ne!(output[1]["id"], output[2]["id"]);
    let events = played.events();
    let done = |event: &&Value| event["type"] == "response.function_call_arguments.done";
    let done: Vec<&Value> = events.iter().filter(done).collect();
    assert_eq!(done.len(), 2);
    assert_eq!(
        (&done[0]["name"], &done[0]["arguments"]),
        (&json!("f"), &json!("{\"x\":1}"))
    );
}

#[test]
fn refusals_sources_and_probabilities_have_their_events() {
    let source = json!({"annotations": [{"type": "url_citation", "url_citation":
        {"url": "https://x", "title": "t", "start_index": 1, "end_index": 2}}]});
    let probable = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "ab"},
        "logprobs": {"content": [{"token": "ab", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}}]});
    let chunks = [
        probable.to_string(),
        chunk(&source, &Value::Null),
        chunk(&json!({"refusal": "no"}), &json!("stop")),
    ];
    let mut chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    chunks.push("[DONE]");
    let played = chat().play(STREAM, data(&chunks).as_bytes(), usize::MAX);
    let last = checked(&played);
    let parts = &last["output"][0]["content"];
    assert_eq!(parts[0]["text"], "ab");
    assert_eq!(parts[0]["logprobs"][0]["token"], "ab");
    let expected = json!({"type": "url_citation", "url": "https://x", "title": "t", "start_index": 1, "end_index": 2});
    assert_eq!(parts[0]["annotations"][0], expected);
    assert_eq!(parts[1], json!({"type": "refusal", "refusal": "no"}));
    let events = played.events();
    let has = |name: &str| {
        events
            .iter()
            .any(|event| event["type"] == format!("response.{name}"))
    };
    assert!(has("output_text.annotation.added") && has("refusal.delta") && has("refusal.done"));
}

#[test]
fn reasoning_goes_out_and_comes_back_unchanged() {
    let details = [
        json!({"type": "reasoning.summary", "summary": "one", "id": "rs_1", "format": "openai-responses-v1", "index": 0}),
        json!({"type": "reasoning.encrypted", "data": "gA", "id": "rs_1", "format": "openai-responses-v1", "index": 1}),
        json!({"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 2}),
        json!({"type": "reasoning.encrypted", "data": "red", "format": "anthropic-claude-v1", "index": 3}),
    ];
    let deltas: Vec<Value> = details
        .iter()
        .map(|detail| json!({ "reasoning_details": [detail] }))
        .collect();
    let last = checked(&streamed(&deltas, "stop"));
    let output = last["output"].as_array().unwrap();
    let expected = json!({
        "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "one"}],
        "encrypted_content": "gA", "format": "openai-responses-v1",
    });
    assert_eq!(output[0], expected);
    assert_eq!(
        output[1]["content"],
        json!([{"type": "reasoning_text", "text": "hm"}])
    );
    assert_eq!(
        (&output[1]["signature"], &output[1]["format"]),
        (&json!("s"), &json!("anthropic-claude-v1"))
    );
    assert_eq!(output[2]["encrypted_content"], "red");
    // The client gives its answer back: each maker gets what it made.
    let mut input = output.clone();
    input.push(json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}));
    input.push(json!({"type": "function_call_output", "call_id": "c", "output": "r"}));
    let request = json!({"model": "a/b", "input": input}).to_string();
    let sent = |dialect: Dialect| -> Value {
        let fixture = Fixture::new(dialect).api(Api::Responses);
        serde_json::from_str(&fixture.body(&request).unwrap()).unwrap()
    };
    let claude = sent(Dialect::AnthropicMessages);
    let expected = json!([
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "red"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    ]);
    assert_eq!(claude["messages"][0]["content"], expected);
    let own = sent(Dialect::OpenaiResponses);
    let expected = json!([
        {
            "type": "reasoning", "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "one"}], "encrypted_content": "gA",
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ]);
    assert_eq!(own["input"], expected);
}

#[test]
fn plain_reasoning_is_told_as_text() {
    let deltas = [
        json!({"reasoning_content": "h"}),
        json!({"reasoning_content": "m"}),
        json!({"content": "x"}),
    ];
    let last = checked(&streamed(&deltas, "stop"));
    let item = &last["output"][0];
    assert_eq!(
        item["content"],
        json!([{"type": "reasoning_text", "text": "hm"}])
    );
    assert_eq!(item["format"], "unknown");
    assert!(item["id"].as_str().unwrap().starts_with("rs_gw_"));
}

#[test]
fn an_answer_cut_short_says_why() {
    let check = |finish: &str, status: &str, reason: Value| {
        let played = streamed(&[json!({"content": "a"})], finish);
        let last = checked(&played);
        assert_eq!(last["status"], status);
        assert_eq!(last["incomplete_details"], reason);
        assert_eq!(last["output"][0]["status"], status);
        let name = format!("response.{status}");
        assert_eq!(played.events().last().unwrap()["type"], name);
    };
    check("stop", "completed", Value::Null);
    check(
        "length",
        "incomplete",
        json!({"reason": "max_output_tokens"}),
    );
    check(
        "content_filter",
        "incomplete",
        json!({"reason": "content_filter"}),
    );
}

#[test]
fn one_whole_answer_says_the_same() {
    let body = json!({"id": "c", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "a", "reasoning": "hm",
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}],
        "tool_calls": [{"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    let answer = chat().play(WHOLE, body.to_string().as_bytes(), 9).answer();
    assert_eq!(answer["status"], "completed");
    let kinds: Vec<&str> = answer["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    let expected = [
        "reasoning",
        "message",
        "image_generation_call",
        "function_call",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(answer["output"][2]["result"], "QQ==");
    assert_eq!(answer["usage"]["total_tokens"], 3);
}

#[test]
fn errors_have_this_apis_form() {
    let mut failure = Failure::invalid("input", "input is missing");
    let body = super::error_body(&failure);
    assert_eq!(body["error"]["code"], 400);
    assert_eq!(body["error"]["type"], "invalid_prompt");
    assert_eq!(body["error"]["message"], "input is missing");
    assert_eq!(body["error"]["param"], "input");
    assert_eq!(body["error_type"], "invalid_request");
    failure.error_type = ErrorType::RateLimitExceeded;
    assert_eq!(
        super::error_body(&failure)["error"]["type"],
        "rate_limit_exceeded"
    );
    failure.error_type = ErrorType::ProviderUnavailable;
    let told = json!({"openrouter_metadata": {"attempt": 1}});
    let marks = Marks {
        model: "m",
        provider: Some("Acme AI"),
        created: 7,
    };
    let event = error_event(
        Api::Responses,
        &failure,
        &GenerationId::from("gen-1"),
        (marks, told.as_object().unwrap()),
        5,
    );
    let text = String::from_utf8(event.to_vec()).unwrap();
    let events: Vec<Value> = text
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.split_once("\ndata: ").unwrap().1).unwrap())
        .collect();
    assert_eq!(
        (&events[0]["type"], &events[0]["sequence_number"]),
        (&json!("error"), &json!(5))
    );
    assert_eq!(events[0]["code"], "server_error");
    assert_eq!(events[1]["type"], "response.failed");
    assert_eq!(events[1]["sequence_number"], 6);
    assert_eq!(events[1]["response"]["status"], "failed");
    assert_eq!(events[1]["response"]["error"]["code"], "server_error");
    assert_eq!(events[0]["openrouter_metadata"]["attempt"], 1);
    assert_eq!(events[1]["response"]["openrouter_metadata"]["attempt"], 1);
    assert_eq!(events[1]["response"]["model"], "m");
    assert_eq!(events[1]["response"]["provider"], "Acme AI");
}

#[test]
fn sources_behind_what_proves_the_text_are_told_of() {
    let sealed = json!({"reasoning_details": [
        {"type": "reasoning.encrypted", "data": "S", "format": "google-gemini-v1", "index": 0},
    ]});
    let source = json!({"annotations": [{"type": "url_citation", "url_citation": {
        "url": "https://a.b", "title": "t", "start_index": 0, "end_index": 2}}]});
    let deltas = [json!({"content": "ab"}), sealed, source];
    let played = streamed(&deltas, "stop");
    let last = checked(&played);
    let kinds: Vec<&Value> = last["output"].as_array().unwrap().iter().collect();
    assert_eq!(
        kinds[0]["content"][0]["annotations"][0]["url"],
        "https://a.b"
    );
    assert_eq!(kinds[1]["type"], "reasoning");
    let told = played.events().iter().any(|event| {
        event["type"] == "response.output_text.annotation.added"
            && event["annotation"]["url"] == "https://a.b"
    });
    assert!(told, "{}", played.out);
}
