use crate::dialect::fixture::{Fixture, Played, data};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::Dialect;

mod requests;

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const USAGE: &str = r#""usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3}"#;

fn gemini() -> Fixture {
    Fixture::new(Dialect::Gemini)
}

/// A response of one candidate; `rest` are its further members, with their comma.
fn frame(parts: &str, rest: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{parts}],"role":"model"}},"index":0{rest}}}],{USAGE},"responseId":"r"}}"#
    )
}

fn stream(frames: &[&str]) -> Vec<u8> {
    data(frames).replace('\n', "\r\n").into_bytes()
}

fn played(frames: &[&str]) -> Played {
    gemini().play(STREAM, &stream(frames), usize::MAX)
}

fn whole(answer: &str) -> Played {
    gemini().play(WHOLE, answer.as_bytes(), usize::MAX)
}

fn deltas(played: &Played) -> Vec<Value> {
    let chunks = played.chunks();
    let deltas = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"].clone());
    deltas
        .filter(|delta| delta.as_object().is_some_and(|d| !d.is_empty()))
        .collect()
}

fn finish(played: &Played) -> (Value, Value) {
    let chunks = played.chunks();
    let mut all = chunks.iter().rev().map(|chunk| &chunk["choices"][0]);
    let last = all.find(|choice| choice["finish_reason"].is_string());
    let last = last.unwrap();
    (
        last["finish_reason"].clone(),
        last["native_finish_reason"].clone(),
    )
}

const STOP: &str = r#","finishReason":"STOP""#;

#[test]
fn calls_count_over_the_whole_stream_and_end_it() {
    let played = played(&[
        &frame(
            r#"{"functionCall":{"name":"f","args":{"a": "b c"},"id":"one"},"thoughtSignature":"c2ln"}"#,
            "",
        ),
        &frame(r#"{"functionCall":{"name":"f"}}"#, ""),
        &frame(r#"{"text":""}"#, STOP),
    ]);
    let call = |index: u64, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}}]});
    let arguments = |index: u64, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    assert_eq!(
        deltas(&played),
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "c2ln", "id": "one", "format": "google-gemini-v1", "index": 0}]}),
            call(0, "one"),
            arguments(0, r#"{"a":"b c"}"#),
            call(1, "call_1_1"),
            arguments(1, "{}"),
        ]
    );
    assert_eq!(finish(&played), (json!("tool_calls"), json!("STOP")));
    assert!(!played.tool_error);
}

#[test]
fn thoughts_and_their_signatures_keep_their_places() {
    let played = played(&[
        &frame(r#"{"text":"hm ","thought":true}"#, ""),
        &frame(
            r#"{"thought":true,"text":"hm","thoughtSignature":"AA"}"#,
            "",
        ),
        &frame(r#"{"text":"again","thought":true},{"text":"\u00e9"}"#, ""),
        &frame(r#"{"text":"","thoughtSignature":"BB"}"#, STOP),
    ]);
    let detail = |index: u64, name: &str, value: &str| json!([{"type": "reasoning.text", name: value, "format": "google-gemini-v1", "index": index}]);
    assert_eq!(
        deltas(&played)[1..],
        [
            json!({"reasoning": "hm ", "reasoning_details": detail(0, "text", "hm ")}),
            json!({"reasoning": "hm", "reasoning_details": detail(0, "text", "hm")}),
            json!({"reasoning_details": detail(0, "signature", "AA")}),
            json!({"reasoning": "again", "reasoning_details": detail(1, "text", "again")}),
            json!({"content": "é"}),
            json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "BB", "format": "google-gemini-v1", "index": 2}]}),
        ]
    );
}

#[test]
fn the_end_is_told_once_and_last() {
    // Older models say STOP on every frame.
    let all = played(&[
        &frame(r#"{"text":"a"}"#, STOP),
        &frame(r#"{"text":"b"}"#, STOP),
    ]);
    assert_eq!(deltas(&all).len(), 3);
    assert_eq!(finish(&all), (json!("stop"), json!("STOP")));
    let of = |word: &str| {
        let rest = format!(r#","finishReason":{word}"#);
        finish(&played(&[&frame(r#"{"text":"a"}"#, &rest)])).0
    };
    assert_eq!(of("\"MAX_TOKENS\""), "length");
    assert_eq!(of("1"), "stop");
    assert_eq!(of("3"), "content_filter");
    for word in [
        "SAFETY",
        "RECITATION",
        "SPII",
        "PROHIBITED_CONTENT",
        "IMAGE_SAFETY",
    ] {
        assert_eq!(of(&format!("\"{word}\"")), "content_filter", "{word}");
    }
    assert_eq!(of("\"SOMETHING_NEW\""), "stop");
}

#[test]
fn what_a_model_broke_is_the_providers_fault() {
    for word in [
        "MALFORMED_FUNCTION_CALL",
        "OTHER",
        "MISSING_THOUGHT_SIGNATURE",
    ] {
        let rest = format!(r#","finishReason":"{word}""#);
        let failed = played(&[&frame("", &rest)]);
        assert_eq!(
            (failed.reason(), failed.owed),
            ("finish_error", false),
            "{word}"
        );
        assert_eq!(whole(&frame("", &rest)).reason(), "finish_error");
    }
}

#[test]
fn an_end_in_a_piece_of_a_frame_is_none() {
    let last = frame(r#"{"text":"b"}"#, STOP);
    let cut = last.get(..last.len() - 1).unwrap();
    let stream = format!("data: {}\n\ndata: {cut}", frame(r#"{"text":"a"}"#, ""));
    let played = gemini().play(STREAM, stream.as_bytes(), 7);
    assert_eq!((played.reason(), played.owed), ("truncated", true));
}

#[test]
fn a_byte_order_mark_means_nothing() {
    let answer = format!("\u{feff}{}", frame(r#"{"text":"a"}"#, STOP));
    let text = &whole(&answer).answer()["choices"][0]["message"]["content"];
    assert_eq!(text, "a");
    let played = gemini().play(STREAM, answer.as_bytes(), usize::MAX);
    assert_eq!(finish(&played), (json!("stop"), json!("STOP")));
}

#[test]
fn a_refused_prompt_is_an_answer() {
    let blocked = r#"{"promptFeedback":{"blockReason":"MODEL_ARMOR"},"usageMetadata":{"trafficType":"ON_DEMAND"}}"#;
    let answer = whole(blocked).answer();
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer["choices"][0]["native_finish_reason"], "MODEL_ARMOR");
    assert_eq!(finish(&played(&[blocked])).0, "content_filter");
    let refused = r#"{"candidates":[{"content":{},"finishReason":"SAFETY"}],"usageMetadata":{"promptTokenCount":14}}"#;
    let played = whole(refused);
    assert_eq!(
        played.answer()["choices"][0]["finish_reason"],
        "content_filter"
    );
    assert_eq!(played.usage.unwrap().prompt, 14);
}

#[test]
fn errors_are_errors_wherever_they_stand() {
    let error =
        r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let check = |played: &Played| {
        let failure = played.failure.as_ref().unwrap();
        let got = (failure.status, failure.provider_code.as_deref());
        assert_eq!(got, (503, Some("UNAVAILABLE")));
    };
    check(&played(&[error]));
    check(&played(&[&frame(r#"{"text":"a"}"#, ""), error]));
    check(&whole(&format!("[{error}]")));
    check(&gemini().play(STREAM, error.as_bytes(), 3));
    assert_eq!(
        played(&[&frame(r#"{"text":"a"}"#, "")]).reason(),
        "truncated"
    );
    assert_eq!(whole(&frame(r#"{"text":"a"}"#, "")).reason(), "truncated");
    assert_eq!(whole("{}").reason(), "empty");
    assert_eq!(whole("{\"candidates\":").reason(), "garbage");
    let control = frame("{\"text\":\"a\0b\"}", STOP);
    assert_eq!(whole(&control).reason(), "garbage");
    assert_eq!(played(&[&control]).reason(), "garbage");
    assert_eq!(played(&[]).reason(), "empty");
}

#[test]
fn a_list_of_responses_is_a_stream() {
    let list = format!(
        "[{},\n{}]",
        frame(r#"{"text":"a"}"#, ""),
        frame(r#"{"text":"b"}"#, STOP)
    );
    assert_eq!(
        whole(&list).answer()["choices"][0]["message"]["content"],
        "ab"
    );
    let played = gemini().play(STREAM, list.as_bytes(), 10);
    assert_eq!(deltas(&played).len(), 3);
}

#[test]
fn pictures_and_speech_come_out_and_code_is_told() {
    let answer = whole(&frame(
        r#"{"executableCode":{"language":"PYTHON","code":"1"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}},{"text":"see"},{"inlineData":{"mimeType":"image/png","data":"QQ=="},"thoughtSignature":"S"},{"inlineData":{"mimeType":"image/png","data":"QUE="},"thought":true}"#,
        STOP,
    ))
    .answer();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "see");
    let images = message["images"].as_array().unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0]["image_url"]["url"], "data:image/png;base64,QQ==");
    let details = &message["reasoning_details"];
    assert_eq!(details[0]["tool_name"], "code_execution");
    assert_eq!(
        details[0]["arguments"],
        r#"{"language":"PYTHON","code":"1"}"#
    );
    assert_eq!(details[1]["data"], "S");
    let answer = whole(&frame(
        r#"{"inlineData":{"mimeType":"audio/L16;codec=pcm;rate=24000","data":"QQ=="}}"#,
        STOP,
    ))
    .answer();
    let audio = &answer["choices"][0]["message"]["audio"];
    assert_eq!(
        (&audio["id"], &audio["data"]),
        (&json!("audio_1"), &json!("QQ=="))
    );
}

#[test]
fn a_picture_alone_is_an_answer_whatever_ends_it() {
    let picture = r#"{"inlineData":{"mimeType":"image/png","data":"QQ=="}}"#;
    let end = r#","finishReason":"BRAND_NEW""#;
    let answer = whole(&frame(picture, end)).answer();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["native_finish_reason"], "BRAND_NEW");
    assert_eq!(choice["message"]["images"].as_array().unwrap().len(), 1);
    assert_eq!(whole(&frame("", end)).reason(), "finish_error");
}

#[test]
fn several_choices_are_told_apart() {
    let candidate = |index: usize, text: &str, rest: &str| {
        format!(r#"{{"index":{index},"content":{{"parts":[{{"text":"{text}"}}]}}{rest}}}"#)
    };
    let both = |a: &str, b: &str, rest: &str| {
        format!(
            r#"{{"candidates":[{},{}]}}"#,
            candidate(0, a, rest),
            candidate(1, b, rest)
        )
    };
    let request = WHOLE.replace("}]}", "}],\"n\":2}");
    let list = format!("[{},{}]", both("a", "x", ""), both("b", "y", STOP));
    let answer = gemini().play(&request, list.as_bytes(), 9).answer();
    let text = |index: usize| answer["choices"][index]["message"]["content"].clone();
    assert_eq!((text(0), text(1)), (json!("ab"), json!("xy")));
    assert_eq!(answer["choices"][1]["finish_reason"], "stop");
    let beyond = format!(r#"{{"candidates":[{}]}}"#, candidate(128, "a", STOP));
    assert_eq!(whole(&beyond).reason(), "too_large");
}

#[test]
fn sources_are_counted_in_characters_and_told_once() {
    let grounding = r#","groundingMetadata":{"webSearchQueries":["q","r"],"groundingChunks":[{"web":{"uri":"https://a","title":"A"}},{"retrievedContext":{"text":"x"}},{"web":{"uri":"https://b","title":"B"}}],"groundingSupports":[{"segment":{"startIndex":2,"endIndex":7},"groundingChunkIndices":[0,1,9]},{"segment":{"endIndex":1000},"groundingChunkIndices":[0]}]}"#;
    let last = frame(r#"{"text":"ér"}"#, &format!("{STOP}{grounding}"));
    let all = played(&[&frame(r#"{"text":"éü"}"#, grounding), &last]);
    let notes: Vec<Value> = deltas(&all)
        .into_iter()
        .filter_map(|delta| {
            delta
                .get("annotations")
                .map(|a| a[0]["url_citation"].clone())
        })
        .collect();
    let note = |url: &str, title: &str, start: u64, end: u64| json!({"url": url, "title": title, "start_index": start, "end_index": end});
    // What the first frame can't place waits for its text.
    assert_eq!(
        notes,
        [
            note("https://b", "B", 0, 0),
            note("https://a", "A", 1, 4),
            note("https://a", "A", 0, 0),
        ]
    );
    let answer = whole(&frame(r#"{"text":"éüxé!"}"#, &format!("{STOP}{grounding}"))).answer();
    let notes = &answer["choices"][0]["message"]["annotations"];
    assert_eq!(notes[0]["url_citation"], note("https://a", "A", 1, 4));
    let searches = |model: &str| {
        let mut fixture = gemini();
        fixture.endpoint.provider_model = model.to_owned();
        fixture
            .play(STREAM, &stream(&[&last]), 99)
            .usage
            .unwrap()
            .web_searches
    };
    assert_eq!(
        (searches("gemini-2.5-pro"), searches("gemini-3-pro")),
        (1, 2)
    );
    let recited = r#","citationMetadata":{"citationSources":[{"startIndex":0,"endIndex":2,"uri":"https://c","license":"mit"}]}"#;
    let answer = whole(&frame(r#"{"text":"éa"}"#, &format!("{STOP}{recited}"))).answer();
    let notes = &answer["choices"][0]["message"]["annotations"];
    assert_eq!(notes[0]["url_citation"], note("https://c", "", 0, 1));
}

#[test]
fn probabilities_are_put_together() {
    let answer = whole(&frame(
        r#"{"text":"hé"}"#,
        r#","finishReason":"STOP","logprobsResult":{"topCandidates":[{"candidates":[{"token":"h","logProbability":-0.5,"tokenId":1},{"token":"H","logProbability":-1.25}]}],"chosenCandidates":[{"token":"h","tokenId":1,"logProbability":-0.5},{"token":"é"}]}"#,
    ))
    .answer();
    assert_eq!(
        answer["choices"][0]["logprobs"]["content"],
        json!([
            {"token": "h", "logprob": -0.5, "bytes": [104], "top_logprobs": [
                {"token": "h", "logprob": -0.5, "bytes": [104]},
                {"token": "H", "logprob": -1.25, "bytes": [72]},
            ]},
            {"token": "é", "logprob": 0, "bytes": [195, 169], "top_logprobs": []},
        ])
    );
}

#[test]
fn usage_is_of_the_last_frame() {
    let first = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"trafficType":"ON_DEMAND"}}"#;
    let last = r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":388,"thoughtsTokenCount":2193}}"#;
    let usage = played(&[first, last]).usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.completion, usage.reasoning),
        (8, 2581, 2193)
    );
    assert_eq!(played(&[first]).usage, None);
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(cuts in prop::collection::vec(1_usize..40, 1..60)) {
        let body = stream(&[
            &frame(r#"{"text":"thé ","thought":true}"#, ""),
            &frame(r#"{"text":"日本語 \ud83d\ude00"}"#, ""),
            &frame(r#"{"functionCall":{"name":"f","args":{"é":[1.0, "\"}"]}},"thoughtSignature":"AA=="}"#, ""),
            &frame(r#"{"text":""}"#, STOP),
        ]);
        let whole = gemini().play(STREAM, &body, usize::MAX);
        let mut rest = body.as_slice();
        let mut pieces = Vec::new();
        for size in cuts {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let cut = gemini().play_pieces(STREAM, pieces.into_iter());
        prop_assert!(cut.failure.is_none());
        prop_assert_eq!(whole.out, cut.out);
    }

    #[test]
    fn no_frame_panics(text in "[\\[\\]{}\":,a-z0-9 ]{0,60}", parts in "[\\[\\]{}\":,a-z]{0,40}") {
        for body in [text.clone(), frame(&parts, ""), frame("", &text)] {
            let _ = gemini().play(STREAM, &stream(&[&body]), usize::MAX);
            let _ = whole(&body);
        }
    }
}
