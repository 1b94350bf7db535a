//! The edge's line to the control plane: gRPC channels over mTLS to each of its addresses, of
//! which one is in use. A failed call moves to the next address; every call has a deadline.
//! Deliberately not here: who calls what (auth, account, sync and report do).

use crate::timers::Timers;
use arc_swap::ArcSwap;
use shared::task::Stop;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Response, Status};

/// The name in every control plane's certificate.
pub const CONTROL_DOMAIN: &str = "godwit-control";
/// Largest message taken from the control plane, in bytes.
pub const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// A PEM text or where it is.
#[derive(Clone)]
pub enum Pem {
    /// Read at the start, and again before each reconnect.
    File(PathBuf),
    /// The text itself.
    Text(Vec<u8>),
}

/// What the edge proves itself with, and whom it trusts.
#[derive(Clone, Debug)]
pub struct ControlTls {
    /// Who signs control planes.
    pub ca: Pem,
    /// This node's certificate chain.
    pub cert: Pem,
    /// Its private key.
    pub key: Pem,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No address at all.
    #[error("control: at least one address is needed")]
    NoAddress,
    /// Not an address.
    #[error("control = {0:?}: {1}")]
    Address(String, tonic::transport::Error),
    /// A certificate or key can't be read.
    #[error("tls: {0}: {1}")]
    Read(String, std::io::Error),
    /// A certificate or key is not usable.
    #[error("tls: {0}")]
    Tls(tonic::transport::Error),
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The deadline passed.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The control plane can't be reached, or can't answer now.
    #[error("unreachable: {}: {}", .0.code(), .0.message())]
    Unreachable(Status),
    /// It answered that the call itself is wrong; repeating it won't help.
    #[error("refused: {}: {}", .0.code(), .0.message())]
    Refused(Status),
}

/// The channel in use, and which it is.
#[derive(Clone, Debug)]
pub struct Link {
    /// To make a client of.
    pub channel: Channel,
    turn: usize,
}

/// The line. Shared by everything in the edge that talks to the control plane.
pub struct ControlClient {
    urls: Vec<String>,
    tls: Option<ControlTls>,
    timers: Timers,
    lines: ArcSwap<Lines>,
    turn: AtomicUsize,
}

struct Lines {
    first: Channel,
    rest: Vec<Channel>,
    material: Option<Material>,
}

#[derive(PartialEq)]
struct Material {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl ControlClient {
    /// A client of `urls`, connected on first use. Needs a running tokio runtime. Without `tls`
    /// the line is in clear, which only tests use.
    ///
    /// # Errors
    /// When an address or a certificate is not usable.
    pub fn new(
        urls: &[String],
        tls: Option<ControlTls>,
        timers: &Timers,
    ) -> Result<Arc<Self>, ControlError> {
        let material = tls.as_ref().map(ControlTls::read).transpose()?;
        let lines = Lines::open(urls, material, timers)?;
        Ok(Arc::new(Self {
            urls: urls.to_vec(),
            tls,
            timers: timers.clone(),
            lines: ArcSwap::from_pointee(lines),
            turn: AtomicUsize::new(0),
        }))
    }

    /// The channel in use.
    #[must_use]
    pub fn link(&self) -> Link {
        let lines = self.lines.load();
        let turn = self.turn.load(Ordering::Relaxed);
        let at = turn % (lines.rest.len() + 1);
        let channel = match at.checked_sub(1).and_then(|at| lines.rest.get(at)) {
            Some(channel) => channel,
            None => &lines.first,
        };
        Link {
            channel: channel.clone(),
            turn,
        }
    }

    /// Tells that `link` failed: from now on the next address is used. Late news of a link that
    /// was left already changes nothing.
    pub fn failed(&self, link: &Link) {
        let next = link.turn.wrapping_add(1);
        let _ = self
            .turn
            .compare_exchange(link.turn, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// One call with a deadline. A transport failure moves to the next address, for the next
    /// call: repeating is the caller's decision.
    ///
    /// # Errors
    /// When there is no answer; see [`Unanswered`].
    pub async fn ask<T, F, Fut>(&self, deadline: Duration, call: F) -> Result<T, Unanswered>
    where
        F: FnOnce(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let link = self.link();
        match tokio::time::timeout(deadline, call(link.channel.clone())).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if is_refusal(status.code()) => Err(Unanswered::Refused(status)),
            Ok(Err(status)) => {
                self.failed(&link);
                Err(Unanswered::Unreachable(status))
            }
            Err(_elapsed) => {
                self.failed(&link);
                Err(Unanswered::Timeout(deadline))
            }
        }
    }

    /// Reads certificate files again and, when they changed, makes new channels. What can't be
    /// read leaves the old channels in place. Called before each reconnect.
    pub async fn renew(&self) {
        let Some(tls) = self.tls.clone() else { return };
        let read = tokio::task::spawn_blocking(move || tls.read()).await;
        let material = match read {
            Ok(Ok(material)) => material,
            Ok(Err(error)) => {
                tracing::warn!(%error, "keeping the old control-plane certificate");
                return;
            }
            Err(_cancelled) => return,
        };
        if self.lines.load().material.as_ref() == Some(&material) {
            return;
        }
        match Lines::open(&self.urls, Some(material), &self.timers) {
            Ok(lines) => self.lines.store(Arc::new(lines)),
            Err(error) => tracing::warn!(%error, "keeping the old control-plane certificate"),
        }
    }

    /// A reconnect pause with this client's bounds.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.timers.retry_min, self.timers.retry_max)
    }
}

impl fmt::Debug for ControlClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlClient")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// Exponential backoff with full jitter: each pause is drawn evenly from zero to a bound that
/// doubles, so that a fleet that lost its control plane does not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    bound: Duration,
}

impl Backoff {
    /// The first pause is below `min`, no pause is above `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            bound: min,
        }
    }

    /// The next pause, for `draw` from 0 to 1.
    pub fn next(&mut self, draw: f64) -> Duration {
        let pause = self.bound.mul_f64(draw.clamp(0.0, 1.0));
        self.bound = self.bound.saturating_mul(2).min(self.max);
        pause
    }

    /// All is well again.
    pub fn reset(&mut self) {
        self.bound = self.min;
    }

    /// Waits for the next pause. False when the program is stopping.
    pub async fn pause(&mut self, stop: &mut Stop) -> bool {
        let pause = self.next(fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = stop.wait() => false,
        }
    }
}

impl ControlTls {
    fn read(&self) -> Result<Material, ControlError> {
        Ok(Material {
            ca: self.ca.read()?,
            cert: self.cert.read()?,
            key: self.key.read()?,
        })
    }
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, ControlError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path)
                .map_err(|error| ControlError::Read(path.display().to_string(), error)),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

impl Lines {
    fn open(
        urls: &[String],
        material: Option<Material>,
        timers: &Timers,
    ) -> Result<Self, ControlError> {
        let tls = material.as_ref().map(Material::client);
        let mut channels = urls
            .iter()
            .map(|url| open_channel(url, tls.clone(), timers));
        let first = channels.next().ok_or(ControlError::NoAddress)??;
        let rest = channels.collect::<Result<_, _>>()?;
        Ok(Self {
            first,
            rest,
            material,
        })
    }
}

impl Material {
    fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca))
            .identity(Identity::from_pem(&self.cert, &self.key))
            .domain_name(CONTROL_DOMAIN)
    }
}

fn open_channel(
    url: &str,
    tls: Option<ClientTlsConfig>,
    timers: &Timers,
) -> Result<Channel, ControlError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| ControlError::Address(url.to_owned(), error))?
        .connect_timeout(timers.control_connect)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(timers.control_keepalive)
        .keep_alive_timeout(timers.control_keepalive_timeout)
        .keep_alive_while_idle(true);
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls).map_err(ControlError::Tls)?,
        None => endpoint,
    };
    Ok(endpoint.connect_lazy())
}

/// True for an answer that a repetition won't change.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::DataLoss
    )
}

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_its_bound_and_is_drawn_below_it() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        let bounds: Vec<_> = (0..5).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 500, 500]);
        assert_eq!(backoff.next(0.5).as_millis(), 250);
        backoff.reset();
        assert_eq!(backoff.next(1.0).as_millis(), 100);
    }

    #[tokio::test]
    async fn a_failed_call_moves_to_the_next_address_once() {
        let urls = ["http://127.0.0.1:1".to_owned(), "http://127.0.0.1:2".into()];
        let client = ControlClient::new(&urls, None, &Timers::default()).unwrap();
        let link = client.link();
        let answer: Result<(), _> = client
            .ask(Duration::from_secs(5), |_| async {
                Err(Status::unavailable("down"))
            })
            .await;
        assert!(matches!(answer, Err(Unanswered::Unreachable(_))));
        assert_eq!(client.link().turn, 1);
        client.failed(&link);
        assert_eq!(client.link().turn, 1, "late news of a link that was left");

        let refusals = [
            Status::invalid_argument("no"),
            Status::failed_precondition("a newer run of this node exists"),
        ];
        for refusal in refusals {
            let call = |_| async { Err::<Response<()>, _>(refusal) };
            let answer = client.ask(Duration::from_secs(5), call).await;
            assert!(matches!(answer, Err(Unanswered::Refused(_))), "{answer:?}");
            assert_eq!(client.link().turn, 1);
        }
    }

    #[tokio::test]
    async fn a_call_never_outlives_its_deadline() {
        let urls = ["http://127.0.0.1:1".to_owned()];
        let client = ControlClient::new(&urls, None, &Timers::default()).unwrap();
        let answer: Result<(), _> = client
            .ask(Duration::from_millis(20), |_| std::future::pending())
            .await;
        assert!(matches!(answer, Err(Unanswered::Timeout(_))));
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        let error = ControlClient::new(&[], None, &Timers::default()).unwrap_err();
        assert_eq!(error.to_string(), "control: at least one address is needed");
        let tls = ControlTls {
            ca: Pem::File("/nonexistent/ca.crt".into()),
            cert: Pem::Text(Vec::new()),
            key: Pem::Text(b"secret".to_vec()),
        };
        assert!(!format!("{tls:?}").contains("secret"));
        let urls = ["https://127.0.0.1:1".to_owned()];
        let error = ControlClient::new(&urls, Some(tls), &Timers::default()).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/ca.crt"), "{error}");
    }
}
