//! Who is at the other end of a connection, and what they may call. Identities come from
//! certificates that our CA has signed (one `spiffe://godwit/ROLE/NAME` URI in the SAN); operators
//! may show the admin token instead. What a role may do with which node's data is checked by the
//! services, through [`guard::node_of`].

pub mod file;
pub mod guard;
pub mod incoming;
pub mod token;
pub mod vault;

use rustls_pki_types::CertificateDer;
use std::fmt;
use std::net::SocketAddr;

pub use guard::Guard;
pub use incoming::{Connection, ServerTls, incoming};
pub use token::AdminToken;

/// What every identity's URI begins with.
pub const TRUST_DOMAIN: &str = "spiffe://godwit/";
/// The DNS name on every control plane's certificate; what clients expect there.
pub const CONTROL_DNS_NAME: &str = "godwit-control";
/// Longest name in an identity.
pub const IDENTITY_NAME_MAX: usize = 64;

/// What a certificate's owner is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// An edge node; its name is its node id.
    Edge,
    /// A control plane replica.
    Control,
    /// A person or a script that administers.
    Operator,
}

impl Role {
    /// The word in the URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Control => "control",
            Self::Operator => "operator",
        }
    }

    /// The role of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Edge, Self::Control, Self::Operator]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

/// A role and a name, as certified.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// What it is.
    pub role: Role,
    /// Which one: a node id for edges.
    pub name: String,
}

impl Identity {
    /// An identity, if `name` is one: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[must_use]
    pub fn new(role: Role, name: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=IDENTITY_NAME_MAX).contains(&name.len()) && name.bytes().all(allowed);
        fits.then(|| Self {
            role,
            name: name.to_owned(),
        })
    }

    /// The identity that a URI names.
    #[must_use]
    pub fn parse_uri(uri: &str) -> Option<Self> {
        let (role, name) = uri.strip_prefix(TRUST_DOMAIN)?.split_once('/')?;
        Self::new(Role::parse(role)?, name)
    }

    /// The identity in a certificate whose chain has been verified. None when it has no URI of
    /// ours, or more than one: then it is unclear who it is.
    #[must_use]
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        let mut ours = parsed
            .valid_uri_names()
            .filter(|uri| uri.starts_with(TRUST_DOMAIN));
        let uri = ours.next()?;
        if ours.next().is_some() {
            return None;
        }
        Self::parse_uri(uri)
    }

    /// The URI for the certificate.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{TRUST_DOMAIN}{self}")
    }
}

/// `edge/fra1-a`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role.as_str(), self.name)
    }
}

/// The other end of a connection. In the extensions of every request on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// Who it is; none when it has shown no certificate, or one that names nobody.
    pub identity: Option<Identity>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_role_and_a_name() {
        let edge = Identity::new(Role::Edge, "fra1-a").unwrap();
        assert_eq!(edge.uri(), "spiffe://godwit/edge/fra1-a");
        assert_eq!(Identity::parse_uri(&edge.uri()), Some(edge));
        for bad in [
            "spiffe://godwit/edge/",
            "spiffe://godwit/edge",
            "spiffe://godwit/edge/a/b",
            "spiffe://godwit/root/a",
            "spiffe://godwit/Edge/a",
            "spiffe://other/edge/a",
            "https://godwit/edge/a",
            "spiffe://godwit/edge/a b",
            "spiffe://godwit/edge/ä",
            "",
        ] {
            assert_eq!(Identity::parse_uri(bad), None, "{bad}");
        }
        let long = "a".repeat(IDENTITY_NAME_MAX + 1);
        assert_eq!(Identity::new(Role::Edge, &long), None);
    }
}
