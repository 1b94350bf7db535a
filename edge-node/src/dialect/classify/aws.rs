//! The names that AWS gives its errors: in a header, in the body, or in the frame of a stream.

use http::HeaderMap;

/// Words of a refusal, with status 400, that mean that our endpoint names no model.
pub(super) const GONE_WORDS: [&str; 4] = [
    "model identifier is invalid",
    "on-demand throughput isn",
    "on-demand throughput is not",
    "model id is not found",
];

/// The name in the header, without its origin.
pub(super) fn name(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("x-amzn-errortype")?.to_str().ok()?;
    Some(bare(text)).filter(|name| !name.is_empty())
}

/// `Name:http://…` and `com.amazon…#Name` without what is around it.
pub(super) fn bare(text: &str) -> &str {
    let name = text.split(':').next().unwrap_or(text);
    name.rsplit('#').next().unwrap_or(name)
}

/// The status that belongs to a name.
pub(super) fn status(name: &str) -> Option<u16> {
    let stem = name.strip_suffix("Exception").unwrap_or(name);
    let known = KNOWN
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(stem));
    known.map(|(_, status)| *status)
}

const KNOWN: [(&str, u16); 20] = [
    ("AccessDenied", 403),
    ("ExpiredToken", 403),
    ("IncompleteSignature", 403),
    ("InternalFailure", 500),
    ("InternalServer", 500),
    ("InvalidClientTokenId", 403),
    ("InvalidSignature", 403),
    ("MissingAuthenticationToken", 403),
    ("ModelError", 424),
    ("ModelNotReady", 429),
    ("ModelStreamError", 424),
    ("ModelTimeout", 408),
    ("ResourceNotFound", 404),
    ("ServiceQuotaExceeded", 429),
    ("ServiceUnavailable", 503),
    ("SignatureDoesNotMatch", 403),
    ("Throttling", 429),
    ("TooManyRequests", 429),
    ("UnrecognizedClient", 403),
    ("Validation", 400),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_however_they_are_written() {
        assert_eq!(status("ThrottlingException"), Some(429));
        assert_eq!(status("throttlingException"), Some(429));
        assert_eq!(status("rate_limit_error"), None);
        assert_eq!(status(""), None);
        assert_eq!(bare("ValidationException:http://x/"), "ValidationException");
        assert_eq!(bare("com.amazon.coral#AccessDenied"), "AccessDenied");
    }
}
