//! Errors as this API tells them: a body in place of an answer, or the two events that end a stream
//! which has begun.

use crate::egress::{Marks, extend};
use crate::failure::{ErrorType, Failure};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use shared::id::GenerationId;

/// The body of an error answer. Its code is the status, as in every API of OpenRouter's; OpenAI's
/// word for it stands beside.
pub(crate) fn error_body(failure: &Failure) -> Value {
    let mut error = failure.error_object();
    if let Some(members) = error.as_object_mut() {
        members.insert("type".into(), code(failure).into());
    }
    json!({ "error": error, "error_type": failure.error_type.as_str() })
}

/// `error`, which SDKs raise, and `response.failed`, which those who follow the response read.
pub(crate) fn error_event(
    failure: &Failure,
    generation: &GenerationId,
    (marks, beside): (Marks<'_>, &Map<String, Value>),
    number: u64,
) -> Bytes {
    let code = code(failure);
    let mut error = error_body(failure);
    if let Some(members) = error.as_object_mut() {
        members.insert("type".into(), "error".into());
        members.insert("sequence_number".into(), number.into());
        members.insert("code".into(), code.into());
        members.insert("message".into(), failure.message.as_str().into());
        members.insert("param".into(), failure.param.as_deref().into());
    }
    extend(&mut error, beside);
    let mut response = object("failed", generation, marks);
    if let Some(members) = response.as_object_mut() {
        members.insert("error".into(), told(failure));
        members.insert("error_type".into(), failure.error_type.as_str().into());
    }
    extend(&mut response, beside);
    let failed = json!({
        "type": "response.failed",
        "sequence_number": number + 1,
        "response": response,
    });
    Bytes::from(format!(
        "event: error\ndata: {error}\n\nevent: response.failed\ndata: {failed}\n\n"
    ))
}

/// The member `error` of a response that failed.
pub(super) fn told(failure: &Failure) -> Value {
    json!({ "code": code(failure), "message": failure.message })
}

/// What stands in place of an error where the provider had no room for an answer: a response that
/// is cut to nothing, and says why. OpenRouter does so.
pub(crate) fn cut_body(
    failure: &Failure,
    generation: &GenerationId,
    (marks, beside): (Marks<'_>, &Map<String, Value>),
) -> Value {
    let mut response = object("incomplete", generation, marks);
    if let Some(members) = response.as_object_mut() {
        let reason = json!({ "reason": "max_output_tokens" });
        members.insert("incomplete_details".into(), reason);
        members.insert(
            "usage".into(),
            json!({
                "input_tokens": 0,
                "input_tokens_details": { "cached_tokens": 0 },
                "output_tokens": 0,
                "output_tokens_details": { "reasoning_tokens": 0 },
                "total_tokens": 0,
            }),
        );
        members.insert("error_type".into(), failure.error_type.as_str().into());
        members.insert("error_message".into(), failure.message.as_str().into());
    }
    extend(&mut response, beside);
    response
}

/// As [`cut_body`], the events of a stream.
pub(crate) fn cut_events(
    failure: &Failure,
    generation: &GenerationId,
    (marks, beside): (Marks<'_>, &Map<String, Value>),
) -> Bytes {
    let begun = object("in_progress", generation, marks);
    let cut = cut_body(failure, generation, (marks, beside));
    let steps = [
        ("created", &begun),
        ("in_progress", &begun),
        ("incomplete", &cut),
    ];
    let events = steps.iter().enumerate().map(|(number, (name, response))| {
        let kind = format!("response.{name}");
        let event = json!({ "type": kind, "sequence_number": number, "response": response });
        format!("event: {kind}\ndata: {event}\n\n")
    });
    Bytes::from(events.collect::<String>())
}

/// A response without an output.
fn object(status: &str, generation: &GenerationId, marks: Marks<'_>) -> Value {
    let mut object = json!({
        "id": generation.as_str(),
        "object": "response",
        "created_at": marks.created,
        "model": marks.model,
        "status": status,
        "background": false,
        "completed_at": null,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "output": [],
        "parallel_tool_calls": true,
        "temperature": null,
        "frequency_penalty": null,
        "presence_penalty": null,
        "tool_choice": "auto",
        "tools": [],
        "top_p": null,
        "usage": null,
    });
    marks.name_provider(&mut object);
    object
}

/// OpenRouter's choice among OpenAI's codes.
const fn code(failure: &Failure) -> &'static str {
    match failure.error_type {
        ErrorType::RateLimitExceeded => "rate_limit_exceeded",
        ErrorType::ContextLengthExceeded
        | ErrorType::MaxTokensExceeded
        | ErrorType::InvalidRequest => "invalid_prompt",
        ErrorType::ContentPolicyViolation => "image_content_policy_violation",
        _ => "server_error",
    }
}
