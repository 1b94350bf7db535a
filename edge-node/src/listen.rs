//! Sockets: accepts connections, hands each to Pingora's HTTP/1.1 or HTTP/2 and each exchange to
//! its handler. Binds early, serves late; stops by closing the listeners first. What a request
//! means is not known here.

pub mod guard;
mod session;
mod tls;

use crate::corked::Corked;
use crate::exchange::Exchange;
use crate::metrics;
use crate::node::Timers;
use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::stream::Stream as TcpStream;
use session::HttpApp;
use shared::task::{Stop, Tasks};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

pub use tls::{TlsError, acceptor};

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the system is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers exchanges.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one exchange whole.
    async fn serve(&self, exchange: &mut dyn Exchange);
}

/// Counts exchanges in progress, so that draining can wait for them.
#[derive(Debug, Default)]
pub struct InFlight {
    count: AtomicUsize,
    idle: Notify,
}

impl InFlight {
    /// Exchanges in progress.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until none is in progress.
    pub async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }

    fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::SeqCst);
        InFlightGuard(Arc::clone(self))
    }
}

struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// A bound socket that does not serve yet.
pub struct Listener {
    socket: TcpListener,
    /// Where it listens; the port is known even when 0 was asked for.
    pub address: SocketAddr,
}

/// Binds a socket.
///
/// # Errors
/// The address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<Listener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// How a listener serves.
pub struct Service {
    /// Who answers.
    pub handler: Arc<dyn Handler>,
    /// With a certificate: TLS with ALPN. Without: HTTP/1.1 and h2c.
    pub tls: Option<Acceptor>,
    /// Connections at a time; more wait in the system's queue.
    pub connections: usize,
    /// Intervals.
    pub timers: Timers,
    /// Exchanges in progress.
    pub in_flight: Arc<InFlight>,
    /// While it is true no connection is kept: clients come back by another way, where there is one.
    pub leaving: Arc<AtomicBool>,
}

impl Listener {
    /// Serves until stopped. Connections that are still open then go on; their exchanges are in
    /// the service's [`InFlight`].
    ///
    /// # Errors
    /// The socket can't be used.
    pub async fn serve(self, service: Service, tasks: &Tasks) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        let mut stop = tasks.stop_signal();
        let places = Arc::new(Semaphore::new(service.connections));
        let app = Arc::new(HttpApp::new(&service));
        let tls = service.tls.map(Arc::new);
        loop {
            let accepted = tokio::select! {
                () = stop.wait() => return Ok(()),
                place = Arc::clone(&places).acquire_owned() => match place {
                    Ok(place) => tokio::select! {
                        () = stop.wait() => return Ok(()),
                        accepted = socket.accept() => accepted.map(|(stream, _)| (stream, place)),
                    },
                    Err(_) => return Ok(()),
                },
            };
            let (stream, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors: those that close make room.
                    metrics::shed("accept");
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (app, tls, stop) = (Arc::clone(&app), tls.clone(), stop.clone());
            tasks.spawn("connection", async move {
                connection(app, tls, stream, stop).await;
                drop(place);
            });
        }
    }
}

async fn connection(
    app: Arc<HttpApp>,
    tls: Option<Arc<Acceptor>>,
    stream: tokio::net::TcpStream,
    stop: Stop,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = TcpStream::from(stream);
    let stream: Stream = match tls {
        None => Box::new(Corked::new(stream)),
        Some(tls) => match tokio::time::timeout(HANDSHAKE_MAX, tls.tls_handshake(stream)).await {
            Ok(Ok(stream)) => Box::new(Corked::new(stream)),
            _ => return,
        },
    };
    let shutdown = stop.receiver();
    let mut reused = app.process_new(stream, &shutdown).await;
    while let Some(stream) = reused {
        reused = app.process_new(stream, &shutdown).await;
    }
}
