use crate::dialect::fixture::Fixture;
use crate::dialect::prepare;
use crate::failure::{Fault, Retry};
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter};

fn gemini() -> Fixture {
    Fixture::new(Dialect::Gemini)
}

fn model(name: &str) -> Fixture {
    let mut fixture = gemini();
    name.clone_into(&mut fixture.endpoint.provider_model);
    fixture
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

fn config(fixture: &Fixture, request: &Value) -> Value {
    sent(fixture, request)["generationConfig"].clone()
}

fn refused(fixture: &Fixture, request: &Value) -> String {
    let failure = fixture.body(&asked(request)).unwrap_err();
    assert_eq!(
        (failure.fault, failure.retry),
        (Fault::Caller, Retry::OtherEndpoint)
    );
    failure.param.unwrap()
}

fn path(dialect: Dialect, base: &str, name: &str, request: &str) -> String {
    let mut fixture = Fixture::new(dialect);
    base.clone_into(&mut fixture.provider.base_url);
    name.clone_into(&mut fixture.endpoint.provider_model);
    let call = fixture.call(request);
    let prepared = fixture.with_target(|target| prepare(&call, target));
    prepared.unwrap().path
}

#[test]
fn the_model_stands_in_the_path() {
    let studio = |base: &str, name: &str| path(Dialect::Gemini, base, name, super::WHOLE);
    assert_eq!(studio("https://g/v1beta", "m"), "/models/m:generateContent");
    assert_eq!(studio("https://g", "m"), "/v1beta/models/m:generateContent");
    assert_eq!(
        studio("https://g/v1", "tunedModels/m"),
        "/tunedModels/m:generateContent"
    );
    let vertex = |name: &str| path(Dialect::VertexGemini, "https://v", name, super::STREAM);
    let verb = ":streamGenerateContent?alt=sse";
    assert_eq!(vertex("m"), format!("/publishers/google/models/m{verb}"));
    assert_eq!(vertex("endpoints/7"), format!("/endpoints/7{verb}"));
}

#[test]
fn systems_stand_apart_and_neighbours_are_merged() {
    let body = sent(
        &gemini(),
        &json!({"messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": "b"},
            {"role": "user", "content": [{"type": "text", "text": "c", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": ""}]},
            {"role": "developer", "content": "d"},
            {"role": "assistant", "content": "e "},
            {"role": "user", "content": ""},
            {"role": "assistant", "content": null, "refusal": "f"},
        ], "service_tier": "default"}),
    );
    assert_eq!(
        body,
        json!({
            "contents": [
                {"role": "user", "parts": [{"text": "b"}, {"text": "c"}]},
                {"role": "model", "parts": [{"text": "e "}]},
                {"role": "model", "parts": [{"text": "f"}]},
            ],
            "systemInstruction": {"parts": [{"text": "a"}, {"text": "d"}]},
            "serviceTier": "standard",
        })
    );
}

#[test]
fn results_follow_their_calls_in_order_and_by_name() {
    let turns = json!({"messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"n\": 12345678901234567890123}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        ]},
        {"role": "user", "content": "and"},
        {"role": "tool", "tool_call_id": "b", "content": "[1.0]"},
        {"role": "tool", "tool_call_id": "a", "content": "{\"x\":1.0}"},
    ]});
    let second = gemini().body(&asked(&turns)).unwrap();
    assert!(
        second.contains(
            r#"{"role":"model","parts":[{"functionCall":{"name":"f","args":{"n": 12345678901234567890123}}},{"functionCall":{"name":"g","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"x":1.0}}},{"functionResponse":{"name":"g","response":{"output":[1.0]}}},{"text":"and"}]}"#
        ),
        "{second}"
    );
    let third = sent(&model("gemini-3-flash"), &turns);
    let call = &third["contents"][1]["parts"];
    assert_eq!(call[0]["functionCall"]["id"], "a");
    assert_eq!(
        call[0]["thoughtSignature"],
        "skip_thought_signature_validator"
    );
    assert_eq!(call[1].get("thoughtSignature"), None);
    assert_eq!(
        third["contents"][2]["parts"][0]["functionResponse"]["id"],
        "a"
    );
    let mut vertex = Fixture::new(Dialect::VertexGemini);
    "gemini-3-flash".clone_into(&mut vertex.endpoint.provider_model);
    let call = sent(&vertex, &turns)["contents"][1]["parts"][0].clone();
    assert_eq!(call["functionCall"].get("id"), None);
}

#[test]
fn results_may_hold_pictures_and_failures() {
    let turns = json!({"messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]},
    ]});
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "QQ=="}});
    let parts = |name: &str| sent(&model(name), &turns)["contents"][2]["parts"].clone();
    let response = json!({"name": "f", "response": {"output": "see"}});
    assert_eq!(
        parts("gemini-2.5-pro"),
        json!([{"functionResponse": response}, picture])
    );
    assert_eq!(
        parts("gemini-3-pro"),
        json!([{"functionResponse": {"id": "a", "name": "f", "response": {"output": "see"}, "parts": [picture]}}])
    );
}

#[test]
fn signatures_go_back_to_their_parts_unchanged() {
    let google = |mut detail: Value| {
        detail["format"] = json!("google-gemini-v1");
        detail
    };
    let said = |details: Value| {
        let request = json!({"messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "t", "reasoning_details": details, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "r"},
        ]});
        sent(&model("gemini-3-pro"), &request)["contents"][1]["parts"].clone()
    };
    let call = json!({"id": "a", "name": "f", "args": {}});
    assert_eq!(
        said(json!([
            google(json!({"type": "reasoning.text", "text": "hm", "index": 0})),
            google(json!({"type": "reasoning.encrypted", "data": "T/+=", "index": 1})),
            google(json!({"type": "reasoning.encrypted", "data": "C", "id": "a", "index": 2})),
            {"type": "reasoning.encrypted", "data": "foreign", "format": "anthropic-claude-v1"},
        ])),
        json!([
            {"text": "hm", "thought": true},
            {"text": "t", "thoughtSignature": "T/+="},
            {"functionCall": call, "thoughtSignature": "C"},
        ])
    );
    // Without ids the last ones are the texts', the others the calls'.
    assert_eq!(
        said(json!([
            google(json!({"type": "reasoning.encrypted", "data": "C", "index": 0})),
            google(json!({"type": "reasoning.encrypted", "data": "T", "index": 1})),
        ])),
        json!([
            {"text": "t", "thoughtSignature": "T"},
            {"functionCall": call, "thoughtSignature": "C"},
        ])
    );
}

#[test]
fn media_come_inline_or_by_link() {
    let body = sent(
        &gemini(),
        &json!({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://x/y.png?z", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
            {"type": "file", "file": {"filename": "a.csv", "file_data": "data:application/octet-stream;base64,BBBB"}},
            {"type": "file", "file": {"file_id": "files/abc"}},
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            {"type": "video_url", "video_url": {"url": "gs://b/c"}},
        ]}]}),
    );
    let inline = |media: &str, data: &str| json!({"inlineData": {"mimeType": media, "data": data}});
    let link = |media: &str, url: &str| json!({"fileData": {"mimeType": media, "fileUri": url}});
    assert_eq!(
        body["contents"][0]["parts"],
        json!([
            link("image/png", "https://x/y.png?z"),
            inline("image/webp", "AAAA"),
            inline("text/csv", "BBBB"),
            link("application/pdf", "files/abc"),
            inline("audio/mp3", "QQ=="),
            link("video/mp4", "gs://b/c"),
        ])
    );
}

#[test]
fn tools_and_choices_are_translated() {
    let with = |fixture: &Fixture, parameters: Value, choice: Value| {
        let function =
            json!({"name": "f", "description": "d", "strict": true, "parameters": parameters});
        sent(
            fixture,
            &json!({"tools": [{"type": "function", "function": function}], "tool_choice": choice}),
        )
    };
    let schema = json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "additionalProperties": false});
    let body = with(&gemini(), schema.clone(), Value::Null);
    let function = json!({"name": "f", "description": "d", "parametersJsonSchema": schema});
    assert_eq!(body["tools"], json!([{"functionDeclarations": [function]}]));
    assert_eq!(body.get("toolConfig"), None);
    let old = with(&model("gemini-2.0-flash"), schema, Value::Null);
    assert_eq!(
        old["tools"][0]["functionDeclarations"][0]["parameters"],
        json!({"type": "object", "properties": {"a": {"type": "string", "nullable": true}}})
    );
    let choice = |choice: Value| {
        with(&gemini(), Value::Null, choice)["toolConfig"]["functionCallingConfig"].clone()
    };
    assert_eq!(choice(json!("auto")), json!({"mode": "AUTO"}));
    assert_eq!(choice(json!("required")), json!({"mode": "ANY"}));
    assert_eq!(choice(json!("none")), json!({"mode": "NONE"}));
    assert_eq!(
        choice(json!({"type": "function", "function": {"name": "f"}})),
        json!({"mode": "ANY", "allowedFunctionNames": ["f"]})
    );
}

#[test]
fn parameters_have_their_words() {
    let request = json!({
        "temperature": 1.50, "top_p": 0.9, "top_k": 40, "stop": ["END", ""], "seed": 4_294_967_297_i64,
        "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": true, "top_logprobs": 3,
        "logit_bias": {}, "max_tokens": 77, "n": 2, "user": "u",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    });
    assert_eq!(
        config(&gemini(), &request),
        json!({
            "maxOutputTokens": 77, "candidateCount": 2, "stopSequences": ["END"],
            "temperature": 1.5, "topP": 0.9, "presencePenalty": 0.1, "frequencyPenalty": 0.2,
            "topK": 40, "seed": 1, "responseLogprobs": true, "logprobs": 3,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
        })
    );
    let only = gemini().supporting(&[Parameter::MaxTokens]);
    assert_eq!(
        config(&only, &request),
        json!({"maxOutputTokens": 77, "candidateCount": 2})
    );
    let object = json!({"response_format": {"type": "json_object"}, "top_k": 0});
    assert_eq!(
        config(&gemini(), &object),
        json!({"responseMimeType": "application/json"})
    );
    let mut clamped = gemini();
    clamped.clamp = Some(5);
    assert_eq!(config(&clamped, &json!({})), json!({"maxOutputTokens": 5}));
}

#[test]
fn output_kinds_and_voices() {
    let picture = json!({"modalities": ["image", "text"]});
    assert_eq!(
        config(&gemini(), &picture),
        json!({"responseModalities": ["IMAGE", "TEXT"]})
    );
    assert_eq!(
        config(&gemini(), &json!({"modalities": ["text"]})),
        Value::Null
    );
    let speech = |format: &str| json!({"modalities": ["text", "audio"], "audio": {"voice": "Kore", "format": format}});
    assert_eq!(
        config(&gemini(), &speech("pcm16")),
        json!({
            "responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        })
    );
    assert_eq!(refused(&gemini(), &speech("mp3")), "audio.format");
    assert_eq!(
        refused(&gemini(), &json!({"modalities": ["smell"]})),
        "modalities"
    );
}

#[test]
fn thinking_is_a_level_or_a_budget() {
    let of = |name: &str, reasoning: Value| {
        let request = json!({"reasoning": reasoning, "max_tokens": 10_000});
        config(&model(name), &request)["thinkingConfig"].clone()
    };
    let level = |level: &str| json!({"thinkingLevel": level, "includeThoughts": true});
    let budget = |tokens: u64| json!({"thinkingBudget": tokens, "includeThoughts": true});
    let effort = |effort: &str| json!({ "effort": effort });
    for (name, word, expected) in [
        ("gemini-3-flash-preview", "minimal", level("MINIMAL")),
        ("gemini-3-pro-preview", "minimal", level("LOW")),
        ("gemini-3-pro-preview", "medium", level("HIGH")),
        ("gemini-3.1-pro-preview", "medium", level("MEDIUM")),
        ("gemini-flash-latest", "xhigh", level("HIGH")),
        (
            "gemini-3-flash",
            "none",
            json!({"thinkingLevel": "MINIMAL"}),
        ),
        ("gemini-2.5-flash", "high", budget(8000)),
        ("gemini-2.5-flash", "minimal", budget(1024)),
        ("gemini-2.5-flash", "none", json!({"thinkingBudget": 0})),
        ("gemini-2.5-pro", "none", json!({"thinkingBudget": 128})),
    ] {
        assert_eq!(of(name, effort(word)), expected, "{name} {word}");
    }
    assert_eq!(
        of("gemini-3-flash", json!({"max_tokens": 5000})),
        level("MEDIUM")
    );
    assert_eq!(
        of("gemini-2.5-flash", json!({"max_tokens": 50_000})),
        budget(9999)
    );
    assert_eq!(
        of(
            "gemini-2.5-flash",
            json!({"max_tokens": 2000, "exclude": true})
        ),
        json!({"thinkingBudget": 2000})
    );
    assert_eq!(of("gemini-2.5-flash", Value::Null), Value::Null);
    let thinker = gemini().supporting(&[Parameter::Reasoning]);
    assert_eq!(
        config(&thinker, &json!({})),
        json!({"thinkingConfig": {"includeThoughts": true}})
    );
    for name in [
        "gemini-2.5-flash-lite",
        "gemini-2.5-flash-image",
        "gemini-2.0-flash",
    ] {
        let silent = model(name).supporting(&[Parameter::Reasoning]);
        assert_eq!(config(&silent, &json!({})), Value::Null, "{name}");
    }
    assert_eq!(of("gemini-2.5-flash-lite", effort("low")), budget(2000));
    assert_eq!(of("gemini-2.5-flash-image", effort("low")), Value::Null);
    let unable = gemini().supporting(&[Parameter::Temperature]);
    assert_eq!(
        config(&unable, &json!({"reasoning": {"effort": "high"}})),
        Value::Null
    );
}

#[test]
fn what_has_no_word_is_refused_by_its_place() {
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    let place = "messages[0].content[0]";
    let url = |url: &str| user(json!({"type": "image_url", "image_url": {"url": url}}));
    assert_eq!(refused(&gemini(), &url("data:text/plain,x")), place);
    let file = user(json!({"type": "file", "file": {"file_id": "file-1"}}));
    assert_eq!(refused(&gemini(), &file), place);
    let system = json!({"messages": [{"role": "system", "content": "x"}]});
    assert_eq!(refused(&gemini(), &system), "messages");
    let stop = json!({"stop": ["a", "b", "c", "d", "e", "f"]});
    assert_eq!(refused(&gemini(), &stop), "stop");
    let orphan = json!({"messages": [{"role": "tool", "tool_call_id": "z", "content": "x"}]});
    assert_eq!(refused(&gemini(), &orphan), "messages[0].tool_call_id");
    let arguments = json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "7"}}]}]});
    assert_eq!(refused(&gemini(), &arguments), "messages[0].tool_calls");
    let spoken = json!({"messages": [{"role": "assistant", "audio": {"id": "x"}}]});
    assert_eq!(refused(&gemini(), &spoken), place);
}
