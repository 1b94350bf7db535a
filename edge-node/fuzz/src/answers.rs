//! Answers: each is played whole and in pieces, and both must come out alike.

use super::{Api, Dialect, Way};
use bytes::{Bytes, BytesMut};
use edge_node::dialect::{Bill, classify, prepare};
use edge_node::ingress::{Surface, parse};
use http::{HeaderMap, HeaderValue};
use serde::de::IgnoredAny;
use shared::usage::{Usage, cost};
use std::time::Duration;

/// What came of an answer: the client's bytes and why it failed.
type Played = (Bytes, Option<(u16, &'static str)>);

/// One answer of a dialect. The first three bytes say who asks, how the network cuts the answer,
/// and what is odd about the provider.
pub fn answer(dialect: Dialect, data: &[u8]) {
    let Some((&[who, size, quirks], body)) = data.split_first_chunk() else {
        return;
    };
    let stream = who & 4 != 0;
    let (api, request) = match who & 3 {
        0 => (
            Api::Chat,
            r#"{"model":"a/b","messages":[{"role":"user","content":"x"}]"#,
        ),
        1 => (
            Api::Messages,
            r#"{"model":"a/b","max_tokens":99,"messages":[{"role":"user","content":"x"}]"#,
        ),
        2 => (Api::Responses, r#"{"model":"a/b","input":"x""#),
        _ => (Api::Completions, r#"{"model":"a/b","prompt":"x""#),
    };
    let way = Way::new(dialect, quirks);
    let request = format!("{request},\"stream\":{stream}}}");
    check(&way, api, &request, body, usize::from(size));
}

/// Embeddings and rankings, whose first byte says of which form.
pub fn vectors(data: &[u8]) {
    let Some((&[form, size], body)) = data.split_first_chunk() else {
        return;
    };
    let dialects = [
        Dialect::OpenaiChat,
        Dialect::CohereV2,
        Dialect::Gemini,
        Dialect::MistralChat,
    ];
    let dialect = dialects[usize::from(form) % dialects.len()];
    let way = Way::new(dialect, form & 0xc0);
    let (api, request) = if form & 16 == 0 {
        (Api::Embeddings, r#"{"model":"a/b","input":["x","y"]}"#)
    } else {
        (
            Api::Rerank,
            r#"{"model":"a/b","query":"q","documents":["x",{"text":"y"}]}"#,
        )
    };
    check(&way, api, request, body, usize::from(size));
}

fn check(way: &Way, api: Api, request: &str, body: &[u8], size: usize) {
    let Some(whole) = play(way, api, request, body, usize::MAX) else {
        return;
    };
    let pieces = play(way, api, request, body, size.max(1));
    assert_eq!(Some(&whole), pieces.as_ref(), "cut into pieces of {size}");
    let (out, failure) = whole;
    if failure.is_none() {
        let text = std::str::from_utf8(&out).expect("what goes out is text");
        if request.contains("\"stream\":true") {
            stream(text);
        } else {
            serde_json::from_str::<IgnoredAny>(text).expect("an answer is JSON");
        }
    }
}

fn play(way: &Way, api: Api, request: &str, body: &[u8], size: usize) -> Option<Played> {
    let request = Bytes::copy_from_slice(request.as_bytes());
    let call = parse(api, Surface::OpenRouter, &HeaderMap::new(), request).ok()?;
    let mut translator = prepare(&call, &way.target()).ok()?.translator;
    let mut out = BytesMut::new();
    let fed = body
        .chunks(size)
        .try_for_each(|piece| translator.feed(piece, &mut out));
    let ended = fed.and_then(|()| translator.end(&mut out));
    if ended.is_ok() {
        let usage = translator.progress().usage.unwrap_or_else(Usage::default);
        let cost = cost(&usage, &way.endpoint.pricing);
        let bill = Bill {
            usage: &usage,
            cost: &cost,
            charged: cost.total(),
            served: None,
            told: "",
            took: Duration::ZERO,
        };
        translator.close(&bill, &mut out);
    }
    let failure = ended.err().map(|failure| (failure.status, failure.reason));
    Some((out.freeze(), failure))
}

/// Each event is JSON, or the end.
fn stream(text: &str) {
    for event in text.split("\n\n").filter(|event| !event.is_empty()) {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        let data = data.unwrap_or_else(|| panic!("an event without data: {event:?}"));
        let is_json = || serde_json::from_str::<IgnoredAny>(data).is_ok();
        assert!(
            data == "[DONE]" || is_json(),
            "an event that is no JSON: {event:?}"
        );
    }
}

/// An error answer: two bytes of status, then the body.
pub fn error(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk() else {
        return;
    };
    let way = Way::new(Dialect::OpenaiChat, 0);
    let mut headers = HeaderMap::new();
    let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(value) = HeaderValue::from_bytes(line) {
        for name in [
            "retry-after",
            "x-amzn-errortype",
            "anthropic-ratelimit-tokens-reset",
        ] {
            headers.insert(name, value.clone());
        }
    }
    let failure = classify(&way.provider, u16::from_be_bytes(*status), &headers, body);
    assert!((400..600).contains(&failure.status), "{failure:?}");
    let told = failure.body().to_string();
    assert!(!told.contains("sk-proj-"), "{told}");
}
