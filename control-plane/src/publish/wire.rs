//! `Discovery.Subscribe` on the wire, by hand: what a thousand edges are sent is the same bytes for
//! all of them, from the encoding to the encryption. The generated server would copy each message
//! into a buffer per stream and keep that as large as the largest was, the whole catalogue. Every
//! other method is the generated server's.

use super::DiscoveryService;
use hyper::body::{Body as HttpBody, Frame};
use prost::bytes::Bytes;
use shared::proto::discovery::EdgeMessage;
use shared::proto::discovery::discovery_server::{Discovery, DiscoveryServer};
use shared::proto::pushed::ControlMessage;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codec::{Codec, Streaming};
use tonic::codegen::http::{self, HeaderMap, HeaderValue};
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};
use tonic::server::NamedService;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

const SUBSCRIBE: &str = "/godwit.discovery.v1.Discovery/Subscribe";
/// The largest update that is sent, in bytes.
const UPDATE_BYTES_MAX: usize = 64 << 20;

/// The discovery service as the listener serves it. Cheap to clone.
#[derive(Clone)]
pub struct DiscoveryWire {
    service: Arc<DiscoveryService>,
    others: DiscoveryServer<DiscoveryService>,
}

impl DiscoveryWire {
    /// Serves `service`.
    #[must_use]
    pub fn new(service: DiscoveryService) -> Self {
        let service = Arc::new(service);
        Self {
            others: DiscoveryServer::from_arc(Arc::clone(&service)),
            service,
        }
    }
}

impl NamedService for DiscoveryWire {
    const NAME: &'static str = <DiscoveryServer<DiscoveryService> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for DiscoveryWire {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != SUBSCRIBE {
            return self.others.call(request);
        }
        let service = Arc::clone(&self.service);
        Box::pin(async move { Ok(subscribe(&service, request).await) })
    }
}

async fn subscribe(
    service: &DiscoveryService,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let (parts, body) = request.into_parts();
    // Nobody compresses: what says that it is compressed is refused by the decoder.
    let decoder = ProstCodec::<ControlMessage, EdgeMessage>::default().decoder();
    let words = Streaming::new_request(decoder, body, None, None);
    let headers = MetadataMap::from_headers(parts.headers);
    let request = Request::from_parts(headers, parts.extensions, words);
    match service.subscribe(request).await {
        Ok(pushes) => {
            let mut response = http::Response::new(Body::new(Pushes::new(pushes.into_inner())));
            let headers = response.headers_mut();
            headers.insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
            response
        }
        Err(status) => status.into_http(),
    }
}

/// The answer's body: each message as a frame, and how it ended.
struct Pushes<S> {
    source: S,
    /// What is left of the message that was begun.
    rest: Option<Bytes>,
    ended: bool,
}

impl<S> Pushes<S> {
    const fn new(source: S) -> Self {
        Self {
            source,
            rest: None,
            ended: false,
        }
    }

    /// The beginning of a message; the status instead if it can't be sent.
    fn begin(&mut self, message: ControlMessage) -> Result<Bytes, Status> {
        let frame = message.into_frame();
        let (head, rest) = frame.ok_or_else(|| Status::out_of_range("an update is too long"))?;
        let len = head.len() + rest.as_ref().map_or(0, Bytes::len);
        if len > UPDATE_BYTES_MAX {
            let reason = format!("an update of {len} bytes; {UPDATE_BYTES_MAX} are the limit");
            return Err(Status::out_of_range(reason));
        }
        self.rest = rest;
        Ok(head)
    }

    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            // The status' own words can't be said.
            trailers.insert("grpc-status", HeaderValue::from_static("13"));
        }
        Frame::trailers(trailers)
    }
}

impl<S> HttpBody for Pushes<S>
where
    S: Stream<Item = Result<ControlMessage, Status>> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(rest) = this.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let begun = match ready!(Pin::new(&mut this.source).poll_next(cx)) {
            Some(Ok(message)) => this.begin(message),
            Some(Err(status)) => Err(status),
            None => Err(Status::ok("")),
        };
        let frame = begun.map_or_else(|status| this.end(&status), Frame::data);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use shared::proto::discovery::RankingUpdate;
    use shared::proto::pushed::Member;
    use std::task::Waker;

    fn frames(source: Vec<Result<ControlMessage, Status>>) -> Vec<Frame<Bytes>> {
        let mut pushes = Pushes::new(tokio_stream::iter(source));
        let mut cx = Context::from_waker(Waker::noop());
        let mut frames = Vec::new();
        while let Poll::Ready(Some(frame)) = Pin::new(&mut pushes).poll_frame(&mut cx) {
            frames.push(frame.unwrap());
        }
        assert!(pushes.is_end_stream());
        frames
    }

    fn status(frame: &Frame<Bytes>) -> &str {
        let trailers = frame.trailers_ref().unwrap();
        trailers["grpc-status"].to_str().unwrap()
    }

    #[test]
    fn a_large_message_is_sent_in_two_pieces_and_the_end_says_how_it_ended() {
        let bytes = Bytes::from(vec![0; 10_000]);
        let own = RankingUpdate::default();
        let message = ControlMessage::of_shared(Member::Ranking, bytes, &own);
        let len = message.encoded_len();
        let sent = frames(vec![Ok(message)]);
        let data = sent.iter().filter_map(Frame::data_ref).map(Bytes::len);
        assert_eq!((data.sum::<usize>(), sent.len()), (len + 5, 3));
        assert_eq!(status(&sent[2]), "0");
        let refused = frames(vec![Err(Status::aborted("a later stream"))]);
        assert_eq!((refused.len(), status(&refused[0])), (1, "10"));
    }

    #[test]
    fn what_is_too_long_ends_the_stream() {
        let bytes = Bytes::from(vec![0; UPDATE_BYTES_MAX]);
        let own = RankingUpdate::default();
        let message = ControlMessage::of_shared(Member::Authority, bytes, &own);
        let sent = frames(vec![Ok(message)]);
        assert_eq!((sent.len(), status(&sent[0])), (1, "11"));
    }
}
