//! Sealing a secret to a node: HPKE (RFC 9180; X25519, HKDF-SHA256, AES-256-GCM). Only who holds the
//! node's private key opens it, and only for what it was bound to.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use std::fmt;

/// Bytes of a public key.
pub const PUBLIC_LENGTH: usize = 32;
/// What all seals of this kind share.
const CONTEXT: &[u8] = b"godwit credential v1";
/// Bytes of the encapsulated key before the sealed secret.
const ENCAPPED_LENGTH: usize = 32;

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapped = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// Not a public key of this kind.
    #[error("not a public key")]
    NotAKey,
    /// Sealed for another node, bound to something else, or changed on the way.
    #[error("it does not open here")]
    NotOpened,
    /// The library failed.
    #[error("it can't be sealed")]
    NotSealed,
}

/// A node's private key. Never printed.
pub struct NodeKey {
    private: Private,
    public: Vec<u8>,
}

impl NodeKey {
    /// The key that follows from a secret of the node; the secret must have 32 bytes of entropy or
    /// more.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        let (private, public) = X25519HkdfSha256::derive_keypair(secret);
        let public = public.to_bytes().to_vec();
        Self { private, public }
    }

    /// What others seal to.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Opens what was sealed to this key and bound to `binding`.
    ///
    /// # Errors
    /// When it was not.
    pub fn open(&self, sealed: &[u8], binding: &[u8]) -> Result<Vec<u8>, SealError> {
        let parts = sealed.split_at_checked(ENCAPPED_LENGTH);
        let (encapped, secret) = parts.ok_or(SealError::NotOpened)?;
        let encapped = Encapped::from_bytes(encapped).map_err(|_| SealError::NotOpened)?;
        hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &encapped,
            CONTEXT,
            secret,
            binding,
        )
        .map_err(|_| SealError::NotOpened)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(…)")
    }
}

/// Seals a secret to the node of this public key, bound to `binding`.
///
/// # Errors
/// When it is no public key, or the library fails.
pub fn seal(public: &[u8], secret: &[u8], binding: &[u8]) -> Result<Vec<u8>, SealError> {
    let public = Public::from_bytes(public).map_err(|_| SealError::NotAKey)?;
    let (encapped, sealed) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        CONTEXT,
        secret,
        binding,
    )
    .map_err(|_| SealError::NotSealed)?;
    let mut all = encapped.to_bytes().to_vec();
    all.extend_from_slice(&sealed);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_node_opens_it_and_only_for_what_it_was_bound_to() {
        let (node, other) = (NodeKey::derive(&[1; 32]), NodeKey::derive(&[2; 32]));
        let sealed = seal(node.public(), b"sk-secret", b"a").unwrap();
        assert_eq!(node.open(&sealed, b"a").unwrap(), b"sk-secret");
        assert_eq!(node.open(&sealed, b"b"), Err(SealError::NotOpened));
        assert_eq!(other.open(&sealed, b"a"), Err(SealError::NotOpened));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(node.open(&changed, b"a"), Err(SealError::NotOpened));
        }
        assert_eq!(node.open(b"short", b"a"), Err(SealError::NotOpened));
        assert_ne!(sealed, seal(node.public(), b"sk-secret", b"a").unwrap());
        assert_eq!(seal(b"short", b"s", b"a"), Err(SealError::NotAKey));
        assert_eq!(NodeKey::derive(&[1; 32]).public(), node.public());
        assert_eq!(node.public().len(), PUBLIC_LENGTH);
    }
}
