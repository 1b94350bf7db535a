//! Reads a request's body into one buffer, within the ticket's limits and a deadline. The declared
//! length is checked before anything is read; a body without a length is counted as it comes.

use super::Ticket;
use crate::exchange::{BodyError, Exchange};
use crate::failure::{ErrorType, Failure, Fault};
use bytes::{Bytes, BytesMut};
use http::header;

/// The most that is set aside on a client's word alone.
const TRUSTED_LENGTH: usize = 1 << 20;

/// The whole body.
///
/// # Errors
/// 413, 415 (a content encoding), 400 (framing), 408 (too slow), 499 (client gone), 503 (full).
pub async fn read(exchange: &mut dyn Exchange, ticket: &mut Ticket) -> Result<Bytes, Failure> {
    let headers = &exchange.head().headers;
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let text = "compressed request bodies are not accepted; send it without content-encoding";
        let kind = ErrorType::InvalidRequest;
        return Err(Failure::new(
            Fault::Caller,
            415,
            kind,
            "content_encoding",
            text,
        ));
    }
    let declared = declared_length(headers);
    if let Some(declared) = declared
        && declared > ticket.admission.limits.body_bytes
    {
        ticket.grow(declared)?;
    }
    let time = ticket.admission.limits.body_time;
    let reading = collect(exchange, ticket, declared.unwrap_or(0).min(TRUSTED_LENGTH));
    tokio::time::timeout(time, reading)
        .await
        .unwrap_or_else(|_| {
            let text = format!(
                "the request body did not arrive within {} s",
                time.as_secs()
            );
            Err(Failure::new(
                Fault::Caller,
                408,
                ErrorType::Timeout,
                "body_timeout",
                text,
            ))
        })
}

async fn collect(
    exchange: &mut dyn Exchange,
    ticket: &mut Ticket,
    capacity: usize,
) -> Result<Bytes, Failure> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(piece) = exchange.body().await.map_err(failed)? {
        ticket.grow(piece.len())?;
        match &first {
            // Most bodies come in one piece, which is then used as it is.
            None => first = Some(piece),
            Some(head) => {
                if rest.is_empty() {
                    rest.reserve(capacity.max(head.len() + piece.len()));
                    rest.extend_from_slice(head);
                }
                rest.extend_from_slice(&piece);
            }
        }
    }
    Ok(if rest.is_empty() {
        first.unwrap_or_default()
    } else {
        rest.freeze()
    })
}

fn declared_length(headers: &http::HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn failed(error: BodyError) -> Failure {
    match error {
        BodyError::Gone => Failure::client_gone(),
        BodyError::Framing => Failure::invalid("", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, Limits};
    use crate::exchange::MemoryExchange;

    fn ticket() -> Ticket {
        let admission = Admission::new(Limits {
            body_bytes: 8,
            ..Limits::default()
        });
        let principal = shared::policy::Principal {
            org: "org_1".into(),
            key: shared::key::KeyHash::of("k"),
            key_name: String::new(),
            kind: shared::policy::KeyKind::Inference,
            expires_at: None,
            policy: shared::policy::KeyPolicy::default(),
        };
        admission.admit(&principal).unwrap()
    }

    async fn outcome(headers: &[(&str, &str)], body: &'static [u8]) -> Result<Bytes, u16> {
        let mut request = http::Request::builder().method("POST");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut exchange = MemoryExchange::new(request.body(Bytes::from_static(body)).unwrap());
        read(&mut exchange, &mut ticket())
            .await
            .map_err(|failure| failure.status)
    }

    #[tokio::test]
    async fn the_limit_holds_with_and_without_a_declared_length() {
        assert_eq!(outcome(&[], b"12345678").await.unwrap(), "12345678");
        assert_eq!(outcome(&[], b"123456789").await.unwrap_err(), 413);
        assert_eq!(
            outcome(&[("content-length", "9")], b"1").await.unwrap_err(),
            413
        );
        assert_eq!(
            outcome(&[("content-encoding", "gzip")], b"1")
                .await
                .unwrap_err(),
            415
        );
    }
}
