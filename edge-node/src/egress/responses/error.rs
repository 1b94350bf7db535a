//! Errors as this API tells them: a body in place of an answer, or the two events that end a stream
//! which has begun.

use crate::failure::{ErrorType, Failure};
use bytes::Bytes;
use serde_json::{Value, json};
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
    (model, created): (&str, u64),
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
    let failed = json!({
        "type": "response.failed",
        "sequence_number": number + 1,
        "response": {
            "id": generation.as_str(),
            "object": "response",
            "created_at": created,
            "model": model,
            "status": "failed",
            "background": false,
            "completed_at": null,
            "error": { "code": code, "message": failure.message },
            "error_type": failure.error_type.as_str(),
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "output": [],
            "parallel_tool_calls": true,
            "temperature": null,
            "tool_choice": "auto",
            "tools": [],
            "top_p": null,
            "usage": null,
        },
    });
    Bytes::from(format!(
        "event: error\ndata: {error}\n\nevent: response.failed\ndata: {failed}\n\n"
    ))
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
