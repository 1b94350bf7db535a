//! What a provider of one API says to clients of the others, and how it comes back with their next
//! request. Each dialect's own reader and writer have their tests beside them.

use crate::dialect::fixture::{Fixture, Played, data};
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::Dialect;

const APIS: [Api; 3] = [Api::Chat, Api::Messages, Api::Responses];

/// The least request of an API that asks for a stream or a whole answer, with more members.
fn request(api: Api, stream: bool, more: &Value) -> String {
    let mut request = match api {
        Api::Responses => json!({"input": "x"}),
        _ => json!({"messages": [{"role": "user", "content": "x"}], "max_tokens": 99}),
    };
    request["model"] = json!("author/model");
    request["stream"] = json!(stream);
    for (name, value) in more.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    request.to_string()
}

fn play(dialect: Dialect, api: Api, body: &str) -> Played {
    play_with(dialect, api, body, &Value::Null)
}

fn play_with(dialect: Dialect, api: Api, body: &str, more: &Value) -> Played {
    let request = request(api, !body.starts_with('{'), more);
    let played = Fixture::new(dialect)
        .api(api)
        .play(&request, body.as_bytes(), 11);
    assert!(played.failure.is_none(), "{:?}", played.failure);
    played
}

/// What the client reads as the end: a word, and what it was met by.
fn end(played: &Played, api: Api) -> (Value, Value) {
    let is_whole = played.out.starts_with('{');
    match api {
        Api::Chat if is_whole => (
            played.answer()["choices"][0]["finish_reason"].clone(),
            Value::Null,
        ),
        Api::Chat => {
            let chunks = played.chunks();
            let mut ends = chunks
                .iter()
                .map(|chunk| chunk["choices"][0]["finish_reason"].clone());
            (ends.rfind(|end| !end.is_null()).unwrap(), Value::Null)
        }
        Api::Messages => {
            let told = if is_whole {
                played.answer()
            } else {
                let events = played.events();
                let mut ends = events
                    .iter()
                    .filter(|event| event["type"] == "message_delta");
                ends.next_back().unwrap()["delta"].clone()
            };
            (told["stop_reason"].clone(), told["stop_sequence"].clone())
        }
        _ => {
            let last = if is_whole {
                played.answer()
            } else {
                played.events().last().unwrap()["response"].clone()
            };
            (
                last["status"].clone(),
                last["incomplete_details"]["reason"].clone(),
            )
        }
    }
}

fn sse(events: &[Value]) -> String {
    let events = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    });
    events.collect()
}

/// A message of Anthropic's, whole and as a stream.
fn anthropic(reason: &str, sequence: &Value) -> [String; 2] {
    let usage = json!({"input_tokens": 5, "output_tokens": 2});
    let whole = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "theirs",
        "content": [{"type": "text", "text": "hi"}], "stop_reason": reason,
        "stop_sequence": sequence, "usage": usage,
    });
    let stream = [
        json!({"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "theirs",
            "content": [], "usage": {"input_tokens": 5, "output_tokens": 1},
        }}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": usage}),
        json!({"type": "message_stop"}),
    ];
    [whole.to_string(), sse(&stream)]
}

/// An answer of vLLM's, whole and as a stream.
fn vllm(stop: &Value) -> [String; 2] {
    let choice = |name: &str, body: Value| {
        let choice = json!({"index": 0, name: body, "finish_reason": "stop", "stop_reason": stop});
        json!({"id": "c", "choices": [choice],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
        .to_string()
    };
    let stream = choice("delta", json!({"content": "hi"}));
    [
        choice("message", json!({"role": "assistant", "content": "hi"})),
        data(&[&stream, "[DONE]"]),
    ]
}

#[test]
fn the_stop_sequence_that_was_met_is_told() {
    let asked = json!({"stop_sequences": ["END", "x"]});
    for body in anthropic("stop_sequence", &json!("END")) {
        let played = play_with(Dialect::AnthropicMessages, Api::Messages, &body, &asked);
        let expected = (json!("stop_sequence"), json!("END"));
        assert_eq!(end(&played, Api::Messages), expected);
    }
    for body in vllm(&json!("END")) {
        let played = play_with(Dialect::OpenaiChat, Api::Messages, &body, &asked);
        let expected = (json!("stop_sequence"), json!("END"));
        assert_eq!(end(&played, Api::Messages), expected);
    }
    // A token, and words of other meanings.
    for other in [json!(2), json!("stop"), json!("eos"), Value::Null] {
        for body in vllm(&other) {
            let played = play_with(Dialect::OpenaiChat, Api::Messages, &body, &asked);
            let expected = (json!("end_turn"), Value::Null);
            assert_eq!(end(&played, Api::Messages), expected, "{other}");
        }
    }
}

#[test]
fn a_pause_is_a_stop_to_those_who_know_none() {
    for body in anthropic("pause_turn", &Value::Null) {
        for (api, word) in APIS.into_iter().zip(["stop", "pause_turn", "completed"]) {
            let played = play(Dialect::AnthropicMessages, api, &body);
            assert_eq!(end(&played, api), (json!(word), Value::Null));
        }
    }
}

#[test]
fn an_answer_that_reached_its_limit_says_so_to_all() {
    let response = json!({
        "id": "resp_1", "object": "response", "created_at": 5, "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"}, "model": "theirs",
        "output": [{"type": "message", "id": "m", "role": "assistant", "status": "incomplete",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
        "usage": {"input_tokens": 5, "output_tokens": 16, "total_tokens": 21},
    });
    let begun = json!({"id": "resp_1", "object": "response", "created_at": 5,
        "status": "in_progress", "model": "theirs", "output": []});
    let item = json!({"type": "message", "id": "m", "role": "assistant", "content": []});
    let stream = sse(&[
        json!({"type": "response.created", "sequence_number": 0, "response": begun}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item}),
        json!({"type": "response.output_text.delta", "sequence_number": 2, "output_index": 0,
            "content_index": 0, "item_id": "m", "delta": "hi"}),
        json!({"type": "response.output_item.done", "sequence_number": 3, "output_index": 0,
            "item": response["output"][0]}),
        json!({"type": "response.incomplete", "sequence_number": 4, "response": response}),
    ]);
    let ends = [
        (json!("length"), Value::Null),
        (json!("max_tokens"), Value::Null),
        (json!("incomplete"), json!("max_output_tokens")),
    ];
    for body in [stream, response.to_string()] {
        for (api, expected) in APIS.into_iter().zip(&ends) {
            let played = play(Dialect::OpenaiResponses, api, &body);
            assert_eq!(end(&played, api), *expected);
            let usage = played.usage.unwrap();
            assert_eq!((usage.prompt, usage.completion), (5, 16));
            assert!(played.out.contains("hi"));
        }
    }
}

#[test]
fn a_signature_on_a_call_comes_back_with_it() {
    let parts = json!([
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g", "args": {}}},
    ]);
    let answer = json!({"candidates": [
        {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0},
    ]});
    for body in [answer.to_string(), data(&[&answer.to_string()])] {
        let played = play(Dialect::Gemini, Api::Responses, &body);
        let output = if played.out.starts_with('{') {
            played.answer()["output"].clone()
        } else {
            played.events().last().unwrap()["response"]["output"].clone()
        };
        let mut input = vec![json!({"role": "user", "content": "x"})];
        input.extend(output.as_array().unwrap().iter().cloned());
        for item in output.as_array().unwrap() {
            if item["type"] == "function_call" {
                input.push(json!({"type": "function_call_output", "call_id": item["call_id"], "output": "1"}));
            }
        }
        let request = json!({"model": "author/model", "input": input}).to_string();
        let sent = Fixture::new(Dialect::Gemini).api(Api::Responses);
        let sent: Value = serde_json::from_str(&sent.body(&request).unwrap()).unwrap();
        let model: Vec<&Value> = sent["contents"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|content| content["role"] == "model")
            .flat_map(|content| content["parts"].as_array().unwrap())
            .collect();
        assert_eq!(model.len(), 2, "{sent}");
        assert_eq!(model[0]["functionCall"]["name"], "f");
        assert_eq!(model[0]["thoughtSignature"], "c2ln");
        assert_eq!(model[1]["functionCall"]["name"], "g");
        assert_ne!(model[1]["thoughtSignature"], "c2ln");
    }
}
