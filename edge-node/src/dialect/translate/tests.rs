use crate::dialect::fixture::Fixture;
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::Dialect;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
const RESPONSES: &str = r#"{"model":"m","input":"x"}"#;
const MESSAGES: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
const COMPLETIONS: &str = r#"{"model":"m","prompt":"x"}"#;

/// What each dialect sends whose model gave up in the middle.
const GIVEN_UP: [(Dialect, &str); 8] = [
    (
        Dialect::OpenaiChat,
        r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"half"},"finish_reason":"error"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
    ),
    (
        Dialect::OpenaiResponses,
        r#"{"id":"r","object":"response","status":"failed","error":{"code":"server_error","message":"oh"},"output":[{"type":"message","id":"m","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"half","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}"#,
    ),
    (
        Dialect::AnthropicMessages,
        r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"half"}],"stop_reason":"error","usage":{"input_tokens":3,"output_tokens":2}}"#,
    ),
    (
        Dialect::Gemini,
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"half"}]},"finishReason":"MALFORMED_FUNCTION_CALL"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#,
    ),
    (
        Dialect::BedrockConverse,
        r#"{"output":{"message":{"role":"assistant","content":[{"text":"half"}]}},"stopReason":"malformed_model_output","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#,
    ),
    (
        Dialect::CohereV2,
        r#"{"id":"c","finish_reason":"ERROR","message":{"role":"assistant","content":[{"type":"text","text":"half"}]},"usage":{"tokens":{"input_tokens":3,"output_tokens":2}}}"#,
    ),
    (
        Dialect::MistralChat,
        r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"half"},"finish_reason":"error"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
    ),
    (
        Dialect::Ollama,
        r#"{"model":"m","message":{"role":"assistant","content":"half"},"done":true,"done_reason":"error","prompt_eval_count":3,"eval_count":2}"#,
    ),
];

fn conceded(dialect: Dialect, (api, request): (Api, &str), answer: &str) -> Value {
    let fixture = Fixture::new(dialect).api(api);
    let said = fixture.concede(request, answer);
    let (answer, failure) = said.unwrap_or_else(|| panic!("{dialect:?} {api:?}: nothing is left"));
    assert_eq!(failure.status / 100, 5, "{failure:?}");
    answer
}

#[test]
fn what_was_said_before_the_provider_gave_up_stays_in_every_api() {
    for (dialect, answer) in GIVEN_UP {
        let of = |api, request| conceded(dialect, (api, request), answer);
        let chat = of(Api::Chat, CHAT);
        let choice = &chat["choices"][0];
        assert_eq!(choice["message"]["content"], "half", "{dialect:?}");
        assert_eq!(choice["finish_reason"], "error");
        assert_eq!(choice["error"]["code"], 502);
        let kind = &choice["error"]["metadata"]["error_type"];
        assert_eq!(kind, "provider_unavailable");
        assert_eq!(chat["usage"]["prompt_tokens"], 3, "{dialect:?}");

        let text = of(Api::Completions, COMPLETIONS);
        assert_eq!(text["choices"][0]["text"], "half", "{dialect:?}");
        assert_eq!(text["choices"][0]["finish_reason"], "error");
        assert_eq!(text["choices"][0]["error"]["code"], 502);

        let message = of(Api::Messages, MESSAGES);
        assert_eq!(message["content"][0]["text"], "half", "{dialect:?}");
        assert_eq!(message["stop_reason"], Value::Null);
        assert_eq!(message["error"]["type"], "api_error");

        let response = of(Api::Responses, RESPONSES);
        assert_eq!(response["status"], "failed", "{dialect:?}");
        assert_eq!(response["error"]["code"], "server_error");
        let item = &response["output"][0];
        assert_eq!(item["content"][0]["text"], "half");
        assert_eq!(item["status"], "incomplete");
        assert_eq!(response["incomplete_details"], Value::Null);
    }
}

#[test]
fn the_providers_own_error_is_told_and_sound_choices_stay_sound() {
    let answer = r#"{"id":"c","choices":[
        {"index":0,"message":{"content":"half"},"finish_reason":"error","error":{"code":503,"message":"too busy"}},
        {"index":1,"message":{"content":"whole"},"finish_reason":"stop"}]}"#;
    for (api, request) in [(Api::Chat, CHAT), (Api::Completions, COMPLETIONS)] {
        let fixture = Fixture::new(Dialect::OpenaiChat).api(api);
        let (answer, _) = fixture.concede(request, answer).unwrap();
        let choices = &answer["choices"];
        assert_eq!(choices[0]["error"]["code"], 503, "{answer}");
        let told = choices[0]["error"]["message"].as_str().unwrap();
        assert!(told.contains("too busy"));
        assert_eq!(choices[1]["finish_reason"], "stop");
        assert_eq!(choices[1].get("error"), None);
    }
}

#[test]
fn nothing_is_made_of_nothing() {
    let empty = [
        (
            Dialect::OpenaiChat,
            r#"{"id":"c","choices":[{"index":0,"message":{"content":""},"finish_reason":"error"}]}"#,
        ),
        (
            Dialect::OpenaiResponses,
            r#"{"id":"r","status":"failed","error":{"code":"server_error","message":"oh"},"output":[]}"#,
        ),
        (
            Dialect::Gemini,
            r#"{"candidates":[{"finishReason":"OTHER"}],"usageMetadata":{"promptTokenCount":3}}"#,
        ),
        (Dialect::CohereV2, r#"{"message":"no"}"#),
    ];
    for (dialect, answer) in empty {
        for (api, request) in [
            (Api::Chat, CHAT),
            (Api::Responses, RESPONSES),
            (Api::Messages, MESSAGES),
        ] {
            let said = Fixture::new(dialect).api(api).concede(request, answer);
            assert!(
                said.is_none(),
                "{dialect:?} {api:?}: {:?}",
                json!(said.map(|it| it.0))
            );
        }
    }
}
