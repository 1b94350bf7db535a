//! An answer that is a stream of server-sent events, read event by event. A cut is told apart from
//! an end; comments are counted and otherwise ignored.

use super::{ANSWER_BYTES_MAX, CALL_MAX, CallError, EVENT_BYTES_MAX};
use bytes::{Buf, Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event:` line; empty when there is none.
    pub name: String,
    /// The `data:` lines, joined.
    pub data: String,
    /// Since the request was sent.
    pub at: Duration,
}

impl Event {
    /// The data as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// An event stream that is being read. Dropping it hangs up.
pub struct Events {
    /// HTTP status.
    pub status: u16,
    /// The protocol that was spoken.
    pub version: Version,
    /// Headers.
    pub headers: HeaderMap,
    /// Comment lines seen so far.
    pub comments: u64,
    started: Instant,
    body: Incoming,
    buffer: BytesMut,
}

impl Events {
    pub(super) fn new(head: Parts, body: Incoming, started: Instant) -> Self {
        Self {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            comments: 0,
            started,
            body,
            buffer: BytesMut::new(),
        }
    }

    /// The next event; none at the proper end of the body.
    ///
    /// # Errors
    /// The body was cut, or nothing came for [`CALL_MAX`].
    pub async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            if let Some((event, length)) = self.take_event() {
                self.buffer.advance(length);
                match event {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(CallError::TooLarge);
            }
            let frame = tokio::time::timeout(CALL_MAX, self.body.frame()).await;
            match frame.map_err(|_| CallError::TimedOut)? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(bytes) = frame?.into_data() {
                        self.buffer.extend_from_slice(&bytes);
                    }
                }
            }
        }
    }

    /// All events to the end, and whether the body ended properly.
    pub async fn rest(&mut self) -> (Vec<Event>, Result<(), CallError>) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, Ok(())),
                Err(error) => return (events, Err(error)),
            }
        }
    }

    /// The rest of the body as it is: for answers that are no stream.
    ///
    /// # Errors
    /// The body was cut.
    pub async fn bytes(self) -> Result<Bytes, CallError> {
        let mut all = self.buffer;
        let body = http_body_util::Limited::new(self.body, ANSWER_BYTES_MAX);
        let rest = body.collect().await.map_err(|error| {
            let broken = error.downcast::<hyper::Error>();
            broken.map_or(CallError::TooLarge, |error| CallError::Body(*error))
        })?;
        all.extend_from_slice(&rest.to_bytes());
        Ok(all.freeze())
    }

    fn take_event(&mut self) -> Option<(Option<Event>, usize)> {
        let (block, length) = first_block(&self.buffer)?;
        let text = String::from_utf8_lossy(block);
        let (mut name, mut data) = (String::new(), Vec::new());
        let mut comments = 0;
        for line in text.lines() {
            if line.starts_with(':') {
                comments += 1;
            } else if let Some(value) = line.strip_prefix("event:") {
                value.trim().clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
            }
        }
        self.comments += comments;
        let seen = !(data.is_empty() && name.is_empty());
        let event = seen.then(|| Event {
            name,
            data: data.join("\n"),
            at: self.started.elapsed(),
        });
        Some((event, length))
    }
}

/// The first event's bytes and the length with its blank line.
fn first_block(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let lf = memchr::memmem::find(bytes, b"\n\n").map(|at| (at, 2));
    let crlf = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| (at, 4));
    let (at, gap) = match (lf, crlf) {
        (Some(lf), Some(crlf)) => lf.min(crlf),
        (lf, crlf) => lf.or(crlf)?,
    };
    Some((bytes.get(..at)?, at + gap))
}
