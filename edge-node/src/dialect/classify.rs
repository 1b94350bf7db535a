//! What a provider's error means: whose fault it is and whether another endpoint may help. Reads
//! every shape of error body that providers of the built dialects use; the verdict depends on the
//! status first and on the provider's own words where the status misleads.

use crate::dialect::retry_after;
use crate::dialect::scrub::scrub;
use crate::failure::{ErrorType, Failure, Fault, Retry};
use http::HeaderMap;
use serde_json::Value;
use std::time::Duration;

mod aws;
mod hosts;
mod misfit;
#[cfg(test)]
mod tests;

/// How much of an error body is read.
pub(crate) const ERROR_BYTES_MAX: usize = 64 << 10;
/// The longest code of a provider's that is passed on.
const CODE_CHARS_MAX: usize = 64;

/// What a provider said.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// `code`, where it is a word.
    code: String,
    /// `type`.
    kind: String,
    /// A status inside the body.
    status: Option<u16>,
    param: Option<String>,
    retry_after: Option<Duration>,
}

/// The verdict on an HTTP error.
pub(crate) fn response(provider: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
    let mut said = read(body.get(..ERROR_BYTES_MAX).unwrap_or(body));
    if let Some(name) = aws::name(headers) {
        name.clone_into(&mut said.code);
    }
    let status = aws::status(&said.code).unwrap_or(status);
    let after = retry_after::read(headers).or(said.retry_after);
    let mut failure = verdict(provider, status, &said);
    failure.retry_after = after.filter(|_| failure.fault == Fault::Provider);
    let wanted = headers
        .get("x-should-retry")
        .map(http::HeaderValue::as_bytes);
    if wanted == Some(b"true") && failure.retry == Retry::Never {
        failure.retry = Retry::OtherEndpoint;
    }
    failure
}

/// The verdict on an error inside an answer whose status was 200. `body` is the whole event or
/// answer, or the error itself.
pub(crate) fn in_band(provider: &str, body: &str) -> Failure {
    let said = read(body.as_bytes());
    let named = status_of(&said.kind).or_else(|| status_of(&said.code));
    let named = named.or_else(|| aws::status(&said.code));
    let status = said.status.or(named).unwrap_or(502);
    let mut failure = verdict(provider, status, &said);
    failure.retry_after = said.retry_after;
    failure
}

/// As [`in_band`], for a text without an answer in it and without a member `error`: some say in
/// other members what went wrong, with status 200. None where nothing is said.
pub(crate) fn bare(provider: &str, text: &str) -> Option<Failure> {
    // Most such texts are the usage that ends a stream.
    if !BARE_WORDS
        .iter()
        .any(|word| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some())
    {
        return None;
    }
    let said = read(text.as_bytes());
    (!said.message.is_empty() || said.status.is_some()).then(|| in_band(provider, text))
}

/// Names of members that tell of an error.
const BARE_WORDS: [&str; 6] = [
    "\"message\"",
    "\"detail\"",
    "\"msg\"",
    "\"base_resp\"",
    "\"error_msg\"",
    "\"errors\"",
];

/// As [`in_band`], where the framing names the error.
pub(crate) fn in_frame(provider: &str, name: &str, body: &str) -> Failure {
    let mut said = read(body.as_bytes());
    name.clone_into(&mut said.code);
    let status = aws::status(name).or(said.status).unwrap_or(502);
    verdict(provider, status, &said)
}

/// Something came that is no answer in the provider's dialect.
pub(crate) fn garbage(provider: &str, what: &str) -> Failure {
    let message = format!("{provider} sent something that is not an answer: {what}");
    Failure::provider(502, "garbage", message)
}

/// The answer broke off.
pub(crate) fn truncated(provider: &str) -> Failure {
    let message = format!("{provider} cut the answer off");
    Failure::provider(502, "truncated", message)
}

/// The answer had nothing in it.
pub(crate) fn empty(provider: &str) -> Failure {
    Failure::provider(502, "empty", format!("{provider} sent an empty answer"))
}

/// An answer went over one of our limits.
pub(crate) fn too_large(provider: &str, limit: &str) -> Failure {
    let message = format!("{provider} sent an answer over our limit of {limit}");
    Failure::provider(502, "too_large", message)
}

fn verdict(provider: &str, status: u16, said: &Said) -> Failure {
    let text = said.message.to_ascii_lowercase();
    let named = |words: &[&str]| words.iter().any(|w| said.code == *w || said.kind == *w);
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_request_error = matches!(status, 400 | 413 | 422);

    let failure = if named(&["context_length_exceeded", "exceed_context_size_error"])
        || (is_request_error && says(&CONTEXT_WORDS))
    {
        caller(400, ErrorType::ContextLengthExceeded, "context_length")
    } else if is_request_error && says(&LIMIT_WORDS) {
        caller(400, ErrorType::MaxTokensExceeded, "max_tokens")
    } else if status == 402
        || named(&[
            "insufficient_quota",
            "billing_error",
            "insufficient_balance",
        ])
        || says(&["credit balance is too low", "insufficient balance"])
    {
        key("provider_quota", format!("{provider} wants to be paid"))
    } else if named(&[
        "content_filter",
        "content_policy_violation",
        "image_content_policy_violation",
        "moderation_blocked",
    ]) {
        caller(400, ErrorType::ContentPolicyViolation, "content_policy")
    } else if matches!(status, 401 | 403)
        || named(&["invalid_api_key"])
        || (status == 400 && says(&["api key not valid", "invalid api key", "api key expired"]))
    {
        key(
            "provider_auth",
            format!("{provider} refused our credentials"),
        )
    } else if matches!(status, 404 | 410)
        || named(&["model_not_found", "not_found_error"])
        || (status == 400 && says(&aws::GONE_WORDS))
    {
        let mut failure = Failure::provider(404, "model_gone", "");
        failure.error_type = ErrorType::NotFound;
        failure.availability = Some("model_unavailable_upstream");
        failure
    } else if status == 400 && says(&["user location is not supported"]) {
        // Where our node stands, not what the caller asked.
        Failure::provider(502, "location", "")
    } else if named(&["tool_use_failed"]) {
        // The model's own tool call broke the schema.
        Failure::provider(502, "tool_use_failed", "")
    } else if is_request_error && misfit::is(said, &text) {
        let kind = ErrorType::InvalidRequest;
        Failure::new(Fault::Gateway, status, kind, misfit::REASON, "")
            .with_retry(Retry::OtherEndpoint)
    } else {
        by_status(status)
    };
    finish(provider, status, said, failure)
}

/// Words for a prompt that is too long, where there is no code for it.
const CONTEXT_WORDS: [&str; 21] = [
    "maximum context length",
    "context length exceeded",
    "context_length_exceeded",
    "context window",
    "prompt is too long",
    "exceed context limit",
    "input is too long",
    "exceeds the maximum number of tokens",
    "input tokens exceeded",
    // xAI, Cohere, Together and TGI, llama.cpp, LM Studio.
    "maximum prompt length",
    "too many tokens",
    "`inputs` tokens + `max_new_tokens`",
    "exceeds the available context size",
    "context the overflows",
    // Moonshot, Z.ai, Alibaba, BytePlus, Databricks, Groq and Cerebras.
    "exceeded model token limit",
    "prompt exceeds max length",
    "range of input length should be",
    "exceed max message tokens",
    "maximum allowed content length",
    "reduce the length of the messages",
    "longer than the model's context length",
];

/// Words for an answer that is longer than the model's longest.
const LIMIT_WORDS: [&str; 6] = [
    "max_tokens is too large",
    "max_completion_tokens is too large",
    "maximum allowed number of output tokens",
    "completion tokens, whereas you provided",
    "`max_tokens` must be less than or equal to",
    "`max_completion_tokens` must be less than or equal to",
];

fn by_status(status: u16) -> Failure {
    match status {
        400 => caller(400, ErrorType::InvalidRequest, "invalid_request"),
        413 => caller(413, ErrorType::PayloadTooLarge, "payload_too_large"),
        422 => caller(422, ErrorType::Unprocessable, "unprocessable"),
        429 => Failure::provider(429, "rate_limited", ""),
        503 | 529 => Failure::provider(status, "overloaded", ""),
        408 | 504 | 524 => Failure::provider(status, "provider_timeout", ""),
        500..=599 => Failure::provider(502, "provider_error", ""),
        _ => Failure::provider(502, "provider_status", ""),
    }
}

fn finish(provider: &str, status: u16, said: &Said, mut failure: Failure) -> Failure {
    if failure.message.is_empty() {
        let text = scrub(&said.message);
        failure.message = if text.is_empty() {
            format!("{provider} answered with status {status}")
        } else {
            format!("{provider}: {text}")
        };
    }
    let code = [&said.code, &said.kind].into_iter().find(|c| !c.is_empty());
    failure.provider_code = Some(code.map_or_else(|| status.to_string(), |code| plain(code)));
    failure.provider_status = Some(status);
    if failure.fault == Fault::Caller || failure.reason == misfit::REASON {
        failure.param = said.param.as_deref().map(scrub);
    }
    failure
}

fn caller(status: u16, error_type: ErrorType, reason: &'static str) -> Failure {
    Failure::new(Fault::Caller, status, error_type, reason, "")
}

/// Our key's fault: its words would tell the client nothing, and might tell too much.
fn key(reason: &'static str, message: String) -> Failure {
    let error_type = ErrorType::ProviderUnavailable;
    Failure::new(Fault::ProviderKey, 502, error_type, reason, message)
        .with_retry(Retry::OtherEndpoint)
}

fn plain(code: &str) -> String {
    let kept = code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c));
    kept.take(CODE_CHARS_MAX).collect()
}

/// The status that goes with a type or code, where an error comes without one.
fn status_of(name: &str) -> Option<u16> {
    Some(match name {
        "invalid_request_error" | "invalid_request" | "bad_request" | "invalid_prompt" => 400,
        // Pictures that OpenAI's Responses could not use.
        "invalid_image"
        | "invalid_image_format"
        | "invalid_image_mode"
        | "invalid_image_url"
        | "invalid_base64_image"
        | "image_too_large"
        | "image_too_small"
        | "image_file_too_large"
        | "image_parse_error"
        | "empty_image_file"
        | "unsupported_image_media_type"
        | "failed_to_download_image"
        | "image_file_not_found" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" | "permission_denied" => 403,
        "not_found_error" | "not_found" | "model_not_found" => 404,
        "timeout" | "timeout_error" => 504,
        "request_too_large" => 413,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "too_many_requests"
        | "tokens"
        | "requests" => 429,
        "api_error" | "server_error" | "internal_error" | "internal_server_error" => 500,
        "overloaded_error" | "overloaded" => 529,
        "service_unavailable" => 503,
        _ => return None,
    })
}

fn read(body: &[u8]) -> Said {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        let markup = text.trim_start().starts_with('<');
        return Said {
            message: if markup {
                String::new()
            } else {
                text.into_owned()
            },
            ..Said::default()
        };
    };
    let mut said = Said::default();
    said.value(&value);
    said
}

impl Said {
    /// Takes what is there, the innermost error object first: `{error:{…}}`, `{error:"…"}`,
    /// `[{error:{…}}]`, `{errors:[{…}]}`, `{detail:"…"}`, `{detail:[{msg}]}`, `{delta:{error:"…"}}`, `{message}`.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Array(list) => {
                if let Some(first) = list.first() {
                    self.value(first);
                }
            }
            Value::Object(object) => {
                for inner in ["error", "errors", "detail", "base_resp", "delta"] {
                    match object.get(inner) {
                        Some(Value::String(text)) if self.message.is_empty() => {
                            self.message.clone_from(text);
                        }
                        Some(nested @ (Value::Object(_) | Value::Array(_))) => self.value(nested),
                        _ => {}
                    }
                }
                self.members(object);
            }
            Value::String(text) if self.message.is_empty() => self.message.clone_from(text),
            _ => {}
        }
    }

    fn members(&mut self, object: &serde_json::Map<String, Value>) {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let fill = |place: &mut String, text: Option<&str>| {
            if let Some(text) = text.filter(|_| place.is_empty()) {
                text.clone_into(place);
            }
        };
        let hosts_code = hosts::code(object);
        let message = ["message", "msg", "Message", "error_msg", "error_message"]
            .into_iter()
            .find_map(text);
        fill(&mut self.message, message);
        if let Some((status, message)) = hosts_code {
            self.status.get_or_insert(status);
            fill(&mut self.message, Some(message));
        }
        fill(&mut self.code, text("__type").map(aws::bare));
        let code = text("code").or_else(|| text("error_code"));
        fill(
            &mut self.code,
            code.filter(|code| code.parse::<u64>().is_err()),
        );
        // Google's word for it, beside a `code` that is a number.
        let is_word = |text: &&str| text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        fill(&mut self.code, text("status").filter(is_word));
        // Anthropic's envelope is of type "error".
        fill(&mut self.kind, text("type").filter(|kind| *kind != "error"));
        if let Some(param) = text("param") {
            self.param.get_or_insert_with(|| param.to_owned());
        }
        for name in ["status_code", "raw_status_code", "code", "status"] {
            let status = object.get(name).and_then(|status| match status {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.parse().ok(),
                _ => None,
            });
            let status = status.and_then(|s| u16::try_from(s).ok());
            if let Some(status) = status.filter(|s| (400..600).contains(s)) {
                self.status.get_or_insert(status);
            }
        }
        let details = object.get("details").and_then(Value::as_array);
        for delay in details
            .into_iter()
            .flatten()
            .filter_map(|d| d.get("retryDelay"))
        {
            let delay = delay.as_str().and_then(retry_after::duration);
            self.retry_after = self.retry_after.or(delay);
        }
    }
}
