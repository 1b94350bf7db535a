//! The client side of tests and tools: JSON calls and event streams over hyper with a pool, in
//! clear and over TLS, and bare sockets for bytes that no client library would send. It decodes
//! nothing silently: an unexpected status, a cut stream or bad JSON come back as what they are.

mod connector;
mod events;

pub use events::{Event, Events};

use bytes::Bytes;
use connector::Connector;
use http::{HeaderMap, Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

/// How long a call may take as a whole.
pub const CALL_MAX: Duration = Duration::from_secs(60);
/// Largest answer that is read whole, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Largest event of a stream, bytes.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The request cannot be written down.
    #[error("request: {0}")]
    Request(#[from] http::Error),
    /// No answer came: refused, reset, cut.
    #[error("call: {0}")]
    Call(#[from] hyper_util::client::legacy::Error),
    /// The answer broke off.
    #[error("body: {0}")]
    Body(#[from] hyper::Error),
    /// A socket failed.
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
    /// It took longer than allowed.
    #[error("timed out")]
    TimedOut,
    /// More came than is read.
    #[error("too large")]
    TooLarge,
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    headers: HeaderMap,
    pool: Pool<Connector, Full<Bytes>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The protocol that was spoken.
    pub version: Version,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Client {
    /// A client that speaks HTTP/1.1 to `base` (scheme and authority).
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self::build(base, false, None)
    }

    /// A client that speaks HTTP/2 in clear.
    #[must_use]
    pub fn h2c(base: &str) -> Self {
        Self::build(base, true, None)
    }

    /// A client over TLS (`https` in `base`) that speaks what ALPN settles on.
    #[must_use]
    pub fn over_tls(base: &str, tls: Arc<ClientConfig>) -> Self {
        Self::build(base, false, Some(tls))
    }

    fn build(base: &str, h2: bool, tls: Option<Arc<ClientConfig>>) -> Self {
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http2_only(h2)
            .build(Connector::new(tls));
        Self {
            base: base.trim_end_matches('/').to_owned(),
            headers: HeaderMap::new(),
            pool,
        }
    }

    /// The same client with a header on every request.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = value.parse() {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same client with a bearer key.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// Where it calls.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn get(&self, path: &str) -> Result<Reply, CallError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply, CallError> {
        self.call(Method::POST, path, body.to_string().into()).await
    }

    /// A call with these bytes as JSON body; none are sent when empty.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Reply, CallError> {
        let whole = async {
            let (head, body) = self.open(method, path, body).await?.into_parts();
            let body = http_body_util::Limited::new(body, ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|error| {
                let broken = error.downcast::<hyper::Error>();
                broken.map_or(CallError::TooLarge, |error| CallError::Body(*error))
            })?;
            Ok(Reply {
                status: head.status.as_u16(),
                version: head.version,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        let outcome = tokio::time::timeout(CALL_MAX, whole).await;
        outcome.unwrap_or(Err(CallError::TimedOut))
    }

    /// POST of JSON whose answer is read event by event.
    ///
    /// # Errors
    /// No head of an answer came.
    pub async fn stream(&self, path: &str, body: &Value) -> Result<Events, CallError> {
        let started = Instant::now();
        let opening = self.open(Method::POST, path, body.to_string().into());
        let opened = tokio::time::timeout(CALL_MAX, opening).await;
        let (head, body) = opened.unwrap_or(Err(CallError::TimedOut))?.into_parts();
        Ok(Events::new(head, body, started))
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, CallError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            if !body.is_empty() && !headers.contains_key("content-type") {
                let json = http::HeaderValue::from_static("application/json");
                headers.insert("content-type", json);
            }
        }
        let request = request.body(Full::new(body))?;
        Ok(self.pool.request(request).await?)
    }
}

/// Sends bytes as they are and reads what comes until the other side closes or `patience` ends.
///
/// # Errors
/// No connection, or the bytes could not be sent and nothing had been answered.
pub async fn raw(addr: SocketAddr, bytes: &[u8], patience: Duration) -> Result<String, CallError> {
    let mut socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    let (mut reader, mut writer) = socket.split();
    let mut seen = Vec::new();
    let read = async {
        let mut buffer = vec![0; 16 << 10];
        while seen.len() < ANSWER_BYTES_MAX {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => seen.extend_from_slice(buffer.get(..count).unwrap_or(&[])),
            }
        }
    };
    let write = async {
        let _ = writer.write_all(bytes).await;
        // Held open: closing our half would make us a client that has gone.
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(patience, async {
        tokio::select! { () = read => {}, () = write => {} }
    })
    .await;
    Ok(String::from_utf8_lossy(&seen).into_owned())
}
