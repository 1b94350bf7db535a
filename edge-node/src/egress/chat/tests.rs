use super::*;
use crate::dialect::Bill;
use crate::dialect::fixture::Fixture;
use crate::egress::writer;
use crate::message::{DetailKind, Escaped, Finish, Spoken};
use serde_json::Value;
use shared::catalog::Dialect;
use shared::money::Amount;
use shared::usage::{Cost, Usage};

fn thought(index: usize, kind: DetailKind, id: &'static str) -> Detail<'static> {
    Detail {
        index,
        kind,
        id: Escaped(id),
        format: Escaped("maker-v1"),
    }
}

fn finish(finish: Finish) -> Event<'static> {
    Event::Finish {
        finish,
        native: Escaped("native"),
        stop: Escaped(""),
    }
}

/// A little of everything, in two choices.
fn answer() -> Vec<Event<'static>> {
    let mut events = begin();
    events.extend(rest());
    events
}

fn begin() -> Vec<Event<'static>> {
    let (text, summary, encrypted) = (
        thought(0, DetailKind::Text, ""),
        thought(1, DetailKind::Summary, "rs_1"),
        thought(1, DetailKind::Encrypted, "rs_1"),
    );
    let text_of = Escaped;
    vec![
        Event::Start,
        Event::Reasoning {
            detail: text,
            text: text_of("h"),
        },
        Event::Reasoning {
            detail: text,
            text: text_of("m"),
        },
        Event::Signature {
            detail: text,
            signature: text_of("sig"),
        },
        Event::Reasoning {
            detail: summary,
            text: text_of("sum"),
        },
        Event::Encrypted {
            detail: encrypted,
            data: text_of("xyz"),
        },
        Event::Text(text_of("a\\\"")),
        Event::Logprobs {
            of: Spoken::Content,
            tokens: r#"{"token":"a"}"#,
        },
        Event::Choice(1),
        Event::Refusal(text_of("no")),
        Event::Logprobs {
            of: Spoken::Refusal,
            tokens: r#"{"token":"n"}"#,
        },
        finish(Finish::Stop),
    ]
}

fn rest() -> Vec<Event<'static>> {
    let text_of = Escaped;
    vec![
        Event::Choice(0),
        Event::Text(text_of("b")),
        Event::Logprobs {
            of: Spoken::Content,
            tokens: r#"{"token":"b"}"#,
        },
        Event::Call {
            index: 0,
            id: text_of("c0"),
            name: text_of("f"),
        },
        Event::Call {
            index: 1,
            id: text_of("c1"),
            name: text_of("g"),
        },
        Event::Arguments {
            index: 0,
            text: text_of("{}"),
        },
        Event::Arguments {
            index: 1,
            text: text_of("{\\\"x\\\":"),
        },
        Event::Arguments {
            index: 1,
            text: text_of("1}"),
        },
        Event::Citation {
            url: text_of("u"),
            name: text_of(""),
            title: text_of("t"),
            content: text_of(""),
            start: None,
            end: Some(2),
        },
        Event::Image {
            url: text_of("data:x"),
        },
        Event::Audio {
            id: text_of("au"),
            data: text_of("QQ=="),
            transcript: text_of("hi"),
            expires_at: Some(9),
        },
        finish(Finish::ToolCalls),
    ]
}

fn written(members: &str) -> String {
    let fixture = Fixture::new(Dialect::AnthropicMessages);
    let request =
        format!(r#"{{"model":"a/b","messages":[{{"role":"user","content":"x"}}]{members}}}"#);
    let call = fixture.call(&request);
    let mut out = BytesMut::new();
    let mut writer = fixture.with_target(|target| writer(&call, target));
    for event in answer() {
        writer.write(&event, &mut out);
    }
    let bill = Bill {
        usage: &Usage::default(),
        cost: &Cost::default(),
        charged: Amount::ZERO,
        served: None,
        told: "",
        took: std::time::Duration::from_secs(2),
    };
    writer.close(&bill, &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn an_answer_has_everything_in_its_place() {
    let value: Value = serde_json::from_str(&written("")).unwrap();
    let detail = |kind: &str, members: Value| {
        let mut detail = json!({"type": kind, "format": "maker-v1"});
        for (name, value) in members.as_object().unwrap() {
            detail[name] = value.clone();
        }
        detail
    };
    let first = json!({
        "index": 0,
        "message": {
            "role": "assistant", "content": "a\"b", "refusal": null, "reasoning": "hmsum",
            "reasoning_details": [
                detail("reasoning.text", json!({"text": "hm", "signature": "sig", "index": 0})),
                detail("reasoning.summary", json!({"summary": "sum", "id": "rs_1", "index": 1})),
                detail("reasoning.encrypted", json!({"data": "xyz", "id": "rs_1", "index": 1})),
            ],
            "tool_calls": [
                {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "{\"x\":1}"}},
            ],
            "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 2}}],
            "images": [{"type": "image_url", "image_url": {"url": "data:x"}, "index": 0}],
            "audio": {"id": "au", "data": "QQ==", "transcript": "hi", "expires_at": 9},
        },
        "logprobs": {"content": [{"token": "a"}, {"token": "b"}], "refusal": null},
        "finish_reason": "tool_calls", "native_finish_reason": "native",
    });
    assert_eq!(value["choices"][0], first);
    let second = &value["choices"][1];
    assert_eq!(second["message"]["refusal"], "no");
    assert_eq!(second["message"]["content"], Value::Null);
    assert_eq!(
        second["logprobs"],
        json!({"content": null, "refusal": [{"token": "n"}]})
    );
    let hidden = written(r#","reasoning":{"exclude":true}"#);
    assert!(!hidden.contains("reasoning\":"), "{hidden}");
}

#[test]
fn a_stream_says_the_same_in_pieces() {
    let out = written(r#","stream":true"#);
    let chunks: Vec<Value> = out
        .strip_suffix("data: [DONE]\n\n")
        .unwrap()
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    let of = |index: u64| {
        let choices = chunks.iter().map(|chunk| &chunk["choices"][0]);
        choices
            .filter(|choice| choice["index"] == index)
            .collect::<Vec<_>>()
    };
    let said = |index: u64, name: &str| -> String {
        let deltas = of(index).into_iter();
        deltas
            .filter_map(|choice| choice["delta"][name].as_str())
            .collect()
    };
    assert_eq!(said(0, "content"), "a\"b");
    assert_eq!(said(0, "reasoning"), "hmsum");
    assert_eq!(said(1, "refusal"), "no");
    assert_eq!(of(1)[0]["delta"]["role"], "assistant");
    assert_eq!(of(1).last().unwrap()["finish_reason"], "stop");
    assert_eq!(of(0).last().unwrap()["finish_reason"], "tool_calls");
    let with = |name: &str| {
        let mut deltas = of(0).into_iter();
        deltas.find_map(|choice| choice["delta"].get(name).cloned())
    };
    let image = json!([{"type": "image_url", "image_url": {"url": "data:x"}, "index": 0}]);
    assert_eq!(with("images"), Some(image));
    let audio = json!({"id": "au", "data": "QQ==", "transcript": "hi", "expires_at": 9});
    assert_eq!(with("audio"), Some(audio));
    let tokens = of(0).iter().filter(|c| c.get("logprobs").is_some()).count();
    assert_eq!(tokens, 2);
}

#[test]
fn a_begun_stream_ends_in_a_typed_chunk() {
    let failure = Failure::provider(529, "overloaded", "Acme AI: busy");
    let id = GenerationId::from("gen-1");
    let told = json!({"openrouter_metadata": {"attempt": 1}});
    let marks = Marks {
        model: "a/b",
        provider: Some("Acme AI"),
        created: 7,
    };
    let event = error_event(&failure, &id, marks, told.as_object().unwrap());
    let text = std::str::from_utf8(&event).unwrap();
    let data = text.strip_prefix("data: ").unwrap();
    let chunk: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
    assert_eq!(
        chunk["error"]["metadata"]["error_type"],
        "provider_overloaded"
    );
    assert_eq!(chunk["choices"][0]["finish_reason"], "error");
    assert_eq!(chunk["provider"], "Acme AI");
    assert_eq!(chunk["openrouter_metadata"]["attempt"], 1);
    assert_eq!(
        (&chunk["id"], &chunk["created"]),
        (&json!("gen-1"), &json!(7))
    );
}
