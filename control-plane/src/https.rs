//! One request to somebody else's HTTPS service: a connection of its own, a deadline over
//! everything, a bounded answer. In clear only to this machine, where tests stand in for the
//! service. Deliberately not here: connection reuse and repetition; few questions are asked.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client.
#[derive(Clone)]
pub struct Https {
    /// None only where the provider lacks the protocol, which it does not.
    tls: Option<TlsConnector>,
    deadline: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// All of it.
    pub body: Bytes,
}

/// Why nothing came back. Whether the other side has acted is not known, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The URL is none that can be asked.
    #[error("{0}: {1}")]
    Url(String, &'static str),
    /// No answer within the deadline.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// The connection failed.
    #[error("{0}")]
    Connection(String),
}

impl Https {
    /// A client that trusts whom this machine trusts, and waits so long for an answer.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        let mut roots = RootCertStore::empty();
        // What can't be read is not trusted.
        let (added, ignored) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        tracing::debug!(added, ignored, "certificates that this machine trusts");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions();
        let config = config.map(|config| {
            let config = config.with_root_certificates(roots);
            Arc::new(config.with_no_client_auth())
        });
        Self {
            tls: config.ok().map(TlsConnector::from),
            deadline,
        }
    }

    /// Sends a request, whose URI is absolute, and reads the answer.
    ///
    /// # Errors
    /// When the URL can't be asked, or no whole answer came in time.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Answer, HttpsError> {
        let target = Target::of(request.uri())?;
        let asked = tokio::time::timeout(self.deadline, self.ask(&target, request)).await;
        asked.unwrap_or(Err(HttpsError::Deadline(self.deadline)))
    }

    async fn ask(&self, target: &Target, request: Request<Bytes>) -> Result<Answer, HttpsError> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(|error| connection(&error))?;
        if !target.tls {
            return exchange(stream, target, request).await;
        }
        let name = ServerName::try_from(target.host.clone());
        let name =
            name.map_err(|_| HttpsError::Url(target.host.clone(), "this is no host's name"))?;
        let Some(tls) = &self.tls else {
            return Err(HttpsError::Connection("no TLS".to_owned()));
        };
        let stream = tls.connect(name, stream).await;
        exchange(stream.map_err(|error| connection(&error))?, target, request).await
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Https").finish_non_exhaustive()
    }
}

/// True of a URL that may be asked: HTTPS, or HTTP on this machine.
#[must_use]
pub fn may_ask(url: &str) -> bool {
    url.parse().is_ok_and(|uri| Target::of(&uri).is_ok())
}

struct Target {
    host: String,
    port: u16,
    tls: bool,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, HttpsError> {
        let wrong = |why| HttpsError::Url(uri.to_string(), why);
        let host = uri.host().ok_or_else(|| wrong("no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if matches!(host.as_str(), "127.0.0.1" | "::1" | "localhost") => false,
            _ => return Err(wrong("https is needed, but on this machine")),
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { host, port, tls })
    }
}

async fn exchange<S>(
    stream: S,
    target: &Target,
    request: Request<Bytes>,
) -> Result<Answer, HttpsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| connection(&error);
    let (mut sender, line) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = path.parse();
    let authority = head.uri.authority().map(ToString::to_string);
    head.uri = uri.map_err(|_| HttpsError::Url(target.host.clone(), "no path"))?;
    let host = authority.unwrap_or_else(|| target.host.clone()).parse();
    let host = host.map_err(|_| HttpsError::Url(target.host.clone(), "no host"))?;
    head.headers.insert(hyper::header::HOST, host);
    let request = Request::from_parts(head, Full::new(body));
    let asked = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await;
        let body = body.map_err(|error| HttpsError::Connection(error.to_string()))?;
        Ok(Answer {
            status,
            body: body.to_bytes(),
        })
    };
    tokio::pin!(asked);
    tokio::select! {
        answer = &mut asked => answer,
        // It may have brought the whole answer before it ended.
        ended = line => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(failed(error)),
        },
    }
}

fn connection(error: &dyn std::error::Error) -> HttpsError {
    HttpsError::Connection(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Reads a request and answers in one piece that ends the connection.
    async fn answer_and_close(listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_ends_the_connection_is_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let https = Https::new(Duration::from_secs(10));
        let asks = async {
            for _ in 0..200 {
                let request = Request::get(&url).body(Bytes::new()).unwrap();
                let answer = https.send(request).await.unwrap();
                assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
            }
        };
        tokio::select! {
            () = asks => {}
            () = answer_and_close(listener) => {}
        }
    }

    #[test]
    fn only_https_leaves_the_machine() {
        for (url, may) in [
            ("https://api.stripe.com", true),
            ("http://127.0.0.1:8080/x", true),
            ("http://[::1]:1", true),
            ("http://api.stripe.com", false),
            ("ftp://127.0.0.1", false),
            ("/x", false),
        ] {
            assert_eq!(may_ask(url), may, "{url}");
        }
    }
}
