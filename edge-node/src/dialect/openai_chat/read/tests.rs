use crate::dialect::fixture::{Fixture, data};
use crate::dialect::openai_chat::{composed, read, spliced};
use crate::dialect::{Bill, Translator, translate};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::wire::sse;
use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Quirk};
use shared::money::Amount;
use shared::usage::{Cost, Usage};
use std::collections::BTreeMap;
use std::path::Path;

const WHOLE: &str = r#"{"model":"a/b","messages":[{"role":"user","content":"x"}]}"#;
const STREAM: &str = r#"{"model":"a/b","messages":[{"role":"user","content":"x"}],"stream":true}"#;

fn openai() -> Fixture {
    Fixture::new(Dialect::OpenaiChat)
}

/// What came of an answer.
#[derive(Debug)]
struct Played {
    out: String,
    failure: Option<Failure>,
    usage: Option<Usage>,
    tool_error: bool,
}

fn play(mut translator: Box<dyn Translator>, body: &[u8], size: usize) -> Played {
    let mut out = BytesMut::new();
    let fed = body
        .chunks(size)
        .try_for_each(|chunk| translator.feed(chunk, &mut out))
        .and_then(|()| translator.end(&mut out));
    let progress = translator.progress().clone();
    let bill = Bill {
        usage: &progress.usage.unwrap_or_default(),
        cost: &Cost::default(),
        charged: Amount::ZERO,
        served: None,
        told: "",
        took: std::time::Duration::from_secs(2),
    };
    if fed.is_ok() {
        translator.close(&bill, &mut out);
    }
    Played {
        out: String::from_utf8(out.to_vec()).unwrap(),
        failure: fed.err(),
        usage: progress.usage,
        tool_error: progress.tool_error,
    }
}

fn reading(fixture: &Fixture, call: &Call, body: &[u8], size: usize) -> Played {
    let translator = fixture.with_target(|target| {
        translate::translator::<sse::Parser, _>(read::Answer::new(target), call, target)
    });
    play(translator, body, size)
}

fn splicing(fixture: &Fixture, call: &Call, body: &[u8]) -> Played {
    let translator = fixture.with_target(|target| spliced(call, target));
    play(translator, body, usize::MAX)
}

/// What a client reads, by choice and member.
type Said = BTreeMap<(u64, String), String>;

fn chunks(out: &str) -> Vec<Value> {
    let events = out.split_terminator("\n\n");
    let data = events.filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn said(out: &str, stream: bool) -> Said {
    let mut said = Said::new();
    if out.is_empty() {
        return said;
    }
    let (values, name) = if stream {
        (chunks(out), "delta")
    } else {
        (vec![serde_json::from_str(out).unwrap()], "message")
    };
    let all = values
        .iter()
        .filter_map(|value| value["choices"].as_array());
    for choice in all.flatten() {
        let index = choice["index"].as_u64().unwrap();
        let mut add = |name: &str, text: &str| {
            if !text.is_empty() {
                said.entry((index, name.to_owned()))
                    .or_default()
                    .push_str(text);
            }
        };
        let body = &choice[name];
        for name in ["content", "reasoning", "refusal"] {
            add(name, body[name].as_str().unwrap_or(""));
        }
        for (place, call) in body["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let at = call["index"].as_u64().unwrap_or(place as u64);
            add(&format!("call {at} id"), call["id"].as_str().unwrap_or(""));
            for name in ["name", "arguments"] {
                let text = call["function"][name].as_str().unwrap_or("");
                add(&format!("call {at} {name}"), text);
            }
        }
        for detail in body["reasoning_details"].as_array().into_iter().flatten() {
            let format = detail["format"].as_str().unwrap_or("unknown");
            for name in ["text", "summary", "data", "signature", "id"] {
                let text = detail[name].as_str().filter(|_| format != "unknown");
                add(&format!("detail {name}"), text.unwrap_or(""));
            }
        }
        for token in choice["logprobs"]["content"]
            .as_array()
            .into_iter()
            .flatten()
        {
            add("logprobs", &token.to_string());
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            said.insert((index, "finish".to_owned()), finish.to_owned());
        }
    }
    said
}

/// Folder name, client request, body.
fn recordings() -> Vec<(String, Value, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("-openai-chat-") || name.contains("-error") {
            continue;
        }
        let file = |name: &str| std::fs::read(path.join(name)).unwrap();
        let recorded: Value = serde_json::from_slice(&file("request.json")).unwrap();
        let mut request = recorded["body"].clone();
        if !request.is_object() {
            request = json!({"messages": [{"role": "user", "content": "x"}]});
        }
        let body = file("response.body");
        request["model"] = json!("a/b");
        request["stream"] = json!(!body.trim_ascii_start().starts_with(b"{"));
        all.push((name, request, body));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn the_reader_says_what_the_splice_says() {
    let all = recordings();
    assert!(all.len() >= 20, "{} recordings", all.len());
    for (name, request, body) in all {
        let fixture = openai();
        let call = fixture.call(&request.to_string());
        let spliced = splicing(&fixture, &call, &body);
        let read = reading(&fixture, &call, &body, usize::MAX);
        let reason = |played: &Played| played.failure.as_ref().map(|failure| failure.reason);
        assert_eq!(reason(&read), reason(&spliced), "{name}");
        assert_eq!(
            said(&read.out, call.stream),
            said(&spliced.out, call.stream),
            "{name}"
        );
        assert_eq!(read.usage, spliced.usage, "{name}");
        assert_eq!(read.tool_error, spliced.tool_error, "{name}");
        for size in [1, 7, 1000] {
            let pieces = reading(&fixture, &call, &body, size);
            assert_eq!(pieces.out, read.out, "{name}, pieces of {size}");
        }
    }
}

#[test]
fn what_was_asked_can_be_said_again() {
    for (name, request, _) in recordings() {
        let fixture = openai().quirks(&[Quirk::ReasoningContentBack]);
        let call = fixture.call(&request.to_string());
        let (body, _) = fixture
            .with_target(|target| composed(&call, target))
            .unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        for member in ["tools", "temperature", "seed", "stop", "n"] {
            let wanted = request.get(member).filter(|value| !value.is_null());
            if member != "n" || wanted != Some(&json!(1)) {
                assert_eq!(body.get(member), wanted, "{name}: {member}");
            }
        }
        let last = |body: &Value| body["messages"].as_array().unwrap().last().cloned();
        let content = |body: &Value| last(body).unwrap()["content"].clone();
        if content(&request).is_string() {
            assert_eq!(content(&body), content(&request), "{name}");
        }
    }
}

#[test]
fn odd_ends_are_the_same_to_both() {
    let both = |list: &[&str]| {
        let fixture = openai();
        let (call, body) = (fixture.call(STREAM), data(list));
        let splice = splicing(&fixture, &call, body.as_bytes());
        let read = reading(&fixture, &call, body.as_bytes(), usize::MAX);
        let reason = |played: &Played| played.failure.as_ref().map(|failure| failure.reason);
        assert_eq!(reason(&splice), reason(&read), "{list:?}");
        assert_eq!(splice.usage, read.usage, "{list:?}");
        let counted = read.usage.map(|usage| (usage.prompt, usage.completion));
        (reason(&read), counted)
    };
    let text = delta(r#"{"content":"a"}"#);
    let groq = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","error":"over capacity"}}"#;
    assert_eq!(both(&[&text, groq]), (Some("provider_error"), None));
    let well = groq.replace("\"over capacity\"", "null");
    assert_eq!(both(&[&text, &well, "[DONE]"]), (None, None));
    // What is no error says so, beside the usage and a list of choices that is empty.
    let usage = r#"{"code":0,"message":"Success","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    assert_eq!(both(&[&text, STOP, usage, "[DONE]"]), (None, Some((3, 2))));
}

fn streamed(fixture: &Fixture, list: &[&str]) -> Played {
    let call = fixture.call(STREAM);
    reading(fixture, &call, data(list).as_bytes(), usize::MAX)
}

fn delta(delta: &str) -> String {
    format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{delta}}}]}}"#)
}

const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const CALLS: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;

#[track_caller]
fn check(played: &Played, expected: &[(&str, &str)]) {
    assert!(played.failure.is_none(), "{played:?}");
    let mut said = said(&played.out, true);
    for (name, text) in expected {
        let got = said.remove(&(0, (*name).to_owned()));
        assert_eq!(got.as_deref(), Some(*text), "{name} in {}", played.out);
    }
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn calls_are_told_once_whole_and_in_order() {
    // Odd indices, an id again and again, a name that comes late, no arguments, no id.
    let played = streamed(
        &openai(),
        &[
            &delta(r#"{"tool_calls":[{"index":3,"id":"a","function":{}}]}"#),
            &delta(r#"{"tool_calls":[{"index":3,"id":"a","function":{"name":"f"}}]}"#),
            &delta(
                r#"{"tool_calls":[{"index":3,"id":"","function":{"arguments":"{\"x\":"}},{"index":5,"function":{"name":"g"}}]}"#,
            ),
            &delta(r#"{"tool_calls":[{"index":3,"function":{"arguments":"1}"}}]}"#),
            CALLS,
            "[DONE]",
        ],
    );
    let expected = [
        ("call 0 id", "a"),
        ("call 0 name", "f"),
        ("call 0 arguments", r#"{"x":1}"#),
        ("call 1 id", "call_1_1"),
        ("call 1 name", "g"),
        ("call 1 arguments", "{}"),
        ("finish", "tool_calls"),
    ];
    check(&played, &expected);
    assert!(!played.tool_error);
    // Objects in place of text, all in one chunk.
    let whole = r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1.0}}}]},"finish_reason":"tool_calls"}]}"#;
    let expected = [
        ("call 0 id", "a"),
        ("call 0 name", "f"),
        ("call 0 arguments", r#"{"x":1.0}"#),
        ("finish", "tool_calls"),
    ];
    check(&streamed(&openai(), &[whole, "[DONE]"]), &expected);
}

#[test]
fn reasoning_is_told_once_wherever_it_stands() {
    let both = delta(
        r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","format":"f","index":0}]}"#,
    );
    let signed = delta(
        r#"{"reasoning":null,"reasoning_details":[{"type":"reasoning.text","signature":"s","format":"f","index":0},{"type":"reasoning.encrypted","data":"d","id":"i","format":"f","index":1}]}"#,
    );
    let expected = [
        ("reasoning", "hm"),
        ("detail text", "hm"),
        ("detail signature", "s"),
        ("detail data", "d"),
        ("detail id", "i"),
        ("finish", "stop"),
    ];
    check(&streamed(&openai(), &[&both, &signed, STOP]), &expected);
    let parts = delta(
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}"#,
    );
    let expected = [("reasoning", "hm"), ("content", "a"), ("finish", "stop")];
    check(&streamed(&openai(), &[&parts, STOP]), &expected);
    let tags = [
        &*delta(r#"{"content":"<thi"}"#),
        &delta(r#"{"content":"nk>hm</think>"}"#),
        &delta(r#"{"content":"\na"}"#),
        STOP,
    ];
    check(
        &streamed(&openai().quirks(&[Quirk::ThinkTags]), &tags),
        &expected,
    );
}

#[test]
fn sources_pictures_and_speech_come_through() {
    let list = [
        r#"{"citations":["https://a"],"search_results":[{"title":"A","url":"https://a","snippet":"s"}],"choices":[{"index":0,"delta":{"content":"x","images":[{"type":"image_url","image_url":{"url":"data:p"}}],"audio":{"id":"au","data":"QQ=="},"annotations":[{"type":"url_citation","url_citation":{"url":"https://b","title":"B","start_index":1,"end_index":2}}]}}]}"#,
        STOP,
    ];
    let played = streamed(&openai(), &list);
    let all = chunks(&played.out);
    let of = |name: &str| -> Vec<Value> {
        let deltas = all.iter().map(|chunk| &chunk["choices"][0]["delta"][name]);
        deltas.filter(|value| !value.is_null()).cloned().collect()
    };
    let citation = |members: Value| json!([{"type": "url_citation", "url_citation": members}]);
    assert_eq!(
        of("annotations"),
        [
            citation(json!({"url": "https://b", "title": "B", "start_index": 1, "end_index": 2})),
            citation(
                json!({"url": "https://a", "title": "A", "content": "s", "start_index": 0, "end_index": 0})
            ),
        ]
    );
    let image = json!([{"type": "image_url", "image_url": {"url": "data:p"}, "index": 0}]);
    assert_eq!(of("images"), [image]);
    assert_eq!(of("audio"), [json!({"id": "au", "data": "QQ=="})]);
}

#[test]
fn sources_that_come_late_are_told_once() {
    let late = r#"{"citations":["https://a"],"choices":[]}"#;
    let again =
        r#"{"citations":["https://a"],"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    for late in [late, again] {
        let played = streamed(
            &openai(),
            &[&delta(r#"{"content":"x"}"#), STOP, late, again],
        );
        let told = played.out.matches("https://a").count();
        assert_eq!(told, 1, "{}", played.out);
        assert!(played.failure.is_none());
    }
}

#[test]
fn a_stream_ends_as_it_ended() {
    let text = delta(r#"{"content":"a"}"#);
    let overloaded = r#"{"error":{"message":"Overloaded","type":"overloaded_error"}}"#;
    let reason = |list: &[&str]| {
        let played = streamed(&openai(), list);
        played.failure.map(|failure| failure.reason)
    };
    assert_eq!(reason(&[&text, STOP]), None);
    assert_eq!(reason(&[&text, "[DONE]"]), None);
    assert_eq!(reason(&[&text]), Some("truncated"));
    assert_eq!(reason(&[]), Some("empty"));
    assert_eq!(reason(&["[DONE]"]), Some("empty"));
    assert_eq!(reason(&["not json"]), Some("garbage"));
    assert_eq!(reason(&[overloaded]), Some("overloaded"));
    assert_eq!(reason(&[&text, overloaded]), Some("overloaded"));
    let gave_up = STOP.replace("stop", "network_error");
    assert_eq!(reason(&[&text, &gave_up]), Some("finish_error"));
    // Choices beyond all bounds, details too.
    let many = r#"{"choices":[{"index":4000000000,"delta":{"content":"a"}}]}"#;
    assert_eq!(reason(&[many]), Some("too_large"));
    let far = delta(r#"{"reasoning_details":[{"text":"a","index":4000000000}]}"#);
    assert_eq!(reason(&[&far]), Some("too_large"));
    // The whole message beside the delta.
    let both = r#"{"choices":[{"index":0,"delta":{"content":"a"},"message":{"content":"aaa"},"finish_reason":"stop"}]}"#;
    check(
        &streamed(&openai(), &[both]),
        &[("content", "a"), ("finish", "stop")],
    );
    // Usage on a repeated finish; Groq's in its own place.
    let usage = r#"{"prompt_tokens":3,"completion_tokens":2}"#;
    let again = format!(r#"{{"x_groq":{{"usage":{usage}}},"usage":{usage},"choices":[]}}"#);
    let played = streamed(&openai(), &[&text, STOP, &again, "[DONE]"]);
    let counted = played.usage.map(|usage| (usage.prompt, usage.completion));
    assert_eq!(counted, Some((3, 2)));
    check(&played, &[("content", "a"), ("finish", "stop")]);
}

#[test]
fn a_whole_answer_needs_no_finish_but_a_message() {
    let fixture = openai();
    let call = fixture.call(WHOLE);
    let read = |body: &str| reading(&fixture, &call, body.as_bytes(), 5);
    let played = read(
        r#"{"choices":[{"message":{"content":null,"refusal":"no","tool_calls":[{"id":"a","function":{"name":"f"}}]}}]}"#,
    );
    let told = said(&played.out, false);
    let of = |name: &str| told.get(&(0, name.to_owned())).map(String::as_str);
    assert_eq!(of("refusal"), Some("no"));
    assert_eq!(of("call 0 arguments"), Some("{}"));
    assert_eq!(of("finish"), Some("tool_calls"));
    let reason = |body: &str| read(body).failure.map(|failure| failure.reason);
    assert_eq!(reason(r#"{"choices":[{}]}"#), Some("garbage"));
    assert_eq!(reason(r#"{"choices":[]}"#), Some("empty"));
    assert_eq!(reason("  "), Some("empty"));
    // The provider's filter took all of it.
    let filtered = r#"{"choices":[{"index":0,"finish_reason":"content_filter"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let read = read(filtered);
    let splice = splicing(&fixture, &call, filtered.as_bytes());
    assert_eq!(said(&read.out, false), said(&splice.out, false));
    assert_eq!((read.usage, read.usage.is_some()), (splice.usage, true));
    // A stream was asked for, an answer came.
    let call = fixture.call(STREAM);
    let body = br#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    let played = reading(&fixture, &call, body, 5);
    check(&played, &[("content", "a"), ("finish", "stop")]);
}

/// Deltas as they come, and as they should not.
const DELTAS: [&str; 12] = [
    r#"{"content":"a\u00e9<think>"}"#,
    r#"{"content":[{"type":"text","text":"b"},7]}"#,
    r#"{"content":{"x":1},"reasoning":7}"#,
    r#"{"reasoning_content":"c"}"#,
    r#"{"reasoning_details":[{"type":"reasoning.encrypted"},null,{"index":1.5,"text":"d"}]}"#,
    r#"{"tool_calls":[{"index":2,"function":{"arguments":"{"}},7]}"#,
    r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":[]}}}]}"#,
    r#"{"tool_calls":[{"index":-1,"id":"b","function":null}]}"#,
    r#"{"annotations":[{"type":"url_citation"}],"images":[{}],"audio":{}}"#,
    r#"{"refusal":"e"}"#,
    "null",
    "{}",
];

proptest! {
    #[test]
    fn cuts_make_no_difference_and_nothing_panics(
        picks in prop::collection::vec((0..DELTAS.len(), 0_u8..4, any::<bool>()), 0..12),
        broken in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        size in 1_usize..40,
        tags in any::<bool>(),
    ) {
        let chunks: Vec<String> = picks
            .iter()
            .map(|(delta, index, ends)| {
                let finish = if *ends { "\"stop\"" } else { "null" };
                let delta = DELTAS[*delta];
                format!(r#"{{"choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]}}"#)
            })
            .collect();
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        let mut body = data(&chunks).into_bytes();
        if let Some((place, byte)) = broken && !body.is_empty() {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let quirks: &[Quirk] = if tags { &[Quirk::ThinkTags] } else { &[] };
        let fixture = openai().quirks(quirks);
        let call = fixture.call(STREAM);
        let whole = reading(&fixture, &call, &body, usize::MAX);
        let pieces = reading(&fixture, &call, &body, size);
        prop_assert_eq!(&pieces.out, &whole.out);
        let reason = |played: &Played| played.failure.as_ref().map(|failure| failure.reason);
        prop_assert_eq!(reason(&pieces), reason(&whole));
        let call = fixture.call(WHOLE);
        for chunk in chunks {
            reading(&fixture, &call, chunk.replace("delta", "message").as_bytes(), size);
        }
    }
}
