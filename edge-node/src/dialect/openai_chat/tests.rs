use crate::dialect::fixture::{Fixture, Played, data};
use crate::failure::{ErrorType, Fault, Retry};
use crate::ingress::{Api, Surface};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::{Dialect, EffortWord, Parameter, Quirk};

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const DELTA: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"theirs","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"theirs","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"theirs","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;

mod hosts;
mod oddities;
mod requests;
mod whole;

fn openai() -> Fixture {
    Fixture::new(Dialect::OpenaiChat)
}

fn played(chunks: &[&str]) -> Played {
    openai().play(STREAM, data(chunks).as_bytes(), usize::MAX)
}

#[test]
fn chunks_pass_but_for_our_marks() {
    let chunk = r#"{ "id":"c1", "created":5,"model" : "theirs","object":"chat.completion.chunk", "x":{"b":1,"a":1.0e5},"choices":[{"delta":{"content":"\u00e9\/", "role":"assistant"},"index":0,"finish_reason":null,"logprobs":null}],"obfuscation":"abc","usage":null,"system_fingerprint":null}"#;
    let expected = r#"data: { "id":"gen-1", "created":5,"model" : "author/model","object":"chat.completion.chunk", "x":{"b":1,"a":1.0e5},"choices":[{"delta":{"content":"\u00e9\/", "role":"assistant"},"index":0,"finish_reason":null,"logprobs":null}],"provider":"Acme AI"}"#;
    let played = played(&[chunk, STOP, "[DONE]"]);
    assert_eq!(played.out.split("\n\n").next().unwrap(), expected);
}

#[test]
fn the_end_of_a_stream_has_usage_and_cost() {
    let played = played(&[DELTA, STOP, USAGE, "[DONE]"]);
    let chunks = played.chunks();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[1]["choices"][0]["native_finish_reason"], "stop");
    let last = &chunks[2];
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["id"], "gen-1");
    assert_eq!(
        last["usage"],
        json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "cost": 0.00002, "is_byok": false,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
            "cost_details": {
                "upstream_inference_cost": 0.00002,
                "upstream_inference_prompt_cost": 0.00001,
                "upstream_inference_completions_cost": 0.00001,
            },
        })
    );
}

#[test]
fn openais_habit_is_to_send_usage_when_asked() {
    let openai_surface = Fixture {
        surface: Surface::OpenAi,
        ..openai()
    };
    let body = data(&[DELTA, STOP, USAGE, "[DONE]"]);
    let unasked = openai_surface.play(STREAM, body.as_bytes(), usize::MAX);
    assert_eq!(unasked.chunks().len(), 2);
    assert!(!unasked.out.contains("usage"));
    let asked = STREAM.replace("}],", r#"}],"stream_options":{"include_usage":true},"#);
    let asked = openai_surface.play(&asked, body.as_bytes(), usize::MAX);
    assert_eq!(asked.chunks()[2]["usage"]["total_tokens"], 15);
    let explained = Fixture {
        explain: Some(json!({"why": 1})),
        ..openai_surface
    };
    let explained = explained.play(STREAM, body.as_bytes(), usize::MAX);
    assert_eq!(explained.chunks()[2]["godwit_explain"]["why"], 1);
    assert_eq!(explained.chunks()[2].get("usage"), None);
}

#[test]
fn a_failure_has_its_class_before_and_after_the_first_content() {
    let overloaded = r#"{"error":{"message":"Overloaded","type":"overloaded_error"}}"#;
    let check = |chunks: &[&str], reason: &str, status: u16, owed: bool| {
        let played = played(chunks);
        let failure = played.failure.as_ref().unwrap();
        let got = (failure.reason, failure.status, played.owed);
        assert_eq!(got, (reason, status, owed), "{chunks:?}");
        assert!(!played.out.contains("[DONE]"), "{chunks:?}");
    };
    check(&[overloaded], "overloaded", 529, false);
    check(&[DELTA, overloaded], "overloaded", 529, true);
    check(&[DELTA], "truncated", 502, true);
    check(&[], "empty", 502, false);
    check(&["[DONE]"], "empty", 502, false);
    check(&["not json"], "garbage", 502, false);
    check(&["[1,2]"], "garbage", 502, false);
    check(
        &[DELTA, r#"{"choices":[{"delta":{"content":"x"}"#],
        "garbage",
        502,
        true,
    );
    let gave_up = STOP.replace("\"stop\"", "\"insufficient_system_resource\"");
    check(&[DELTA, &gave_up], "finish_error", 502, true);
    let event = format!("event: error\ndata: {overloaded}\n\n");
    let played = openai().play(STREAM, event.as_bytes(), usize::MAX);
    assert_eq!(played.reason(), "overloaded");
}

#[test]
fn a_body_is_known_by_its_first_byte() {
    let check = |body: &str, reason: &str| {
        let played = openai().play(STREAM, body.as_bytes(), 3);
        assert_eq!(played.reason(), reason, "{body}");
        played
    };
    check("<html></html>", "garbage");
    check("  \n ", "empty");
    check("upstream connect error", "empty");
    let error = r#"{"error":{"message":"slow down","code":429}}"#;
    assert_eq!(
        check(error, "rate_limited").failure.unwrap().fault,
        Fault::Provider
    );
    check("{\"a\":1}", "garbage");
    check("{\"a\":", "garbage");
    let whole = r#"{"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let played = check(whole, "");
    let chunks = played.chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"]["content"], "hi");
    assert_eq!(
        chunks[0]["choices"][0]["delta"]["tool_calls"][0]["index"],
        0
    );
    assert_eq!(chunks[0]["object"], "chat.completion.chunk");
    assert_eq!(played.usage.unwrap().completion, 2);
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        contents in prop::collection::vec(any::<String>(), 1..6),
        end in prop_oneof![Just("\n\n"), Just("\r\n\r\n"), Just("\r\r")],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut body = String::from(": hello\n\n");
        for content in &contents {
            let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]});
            body.push_str(&format!("data: {chunk}{end}"));
        }
        body.push_str(&data(&[STOP, USAGE, "[DONE]"]));
        let bytes = body.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|w| &bytes[w[0]..w[1]]);
        let cut = openai().play_pieces(STREAM, pieces);
        let whole = openai().play(STREAM, bytes, usize::MAX);
        prop_assert_eq!(&cut.out, &whole.out);
        let said: String = whole.chunks().iter().map(|chunk| {
            chunk["choices"][0]["delta"]["content"].as_str().unwrap_or("").to_owned()
        }).collect();
        prop_assert_eq!(said, contents.concat());
    }

    #[test]
    fn no_input_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
        openai().play(STREAM, &body, 7);
        openai().play(WHOLE, &body, 7);
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&body);
        openai().play(STREAM, &event, 50);
    }
}

#[test]
fn usage_is_told_in_one_place_only() {
    let last = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":2}}}"#;
    let played = played(&[DELTA, last]);
    let chunks = played.chunks();
    let holder = chunks.iter().find_map(|chunk| chunk.get("x_groq"));
    assert_eq!(holder, Some(&serde_json::json!({"id": "r"})));
    let told = chunks
        .iter()
        .filter(|chunk| chunk.to_string().contains("prompt_tokens\""));
    assert_eq!(told.count(), 1);
    assert_eq!(played.usage.unwrap().prompt, 3);
}
