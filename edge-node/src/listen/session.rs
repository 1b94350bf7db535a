//! One HTTP session on Pingora: reads heads within their deadline, hands the exchange over, and
//! decides whether the connection may carry another.

use super::{Handler, InFlight, Service, guard};
use crate::exchange::PingoraExchange;
use crate::failure::Failure;
use crate::metrics;
use crate::node::Timers;
use async_trait::async_trait;
use http::header::TRANSFER_ENCODING;
use pingora_core::apps::{
    HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream,
};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A stream's and a connection's flow-control window: large prompts must not crawl at one window
/// per round trip.
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 8 << 20;
/// What a refused request may still send before its connection is closed; without reading it, the
/// close would be a reset and the client would not see the answer.
const LINGER_BYTES: usize = 64 << 20;
const LINGER_TIME: Duration = Duration::from_secs(3);

pub(super) struct HttpApp {
    handler: Arc<dyn Handler>,
    timers: Timers,
    in_flight: Arc<InFlight>,
    leaving: Arc<AtomicBool>,
    options: HttpServerOptions,
}

impl HttpApp {
    pub(super) fn new(service: &Service) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = service.tls.is_none();
        options.h2_idle_timeout = Some(service.timers.idle);
        Self {
            handler: Arc::clone(&service.handler),
            timers: service.timers,
            in_flight: Arc::clone(&service.in_flight),
            leaving: Arc::clone(&service.leaving),
            options,
        }
    }

    /// Reads the head; none when the client sent nothing, too slowly, or no HTTP.
    async fn read_head(&self, session: &mut ServerSession, stop: &mut ShutdownWatch) -> bool {
        // On a fresh connection the head is due; on a kept one the client may be idle.
        let kept = session.take_connection_user_context().is_some();
        let patience = if kept {
            self.timers.idle
        } else {
            self.timers.head
        };
        tokio::select! {
            biased;
            read = tokio::time::timeout(patience, session.read_request()) => match read {
                Ok(Ok(true)) => true,
                Ok(Ok(false)) | Err(_) => false,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "no valid request head");
                    if !session.is_http2() {
                        refuse(session, &guard::unreadable(&error.to_string())).await;
                    }
                    false
                }
            },
            // An idle connection has nothing to finish.
            () = stopping(stop) => false,
        }
    }
}

async fn stopping(stop: &mut ShutdownWatch) {
    // A dropped sender means that the program is gone.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// Tells a client what is wrong with the head that it sent, and closes.
async fn refuse(session: &mut ServerSession, failure: &Failure) {
    if failure.status == 431 {
        metrics::shed("head_bytes");
    }
    let body = serde_json::to_vec(&failure.body()).unwrap_or_default();
    let Ok(mut head) = pingora_http::ResponseHeader::build(failure.status, Some(3)) else {
        return;
    };
    let _ = head.insert_header("content-type", "application/json");
    let _ = head.insert_header("content-length", body.len().to_string());
    let _ = head.insert_header("connection", "close");
    session.set_keepalive(None);
    if session.write_response_header(Box::new(head)).await.is_ok() {
        let _ = session.write_response_body(body.into(), true).await;
    }
    session.shutdown().await;
}

#[async_trait]
impl HttpServerApp for HttpApp {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let mut stop = shutdown.clone();
        if !self.read_head(&mut session, &mut stop).await {
            return None;
        }
        let mut chunked = false;
        if !session.is_http2() {
            if let Err(failure) = guard::check_raw(&session.to_h1_raw()) {
                refuse(&mut session, &failure).await;
                return None;
            }
            chunked = session.req_header().headers.contains_key(TRANSFER_ENCODING);
        }
        let _guard = self.in_flight.enter();
        // The parser takes chunk sizes that RFC 9112 section 7.1 does not know (no digit at all, a
        // line feed in an extension): what follows a chunked body is not read as a request.
        let leaving = self.leaving.load(Ordering::Relaxed);
        let keep = !chunked && !leaving && !*shutdown.borrow();
        let keep = keep.then(|| self.timers.idle.as_secs());
        session.set_keepalive(keep);
        let mut exchange = PingoraExchange::new(session, self.timers.write_stall);
        self.handler.serve(&mut exchange).await;
        let reusable = exchange.reusable();
        let mut session = exchange.session;
        if !reusable {
            session.set_keepalive(None);
        }
        if !session.is_http2() && !session.is_body_done() {
            session.set_keepalive(None);
            linger(&mut session).await;
        }
        if !reusable {
            session.shutdown().await;
            return None;
        }
        let mut settings = HttpPersistentSettings::for_session(&session);
        settings.set_user_context(Box::new(()));
        let reused = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reused, settings))
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options
            .initial_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

/// Reads and drops what a refused client is still sending, within bounds.
async fn linger(session: &mut ServerSession) {
    let reading = async {
        let mut read = 0;
        while let Ok(Some(piece)) = session.read_request_body().await {
            read += piece.len();
            if read > LINGER_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, reading).await;
}
