//! From which network somebody comes to the console's port. A proxy on this machine or in a private
//! network is believed about its own client, the last one in `x-forwarded-for`; nobody else is.

use crate::accounts::sessions::Network;
use crate::console_http::Client;
use axum::extract::FromRequestParts;
use axum::extract::connect_info::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

const FORWARDED: &str = "x-forwarded-for";

/// Where the client is.
pub(super) struct ClientNetwork(pub(super) Network);

impl<S: Sync> FromRequestParts<S> for ClientNetwork {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<Client>>();
        // Who comes over no connection of the listener's is one network.
        let peer = peer.map(|peer| peer.0.0.ip());
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(Self(of(peer, &parts.headers).into()))
    }
}

fn of(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let near = match peer.to_canonical() {
        IpAddr::V4(it) => it.is_loopback() || it.is_private(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unique_local(),
    };
    let named = headers.get_all(FORWARDED).iter().next_back();
    let named =
        named.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    named.filter(|_| near).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_nearby_is_believed() {
        for (peer, named, expect) in [
            ("192.0.2.1", Some("198.51.100.7"), "192.0.2.1"),
            ("127.0.0.1", Some("198.51.100.7"), "198.51.100.7"),
            (
                "10.0.0.1",
                Some("203.0.113.1, 198.51.100.7"),
                "198.51.100.7",
            ),
            ("fd00::1", Some("2001:db8::1"), "2001:db8::1"),
            ("127.0.0.1", Some("somebody"), "127.0.0.1"),
            ("127.0.0.1", None, "127.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(named) = named {
                headers.insert(FORWARDED, named.parse().unwrap());
            }
            let found = of(peer.parse().unwrap(), &headers);
            assert_eq!(found.to_string(), expect, "{peer} {named:?}");
        }
    }
}
