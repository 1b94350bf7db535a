//! Whom a load hits: address, path and headers, made into the bytes of a request once.

use bytes::Bytes;
use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};

/// A server and a path on it.
#[derive(Clone, Debug)]
pub struct Target {
    addr: SocketAddr,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
}

/// Why a URL is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not `http://HOST[:PORT]/PATH`.
    #[error("{0}: http://HOST[:PORT]/PATH is expected (no TLS)")]
    Form(String),
    /// The host has no address.
    #[error("{0}: no address")]
    Address(String),
}

impl Target {
    /// A target from its URL.
    ///
    /// # Errors
    /// It is not plain HTTP, or the host is unknown.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let rest = url.strip_prefix("http://");
        let rest = rest.ok_or_else(|| TargetError::Form(url.to_owned()))?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let named = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let mut found = named
            .to_socket_addrs()
            .map_err(|_| TargetError::Address(host.to_owned()))?;
        let addr = found
            .next()
            .ok_or_else(|| TargetError::Address(host.to_owned()))?;
        Ok(Self {
            addr,
            host: host.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
        })
    }

    /// The same with a header on every request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its address.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The bytes of a POST with this body.
    #[must_use]
    pub fn post(&self, body: &[u8]) -> Bytes {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n",
            self.path,
            self.host,
            body.len()
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        Bytes::from(request)
    }
}
