//! A bare Pingora pass-through: the yardstick for what Pingora itself costs. It reads the head,
//! forwards body and answer piece by piece over pooled connections, and does nothing else: no
//! parsing, no limits, no failover. Not a product.

use async_trait::async_trait;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, ServerApp};
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::l4::stream::Stream as TcpStream;
use pingora_core::server::ShutdownWatch;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::ResponseHeader;
use shared::task::Tasks;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Idle upstream connections kept.
const POOL_SIZE: usize = 2_048;
/// Most client connections; further ones wait in the listen queue.
const CONNECTIONS_MAX: usize = 20_000;
/// How long an idle connection is kept, seconds.
const IDLE_SECONDS: u64 = 60;

/// A pass-through that runs.
pub struct Peer {
    addr: SocketAddr,
    tasks: Tasks,
}

impl Peer {
    /// Listens, and forwards every request to `upstream`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(listen: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let tasks = Tasks::new();
        let app = Arc::new(PassThrough {
            connector: Connector::new(Some(ConnectorOptions::new(POOL_SIZE))),
            peer: HttpPeer::new(upstream, false, String::new()),
        });
        tasks.spawn("peer", accept(listener, app, tasks.clone()));
        Ok(Self { addr, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes everything.
    pub async fn stop(&self) {
        self.tasks.drain(Duration::ZERO).await;
    }
}

async fn accept(listener: TcpListener, app: Arc<PassThrough>, tasks: Tasks) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let shutdown = tasks.stop_signal().receiver();
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
        tasks.spawn("connection", async move {
            let _ = stream.set_nodelay(true);
            let stream: Stream = Box::new(TcpStream::from(stream));
            let mut next = app.process_new(stream, &shutdown).await;
            while let Some(stream) = next {
                next = app.process_new(stream, &shutdown).await;
            }
            drop(permit);
        });
    }
}

struct PassThrough {
    connector: Connector,
    peer: HttpPeer,
}

#[async_trait]
impl HttpServerApp for PassThrough {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !matches!(session.read_request().await, Ok(true)) {
            return None;
        }
        session.set_keepalive(Some(IDLE_SECONDS));
        if self.forward(&mut session).await.is_err() {
            session.set_keepalive(None);
            session.shutdown().await;
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let reused = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reused, settings))
    }
}

impl PassThrough {
    async fn forward(&self, session: &mut ServerSession) -> pingora_core::Result<()> {
        let (mut upstream, _) = self.connector.get_http_session(&self.peer).await?;
        let head = session.req_header().clone();
        upstream.write_request_header(Box::new(head)).await?;
        while let Some(piece) = session.read_request_body().await? {
            upstream.write_request_body(piece, false).await?;
        }
        upstream.finish_request_body().await?;
        upstream.read_response_header().await?;
        if let Some(head) = upstream.response_header() {
            let head: ResponseHeader = head.clone();
            session.write_response_header(Box::new(head)).await?;
        }
        while let Some(piece) = upstream.read_response_body().await? {
            session.write_response_body(piece, false).await?;
        }
        session
            .write_response_body(bytes::Bytes::new(), true)
            .await?;
        if let HttpSession::H1(h1) = &mut upstream {
            h1.respect_keepalive();
        }
        let idle = Some(Duration::from_secs(IDLE_SECONDS));
        self.connector
            .release_http_session(upstream, &self.peer, idle)
            .await;
        Ok(())
    }
}
