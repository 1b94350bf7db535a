//! Anthropic's Messages API: events as its stream or as one message, its words for usage, for the
//! end of an answer and for errors.

mod answer;
mod depth;
mod events;

#[cfg(test)]
mod tests;

pub(crate) use answer::Answer;
pub(crate) use events::{Events, end};

use crate::dialect::Bill;
use crate::egress::{Marks, extend, usage};
use crate::failure::{ErrorType, Failure};
use crate::message::{Event, Finish};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};
use shared::id::GenerationId;
use std::fmt::Write;

/// `{"type":"error",…}`. What OpenRouter's API says besides stands in the error object.
pub(crate) fn error_body(failure: &Failure, generation: &GenerationId) -> Value {
    let error = error_object(failure);
    json!({ "type": "error", "error": error, "request_id": generation.as_str() })
}

fn error_object(failure: &Failure) -> Value {
    let mut error = Map::new();
    error.insert("type".into(), error_word(failure).into());
    error.insert("message".into(), failure.message.as_str().into());
    error.insert("error_type".into(), failure.error_type.as_str().into());
    if let Value::Object(full) = failure.error_object() {
        let also = ["metadata", "availability"];
        error.extend(full.into_iter().filter(|(name, _)| also.contains(&&**name)));
    }
    Value::Object(error)
}

/// The event that ends a stream which has begun.
pub(crate) fn error_event(
    failure: &Failure,
    generation: &GenerationId,
    (marks, told): (Marks<'_>, &Map<String, Value>),
) -> Bytes {
    let mut body = error_body(failure, generation);
    marks.name_provider(&mut body);
    extend(&mut body, told);
    Bytes::from(format!("event: error\ndata: {body}\n\n"))
}

const fn error_word(failure: &Failure) -> &'static str {
    match failure.error_type {
        ErrorType::Authentication => "authentication_error",
        ErrorType::PermissionDenied => "permission_error",
        ErrorType::PaymentRequired => "billing_error",
        ErrorType::NotFound => "not_found_error",
        ErrorType::PayloadTooLarge => "request_too_large",
        ErrorType::RateLimitExceeded => "rate_limit_error",
        ErrorType::ProviderOverloaded => "overloaded_error",
        ErrorType::Timeout => "timeout_error",
        ErrorType::ContextLengthExceeded
        | ErrorType::MaxTokensExceeded
        | ErrorType::InvalidRequest
        | ErrorType::Unprocessable
        | ErrorType::ContentPolicyViolation => "invalid_request_error",
        ErrorType::ProviderUnavailable | ErrorType::Server | ErrorType::Unmapped => "api_error",
    }
}

/// Usage in Anthropic's terms, the prompt without its cached parts, and the cost.
pub(crate) fn used(bill: &Bill<'_>) -> String {
    let usage = bill.usage;
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    let cached = usage.cache_read.saturating_add(written);
    let mut text = format!(
        concat!(
            "{{\"input_tokens\":{},\"cache_creation_input_tokens\":{},",
            "\"cache_read_input_tokens\":{},\"cache_creation\":{{",
            "\"ephemeral_5m_input_tokens\":{},\"ephemeral_1h_input_tokens\":{}}},",
            "\"output_tokens\":{}",
        ),
        usage.prompt.saturating_sub(cached),
        written,
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.completion,
    );
    // Writing to a string can't fail.
    if usage.reasoning > 0 {
        let tokens = usage.reasoning;
        let _ = write!(
            text,
            ",\"output_tokens_details\":{{\"thinking_tokens\":{tokens}}}"
        );
    }
    if usage.web_searches > 0 || usage.fetches > 0 {
        let (searches, fetches) = (usage.web_searches, usage.fetches);
        let _ = write!(
            text,
            ",\"server_tool_use\":{{\"web_search_requests\":{searches},\"web_fetch_requests\":{fetches}}}"
        );
    }
    if let Some(served) = bill.served {
        let word = served.as_str("standard");
        let _ = write!(text, ",\"service_tier\":\"{word}\"");
    }
    text.push(',');
    text.push_str(&usage::cost(bill));
    text.push('}');
    text
}

/// Why an answer ended, as the insides of JSON strings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Ending {
    finish: Option<Finish>,
    native: String,
    /// The stop sequence that was met.
    stop: String,
}

impl Ending {
    fn note(&mut self, event: &Event<'_>) {
        if let Event::Finish {
            finish,
            native,
            stop,
        } = event
        {
            self.finish = Some(*finish);
            native.0.clone_into(&mut self.native);
            stop.0.clone_into(&mut self.stop);
        }
    }

    /// The word for it; none where the provider gave up.
    fn reason(&self) -> Option<&'static str> {
        let native = |word: &'static str| (self.native == word).then_some(word);
        Some(match self.finish.unwrap_or(Finish::Stop) {
            Finish::Stop if !self.stop.is_empty() => "stop_sequence",
            Finish::Stop => native("pause_turn").unwrap_or("end_turn"),
            Finish::Length => native("model_context_window_exceeded").unwrap_or("max_tokens"),
            Finish::ToolCalls | Finish::FunctionCall => "tool_use",
            Finish::ContentFilter => "refusal",
            Finish::Error => return None,
        })
    }

    /// Appends the members `stop_reason` and `stop_sequence`.
    fn write(&self, out: &mut BytesMut) {
        match self.reason() {
            Some(reason) => put(out, &["\"stop_reason\":\"", reason, "\""]),
            None => put(out, &["\"stop_reason\":null"]),
        }
        if self.stop.is_empty() {
            put(out, &[",\"stop_sequence\":null"]);
        } else {
            put(out, &[",\"stop_sequence\":\"", &self.stop, "\""]);
        }
    }
}

fn put(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// The members of an image block; Anthropic's own answers have none, its requests do.
fn image(url: &str) -> String {
    let inline = url.strip_prefix("data:").and_then(|rest| {
        let (media, data) = rest.split_once(";base64,")?;
        Some(format!(
            r#""type":"base64","media_type":"{media}","data":"{data}""#
        ))
    });
    let source = inline.unwrap_or_else(|| format!(r#""type":"url","url":"{url}""#));
    format!(r#""type":"image","source":{{{source}}}"#)
}

/// Appends a citation: of a source on the web, or of what the client itself gave to search in.
fn citation(event: &Event<'_>, out: &mut BytesMut) {
    let Event::Citation {
        url,
        name,
        title,
        content,
        ..
    } = event
    else {
        return;
    };
    if url.is_empty() {
        put(
            out,
            &["{\"type\":\"search_result_location\",\"source\":\"", name.0],
        );
        put(out, &["\",\"title\":\"", title.0]);
        put(out, &["\",\"cited_text\":\"", content.0]);
        let places = "\",\"search_result_index\":0,\"start_block_index\":0,\"end_block_index\":0}";
        return put(out, &[places]);
    }
    put(
        out,
        &["{\"type\":\"web_search_result_location\",\"url\":\"", url.0],
    );
    put(out, &["\",\"title\":\"", title.0]);
    put(out, &["\",\"cited_text\":\"", content.0]);
    put(out, &["\",\"encrypted_index\":\"\"}"]);
}
