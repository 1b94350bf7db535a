//! A stream that keeps what is written until it is flushed or, to a provider, until an answer is
//! awaited: a head and its body leave in one packet and, with TLS, in one record. Pingora flushes
//! where something is due to the client, so nothing waits here for longer. Everything but writing
//! is the inner stream's.

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are kept at most; larger writes pass through.
const KEPT_MAX: usize = 16 << 10;

/// Collects writes.
#[derive(Debug)]
pub(crate) struct Corked<S> {
    inner: S,
    kept: BytesMut,
    /// A flush is passed over: reading sends what is kept.
    until_read: bool,
}

impl<S: IO> Corked<S> {
    /// Keeps what is written until it is flushed.
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            kept: BytesMut::new(),
            until_read: false,
        }
    }

    /// Keeps what is written until something is read: for a client, whom Pingora makes flush
    /// between a request's head and its body.
    pub(crate) fn until_read(inner: S) -> Self {
        Self {
            until_read: true,
            ..Self::new(inner)
        }
    }

    /// Hands what is kept to the inner stream.
    fn poll_uncork(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.kept))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.kept.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: IO> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.until_read && !self.kept.is_empty() {
            ready!(self.poll_uncork(cx))?;
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: IO> AsyncWrite for Corked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.kept.len() + data.len() <= KEPT_MAX {
            self.kept.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        ready!(self.poll_uncork(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until_read && !self.kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_uncork(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_uncork(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: IO> Shutdown for Corked<S> {
    async fn shutdown(&mut self) {
        // Who hung up needs nothing more.
        let _ = std::future::poll_fn(|cx| self.poll_uncork(cx)).await;
        self.inner.shutdown().await;
    }
}

#[async_trait]
impl<S: IO> Peek for Corked<S> {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buf).await
    }
}

impl<S: IO> UniqueID for Corked<S> {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl<S: IO> Ssl for Corked<S> {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl<S: IO> GetTimingDigest for Corked<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl<S: IO> GetProxyDigest for Corked<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl<S: IO> GetSocketDigest for Corked<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn pieces_leave_together_and_large_ones_pass() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let mut corked = Corked::new(near);
        corked.write_all(b"head ").await.unwrap();
        corked.write_all(b"body").await.unwrap();
        let mut nothing = [0; 1];
        let early = futures::FutureExt::now_or_never(far.read(&mut nothing));
        assert!(early.is_none(), "sent before the flush");
        corked.flush().await.unwrap();
        let mut piece = [0; 32];
        let length = far.read(&mut piece).await.unwrap();
        assert_eq!(&piece[..length], b"head body");

        corked.write_all(b"first").await.unwrap();
        corked.write_all(&[7; KEPT_MAX]).await.unwrap();
        let mut all = vec![0; 5 + KEPT_MAX];
        far.read_exact(&mut all).await.unwrap();
        assert!(all.starts_with(b"first") && all.ends_with(&[7; 64]));
    }

    #[tokio::test]
    async fn a_request_leaves_when_its_answer_is_awaited() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let mut corked = Corked::until_read(near);
        corked.write_all(b"head ").await.unwrap();
        corked.flush().await.unwrap();
        corked.write_all(b"body").await.unwrap();
        corked.flush().await.unwrap();
        let mut piece = [0; 32];
        let early = futures::FutureExt::now_or_never(far.read(&mut piece));
        assert!(early.is_none(), "sent before anybody waits for an answer");
        let mut answer = [0; 6];
        let (read, asked) = tokio::join!(corked.read_exact(&mut answer), async {
            let length = far.read(&mut piece).await.unwrap();
            far.write_all(b"answer").await.unwrap();
            length
        });
        read.unwrap();
        assert_eq!((&piece[..asked], &answer), (&b"head body"[..], b"answer"));

        // A large body takes the head along, and is not kept.
        corked.write_all(b"head").await.unwrap();
        corked.flush().await.unwrap();
        corked.write_all(&[7; KEPT_MAX + 1]).await.unwrap();
        corked.flush().await.unwrap();
        let mut all = vec![0; 5 + KEPT_MAX];
        far.read_exact(&mut all).await.unwrap();
        assert!(all.starts_with(b"head") && all.ends_with(&[7; 64]));
    }
}
