//! Refusals of what this endpoint does not know although others do: a parameter, a field, a form of
//! request. What the endpoint takes is for the catalogue to say and for the dialect to heed, so they
//! are our mistake, and another endpoint may serve the caller.

use super::Said;

/// The reason's word.
pub(super) const REASON: &str = "misfit";

/// True for a refusal of that kind; `text` is the message in lower case.
pub(super) fn is(said: &Said, text: &str) -> bool {
    // Wrong at every endpoint: a schema or a picture of the caller's own, an order of messages. The
    // name of a form is no schema.
    let text = text.replace("json_schema", "");
    if OWN_WORDS.iter().any(|word| text.contains(word)) {
        return false;
    }
    NAMES.iter().any(|n| said.code == *n || said.kind == *n)
        || WORDS.iter().any(|word| text.contains(word))
}

const NAMES: [&str; 5] = [
    "unsupported_parameter",
    "unsupported_value",
    "unknown_parameter",
    "extra_forbidden",
    "wrong_api_format",
];

const OWN_WORDS: [&str; 6] = [
    "schema",
    "image format",
    "media type",
    "file type",
    "prefill",
    "must end with a user message",
];

const WORDS: [&str; 29] = [
    "unsupported parameter",
    "unsupported value:",
    "unknown parameter",
    "unknown field",
    "unknown name",
    "unrecognized request argument",
    "unrecognized key",
    "extra inputs are not permitted",
    "extra fields not permitted",
    "additional properties are not allowed",
    "extra_forbidden",
    "wrong_api_format",
    // Bedrock: extraneous key [top_p] is not permitted.
    "extraneous key [",
    "parameter is unsupported",
    "supported values are: ",
    // Groq: property 'x' is unsupported.
    "' is unsupported",
    "not supported with this model",
    "not supported with the",
    "not supported on this model",
    "not supported by this model",
    "not supported for this model",
    "not supported in this model",
    // xAI and many.
    "does not support parameter",
    "does not support the parameter",
    "model does not support",
    "model doesn't support",
    // DeepSeek: this response_format type is unavailable now.
    "type is unavailable",
    "instead of chat completions",
    "only supported in v1/responses",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_everywhere_is_none() {
        let is = |text: &str| is(&Said::default(), &text.to_ascii_lowercase());
        assert!(is(
            "Unsupported parameter: 'stop' is not supported with this model."
        ));
        assert!(is("property 'verbosity' is unsupported"));
        assert!(is("Argument not supported on this model: frequencyPenalty"));
        assert!(is(
            "Model grok-4 does not support parameter reasoningEffort."
        ));
        assert!(!is(
            "Invalid schema for response_format: unknown field 'x' is not permitted"
        ));
        assert!(is(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        ));
        assert!(is(
            "Malformed input request: #: extraneous key [top_p] is not permitted, please reformat"
        ));
        assert!(is(
            "The response_format parameter is unsupported at the moment."
        ));
        assert!(is(
            "The parameter response_format.type specified in the request are not valid: invalid \
             value: json_schema, supported values are: json_object and text"
        ));
        assert!(!is(
            "This model does not support assistant message prefill. The conversation must end with \
             a user message."
        ));
        assert!(!is(
            "tools.0/inputSchema/json: extraneous key [$defs] is not permitted"
        ));
        assert!(!is("Unsupported image format"));
        assert!(!is("messages: at least one message is required"));
    }
}
