//! Management routes: keys, credits, activity and the rest of an account. The control plane
//! answers them; this node passes them on, over its own line and under its own identity, with the
//! key of the client. What can't be asked is 503 and never 401. Deliberately not here: whether the
//! key may, which the control plane knows at first hand.

use crate::auth;
use crate::client::Client;
use crate::control::ControlClient;
use crate::exchange::{BodyError, Exchange};
use crate::failure::{ErrorType, Failure, Fault};
use crate::metrics::shed;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::transport::Channel;
use tower_service::Service;

/// Forwarded requests in flight; one more is turned away.
pub const FORWARDS_MAX: usize = 128;
/// The largest body that is passed on, in bytes; the control plane reads no larger one.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// The largest answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How long a client may take to send its body, and the control plane to answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Who can't be served at the moment is told to come back after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Which of the client's headers go along, besides its key.
const PASSED: [HeaderName; 3] = [
    header::CONTENT_TYPE,
    header::ACCEPT,
    HeaderName::from_static("idempotency-key"),
];

/// The way of management requests.
pub struct Forwarder {
    control: Option<Arc<ControlClient>>,
    places: Semaphore,
}

impl Forwarder {
    /// A way over this line; none: nothing can be asked.
    #[must_use]
    pub fn new(control: Option<Arc<ControlClient>>) -> Self {
        Self {
            control,
            places: Semaphore::new(FORWARDS_MAX),
        }
    }

    /// Passes one request on and answers with what came back.
    ///
    /// # Errors
    /// 401 without a key at all, 413 for a body that is too large, 503 when the control plane is
    /// away or too many ask; or the client has gone.
    pub(super) async fn serve(&self, client: &mut Client<'_>) -> Result<(), Failure> {
        let Ok(_place) = self.places.try_acquire() else {
            shed("forwards");
            return Err(away("too many management requests at this moment"));
        };
        let body = tokio::time::timeout(DEADLINE, read(client.exchange)).await;
        let body = body.unwrap_or_else(|_| Err(too_slow()))?;
        let request = request(client.exchange.head(), body)?;
        let (status, body) = client.wait_for(self.ask(request)).await?;
        client.answer(status.as_u16(), body).await
    }

    async fn ask(
        &self,
        request: Request<tonic::body::Body>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let nobody = || away("the control plane can't be reached at the moment; try again");
        let control = self.control.as_ref().ok_or_else(nobody)?;
        let link = control.link();
        match tokio::time::timeout(DEADLINE, exchange(link.channel.clone(), request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a management request was not answered");
                control.failed(&link);
                Err(nobody())
            }
            Err(_elapsed) => {
                tracing::warn!("a management request was not answered in time");
                control.failed(&link);
                Err(nobody())
            }
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    mut channel: Channel,
    request: Request<tonic::body::Body>,
) -> Result<(StatusCode, Bytes), Broken> {
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    let answer = channel.call(request).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok((head.status, body.to_bytes()))
}

/// What the control plane gets: the same path, the key as a bearer, the body.
fn request(head: &Parts, body: Bytes) -> Result<Request<tonic::body::Body>, Failure> {
    let key = auth::credential(&head.headers)?;
    let path = head.uri.path().trim_end_matches('/');
    let target = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut request = Request::builder()
        .method(head.method.clone())
        .uri(target)
        .header(header::AUTHORIZATION, format!("Bearer {key}"));
    for name in PASSED {
        if let Some(value) = head.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let body = tonic::body::Body::new(Full::new(body));
    request
        .body(body)
        .map_err(|error| Failure::invalid("", error.to_string()))
}

async fn read(exchange: &mut dyn Exchange) -> Result<Bytes, Failure> {
    let encoding = exchange.head().headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
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
    let mut body = BytesMut::new();
    while let Some(piece) = exchange.body().await.map_err(unreadable)? {
        if body.len() + piece.len() > BODY_BYTES_MAX {
            shed("forward_body_bytes");
            let text = format!("a management request has at most {BODY_BYTES_MAX} bytes");
            let kind = ErrorType::PayloadTooLarge;
            return Err(Failure::new(Fault::Caller, 413, kind, "body_bytes", text));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn unreadable(error: BodyError) -> Failure {
    match error {
        BodyError::Gone => Failure::client_gone(),
        BodyError::Framing => Failure::invalid("", error.to_string()),
    }
}

fn too_slow() -> Failure {
    let text = "the request body did not arrive in time";
    Failure::new(Fault::Caller, 408, ErrorType::Timeout, "body_timeout", text)
}

fn away(text: &'static str) -> Failure {
    let kind = ErrorType::ProviderOverloaded;
    Failure::new(Fault::ControlPlane, 503, kind, "forward", text).with_retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::MemoryExchange;
    use crate::timers::Timers;
    use http::HeaderValue;

    fn exchange_of(key: Option<&str>, body: Bytes) -> MemoryExchange {
        let mut request = Request::builder().method("POST").uri("/v1/keys/?a=b");
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        MemoryExchange::new(request.body(body).unwrap())
    }

    async fn refused(forwarder: &Forwarder, mut exchange: MemoryExchange) -> (u16, Fault) {
        let keep_alive = Duration::from_secs(60);
        let mut client = Client::new(&mut exchange, "gen-1".into(), "e".into(), keep_alive);
        let failure = forwarder.serve(&mut client).await.unwrap_err();
        (failure.status, failure.fault)
    }

    #[tokio::test]
    async fn nobody_there_is_503_and_never_401() {
        let urls = ["http://127.0.0.1:1".to_owned()];
        let control = ControlClient::new(&urls, None, &Timers::default()).unwrap();
        for forwarder in [Forwarder::new(None), Forwarder::new(Some(control))] {
            let with_key = exchange_of(Some("k"), Bytes::new());
            assert_eq!(
                refused(&forwarder, with_key).await,
                (503, Fault::ControlPlane)
            );
            let without = exchange_of(None, Bytes::new());
            assert_eq!(refused(&forwarder, without).await, (401, Fault::Account));
            let large = exchange_of(Some("k"), Bytes::from(vec![b' '; BODY_BYTES_MAX + 1]));
            assert_eq!(refused(&forwarder, large).await, (413, Fault::Caller));
        }
    }

    #[test]
    fn the_key_travels_as_a_bearer_and_no_cookie_along() {
        let exchange = exchange_of(Some("k"), Bytes::new());
        let mut head = exchange.head().clone();
        let set = |text| HeaderValue::from_static(text);
        head.headers.insert(header::COOKIE, set("godwit_session=x"));
        head.headers.insert("idempotency-key", set("i"));
        let request = request(&head, Bytes::new()).unwrap();
        assert_eq!(request.uri(), "/v1/keys?a=b");
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["authorization", "idempotency-key"]);
        assert_eq!(request.headers()["authorization"], "Bearer k");
    }
}
