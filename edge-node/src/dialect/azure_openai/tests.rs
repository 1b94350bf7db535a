use crate::dialect::fixture::{Fixture, data};
use crate::dialect::{classify, prepare};
use crate::failure::{ErrorType, Fault};
use crate::ingress::Api;
use http::HeaderMap;
use serde_json::json;
use shared::catalog::{Dialect, Quirk};

const CHAT: &str = r#"{"model":"a/b","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const RESPONSES: &str = r#"{"model":"a/b","input":"x"}"#;

fn azure(base_url: &str) -> Fixture {
    let mut fixture = Fixture::new(Dialect::AzureOpenai);
    fixture.provider.base_url = base_url.to_owned();
    fixture.endpoint.provider_model = "gpt-5 mini".to_owned();
    fixture
}

#[test]
fn every_base_url_has_its_path() {
    let check = |fixture: &Fixture, request: &str, expected: &str| {
        let call = fixture.call(request);
        let outgoing = fixture
            .with_target(|target| prepare(&call, target))
            .unwrap();
        assert_eq!(outgoing.path, expected);
        let body = String::from_utf8(outgoing.body.to_vec()).unwrap();
        assert!(body.contains(r#""model":"gpt-5 mini""#), "{body}");
    };
    let root = "https://r.openai.azure.com";
    let at = |path: &str| azure(&format!("{root}{path}"));
    check(&at("/openai/v1"), CHAT, "/chat/completions");
    check(&at(""), CHAT, "/openai/v1/chat/completions");
    let path = "/deployments/gpt-5%20mini/chat/completions?api-version=2024-12-01-preview";
    check(&at("/openai"), CHAT, path);
    let path = "/chat/completions?api-version=2024-12-01-preview";
    check(&at("/openai/deployments/mine"), CHAT, path);
    let path = "/chat/completions?api-version=2024-05-01-preview";
    check(&at("/models"), CHAT, path);
    // Clients of Responses get chat's answers, unless the provider has that API too.
    let plain = at("/openai/v1").api(Api::Responses);
    check(&plain, RESPONSES, "/chat/completions");
    let own = |path: &str| at(path).api(Api::Responses).quirks(&[Quirk::ResponsesApi]);
    check(&own("/openai/v1"), RESPONSES, "/responses");
    check(&own(""), RESPONSES, "/openai/v1/responses");
    let path = "/responses?api-version=2025-04-01-preview";
    check(&own("/openai"), RESPONSES, path);
}

#[test]
fn what_the_filter_says_is_no_chunk_of_its_own() {
    let filtered = r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}"#;
    let late = r#"{"choices":[{"content_filter_offsets":{"check_offset":1},"content_filter_results":{},"finish_reason":null,"index":0}],"created":0,"id":"","model":"","object":""}"#;
    let text = r#"{"choices":[{"content_filter_results":{},"delta":{"content":"x"},"finish_reason":null,"index":0}],"id":"c"}"#;
    let end = r#"{"choices":[{"delta":{},"finish_reason":"content_filter","index":0}],"id":"c"}"#;
    let body = data(&[filtered, text, late, end, "[DONE]"]);
    for size in [1, 1000] {
        let fixture = azure("https://r.openai.azure.com/openai/v1");
        let played = fixture.play(CHAT, body.as_bytes(), size);
        let chunks = played.chunks();
        let said: String = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(said, "x");
        let finish = chunks
            .iter()
            .filter_map(|c| c["choices"][0]["finish_reason"].as_str());
        assert_eq!(finish.collect::<Vec<_>>(), ["content_filter"]);
        // The same for clients of another API.
        let other = azure("https://r.openai.azure.com/openai/v1").api(Api::Responses);
        let request = r#"{"model":"a/b","input":"x","stream":true}"#;
        let played = other.play(request, body.as_bytes(), size);
        let last = &played.events().pop().unwrap()["response"];
        assert_eq!(
            last["incomplete_details"],
            json!({"reason": "content_filter"})
        );
        assert_eq!(last["output"][0]["content"][0]["text"], "x");
    }
}

#[test]
fn a_blocked_prompt_is_a_matter_of_content() {
    let check = |status: u16, error: serde_json::Value, kind: ErrorType, fault: Fault| {
        let body = json!({ "error": error }).to_string();
        let failure = classify(
            &azure("").provider,
            status,
            &HeaderMap::new(),
            body.as_bytes(),
        );
        assert_eq!((failure.error_type, failure.fault), (kind, fault), "{body}");
    };
    let blocked = json!({
        "message": "The response was filtered", "type": null, "param": "prompt",
        "code": "content_filter", "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    });
    check(
        400,
        blocked,
        ErrorType::ContentPolicyViolation,
        Fault::Caller,
    );
    let missing = json!({"code": "DeploymentNotFound", "message": "no such deployment"});
    check(404, missing, ErrorType::NotFound, Fault::Provider);
    let denied = json!({"code": "401", "message": "Access denied"});
    check(
        401,
        denied,
        ErrorType::ProviderUnavailable,
        Fault::ProviderKey,
    );
    let limited = json!({"code": "429", "message": "exceeded token rate limit"});
    check(429, limited, ErrorType::RateLimitExceeded, Fault::Provider);
}
