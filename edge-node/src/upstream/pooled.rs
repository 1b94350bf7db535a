//! The upstream leg on Pingora's connector: pooled HTTP/1.1 and HTTP/2, TCP_NODELAY, TLS with the
//! host's name verified. A pooled connection that the provider had closed is replaced before
//! anything was received; nothing else is retried here.

use super::resolve::{Origin, Resolver};
use super::{Answer, Body, Error, Kind, Phase, Request, Upstream};
use crate::corked::Corked;
use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use futures::FutureExt;
use http::{Method, header};
use pingora_core::connectors::http::Connector;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client::HttpSession as Plain;
use pingora_core::protocols::l4::stream::Stream as TcpStream;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{ErrorType, protocols::TcpKeepalive};
use pingora_http::RequestHeader;
use shared::clock::Clock;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Idle connections kept, over all providers.
pub const POOL_SIZE: usize = 1024;
/// How long an idle connection is kept.
pub const IDLE_MAX: Duration = Duration::from_secs(55);
/// Streams on one HTTP/2 connection.
pub const H2_STREAMS_MAX: usize = 100;
/// Stale pooled connections that one request may find before it gives up.
pub const STALE_MAX: usize = 16;
/// Peers remembered: one for each address of each provider.
pub const PEERS_MAX: usize = 16_384;
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 8 << 20;

/// Sends over pooled connections.
pub struct Pooled {
    connectors: Arc<Connectors>,
    resolver: Resolver,
    peers: DashMap<(SocketAddr, String), Arc<HttpPeer>>,
    turn: AtomicUsize,
}

/// Who connects. Providers without TLS speak HTTP/1.1 alone: on their connections head and body
/// leave together, which Pingora's own connector can't be told to do.
struct Connectors {
    secure: Connector,
    /// Made when the first such provider is met: like the other it reads the system's certificates.
    plain: OnceLock<TransportConnector>,
    options: ConnectorOptions,
}

impl Connectors {
    /// A connection, and whether it had been used before.
    async fn get(&self, peer: &HttpPeer) -> pingora_core::Result<(HttpSession, bool)> {
        if peer.tls() {
            return self.secure.get_http_session(peer).await;
        }
        let (stream, reused) = self.plain().get_stream(peer).await?;
        let stream = if reused { stream } else { corked(stream)? };
        Ok((
            HttpSession::H1(Plain::new_with_options(stream, peer)),
            reused,
        ))
    }

    fn plain(&self) -> &TransportConnector {
        let make = || TransportConnector::new(Some(self.options.clone()));
        self.plain.get_or_init(make)
    }

    /// Keeps the connection for another request, if it can be used again.
    async fn release(&self, session: HttpSession, peer: &HttpPeer) {
        match session {
            HttpSession::H1(mut session) if !peer.tls() => {
                session.respect_keepalive();
                if let Some(stream) = session.reuse().await {
                    let key = peer.reuse_hash();
                    self.plain().release_stream(stream, key, Some(IDLE_MAX));
                }
            }
            session => {
                self.secure
                    .release_http_session(session, peer, Some(IDLE_MAX))
                    .await;
            }
        }
    }
}

impl Pooled {
    /// A pool that trusts the certificates in `ca_file`, or else the system's.
    #[must_use]
    pub fn new(ca_file: Option<&str>, clock: Clock) -> Self {
        let mut options = ConnectorOptions::new(POOL_SIZE);
        options.ca_file = ca_file.map(str::to_owned);
        Self {
            connectors: Arc::new(Connectors {
                secure: Connector::new(Some(options.clone())),
                plain: OnceLock::new(),
                options,
            }),
            resolver: Resolver::new(clock),
            peers: DashMap::new(),
            turn: AtomicUsize::new(0),
        }
    }

    async fn peer(&self, origin: &Origin) -> Result<Arc<HttpPeer>, Error> {
        let addresses = self
            .resolver
            .addresses(origin)
            .await
            .map_err(|detail| Error::new(Phase::Resolve, Kind::Broken, detail))?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        let address = *addresses
            .get(turn)
            .ok_or_else(|| Error::new(Phase::Resolve, Kind::Broken, "the name has no address"))?;
        // Plain and TLS peers differ in the SNI, which is empty only for plain ones.
        let sni = if origin.tls {
            origin.host.clone()
        } else {
            String::new()
        };
        let key = (address, sni);
        if let Some(peer) = self.peers.get(&key) {
            return Ok(Arc::clone(&peer));
        }
        let peer = Arc::new(make_peer(address, origin.tls, &key.1));
        if self.peers.len() < PEERS_MAX {
            self.peers.insert(key, Arc::clone(&peer));
        }
        Ok(peer)
    }

    async fn connect(
        &self,
        request: &Request,
        origin: &Origin,
    ) -> Result<(HttpSession, Arc<HttpPeer>, bool), Error> {
        let connecting = async {
            let peer = self.peer(origin).await?;
            let got = self.connectors.get(&peer).await;
            let (session, reused) = got.map_err(|error| connect_error(&error))?;
            Ok((session, peer, reused))
        };
        tokio::time::timeout(request.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    Phase::Connect,
                    Kind::Timeout,
                    "connect deadline passed",
                ))
            })
    }
}

fn corked(stream: Stream) -> pingora_core::Result<Stream> {
    let tcp = stream.into_any().downcast::<TcpStream>();
    let tcp = tcp.map_err(|_| {
        let why = "a connection without TLS is no TCP stream";
        pingora_core::Error::explain(ErrorType::InternalError, why)
    })?;
    Ok(Box::new(Corked::until_read(*tcp)))
}

fn make_peer(address: SocketAddr, tls: bool, sni: &str) -> HttpPeer {
    let mut peer = HttpPeer::new(address, tls, sni.to_owned());
    peer.options.set_http_version(if tls { 2 } else { 1 }, 1);
    peer.options.max_h2_streams = H2_STREAMS_MAX;
    peer.options.h2_stream_window_size = Some(H2_STREAM_WINDOW);
    peer.options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
    peer.options.idle_timeout = Some(IDLE_MAX);
    peer.options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(30),
        interval: Duration::from_secs(10),
        count: 3,
        user_timeout: Duration::ZERO,
    });
    peer
}

fn connect_error(error: &pingora_core::Error) -> Error {
    let detail = error.to_string();
    let (phase, kind) = match error.etype() {
        ErrorType::ConnectTimedout => (Phase::Connect, Kind::Timeout),
        ErrorType::TLSHandshakeTimedout => (Phase::Tls, Kind::Timeout),
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => {
            (Phase::Tls, Kind::Broken)
        }
        _ => (Phase::Connect, Kind::Broken),
    };
    Error::new(phase, kind, detail)
}

fn io_error(phase: Phase, error: &pingora_core::Error) -> Error {
    let kind = match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Kind::Timeout,
        ErrorType::InvalidHTTPHeader | ErrorType::H2Error | ErrorType::InvalidH2 => Kind::Protocol,
        _ => Kind::Broken,
    };
    Error::new(phase, kind, error.to_string())
}

#[async_trait]
impl Upstream for Pooled {
    async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let origin = Origin::parse(&request.base_url).ok_or_else(|| {
            Error::new(
                Phase::Resolve,
                Kind::Protocol,
                "the provider's base URL is not a URL",
            )
        })?;
        if origin.tls && origin.host.is_empty() {
            // Without a name, the certificate would not be verified.
            return Err(Error::new(
                Phase::Tls,
                Kind::Protocol,
                "no host name to verify",
            ));
        }
        let mut stale = 0;
        loop {
            let (session, peer, reused) = self.connect(request, &origin).await?;
            let mut leg = Leg {
                session: Some(session),
                peer,
                connectors: Arc::clone(&self.connectors),
            };
            match leg.exchange(request, &origin).await {
                Ok((status, headers)) => {
                    return Ok(Answer {
                        status,
                        headers,
                        body: Box::new(leg),
                    });
                }
                Err(error)
                    if reused
                        && stale < STALE_MAX
                        && error.kind == Kind::Broken
                        && matches!(error.phase, Phase::Write | Phase::Head) =>
                {
                    stale += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

struct Leg {
    session: Option<HttpSession>,
    peer: Arc<HttpPeer>,
    connectors: Arc<Connectors>,
}

impl Leg {
    async fn exchange(
        &mut self,
        request: &Request,
        origin: &Origin,
    ) -> Result<(u16, http::HeaderMap), Error> {
        let Some(session) = self.session.as_mut() else {
            return Err(Error::new(
                Phase::Write,
                Kind::Broken,
                "the connection is gone",
            ));
        };
        let head = request_head(request, origin)
            .map_err(|error| Error::new(Phase::Write, Kind::Protocol, error.to_string()))?;
        let answered = async {
            let write = |error: Box<pingora_core::Error>| io_error(Phase::Write, &error);
            session
                .write_request_header(Box::new(head))
                .await
                .map_err(write)?;
            session
                .write_request_body(request.body.clone(), true)
                .await
                .map_err(write)?;
            session.finish_request_body().await.map_err(write)?;
            loop {
                let read = session.read_response_header().await;
                read.map_err(|error| io_error(Phase::Head, &error))?;
                let Some(head) = session.response_header() else {
                    return Err(Error::new(Phase::Head, Kind::Protocol, "no head"));
                };
                if head.status.as_u16() >= 200 {
                    return Ok((head.status.as_u16(), head.headers.clone()));
                }
            }
        };
        tokio::time::timeout(request.head_timeout, answered)
            .await
            .unwrap_or_else(|_| Err(Error::new(Phase::Head, Kind::Timeout, "no head in time")))
    }
}

fn request_head(
    request: &Request,
    origin: &Origin,
) -> Result<RequestHeader, Box<pingora_core::Error>> {
    let path = format!("{}{}", origin.path, request.path);
    let mut head = RequestHeader::build_no_case(
        Method::POST,
        path.as_bytes(),
        Some(request.headers.len() + 4),
    )?;
    head.insert_header(header::HOST, origin.authority.as_str())?;
    head.insert_header(header::CONTENT_LENGTH, request.body.len().to_string())?;
    head.insert_header(header::ACCEPT_ENCODING, "identity")?;
    for (name, value) in &request.headers {
        head.append_header(name, value)?;
    }
    Ok(head)
}

#[async_trait]
impl Body for Leg {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(session) = self.session.as_mut() else {
            return Ok(None);
        };
        session
            .read_response_body()
            .await
            .map_err(|error| io_error(Phase::Body, &error))
    }

    async fn release(mut self: Box<Self>) {
        let Some(session) = self.session.take() else {
            return;
        };
        self.connectors.release(session, &self.peer).await;
    }
}

impl Drop for Leg {
    /// Cancels: HTTP/1.1 by closing the connection, HTTP/2 by resetting the stream, whose
    /// connection goes back to the pool.
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        if let HttpSession::H2(h2) = &mut session {
            h2.shutdown();
            // Nothing is awaited for HTTP/2: the future is ready at once.
            let _ = self.connectors.release(session, &self.peer).now_or_never();
        }
    }
}
