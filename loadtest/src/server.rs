//! A small HTTP server for everything in this crate that answers: HTTP/1.1 and h2c by the first
//! bytes, TLS when given, TCP_NODELAY, a limit on connections, and a [`Cut`] with which a handler
//! can reset its own connection. Not a server for the product: that is the edge's.

use bytes::Bytes;
use futures::task::AtomicWaker;
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use shared::task::Tasks;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Most connections at a time; further ones wait in the listen queue.
pub const CONNECTIONS_MAX: usize = 20_000;
/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Streams on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 1_000;

/// Answers requests.
pub trait Answer: Send + Sync + 'static {
    /// What its answers' bodies are.
    type Body: Body<Data = Bytes, Error = io::Error> + Send + 'static;

    /// Answers one request; dropped when the client goes away.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        cut: Cut,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A running server.
pub struct Server {
    addr: SocketAddr,
    accepted: Arc<AtomicU64>,
    tasks: Tasks,
}

impl Server {
    /// Listens and answers until stopped.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start<A: Answer>(
        listen: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        answer: Arc<A>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let tasks = Tasks::new();
        let acceptor = tls.map(TlsAcceptor::from);
        let accepted = Arc::new(AtomicU64::new(0));
        let door = Door {
            acceptor,
            accepted: Arc::clone(&accepted),
            tasks: tasks.clone(),
        };
        tasks.spawn("accept", door.accept(listener, answer));
        Ok(Self {
            addr,
            accepted,
            tasks,
        })
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and every connection at once, as a process that dies does.
    pub async fn stop(&self) {
        self.tasks.drain(Duration::ZERO).await;
    }
}

/// What every connection comes through.
struct Door {
    acceptor: Option<TlsAcceptor>,
    accepted: Arc<AtomicU64>,
    tasks: Tasks,
}

impl Door {
    async fn accept<A: Answer>(self, listener: TcpListener, answer: Arc<A>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut stop = self.tasks.stop_signal();
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                () = stop.wait() => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            self.accepted.fetch_add(1, Ordering::Relaxed);
            let (tls, answer) = (self.acceptor.clone(), Arc::clone(&answer));
            let executor = TaskExecutor(self.tasks.clone());
            self.tasks.spawn("connection", async move {
                connection(stream, tls, answer, executor).await;
                drop(permit);
            });
        }
    }
}

async fn connection<A: Answer>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    answer: Arc<A>,
    executor: TaskExecutor,
) {
    let _ = stream.set_nodelay(true);
    let cut = Cut::default();
    let stream = Cuttable {
        stream,
        cut: cut.clone(),
    };
    match tls {
        None => exchange(stream, cut, answer, executor).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await;
            if let Ok(Ok(stream)) = handshake {
                exchange(stream, cut, answer, executor).await;
            }
        }
    }
}

async fn exchange<A, S>(stream: S, cut: Cut, answer: Arc<A>, executor: TaskExecutor)
where
    A: Answer,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (answer, cut) = (Arc::clone(&answer), cut.clone());
        async move { Ok::<_, Infallible>(answer.answer(request, cut).await) }
    });
    let mut builder = auto::Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Runs hyper's own tasks under the server's owner.
#[derive(Clone)]
struct TaskExecutor(Tasks);

impl<F> Executor<F> for TaskExecutor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("h2", async move {
            future.await;
        });
    }
}

/// Resets a connection from inside its handler.
#[derive(Clone, Default)]
pub struct Cut(Arc<CutState>);

#[derive(Default)]
struct CutState {
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Cut {
    /// Ends the connection with a TCP reset: nothing that is still buffered is sent.
    pub fn reset(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
    }
}

/// A socket that a [`Cut`] can reset.
struct Cuttable {
    stream: TcpStream,
    cut: Cut,
}

impl Cuttable {
    fn check(&self) -> io::Result<()> {
        if self.cut.0.cut.load(Ordering::SeqCst) {
            let _ = self.stream.set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.cut.0.reader.register(context.waker());
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cut.0.writer.register(context.waker());
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut.0.writer.register(context.waker());
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Reads a certificate chain and a key, for HTTP/1.1 and HTTP/2 by ALPN.
///
/// # Errors
/// A file cannot be read or holds no certificate or key.
pub fn tls_config(cert: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    tls_of(
        &std::fs::read(cert)?,
        &std::fs::read(key)?,
        &["h2", "http/1.1"],
    )
}

/// TLS with this certificate chain and key (PEM), for these protocols by ALPN, best first.
///
/// # Errors
/// A text holds no certificate or key, or they do not fit.
pub fn tls_of(chain: &[u8], key: &[u8], alpn: &[&str]) -> io::Result<Arc<ServerConfig>> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(chain).collect();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(io::Error::other)?;
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(io::Error::other)?, key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}
