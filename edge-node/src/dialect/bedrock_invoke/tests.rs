use crate::dialect::fixture::{Fixture, Played};
use crate::dialect::prepare;
use crate::failure::Retry;
use crate::ingress::Api;
use crate::wire::eventstream::message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::Dialect;

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const EVENTS: [&str; 6] = [
    r#"{"type":"message_start","message":{"id":"msg_bdrk_1","type":"message","role":"assistant","content":[],"usage":{"input_tokens":7,"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"é😀"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#,
    r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":5}}"#,
];

fn invoke() -> Fixture {
    let mut fixture = Fixture::new(Dialect::BedrockInvoke);
    "us.anthropic.claude-x-v1:0".clone_into(&mut fixture.endpoint.provider_model);
    fixture
}

fn frame(name: &str, payload: &str) -> Vec<u8> {
    let headers = if name.ends_with("Exception") {
        [(":exception-type", name), (":message-type", "exception")]
    } else {
        [(":event-type", name), (":message-type", "event")]
    };
    message(&headers, payload.as_bytes())
}

fn chunk(event: &str) -> Vec<u8> {
    let bytes = STANDARD.encode(event);
    frame("chunk", &format!(r#"{{"bytes":"{bytes}","p":"abc"}}"#))
}

fn played(events: &[&str], more: &[u8]) -> Played {
    let mut all: Vec<u8> = events.iter().flat_map(|event| chunk(event)).collect();
    all.extend_from_slice(more);
    invoke().play(STREAM, &all, 5)
}

#[test]
fn the_body_says_neither_model_nor_stream() {
    let body: Value = serde_json::from_str(&invoke().body(STREAM).unwrap()).unwrap();
    assert_eq!(
        body,
        json!({
            "anthropic_version": "bedrock-2023-05-31", "max_tokens": 4096,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        })
    );
    let call = invoke().call(STREAM);
    let path = invoke().with_target(|target| prepare(&call, target).unwrap().path);
    let verb = "invoke-with-response-stream";
    assert_eq!(path, format!("/model/us.anthropic.claude-x-v1%3A0/{verb}"));
    let fixture = invoke().api(Api::Messages);
    let request =
        r#"{ "messages":[{"role":"user","content":"x"}], "model" : "a/b","stream":true,"z":1e400}"#;
    assert_eq!(
        fixture.body(request).unwrap(),
        r#"{ "messages":[{"role":"user","content":"x"}], "anthropic_version" : "bedrock-2023-05-31","z":1e400,"max_tokens":4096}"#
    );
    let link = r#"{"model":"a/b","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}"#;
    let failure = invoke().body(link).unwrap_err();
    assert_eq!(failure.retry, Retry::OtherEndpoint);
}

#[test]
fn events_are_unwrapped() {
    let got = played(&EVENTS, b"");
    let chunks = got.chunks();
    assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "é😀");
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "stop");
    let usage = got.usage.unwrap();
    assert_eq!((usage.prompt, usage.completion), (7, 5));
    // A client of the same dialect gets them as they are.
    let all: Vec<u8> = EVENTS.iter().flat_map(|event| chunk(event)).collect();
    let fixture = invoke().api(Api::Messages);
    let request = r#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":true}"#;
    let out = fixture.play(request, &all, 7).out;
    assert!(out.contains("event: content_block_delta\ndata: "), "{out}");
    assert!(out.contains("\"text\":\"é😀\""), "{out}");
}

#[test]
fn failures_are_told_apart() {
    let no = r#"{"message":"no"}"#;
    assert_eq!(
        played(&[], &frame("throttlingException", no)).reason(),
        "rate_limited"
    );
    let late = played(&EVENTS[..3], &frame("modelStreamErrorException", no));
    assert_eq!(late.reason(), "provider_status");
    assert_eq!(played(&EVENTS[..3], b"").reason(), "truncated");
    assert_eq!(played(&[], b"").reason(), "empty");
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    assert_eq!(played(&[overloaded], b"").reason(), "overloaded");
    assert_eq!(
        played(&[], &frame("chunk", r#"{"bytes":"!"}"#)).reason(),
        "garbage"
    );
    let plain = br#"{"__type":"ThrottlingException","message":"no"}"#;
    assert_eq!(played(&[], plain).reason(), "rate_limited");
    let late = [b"\r\n \n".as_slice(), plain].concat();
    for size in [1, 3, 99] {
        let got = invoke().play(STREAM, &late, size);
        assert_eq!(got.reason(), "rate_limited", "in pieces of {size}");
    }
}

proptest! {
    #[test]
    fn no_cut_and_no_broken_byte_changes_or_breaks_the_reader(
        size in 1usize..60,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all: Vec<u8> = EVENTS.iter().flat_map(|event| chunk(event)).collect();
        let whole = invoke().play(STREAM, &all, usize::MAX);
        prop_assert!(whole.failure.is_none());
        prop_assert_eq!(&whole.out, &invoke().play(STREAM, &all, size).out);
        let mut broken = EVENTS[at.index(EVENTS.len())].as_bytes().to_vec();
        let place = at.index(broken.len());
        broken[place] = byte;
        let bytes = STANDARD.encode(&broken);
        let mut all = chunk(EVENTS[0]);
        all.extend(frame("chunk", &format!(r#"{{"bytes":"{bytes}"}}"#)));
        invoke().play(STREAM, &all, size);
    }
}
