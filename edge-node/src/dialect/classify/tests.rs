use super::*;

fn of(status: u16, body: &str) -> Failure {
    response("Acme", status, &HeaderMap::new(), body.as_bytes())
}

#[track_caller]
fn check(status: u16, body: &str, fault: Fault, client_status: u16, reason: &str) {
    let failure = of(status, body);
    let got = (failure.fault, failure.status, failure.reason);
    assert_eq!(got, (fault, client_status, reason), "{status} {body}");
    let elsewhere = failure.retry == Retry::OtherEndpoint;
    assert_eq!(elsewhere, fault != Fault::Caller, "{status} {body}");
}

#[test]
fn a_status_alone_names_the_owner() {
    use Fault::{Caller, Provider, ProviderKey};
    let empty = "";
    check(413, empty, Caller, 413, "payload_too_large");
    check(401, empty, ProviderKey, 502, "provider_auth");
    check(403, empty, ProviderKey, 502, "provider_auth");
    check(402, empty, ProviderKey, 502, "provider_quota");
    check(404, empty, Provider, 404, "model_gone");
    check(408, empty, Provider, 408, "provider_timeout");
    check(409, empty, Provider, 502, "provider_status");
    check(429, empty, Provider, 429, "rate_limited");
    check(500, empty, Provider, 502, "provider_error");
    check(502, "<html>", Provider, 502, "provider_error");
    check(503, empty, Provider, 503, "overloaded");
    check(529, empty, Provider, 529, "overloaded");
    check(302, empty, Provider, 502, "provider_status");
}

#[test]
fn the_words_decide_where_the_status_misleads() {
    use Fault::{Caller, ProviderKey};
    check(
        400,
        r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#,
        Caller,
        400,
        "invalid_request",
    );
    check(
        422,
        r#"{"detail":[{"loc":["x"],"msg":"bad"}]}"#,
        Caller,
        422,
        "unprocessable",
    );
    check(
        400,
        r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#,
        Caller,
        400,
        "context_length",
    );
    check(
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 3 > 2"}}"#,
        Caller,
        400,
        "context_length",
    );
    check(
        400,
        r#"{"error":{"code":"content_filter","message":"x"}}"#,
        Caller,
        400,
        "content_policy",
    );
    check(
        429,
        r#"{"error":{"code":"insufficient_quota","message":"x"}}"#,
        ProviderKey,
        502,
        "provider_quota",
    );
    check(
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access"}}"#,
        ProviderKey,
        502,
        "provider_quota",
    );
    check(
        400,
        r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}"#,
        ProviderKey,
        502,
        "provider_auth",
    );
}

#[test]
fn what_only_this_provider_lacks_is_sought_elsewhere() {
    use Fault::Provider;
    check(
        400,
        r#"{"error":{"code":"model_not_found","message":"x"}}"#,
        Provider,
        404,
        "model_gone",
    );
    check(
        400,
        r#"{"error":{"code":"tool_use_failed","message":"x"}}"#,
        Provider,
        502,
        "tool_use_failed",
    );
}

#[test]
fn what_we_should_not_have_sent_is_tried_elsewhere_and_is_no_sickness() {
    for body in [
        r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
        r#"{"error":{"message":"Unrecognized request argument supplied: top_k","type":"invalid_request_error"}}"#,
        r#"{"error":{"message":"property 'top_k' is unsupported","type":"invalid_request_error"}}"#,
        r#"{"code":"Client specified an invalid argument","error":"Argument not supported on this model: stop"}"#,
        r#"{"detail":[{"type":"extra_forbidden","loc":["body","top_k"],"msg":"Extra inputs are not permitted"}]}"#,
        r#"{"error":{"message":"This response_format type is unavailable now","type":"invalid_request_error"}}"#,
        r#"{"message":"x","type":"invalid_request_error","code":"wrong_api_format"}"#,
        r#"{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"x\": Cannot find field.","status":"INVALID_ARGUMENT"}}"#,
    ] {
        check(400, body, Fault::Gateway, 400, "misfit");
        check(422, body, Fault::Gateway, 422, "misfit");
    }
    let failure = of(
        400,
        r#"{"error":{"message":"Unknown parameter: 'x'.","param":"x"}}"#,
    );
    assert_eq!(failure.message, "Acme: Unknown parameter: 'x'.");
    assert_eq!(failure.param.as_deref(), Some("x"));
}

#[test]
fn an_error_inside_an_answer_has_the_status_that_it_names() {
    let check = |body: &str, fault, status| {
        let failure = in_band("Acme", body);
        assert_eq!((failure.fault, failure.status), (fault, status), "{body}");
    };
    use Fault::{Caller, Provider, ProviderKey};
    check(
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        Provider,
        529,
    );
    check(
        r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#,
        Provider,
        502,
    );
    check(
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
        Provider,
        429,
    );
    check(
        r#"{"error":{"message":"x","type":"invalid_request_error"}}"#,
        Caller,
        400,
    );
    check(
        r#"{"error":{"message":"x","code":"tool_use_failed","status_code":400}}"#,
        Provider,
        502,
    );
    check(r#"{"error":{"code":503,"message":"x"}}"#, Provider, 503);
    check(r#"{"code":"429","message":"x"}"#, Provider, 429);
    check(
        r#"{"error":{"type":"authentication_error"}}"#,
        ProviderKey,
        502,
    );
    check(r#"{"error":"boom"}"#, Provider, 502);
    check("boom", Provider, 502);
}

#[test]
fn the_text_is_the_providers_but_clean() {
    let text = |status, body: &str| of(status, body).message;
    assert_eq!(
        text(400, r#"{"error":{"message":"no such tool"}}"#),
        "Acme: no such tool"
    );
    assert_eq!(text(400, r#"{"error":"plain","code":"x"}"#), "Acme: plain");
    assert_eq!(
        text(422, r#"{"detail":[{"msg":"field required"}]}"#),
        "Acme: field required"
    );
    assert_eq!(text(400, r#"{"detail":"nope"}"#), "Acme: nope");
    assert_eq!(
        text(
            400,
            r#"{"errors":[{"code":7,"message":"bad"}],"success":false}"#
        ),
        "Acme: bad"
    );
    assert_eq!(
        text(400, r#"[{"error":{"message":"listed"}}]"#),
        "Acme: listed"
    );
    assert_eq!(
        text(500, "<html>oops</html>"),
        "Acme answered with status 500"
    );
    assert_eq!(
        text(500, "upstream connect error"),
        "Acme: upstream connect error"
    );
    assert_eq!(
        text(401, r#"{"error":{"message":"bad key sk-1234567890"}}"#),
        "Acme refused our credentials"
    );
    assert_eq!(
        text(400, r#"{"error":{"message":"bad key sk-1234567890"}}"#),
        "Acme: bad key [hidden]"
    );
}

#[test]
fn pauses_and_codes_are_kept() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", http::HeaderValue::from_static("7"));
    let failure = response(
        "Acme",
        429,
        &headers,
        br#"{"error":{"code":"rate_limit_exceeded"}}"#,
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(
        failure.provider_code.as_deref(),
        Some("rate_limit_exceeded")
    );
    let delayed = r#"{"error":{"code":429,"details":[{"@type":"x"},{"retryDelay":"34s"}]}}"#;
    assert_eq!(of(429, delayed).retry_after, Some(Duration::from_secs(34)));
    headers.insert("x-should-retry", http::HeaderValue::from_static("true"));
    let failure = response("Acme", 400, &headers, b"");
    assert_eq!(
        (failure.retry, failure.retry_after),
        (Retry::OtherEndpoint, None)
    );
}

#[test]
fn googles_words_are_understood() {
    let status = r#"{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"48s"}]}}"#;
    let failure = of(429, status);
    assert_eq!(failure.provider_code.as_deref(), Some("RESOURCE_EXHAUSTED"));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(48)));
    let of = |message: &str| {
        let status = "INVALID_ARGUMENT";
        let error = serde_json::json!({"code": 400, "message": message, "status": status});
        of(400, &serde_json::json!([{ "error": error }]).to_string())
    };
    let failure = of("API key not valid. Please pass a valid API key.");
    assert_eq!(failure.fault, Fault::ProviderKey);
    let failure = of(
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    );
    assert_eq!(failure.reason, "context_length");
    let failure = of("User location is not supported for the API use.");
    assert_eq!(
        (failure.fault, failure.retry),
        (Fault::Provider, Retry::OtherEndpoint)
    );
    assert_eq!(of("bad").fault, Fault::Caller);
}
