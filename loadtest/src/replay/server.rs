//! The providers of a replay: one server that answers each case's path with its recorded status,
//! headers and bytes, cut into pieces at pseudo-random places, and remembers what it was asked.

use super::corpus::Case;
use crate::client::ANSWER_BYTES_MAX;
use crate::server::{Answer, Cut};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use serde_json::Value;
use shared::task::lock;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Largest piece that a body is cut into, bytes.
const PIECE_BYTES_MAX: usize = 1_500;
/// Where the last body that was sent to a case is shown, by its key.
pub(super) const ASKED_PATH: &str = "_asked/";
/// Headers that describe the recorded transfer, not the answer.
const TRANSFER_HEADERS: [&str; 6] = [
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "alt-svc",
];

/// Recorded answers by case key.
pub(super) struct Recordings {
    answers: BTreeMap<String, Recorded>,
    asked: Mutex<BTreeMap<String, Value>>,
}

struct Recorded {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Recordings {
    pub(super) fn new(cases: &[Case]) -> Self {
        let answers = cases.iter().map(|case| (case.key.clone(), recorded(case)));
        Self {
            answers: answers.collect(),
            asked: Mutex::default(),
        }
    }

    /// The last body that was sent to a case.
    pub(super) fn asked(&self, key: &str) -> Option<Value> {
        lock(&self.asked).get(key).cloned()
    }

    /// Forgets what a case was asked.
    pub(super) fn forget(&self, key: &str) {
        lock(&self.asked).remove(key);
    }
}

fn recorded(case: &Case) -> Recorded {
    let mut headers = HeaderMap::new();
    for (name, value) in &case.headers {
        if TRANSFER_HEADERS.contains(&name.as_str()) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    if !headers.contains_key("content-type") {
        let kind = if case.stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        headers.insert("content-type", HeaderValue::from_static(kind));
    }
    Recorded {
        status: case.status,
        headers,
        body: case.body.clone(),
    }
}

impl Answer for Recordings {
    type Body = Pieces;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Cut) -> Response<Pieces> {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        if let Some(key) = path.strip_prefix(ASKED_PATH) {
            let asked = self.asked(key).unwrap_or_default().to_string();
            return Response::new(Pieces::cut(&Bytes::from(asked)));
        }
        let key = path.split('/').next().unwrap_or("").to_owned();
        let body = Limited::new(request.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let mut response = Response::new(Pieces::default());
        let Some(recorded) = self.answers.get(&key) else {
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let sent = serde_json::from_slice(&body).unwrap_or_default();
        lock(&self.asked).insert(key, sent);
        *response.status_mut() = StatusCode::from_u16(recorded.status).unwrap_or_default();
        response.headers_mut().clone_from(&recorded.headers);
        *response.body_mut() = Pieces::cut(&recorded.body);
        response
    }
}

/// A body in pieces, each in its own write.
#[derive(Default)]
pub(super) struct Pieces {
    left: VecDeque<Bytes>,
    pause: bool,
}

impl Pieces {
    /// The same cuts for the same body.
    fn cut(body: &Bytes) -> Self {
        let mut random = fastrand::Rng::with_seed(body.len() as u64);
        let mut rest = body.clone();
        let mut left = VecDeque::new();
        while !rest.is_empty() {
            let size = random.usize(1..=PIECE_BYTES_MAX).min(rest.len());
            left.push_back(rest.split_to(size));
        }
        Self { left, pause: false }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.pause {
            // Lets the server write what it has, so that a piece is a read at the other side.
            self.pause = false;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pause = true;
        Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}
