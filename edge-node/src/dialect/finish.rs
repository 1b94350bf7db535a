//! The words with which providers end an answer, in OpenAI's.

use crate::message::Finish;

/// The word's meaning; none when nobody knows it.
#[must_use]
pub(crate) fn finish(word: &str) -> Option<Finish> {
    Some(match word {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "STOP" | "STOP_SEQUENCE"
        | "COMPLETE" | "complete" | "completed" | "done" => Finish::Stop,
        // The loop of a server tool paused; what was said stands.
        "pause_turn" => Finish::Stop,
        "length"
        | "max_tokens"
        | "model_length"
        | "max_output_tokens"
        | "MAX_TOKENS"
        | "max_length"
        | "context_length"
        | "model_context_window_exceeded" => Finish::Length,
        "tool_calls" | "tool_use" | "tool_call" | "TOOL_CALL" => Finish::ToolCalls,
        "function_call" => Finish::FunctionCall,
        "content_filter"
        | "content_filtered"
        | "refusal"
        | "sensitive"
        | "safety"
        | "SAFETY"
        | "ERROR_TOXIC"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "guardrail_intervened" => Finish::ContentFilter,
        "error"
        | "ERROR"
        | "insufficient_system_resource"
        | "network_error"
        | "abort"
        | "aborted"
        | "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "OTHER"
        | "malformed_model_output"
        | "malformed_tool_use"
        | "cancelled"
        | "failed"
        | "TIMEOUT" => Finish::Error,
        _ => return qualified(word),
    })
}

/// Google's OpenAI-like hosts say which filter, behind a colon.
fn qualified(word: &str) -> Option<Finish> {
    let (filter, _) = word.split_once(':')?;
    match filter.trim() {
        "content_filter" => Some(Finish::ContentFilter),
        "function_call_filter" => Some(Finish::Error),
        _ => None,
    }
}

/// As [`finish`]; an unknown word means that the answer is there, or, without output, that it is
/// not.
#[must_use]
pub(crate) fn finish_or_guess(word: &str, has_output: bool) -> Finish {
    finish(word).unwrap_or_else(|| {
        tracing::warn!(word, "unknown finish reason");
        if has_output {
            Finish::Stop
        } else {
            Finish::Error
        }
    })
}
