//! What a request's head must look like before anything acts on it. Pure. Two readings of one
//! message are how requests are smuggled (RFC 9112 section 11.2), so whatever could be read in two
//! ways is refused and the connection closed.

use crate::failure::{ErrorType, Failure, Fault};
use http::{Method, Version, header};

/// Bytes of a head that are read as a request. The parser reads up to 1 MiB before this says no.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Refuses heads that are ambiguous or ask for another protocol.
///
/// # Errors
/// 400, or 405 for CONNECT; the connection must be closed after it.
pub fn check(head: &http::request::Parts) -> Result<(), Failure> {
    let headers = &head.headers;
    if head.method == Method::CONNECT {
        let text = "CONNECT is not served here";
        let kind = ErrorType::InvalidRequest;
        return Err(Failure::new(Fault::Caller, 405, kind, "connect", text));
    }
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let length = headers.get(header::CONTENT_LENGTH);
    let encodings = headers.get_all(header::TRANSFER_ENCODING).iter().count();
    let encoding = headers.get(header::TRANSFER_ENCODING);
    if lengths > 1 || length.is_some_and(|value| !is_plain_number(value.as_bytes())) {
        return Err(refuse(
            "content-length",
            "one content-length of digits only",
        ));
    }
    if encodings > 0 && lengths > 0 {
        return Err(refuse(
            "transfer-encoding",
            "content-length or transfer-encoding, not both",
        ));
    }
    let chunked = |value: &http::HeaderValue| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
    };
    if encodings > 1 || encoding.is_some_and(|value| !chunked(value)) {
        return Err(refuse(
            "transfer-encoding",
            "no transfer-encoding but chunked, once",
        ));
    }
    if encodings > 0 && head.version < Version::HTTP_11 {
        return Err(refuse(
            "transfer-encoding",
            "no transfer-encoding in HTTP/1.0",
        ));
    }
    if headers.contains_key(header::UPGRADE) && head.version == Version::HTTP_11 {
        // RFC 9110 section 7.8: a server may ignore Upgrade, but bytes of another protocol may
        // follow, so the connection is not used any further.
        return Err(refuse("upgrade", "no protocol upgrade"));
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
        // RFC 9112 section 3.2: neither can be served.
        return Err(refuse("host", "one host header"));
    }
    Ok(())
}

/// Refuses a head by its bytes, for what the parser lets pass: more than [`HEAD_BYTES_MAX`]; a line
/// that ends in a bare line feed, which another reader may not take for an end; both a length and
/// a transfer encoding. Of the latter the parser keeps only the encoding (RFC 9112 section 6.3
/// lets it), but whoever sent both may have another request hidden behind the one that is read.
///
/// # Errors
/// 400 or 431; the connection must be closed after it.
pub fn check_raw(head: &[u8]) -> Result<(), Failure> {
    if head.len() > HEAD_BYTES_MAX {
        return Err(too_large());
    }
    let (mut length, mut encoding) = (false, false);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\r\n") {
            return Err(refuse("", "lines that end in CRLF"));
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
        let name = name.trim_ascii();
        length |= name.eq_ignore_ascii_case(b"content-length");
        encoding |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    if length && encoding {
        return Err(refuse(
            "transfer-encoding",
            "content-length or transfer-encoding, not both",
        ));
    }
    Ok(())
}

/// The answer to a head that the parser could not read, by what it says.
#[must_use]
pub fn unreadable(reason: &str) -> Failure {
    let reason = reason.to_ascii_lowercase();
    if ["header larger than", "too many headers"]
        .iter()
        .any(|sign| reason.contains(sign))
    {
        return too_large();
    }
    Failure::invalid("", "malformed HTTP request")
}

fn too_large() -> Failure {
    let text = "the request's head is too large";
    let kind = ErrorType::InvalidRequest;
    Failure::new(Fault::Caller, 431, kind, "head_too_large", text)
}

fn is_plain_number(value: &[u8]) -> bool {
    !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit)
}

fn refuse(name: &str, expected: &str) -> Failure {
    Failure::invalid(name, format!("malformed HTTP request: expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: Version, headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder()
            .method("POST")
            .uri("/x")
            .version(version);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "x");
        }
        for (name, value) in headers.iter().filter(|(_, value)| *value != "(none)") {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn a_length_beside_an_encoding_is_seen_in_the_bytes() {
        let head = b"POST /x HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(check_raw(head).is_err());
        assert!(check_raw(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_ok());
        assert!(check_raw(b"POST /x HTTP/1.1\r\nX: content-length: 3\r\n\r\n").is_ok());
    }

    #[test]
    fn heads_are_bounded_and_lines_end_properly() {
        for head in [
            &b"POST /x HTTP/1.1\nHost: x\r\n\r\n"[..],
            b"POST /x HTTP/1.1\r\nHost: x\n\r\n",
            b"POST /x HTTP/1.1\r\nHost: x\r\n\n",
            b"\nPOST /x HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            assert_eq!(check_raw(head).unwrap_err().status, 400);
        }
        let long = format!(
            "GET / HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(HEAD_BYTES_MAX)
        );
        assert_eq!(check_raw(long.as_bytes()).unwrap_err().status, 431);
        let told = "InvalidHTTPHeader context: Request header larger than 1048575";
        assert_eq!(unreadable(told).status, 431);
        assert_eq!(unreadable("cause: too many headers").status, 431);
        assert_eq!(unreadable("cause: invalid token").status, 400);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let v = Version::HTTP_11;
        assert!(verdict(v, &[("content-length", "3")]));
        assert!(verdict(v, &[("transfer-encoding", "chunked")]));
        for headers in [
            &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "3"), ("content-length", "3")],
            &[("content-length", "3, 3")],
            &[("content-length", "+3")],
            &[("content-length", "0x3")],
            &[("content-length", "")],
            &[("transfer-encoding", "chunked, identity")],
            &[("transfer-encoding", "identity, chunked")],
            &[("transfer-encoding", "xchunked")],
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[("upgrade", "h2c")],
            &[("host", "a"), ("host", "b")],
            &[("host", "(none)")],
        ] {
            assert!(!verdict(v, headers), "{headers:?}");
        }
        assert!(!verdict(
            Version::HTTP_10,
            &[("transfer-encoding", "chunked")]
        ));
    }
}
