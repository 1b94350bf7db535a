use crate::dialect::fixture::{Fixture, Played, data};
use crate::failure::Retry;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter};

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const START: &str = r#"{"id":"i","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#;
const END: &str = r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":47,"output_tokens":8},"tokens":{"input_tokens":1563,"output_tokens":22},"cached_tokens":1376}}}"#;

fn cohere() -> Fixture {
    Fixture::new(Dialect::CohereV2)
}

fn sent(fixture: &Fixture, request: &Value) -> Value {
    serde_json::from_str(&fixture.body(&asked(request)).unwrap()).unwrap()
}

fn asked(request: &Value) -> String {
    let mut request = request.clone();
    request["model"] = json!("a/b");
    if request["messages"].is_null() {
        request["messages"] = json!([{"role": "user", "content": "q"}]);
    }
    request.to_string()
}

fn refused(request: &Value) -> String {
    let failure = cohere().body(&asked(request)).unwrap_err();
    assert_eq!(failure.retry, Retry::OtherEndpoint);
    failure.param.unwrap()
}

fn played(list: &[&str]) -> Played {
    let mut all = vec![START];
    all.extend(list);
    cohere().play(STREAM, data(&all).as_bytes(), usize::MAX)
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
fn the_least_request() {
    assert_eq!(
        sent(&cohere(), &json!({})),
        json!({
            "model": "theirs", "stream": false,
            "messages": [{"role": "user", "content": "q"}],
        })
    );
}

#[test]
fn messages_of_every_kind() {
    let body = sent(
        &cohere(),
        &json!({"messages": [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}},
            ]},
            {"role": "assistant", "content": null, "reasoning": "I will add.", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "add", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]},
            {"role": "assistant", "content": "done", "reasoning": "easy"},
        ]}),
    );
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "d"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}},
            ]},
            {"role": "assistant", "tool_plan": "I will add.", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "12"},
            {"role": "assistant", "content": "done"},
        ])
    );
}

#[test]
fn parameters_by_their_own_names_and_within_bounds() {
    let body = sent(
        &cohere(),
        &json!({
            "temperature": 1.7, "top_p": 1, "top_k": 40, "seed": 3, "frequency_penalty": -1,
            "presence_penalty": 0.5, "logprobs": true, "logit_bias": {}, "stop": ["END"],
            "max_completion_tokens": 77, "stream": true, "user": "u",
        }),
    );
    assert_eq!(
        body,
        json!({
            "model": "theirs", "messages": [{"role": "user", "content": "q"}], "max_tokens": 77,
            "temperature": 1, "p": 0.99, "k": 40, "seed": 3, "frequency_penalty": 0,
            "presence_penalty": 0.5, "logprobs": true, "stop_sequences": ["END"], "stream": true,
        })
    );
    let fixture = cohere().supporting(&[Parameter::Stop]);
    let body = sent(&fixture, &json!({"temperature": 1, "seed": 1}));
    assert_eq!((body.get("temperature"), body.get("seed")), (None, None));
}

#[test]
fn tools_and_choices() {
    let tool = |name: &str, strict: bool| json!({"type": "function", "function": {"name": name, "strict": strict, "parameters": {"type": "object"}}});
    let plain = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let tools = json!([tool("f", true), tool("g", false)]);
    let with = |choice: Value| {
        sent(
            &cohere(),
            &json!({"tools": tools.clone(), "tool_choice": choice}),
        )
    };
    let body = with(json!("auto"));
    assert_eq!(body["tools"], json!([plain("f"), plain("g")]));
    assert_eq!(body.get("tool_choice"), None);
    assert_eq!(body.get("strict_tools"), None);
    assert_eq!(with(json!("required"))["tool_choice"], "REQUIRED");
    assert_eq!(with(json!("none"))["tool_choice"], "NONE");
    let body = with(json!({"type": "function", "function": {"name": "f"}}));
    assert_eq!(body["tools"], json!([plain("f")]));
    assert_eq!(body["tool_choice"], "REQUIRED");
    assert_eq!(body["strict_tools"], true);
}

#[test]
fn forms_and_what_can_not_be_said() {
    let schema = json!({"type": "object"});
    let form = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let body = sent(&cohere(), &json!({"response_format": form}));
    assert_eq!(
        body["response_format"],
        json!({"type": "json_object", "json_schema": {"type": "object"}})
    );
    let body = sent(
        &cohere(),
        &json!({"response_format": {"type": "json_object"}}),
    );
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    assert_eq!(
        refused(&json!({"response_format": form, "tools": tools})),
        "response_format"
    );
    assert_eq!(refused(&json!({"n": 2})), "n");
    assert_eq!(
        refused(&json!({"messages": [{"role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}]}]})),
        "messages[0].content[0]"
    );
    assert_eq!(
        refused(&json!({"stop": ["1", "2", "3", "4", "5", "6"]})),
        "stop"
    );
}

#[test]
fn thinking_is_a_budget_or_off() {
    let of = |reasoning: Value, max: Value| {
        let body = sent(
            &cohere(),
            &json!({"reasoning": reasoning, "max_tokens": max}),
        );
        body.get("thinking").cloned()
    };
    let enabled = |budget: u64| Some(json!({"type": "enabled", "token_budget": budget}));
    assert_eq!(of(Value::Null, json!(10_000)), None);
    assert_eq!(
        of(json!({"effort": "none"}), Value::Null),
        Some(json!({"type": "disabled"}))
    );
    assert_eq!(of(json!({"effort": "high"}), json!(10_000)), enabled(8000));
    assert_eq!(of(json!({"max_tokens": 3000}), Value::Null), enabled(3000));
    assert_eq!(of(json!({"max_tokens": 3000}), json!(2000)), enabled(1999));
    assert_eq!(
        of(json!({"effort": "high"}), Value::Null),
        Some(json!({"type": "enabled"}))
    );
}

#[test]
fn a_plan_and_calls_are_streamed() {
    let got = played(&[
        r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I will"}}}"#,
        r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"a","type":"function","function":{"name":"f","arguments":""}}}}}"#,
        r#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"x\":1}"}}}}}"#,
        r#"{"type":"tool-call-end","index":0}"#,
        r#"{"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"b","type":"function","function":{"name":"g","arguments":""}}}}}"#,
        r#"{"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"tokens":{"input_tokens":9,"output_tokens":5}}}}"#,
    ]);
    let told = deltas(&got);
    assert_eq!(told[0]["reasoning"], "I will");
    let calls: Vec<Value> = told[1..]
        .iter()
        .map(|delta| delta["tool_calls"][0].clone())
        .collect();
    assert_eq!(
        (
            &calls[0]["index"],
            &calls[0]["id"],
            &calls[0]["function"]["name"]
        ),
        (&json!(0), &json!("a"), &json!("f"))
    );
    assert_eq!(calls[1]["function"]["arguments"], "{\"x\":1}");
    assert_eq!(
        (&calls[2]["index"], &calls[2]["id"]),
        (&json!(1), &json!("b"))
    );
    // A call without arguments has none, not nothing.
    assert_eq!(calls[3]["function"]["arguments"], "{}");
    let finish = &got.chunks()[6]["choices"][0];
    assert_eq!(finish["finish_reason"], "tool_calls");
    assert_eq!(finish["native_finish_reason"], "TOOL_CALL");
    assert!(!got.tool_error);
}

#[test]
fn tokens_are_reported_and_billed_units_charged() {
    let got = played(&[
        r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":"Hm"}}}}"#,
        r#"{"type":"content-end","index":0}"#,
        r#"{"type":"content-start","index":1,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
        r#"{"type":"content-delta","index":1,"delta":{"message":{"content":{"text":"Hi"}}},"logprobs":{"token_ids":[1,2],"text":"Hi","logprobs":[-0.5,-1]}}"#,
        END,
    ]);
    let told = deltas(&got);
    assert_eq!(told[0]["reasoning"], "Hm");
    assert_eq!(told[1], json!({"content": "Hi"}));
    let usage = got.usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.cache_read, usage.completion),
        (1563, 1376, 22)
    );
    assert_eq!((usage.prompt_free, usage.completion_free), (1516, 14));
    let chunks = got.chunks();
    let probabilities: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .collect();
    assert_eq!(probabilities[0]["token"], "Hi");
    assert_eq!(probabilities[0]["logprob"], -0.5);
    assert_eq!(probabilities[1]["logprob"], -1);
    // 47 prompt tokens at a millionth, 8 of completion at two millionths.
    assert_eq!(chunks.last().unwrap()["usage"]["cost"], 0.000_063);
}

#[test]
fn sources_are_named_by_their_address_or_id() {
    let whole = r#"{"id":"x","finish_reason":"COMPLETE","message":{"role":"assistant",
        "content":[{"type":"text","text":"Ruby is best"}],"citations":[
        {"start":0,"end":4,"text":"Ruby","type":"TEXT_CONTENT","sources":[
            {"type":"tool","id":"f:0","tool_output":{"content":"Ruby"}},
            {"type":"document","id":"d","document":{"id":"d1","title":"T","url":"https://x/","snippet":"S"}}]},
        {"start":0,"end":2,"type":"PLAN","sources":[{"type":"tool","id":"g:0"}]}]},
        "usage":{"billed_units":{"input_tokens":4,"output_tokens":3}}}"#;
    let got = cohere().play(WHOLE, whole.as_bytes(), 9).answer();
    let message = &got["choices"][0]["message"];
    assert_eq!(message["content"], "Ruby is best");
    let cited = |index: usize| message["annotations"][index]["url_citation"].clone();
    assert_eq!(
        cited(0),
        json!({"url": "f:0", "title": "", "content": "Ruby", "start_index": 0, "end_index": 4})
    );
    assert_eq!(
        cited(1),
        json!({"url": "https://x/", "title": "T", "content": "S", "start_index": 0, "end_index": 4})
    );
    assert_eq!(cited(2)["end_index"], 0);
    assert_eq!(got["usage"]["prompt_tokens"], 4);
}

#[test]
fn ends_are_told_apart() {
    let end = |word: &str| {
        let end = format!(r#"{{"type":"message-end","delta":{{"finish_reason":"{word}"}}}}"#);
        let text =
            r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}"#;
        let got = played(&[text, &end]);
        let reason = got.reason();
        if !reason.is_empty() {
            return reason.to_owned();
        }
        let finish = &got.chunks()[2]["choices"][0]["finish_reason"];
        finish.as_str().unwrap().to_owned()
    };
    assert_eq!(end("COMPLETE"), "stop");
    assert_eq!(end("STOP_SEQUENCE"), "stop");
    assert_eq!(end("MAX_TOKENS"), "length");
    assert_eq!(end("ERROR"), "finish_error");
    assert_eq!(end("TIMEOUT"), "finish_error");
    let told = r#"{"type":"message-end","delta":{"error":"boom","finish_reason":"ERROR"}}"#;
    assert_eq!(played(&[told]).failure.unwrap().message, "Acme AI: boom");
    let cut = played(&[
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}"#,
    ]);
    assert_eq!(cut.reason(), "truncated");
    let refused = cohere().play(STREAM, br#"{"id":"x","message":"too many tokens"}"#, 5);
    assert_eq!(refused.failure.unwrap().message, "Acme AI: too many tokens");
}

proptest! {
    #[test]
    fn no_cut_and_no_broken_byte_changes_or_breaks_the_reader(
        size in 1usize..40,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let answer = data(&[
            START,
            r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"é😀"}}}"#,
            r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"a","function":{"name":"f","arguments":"{}"}}}}}"#,
            r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}"#,
            r#"{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":1,"sources":[{"id":"s"}]}}}}"#,
            END,
        ]);
        let whole = cohere().play(STREAM, answer.as_bytes(), usize::MAX);
        let pieces = cohere().play(STREAM, answer.as_bytes(), size);
        prop_assert_eq!(&whole.out, &pieces.out);
        let mut broken = answer.into_bytes();
        let at = at.index(broken.len());
        broken[at] = byte;
        cohere().play(STREAM, &broken, size);
    }
}
