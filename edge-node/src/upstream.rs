//! The leg to a provider, in phases that fail apart: resolve, connect, write, head, body. Behind a
//! trait, so that the attempt loop is tested without a network; [`pooled`] is the real one. Knows
//! nothing of dialects, money or retries on other endpoints.

pub mod pooled;
pub mod resolve;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// One request to a provider.
#[derive(Clone, Debug)]
pub struct Request {
    /// Scheme, host and optional path prefix, without a trailing slash.
    pub base_url: String,
    /// Appended to the base.
    pub path: String,
    /// Without host, length and connection headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The whole body.
    pub body: Bytes,
    /// Bound of resolving, connecting and TLS.
    pub connect_timeout: Duration,
    /// Bound of the wait for the head, once the request is written.
    pub head_timeout: Duration,
}

/// A provider's answer whose body is still to come.
pub struct Answer {
    /// HTTP status, at least 200.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The rest.
    pub body: Box<dyn Body>,
}

/// An answer's body. Dropping it before its end cancels the request at the provider.
#[async_trait]
pub trait Body: Send {
    /// The next piece as it came; `None` at the end. Cancel-safe.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Error>;
    /// Gives the connection back after the body was read to its end.
    async fn release(self: Box<Self>);
}

/// Sends requests to providers.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// Sends the request and waits for the head of its answer.
    async fn send(&self, request: &Request) -> Result<Answer, Error>;
}

/// Where an upstream leg failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The name has no address.
    Resolve,
    /// TCP.
    Connect,
    /// The handshake.
    Tls,
    /// Sending the request.
    Write,
    /// Waiting for the head.
    Head,
    /// Reading the body.
    Body,
}

/// How an upstream leg failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Its deadline passed.
    Timeout,
    /// Refused, reset or closed.
    Broken,
    /// What came was not HTTP.
    Protocol,
}

/// A failure of the leg itself; an HTTP error status is not one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{phase:?} {kind:?}: {detail}")]
pub struct Error {
    /// Where.
    pub phase: Phase,
    /// How.
    pub kind: Kind,
    /// For the log; never for the client.
    pub detail: String,
}

impl Error {
    /// A failure at `phase`.
    #[must_use]
    pub fn new(phase: Phase, kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            phase,
            kind,
            detail: detail.into(),
        }
    }
}
