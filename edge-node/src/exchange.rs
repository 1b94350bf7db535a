//! One HTTP exchange as the request path sees it, whatever carries it. Implemented for a Pingora
//! session (HTTP/1.1 and HTTP/2) and in memory for tests; HTTP/3 and the backhaul join later.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;
use std::time::Duration;

/// The client hung up, or is too slow to be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

/// Why the request's body can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// The client hung up in the middle.
    #[error("the client closed the connection within the request's body")]
    Gone,
    /// The framing is broken.
    #[error("the request's body is not framed as HTTP demands")]
    Framing,
}

/// How the head of an answer is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// All of the body is known: that many bytes.
    Length(usize),
    /// Pieces come as they come.
    Stream,
}

/// One request and its answer.
#[async_trait]
pub trait Exchange: Send {
    /// The request's head.
    fn head(&self) -> &http::request::Parts;
    /// The next piece of the request's body; `None` at its end.
    async fn body(&mut self) -> Result<Option<Bytes>, BodyError>;
    /// Sends the head of the answer. Once.
    async fn send_head(
        &mut self,
        status: u16,
        headers: &[(HeaderName, HeaderValue)],
        framing: Framing,
    ) -> Result<(), Gone>;
    /// Sends a piece of the answer's body now; it is on the wire when this returns.
    async fn send(&mut self, data: Bytes) -> Result<(), Gone>;
    /// The connection must not carry another request: what follows on it can't be trusted.
    fn distrust(&mut self);
    /// Ends the answer.
    async fn end(&mut self) -> Result<(), Gone>;
    /// Resolves when the client has gone. Only after the body was read; may be polled again after
    /// a cancellation.
    async fn gone(&mut self);
}

/// An exchange on Pingora's HTTP/1.1 or HTTP/2 session.
pub struct PingoraExchange {
    /// The session; handed back for keep-alive when the exchange went well.
    pub session: ServerSession,
    /// Set when the connection must not be used again.
    pub broken: bool,
    ended: bool,
    body_begun: bool,
}

impl PingoraExchange {
    /// Takes over a session whose head was read.
    #[must_use]
    pub fn new(mut session: ServerSession, write_stall: Duration) -> Self {
        session.set_write_timeout(Some(write_stall));
        // A client that pipelines must not look like one that left.
        session.set_pipelining_enabled(true);
        Self {
            session,
            broken: false,
            ended: false,
            body_begun: false,
        }
    }

    /// True when the answer was sent whole and the connection can carry another request.
    #[must_use]
    pub fn reusable(&self) -> bool {
        self.ended && !self.broken
    }

    fn expects_continue(&self) -> bool {
        let expect = self.head().headers.get(header::EXPECT);
        expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }

    fn check<T, E>(&mut self, result: Result<T, E>) -> Result<T, Gone> {
        result.map_err(|_| {
            self.broken = true;
            Gone
        })
    }
}

#[async_trait]
impl Exchange for PingoraExchange {
    fn head(&self) -> &http::request::Parts {
        self.session.req_header()
    }

    async fn body(&mut self) -> Result<Option<Bytes>, BodyError> {
        use pingora_core::ErrorType;
        if !std::mem::replace(&mut self.body_begun, true) && self.expects_continue() {
            // RFC 9110 section 10.1.1: the client waits for this before it sends the body. A
            // client that has gone is noticed by the read.
            let _ = self.session.write_continue_response().await;
        }
        self.session.read_request_body().await.map_err(|error| {
            self.broken = true;
            match error.etype() {
                ErrorType::InvalidHTTPHeader | ErrorType::HTTPStatus(_) => BodyError::Framing,
                _ if error.to_string().to_ascii_lowercase().contains("chunk") => BodyError::Framing,
                _ => BodyError::Gone,
            }
        })
    }

    fn distrust(&mut self) {
        self.broken = true;
        self.session.set_keepalive(None);
    }

    async fn send_head(
        &mut self,
        status: u16,
        headers: &[(HeaderName, HeaderValue)],
        framing: Framing,
    ) -> Result<(), Gone> {
        let head = response_head(status, headers, framing, self.session.is_http2());
        let head = self.check(head)?;
        let sent = self.session.write_response_header(Box::new(head)).await;
        self.check(sent)
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Gone> {
        if data.is_empty() {
            return Ok(());
        }
        let sent = self.session.write_response_body(data, false).await;
        self.check(sent)
    }

    async fn end(&mut self) -> Result<(), Gone> {
        let sent = self.session.write_response_body(Bytes::new(), true).await;
        self.check(sent)?;
        self.ended = true;
        Ok(())
    }

    async fn gone(&mut self) {
        let _ = self.session.read_body_or_idle(true).await;
        self.broken = true;
    }
}

fn response_head(
    status: u16,
    headers: &[(HeaderName, HeaderValue)],
    framing: Framing,
    http2: bool,
) -> Result<ResponseHeader, Box<pingora_core::Error>> {
    let mut head = ResponseHeader::build_no_case(status, Some(headers.len() + 4))?;
    for (name, value) in headers {
        head.append_header(name, value)?;
    }
    match framing {
        Framing::Length(length) => {
            head.insert_header(header::CONTENT_LENGTH, length.to_string())?;
        }
        // HTTP/2 frames by itself; without this, HTTP/1.1 would end the body by closing.
        Framing::Stream if !http2 => head.insert_header(header::TRANSFER_ENCODING, "chunked")?,
        Framing::Stream => {}
    }
    Ok(head)
}

/// An exchange without a network: what was sent can be looked at.
#[derive(Debug)]
pub struct MemoryExchange {
    head: http::request::Parts,
    body: Vec<Bytes>,
    /// The status sent, 0 before.
    pub status: u16,
    /// The headers sent.
    pub headers: HeaderMap,
    /// The body sent.
    pub sent: Vec<u8>,
    /// True once the answer has ended.
    pub ended: bool,
    /// Resolves [`Exchange::gone`].
    pub leave: std::sync::Arc<tokio::sync::Notify>,
}

impl MemoryExchange {
    /// An exchange that brings this request.
    #[must_use]
    pub fn new(request: http::Request<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            head,
            body: vec![body],
            status: 0,
            headers: HeaderMap::new(),
            sent: Vec::new(),
            ended: false,
            leave: std::sync::Arc::default(),
        }
    }
}

#[async_trait]
impl Exchange for MemoryExchange {
    fn head(&self) -> &http::request::Parts {
        &self.head
    }
    async fn body(&mut self) -> Result<Option<Bytes>, BodyError> {
        Ok(self.body.pop())
    }
    fn distrust(&mut self) {}

    async fn send_head(
        &mut self,
        status: u16,
        headers: &[(HeaderName, HeaderValue)],
        _framing: Framing,
    ) -> Result<(), Gone> {
        self.status = status;
        self.headers.extend(headers.iter().cloned());
        Ok(())
    }
    async fn send(&mut self, data: Bytes) -> Result<(), Gone> {
        self.sent.extend_from_slice(&data);
        Ok(())
    }
    async fn end(&mut self) -> Result<(), Gone> {
        self.ended = true;
        Ok(())
    }
    async fn gone(&mut self) {
        self.leave.notified().await;
    }
}
