use crate::dialect::fixture::{Fixture, Played};
use crate::failure::{Fault, Retry};
use crate::wire::eventstream::message;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter};

mod requests;

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const START: (&str, &str) = ("messageStart", r#"{"p":"abc","role":"assistant"}"#);
const END: (&str, &str) = ("messageStop", r#"{"stopReason":"end_turn"}"#);
const USAGE: (&str, &str) = (
    "metadata",
    r#"{"usage":{"inputTokens":10,"outputTokens":4,"cacheReadInputTokens":7351,"cacheWriteInputTokens":9,"cacheDetails":[{"ttl":"1h","inputTokens":6},{"ttl":"5m","inputTokens":3}],"totalTokens":7374},"metrics":{"latencyMs":1},"p":"ab"}"#,
);

fn bedrock(model: &str) -> Fixture {
    let mut fixture = Fixture::new(Dialect::BedrockConverse);
    model.clone_into(&mut fixture.endpoint.provider_model);
    fixture
}

fn claude() -> Fixture {
    bedrock("us.anthropic.claude-sonnet-4-5-v1:0")
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", name), (":message-type", "event")];
    message(&headers, payload.as_bytes())
}

fn exception(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":exception-type", name), (":message-type", "exception")];
    message(&headers, payload.as_bytes())
}

fn stream(list: &[(&str, &str)]) -> Vec<u8> {
    let events = list.iter().flat_map(|(name, payload)| event(name, payload));
    events.collect()
}

fn played(list: &[(&str, &str)]) -> Played {
    let mut all = vec![START];
    all.extend(list);
    claude().play(STREAM, &stream(&all), usize::MAX)
}

fn deltas(played: &Played) -> Vec<Value> {
    let chunks = played.chunks();
    let deltas = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"].clone());
    let said = deltas.filter(|delta| delta.as_object().is_some_and(|d| !d.is_empty()));
    said.skip(1).collect()
}

#[test]
fn calls_in_parallel_keep_apart() {
    let got = played(&[
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"Hi"}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":""}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"x\":"}}}"#,
        ),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"b","name":"g"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"1}"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{}"}}}"#,
        ),
        ("messageStop", r#"{"stopReason":"tool_use"}"#),
        USAGE,
    ]);
    let told = deltas(&got);
    assert_eq!(told[0], json!({"content": "Hi"}));
    let calls: Vec<(Value, Value, Value)> = told[1..]
        .iter()
        .map(|delta| &delta["tool_calls"][0])
        .map(|call| {
            let function = &call["function"];
            (
                call["index"].clone(),
                call["id"].clone(),
                function["arguments"].clone(),
            )
        })
        .collect();
    let none = Value::Null;
    assert_eq!(
        calls,
        [
            (json!(0), json!("a"), json!("")),
            (json!(0), none.clone(), json!("{\"x\":")),
            (json!(1), json!("b"), json!("")),
            (json!(0), none.clone(), json!("1}")),
            (json!(1), none, json!("{}")),
        ]
    );
    let chunks = got.chunks();
    let finish = &chunks[chunks.len() - 2]["choices"][0];
    assert_eq!(finish["finish_reason"], "tool_calls");
    assert!(!got.tool_error);
}

#[test]
fn usage_comes_behind_the_end() {
    let usage = played(&[END, USAGE]).usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.cache_read, usage.completion),
        (7370, 7351, 4)
    );
    assert_eq!((usage.cache_write, usage.cache_write_1h), (3, 6));
}

#[test]
fn reasoning_comes_with_what_proves_it() {
    let list = [
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"sig"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"QQ=="}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"text":"ok"}}"#,
        ),
        END,
        USAGE,
    ];
    let told = deltas(&played(&list));
    assert_eq!(told[0]["reasoning"], "Hm");
    let detail = |index: usize| told[index]["reasoning_details"][0].clone();
    let format = "anthropic-claude-v1";
    assert_eq!(
        detail(0),
        json!({"type": "reasoning.text", "text": "Hm", "format": format, "index": 0})
    );
    assert_eq!(detail(1)["signature"], "sig");
    assert_eq!(
        detail(2),
        json!({"type": "reasoning.encrypted", "data": "QQ==", "format": format, "index": 1})
    );
    assert_eq!(told[3], json!({"content": "ok"}));
    // Another maker's reasoning can't go back.
    let mut all = vec![START];
    all.extend(list);
    let got = bedrock("deepseek.r1-v1:0").play(STREAM, &stream(&all), 50);
    assert_eq!(deltas(&got)[0]["reasoning_details"][0]["format"], "unknown");
}

#[test]
fn a_whole_answer_says_the_same() {
    let answer = r#"{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":[
        {"reasoningContent":{"reasoningText":{"text":"Hm","signature":"sig"}}},
        {"reasoningContent":{"redactedContent":"QQ=="}},
        {"text":"Hé"},
        {"citationsContent":{"content":[{"text":"llo"}],"citations":[
            {"title":"T","location":{"web":{"url":"https://x/","domain":"x"}},"sourceContent":[{"text":"S"}]},
            {"location":{"documentPage":{"documentIndex":0}}}]}},
        {"toolUse":{"toolUseId":"a","name":"f","input":{"n": 12345678901234567890123}}},
        {"toolUse":{"toolUseId":"b","name":"g","input":{}}}]}},
        "stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"},
        "usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#;
    let got = claude().play(WHOLE, answer.as_bytes(), 7);
    let body = got.answer();
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], "Héllo");
    assert_eq!(message["reasoning"], "Hm");
    assert_eq!(message["reasoning_details"][0]["signature"], "sig");
    assert_eq!(message["reasoning_details"][1]["data"], "QQ==");
    assert_eq!(
        message["annotations"],
        json!([{"type": "url_citation", "url_citation": {
            "url": "https://x/", "title": "T", "content": "S", "start_index": 2, "end_index": 5}}])
    );
    let call = |index: usize| message["tool_calls"][index]["function"]["arguments"].clone();
    assert_eq!(call(0), r#"{"n": 12345678901234567890123}"#);
    assert_eq!(call(1), "{}");
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(body["usage"]["total_tokens"], 5);
}

#[test]
fn reasons_to_end_are_openais() {
    let end = |word: &str| {
        let stop = format!(r#"{{"stopReason":"{word}"}}"#);
        let text = (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#,
        );
        let got = played(&[text, ("messageStop", &stop), USAGE]);
        if got.failure.is_some() {
            return got.reason().to_owned();
        }
        let finish = got.chunks()[2]["choices"][0]["finish_reason"].clone();
        finish.as_str().unwrap().to_owned()
    };
    assert_eq!(end("end_turn"), "stop");
    assert_eq!(end("stop_sequence"), "stop");
    assert_eq!(end("max_tokens"), "length");
    assert_eq!(end("model_context_window_exceeded"), "length");
    assert_eq!(end("guardrail_intervened"), "content_filter");
    assert_eq!(end("content_filtered"), "content_filter");
    assert_eq!(end("malformed_tool_use"), "finish_error");
    assert_eq!(end("malformed_model_output"), "finish_error");
}

#[test]
fn an_exception_is_never_an_end() {
    let check = |name: &str, body: &str, (status, fault, retry): (u16, Fault, Retry)| {
        for text in [false, true] {
            let mut all = stream(&[START]);
            if text {
                let delta = r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#;
                all.extend(event("contentBlockDelta", delta));
            }
            all.extend(exception(name, body));
            let failure = claude().play(STREAM, &all, 3).failure.unwrap();
            let got = (failure.status, failure.fault, failure.retry);
            assert_eq!(got, (status, fault, retry), "{name}");
            assert_eq!(failure.provider_code.as_deref(), Some(name));
        }
    };
    let other = Retry::OtherEndpoint;
    let no = r#"{"message":"no"}"#;
    check("throttlingException", no, (429, Fault::Provider, other));
    check(
        "serviceUnavailableException",
        "",
        (503, Fault::Provider, other),
    );
    check("internalServerException", no, (502, Fault::Provider, other));
    let stream_error = r#"{"message":"m","originalStatusCode":500,"originalMessage":"o"}"#;
    check(
        "modelStreamErrorException",
        stream_error,
        (502, Fault::Provider, other),
    );
    check("modelTimeoutException", no, (408, Fault::Provider, other));
    check(
        "accessDeniedException",
        no,
        (502, Fault::ProviderKey, other),
    );
    check(
        "validationException",
        no,
        (400, Fault::Caller, Retry::Never),
    );
    let headers = [
        (":error-code", "InternalFailure"),
        (":error-message", "it broke"),
        (":message-type", "error"),
    ];
    let failure = claude()
        .play(STREAM, &message(&headers, b""), 9)
        .failure
        .unwrap();
    assert_eq!(
        (failure.status, &*failure.message),
        (502, "Acme AI: it broke")
    );
}

#[test]
fn errors_have_names_of_their_own() {
    let check = |status: u16, header: &str, body: &str, reason: &str| {
        let mut headers = http::HeaderMap::new();
        if !header.is_empty() {
            headers.insert("x-amzn-errortype", header.parse().unwrap());
        }
        let provider = claude().provider;
        let failure = crate::dialect::classify(&provider, status, &headers, body.as_bytes());
        assert_eq!(failure.reason, reason, "{header} {body}");
    };
    let no = r#"{"message":"no"}"#;
    check(400, "ValidationException:http://x/", no, "invalid_request");
    check(
        400,
        "ValidationException:http://x/",
        r#"{"message":"The provided model identifier is invalid."}"#,
        "model_gone",
    );
    check(
        400,
        "ValidationException",
        r#"{"message":"Input is too long for requested model."}"#,
        "context_length",
    );
    check(400, "ServiceQuotaExceededException", no, "rate_limited");
    check(429, "ModelNotReadyException", no, "rate_limited");
    check(403, "ExpiredTokenException:http://x/", no, "provider_auth");
    check(424, "ModelErrorException", no, "provider_status");
    check(
        400,
        "",
        r#"{"__type":"com.amazon.coral.service#ThrottlingException","Message":"slow"}"#,
        "rate_limited",
    );
}

#[test]
fn a_cut_is_told() {
    let text = (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#,
    );
    assert_eq!(played(&[text]).reason(), "truncated");
    assert_eq!(played(&[]).reason(), "truncated");
    assert_eq!(claude().play(STREAM, b"", 1).reason(), "empty");
    // Usage was lost, the answer was not.
    assert_eq!(played(&[text, END]).reason(), "");
    let mut bad = stream(&[START, text, END]);
    let last = bad.len() - 1;
    bad[last] ^= 1;
    assert_eq!(claude().play(STREAM, &bad, 100).reason(), "unreadable");
    let json = br#"{"message":"no","__type":"ThrottlingException"}"#;
    assert_eq!(claude().play(STREAM, json, 100).reason(), "rate_limited");
}

proptest! {
    #[test]
    fn no_cut_and_no_broken_byte_changes_or_breaks_the_reader(
        size in 1usize..60,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let list = [
            START,
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"é😀"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}"#),
            ("contentBlockStart", r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"a"}}"#),
            END,
            USAGE,
        ];
        let answer = stream(&list);
        let whole = claude().play(STREAM, &answer, usize::MAX);
        prop_assert!(whole.failure.is_none());
        prop_assert_eq!(&whole.out, &claude().play(STREAM, &answer, size).out);
        // A broken byte that the checksums can't see.
        let (name, payload) = list[1 + at.index(list.len() - 1)];
        let mut broken = payload.as_bytes().to_vec();
        let place = at.index(broken.len());
        broken[place] = byte;
        let headers = [(":event-type", name), (":message-type", "event")];
        let mut all = stream(&list[..2]);
        all.extend(message(&headers, &broken));
        claude().play(STREAM, &all, size);
        claude().play(WHOLE, &broken, size);
    }
}

fn asked(request: &Value) -> String {
    let mut request = request.clone();
    request["model"] = json!("a/b");
    if request["messages"].is_null() {
        request["messages"] = json!([{"role": "user", "content": "q"}]);
    }
    request.to_string()
}

fn sent(fixture: &Fixture, request: &Value) -> Value {
    serde_json::from_str(&fixture.body(&asked(request)).unwrap()).unwrap()
}

fn refused(fixture: &Fixture, request: &Value) -> String {
    let failure = fixture.body(&asked(request)).unwrap_err();
    assert_eq!(failure.retry, Retry::OtherEndpoint);
    failure.param.unwrap()
}

#[test]
fn a_model_has_its_own_path() {
    let path = |stream: bool| {
        let call = claude().call(if stream { STREAM } else { WHOLE });
        let fixture = bedrock("arn:aws:bedrock:us-east-1:1:application-inference-profile/ab");
        fixture.with_target(|target| crate::dialect::prepare(&call, target).unwrap().path)
    };
    let model = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fab";
    assert_eq!(path(true), format!("/model/{model}/converse-stream"));
    assert_eq!(path(false), format!("/model/{model}/converse"));
}

#[test]
fn the_endpoint_says_what_it_knows() {
    let fixture = claude().supporting(&[Parameter::Stop]);
    let body = sent(
        &fixture,
        &json!({"temperature": 1, "top_k": 5, "reasoning": {"effort": "high"}}),
    );
    assert_eq!(
        body,
        json!({"messages": [{"role": "user", "content": [{"text": "q"}]}]})
    );
}

#[test]
fn pictures_come_out() {
    let whole = json!({"output": {"message": {"role": "assistant", "content": [
        {"text": "a"}, {"image": {"format": "jpeg", "source": {"bytes": "QQ=="}}}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}});
    let said = claude()
        .play(WHOLE, whole.to_string().as_bytes(), 50)
        .answer();
    let url = |message: &Value| message["images"][0]["image_url"]["url"].clone();
    let expected = "data:image/jpeg;base64,QQ==";
    assert_eq!(url(&said["choices"][0]["message"]), expected);
    let got = played(&[
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"image":{"format":"jpeg"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"QQ=="}}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
        USAGE,
    ]);
    assert_eq!(url(&deltas(&got)[0]), expected);
}

#[test]
fn a_document_is_cited_by_its_title() {
    let whole = json!({"output": {"message": {"role": "assistant", "content": [
        {"citationsContent": {"content": [{"text": "a"}], "citations": [
            {"title": "Doc", "sourceContent": [{"text": "c"}],
                "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}]}}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}});
    let said = claude()
        .play(WHOLE, whole.to_string().as_bytes(), 50)
        .answer();
    let cited = &said["choices"][0]["message"]["annotations"][0]["url_citation"];
    assert_eq!(
        (&cited["url"], &cited["content"]),
        (&json!("Doc"), &json!("c"))
    );
}
