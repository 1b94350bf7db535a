//! The Bedrock side of the simulated provider. Here is Converse: JSON, and streams of binary
//! messages; `invoke` is Anthropic's own format under Bedrock's paths. A signature is not checked, only that there is a key where one is asked for.

mod invoke;
mod request;
mod stream;

pub(super) use invoke::Invoke;

use super::write::object_or_empty;
use super::{Head, Place, Refusal, Script, Wire};
use crate::provider::answer::{Answer, Finish, Prompt};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

const SIGNATURE: &str = "c2ltdWxhdGVkLXNpZ25hdHVyZQ==";

/// `POST …/model/ID/converse` and `/converse-stream`.
pub(super) struct Converse;

impl Wire for Converse {
    fn owns(&self, path: &str) -> bool {
        request::conversed(path).is_some()
    }

    fn bad_key(&self) -> Refusal {
        Refusal::new(
            403,
            "The security token included in the request is invalid.",
        )
    }

    fn prompt(&self, at: &Place, body: &Value) -> Result<Prompt, Refusal> {
        request::read(at, body)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        json!({"message": refusal.message})
    }

    fn error_headers(&self, refusal: &Refusal, headers: &mut HeaderMap) {
        error_headers(refusal, headers);
    }

    fn whole(&self, _head: &Head, answer: &Answer) -> Value {
        let mut content = Vec::new();
        let (reasoning, text) = (answer.reasoning(), answer.text());
        if !reasoning.is_empty() {
            let said = json!({"text": reasoning, "signature": SIGNATURE});
            content.push(json!({"reasoningContent": {"reasoningText": said}}));
        }
        if !text.is_empty() {
            content.push(json!({"text": text}));
        }
        for call in answer.tool_calls() {
            let input = object_or_empty(&call.arguments);
            let id = format!("tooluse_{}", call.id);
            let call = json!({"toolUseId": id, "name": call.name, "input": input});
            content.push(json!({"toolUse": call}));
        }
        json!({"metrics": {"latencyMs": 593},
            "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": finish_word(answer.finish), "usage": usage(answer)})
    }

    fn script(&self, _at: &Place, _head: Head, _prompt: &Prompt) -> Box<dyn Script> {
        Box::new(stream::Messages::default())
    }
}

/// What a wrong key is told.
fn invalid_key() -> Refusal {
    Refusal::new(
        403,
        "The security token included in the request is invalid.",
    )
}

/// An error's name stands in a header.
fn error_headers(refusal: &Refusal, headers: &mut HeaderMap) {
    let kind = match refusal.status {
        400 => "ValidationException",
        401 => "UnrecognizedClientException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        _ => "InternalServerException",
    };
    let place = "http://internal.amazon.com/coral/com.amazon.bedrock/";
    if let Ok(value) = HeaderValue::try_from(format!("{kind}:{place}")) {
        headers.insert("x-amzn-errortype", value);
    }
}

fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
    }
}

/// What is read from the cache is no part of `inputTokens`.
fn usage(answer: &Answer) -> Value {
    json!({"inputTokens": answer.input_tokens - answer.cached_tokens,
        "outputTokens": answer.output_tokens(),
        "totalTokens": answer.input_tokens + answer.output_tokens(),
        "cacheReadInputTokens": answer.cached_tokens, "cacheWriteInputTokens": 0})
}
