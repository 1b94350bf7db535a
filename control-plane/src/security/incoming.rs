//! TLS for the gRPC listener. A client certificate is asked for and, when shown, must be of our
//! CA; a client without one gets in as nobody and is stopped by the guards unless it has the admin
//! token. Certificates can be replaced while connections are open.

use super::{Identity, Peer};
use arc_swap::ArcSwap;
use metrics::counter;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use shared::task::{Stop, Tasks};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// Connections at one time, handshakes included; one more is closed at once and counted.
pub const CONNECTIONS_MAX: usize = 4096;
/// Connections that have shaken hands and wait for the server to take them.
pub const ACCEPTED_MAX: usize = 64;
/// How long a handshake may take.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait after `accept` failed (no file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections and requests that were turned away, by `limit`.
const SHED: &str = "godwit_shed_total";

/// What the server shows and whom it trusts. Cheap to clone; all clones see a replacement.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ArcSwap<ServerConfig>>,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text that is none, or holds nothing of use.
    #[error("{what}: {reason}")]
    Pem {
        /// Which of the texts.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not fit, or the CA is not one.
    #[error("TLS: {0}")]
    Refused(String),
}

impl ServerTls {
    /// Set up from PEM texts: who may sign clients' certificates, and the server's own
    /// certificate chain and key.
    ///
    /// # Errors
    /// When one of them is not what it should be.
    pub fn new(ca: &str, certificate: &str, key: &str) -> Result<Self, TlsError> {
        let config = server_config(ca, certificate, key)?;
        Ok(Self {
            config: Arc::new(ArcSwap::from_pointee(config)),
        })
    }

    /// New texts for all handshakes from now on; on an error the old ones stay.
    ///
    /// # Errors
    /// As [`ServerTls::new`].
    pub fn replace(&self, ca: &str, certificate: &str, key: &str) -> Result<(), TlsError> {
        let config = server_config(ca, certificate, key)?;
        self.config.store(Arc::new(config));
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

/// Accepts connections until the program stops; for `Server::serve_with_incoming`.
#[must_use]
pub fn incoming(
    listener: TcpListener,
    tls: ServerTls,
    tasks: &Tasks,
) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, stream) = mpsc::channel(ACCEPTED_MAX);
    let door = Door {
        tls,
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        accepted,
        tasks: tasks.clone(),
    };
    tasks.spawn("control-accept", door.run(listener, tasks.stop_signal()));
    ReceiverStream::new(stream)
}

struct Door {
    tls: ServerTls,
    places: Arc<Semaphore>,
    accepted: mpsc::Sender<io::Result<Connection>>,
    tasks: Tasks,
}

impl Door {
    async fn run(self, listener: TcpListener, mut stop: Stop) {
        loop {
            let next = tokio::select! {
                () = stop.wait() => return,
                next = listener.accept() => next,
            };
            match next {
                Ok((socket, address)) => self.admit(socket, address),
                Err(error) => {
                    tracing::warn!(%error, "can't accept control connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, socket: TcpStream, address: SocketAddr) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            counter!(SHED, "limit" => "control_connections").increment(1);
            return;
        };
        let acceptor = self.tls.acceptor();
        let accepted = self.accepted.clone();
        let mut stop = self.tasks.stop_signal();
        self.tasks.spawn("control-handshake", async move {
            let handshake = handshake(acceptor, socket, address, place);
            let connection = tokio::select! {
                () = stop.wait() => return,
                connection = tokio::time::timeout(HANDSHAKE_DEADLINE, handshake) => connection,
            };
            match connection {
                // The server is gone when nobody takes it.
                Ok(Ok(connection)) => drop(accepted.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake refused"),
                Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
            }
        });
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    socket.set_nodelay(true)?;
    let stream = acceptor.accept(socket).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let identity = certificates
        .and_then(<[_]>::first)
        .and_then(Identity::of_certificate);
    Ok(Connection {
        stream,
        peer: Peer { address, identity },
        _place: place,
    })
}

/// A connection after its handshake. Holds its place among [`CONNECTIONS_MAX`].
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn server_config(ca: &str, certificate: &str, key: &str) -> Result<ServerConfig, TlsError> {
    let refused = |error: &dyn std::fmt::Display| TlsError::Refused(error.to_string());
    let mut roots = RootCertStore::empty();
    for root in certificates("CA", ca)? {
        roots.add(root).map_err(|error| refused(&error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| refused(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| TlsError::Pem {
        what: "key",
        reason: error.to_string(),
    })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates("certificate", certificate)?, key)
        .map_err(|error| refused(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let problem = |reason: String| TlsError::Pem { what, reason };
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| problem(error.to_string()))?;
    if found.is_empty() {
        return Err(problem("holds no certificate".to_owned()));
    }
    Ok(found)
}
