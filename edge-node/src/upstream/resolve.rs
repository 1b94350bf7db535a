//! Host names to addresses, off the path: answers are kept for [`FRESH`], refreshed by whoever
//! finds them stale, and used stale when the resolver fails. Bounded by [`HOSTS_MAX`].

use dashmap::DashMap;
use shared::clock::{Clock, Moment};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer is taken as it is.
pub const FRESH: Duration = Duration::from_secs(30);
/// The most hosts that are remembered; more than the catalogue's providers.
pub const HOSTS_MAX: usize = 4096;

/// The scheme, host and port of a base URL, and the path after them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// True for https.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// Explicit or the scheme's own.
    pub port: u16,
    /// `host` or `host:port`, as the Host header has it.
    pub authority: String,
    /// `""` or `/v1…`, without a trailing slash.
    pub path: String,
}

impl Origin {
    /// Reads `http(s)://host[:port][/path]`. None for anything else.
    #[must_use]
    pub fn parse(base_url: &str) -> Option<Self> {
        let uri: http::Uri = base_url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') {
            return None;
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Self {
            tls,
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[derive(Clone)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    at: Moment,
}

/// Remembers addresses.
pub struct Resolver {
    known: DashMap<(String, u16), Known>,
    clock: Clock,
}

impl Resolver {
    /// An empty memory.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            known: DashMap::new(),
            clock,
        }
    }

    /// The addresses of an origin, at least one.
    ///
    /// # Errors
    /// What the resolver said, when nothing is remembered either.
    pub async fn addresses(&self, origin: &Origin) -> Result<Arc<[SocketAddr]>, String> {
        if let Ok(ip) = origin.host.parse() {
            return Ok(Arc::new([SocketAddr::new(ip, origin.port)]));
        }
        let key = (origin.host.clone(), origin.port);
        let known = self.known.get(&key).map(|entry| entry.clone());
        if let Some(known) = &known
            && self.clock.now().since(known.at) < FRESH
        {
            return Ok(Arc::clone(&known.addresses));
        }
        let looked_up = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
        let fresh = looked_up.map(|found| found.collect::<Arc<[SocketAddr]>>());
        match (fresh, known) {
            (Ok(addresses), _) if !addresses.is_empty() => {
                if self.known.len() < HOSTS_MAX || self.known.contains_key(&key) {
                    let at = self.clock.now();
                    self.known.insert(
                        key,
                        Known {
                            addresses: Arc::clone(&addresses),
                            at,
                        },
                    );
                }
                Ok(addresses)
            }
            (_, Some(known)) => Ok(known.addresses),
            (Ok(_), None) => Err("the name has no address".to_owned()),
            (Err(error), None) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_keeps_the_path_and_the_port() {
        let origin = Origin::parse("https://api.groq.com/openai/v1/").unwrap();
        assert_eq!(
            (origin.port, origin.path.as_str(), origin.tls),
            (443, "/openai/v1", true)
        );
        let origin = Origin::parse("http://127.0.0.1:9101").unwrap();
        assert_eq!(
            (origin.port, origin.authority.as_str()),
            (9101, "127.0.0.1:9101")
        );
        assert_eq!(Origin::parse("http://[::1]:80/v1").unwrap().host, "::1");
        for bad in ["ftp://x", "x", "http://", "http://u:p@h/", "/v1"] {
            assert_eq!(Origin::parse(bad), None, "{bad}");
        }
    }
}
