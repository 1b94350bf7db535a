//! Who gossips with whom: the edges of one point of presence, and the key that they share. The key
//! follows from the signing key, so that it stays the same over restarts and lies on no disk.

use super::edges::Edges;
use ring::hmac;
use shared::gossip::Circle;
use shared::id::{NodeId, Pop};
use std::fmt;

/// What the keys of all points of presence follow from.
#[derive(Clone)]
pub struct PopKeys(hmac::Key);

impl fmt::Debug for PopKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PopKeys(…)")
    }
}

impl PopKeys {
    /// Of the signing key's bytes.
    #[must_use]
    pub fn of_signing_key(key: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, key);
        let root = hmac::sign(&root, b"godwit gossip v1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, root.as_ref()))
    }

    fn secret(&self, pop: &Pop) -> [u8; 32] {
        let mut secret = [0; 32];
        let signed = hmac::sign(&self.0, pop.as_str().as_bytes());
        for (to, from) in secret.iter_mut().zip(signed.as_ref()) {
            *to = *from;
        }
        secret
    }

    /// The peers of an edge.
    pub(super) fn circle(&self, edges: &Edges, node: &NodeId, pop: &Pop) -> Circle {
        Circle {
            secret: self.secret(pop),
            peers: edges.peers_of(node, pop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_of_presence_has_its_own_key_for_ever() {
        let secret = |key: &[u8], pop: &str| PopKeys::of_signing_key(key).secret(&Pop::from(pop));
        assert_eq!(secret(b"one", "fra1"), secret(b"one", "fra1"));
        assert_ne!(secret(b"one", "fra1"), secret(b"one", "ams1"));
        assert_ne!(secret(b"one", "fra1"), secret(b"two", "fra1"));
    }
}
