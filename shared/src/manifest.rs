//! What the leader signs of each catalogue version, and how an edge checks it: ed25519 over
//! version, count and root. A signature by a key that isn't trusted is as bad as none. Where keys
//! are kept is the caller's concern.

use crate::id::Version;
use crate::key::{hex, unhex};
use crate::snapshot::Snapshot;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;
use std::str::FromStr;

/// Separates these signatures from all others that the key may make.
const CONTEXT: &[u8] = b"godwit-manifest-v1";

/// Signs manifests. The secret is never printed.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// An ed25519 public key that edges trust; written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// The signed head of one catalogue version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The version.
    pub version: Version,
    /// [`Snapshot::root`].
    pub root: [u8; 32],
    /// [`Snapshot::resource_count`].
    pub resource_count: u32,
    /// [`PublicKey::key_id`] of the signer.
    pub key_id: String,
    /// 64 bytes.
    pub signature: Vec<u8>,
}

/// Why a manifest is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ManifestError {
    /// None of the trusted keys has this id.
    #[error("signed by {0}, which is not a trusted signer")]
    UnknownSigner(String),
    /// Not what was signed.
    #[error("the signature does not fit")]
    Signature,
    /// Well signed, but the resources that came are others.
    #[error("{what}: the manifest says {manifest}, the resources give {resources}")]
    Content {
        /// What differs.
        what: &'static str,
        /// What was signed.
        manifest: String,
        /// What came.
        resources: String,
    },
}

/// A signing key could not be made or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignerError {
    /// The operating system's random source fails.
    #[error("no randomness")]
    NoRandomness,
    /// Not an ed25519 key in PKCS#8.
    #[error("not an ed25519 key in PKCS#8")]
    NotAKey,
}

impl Signer {
    /// A new key, with its PKCS#8 form to be kept in a safe place.
    ///
    /// # Errors
    /// When the operating system's random source fails.
    pub fn generate() -> Result<(Self, Vec<u8>), SignerError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| SignerError::NoRandomness)?;
        let signer = Self::load(pkcs8.as_ref())?;
        Ok((signer, pkcs8.as_ref().to_vec()))
    }

    /// The key that [`Signer::generate`] gave.
    ///
    /// # Errors
    /// When the bytes are no such key.
    pub fn load(pkcs8: &[u8]) -> Result<Self, SignerError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| SignerError::NotAKey)?;
        let public = pair.public_key().as_ref().try_into();
        let public = PublicKey(public.map_err(|_| SignerError::NotAKey)?);
        Ok(Self { pair, public })
    }

    /// What edges must trust.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Signs a snapshot.
    #[must_use]
    pub fn sign(&self, snapshot: &Snapshot) -> Manifest {
        let count = u32::try_from(snapshot.resource_count()).unwrap_or(u32::MAX);
        self.sign_root(snapshot.version(), snapshot.root(), count)
    }

    /// Signs a root.
    #[must_use]
    pub fn sign_root(&self, version: Version, root: [u8; 32], resource_count: u32) -> Manifest {
        let signature = self
            .pair
            .sign(&signed_bytes(version, resource_count, &root));
        Manifest {
            version,
            root,
            resource_count,
            key_id: self.public.key_id(),
            signature: signature.as_ref().to_vec(),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

impl Manifest {
    /// Is it signed by one of these?
    ///
    /// # Errors
    /// When the signer isn't trusted or the signature doesn't fit.
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<(), ManifestError> {
        let mut known = trusted.iter().filter(|key| key.key_id() == self.key_id);
        let Some(first) = known.next() else {
            return Err(ManifestError::UnknownSigner(self.key_id.clone()));
        };
        let message = signed_bytes(self.version, self.resource_count, &self.root);
        let fits = |key: &PublicKey| {
            let key = UnparsedPublicKey::new(&ED25519, key.0);
            key.verify(&message, &self.signature).is_ok()
        };
        if fits(first) || known.any(fits) {
            return Ok(());
        }
        Err(ManifestError::Signature)
    }

    /// Is this what was signed?
    ///
    /// # Errors
    /// When version, count or root differ.
    pub fn covers(&self, snapshot: &Snapshot) -> Result<(), ManifestError> {
        let count = u32::try_from(snapshot.resource_count()).unwrap_or(u32::MAX);
        for (what, manifest, resources) in [
            (
                "version",
                self.version.to_string(),
                snapshot.version().to_string(),
            ),
            (
                "resource_count",
                self.resource_count.to_string(),
                count.to_string(),
            ),
            ("root", hex(&self.root), hex(&snapshot.root())),
        ] {
            if manifest != resources {
                return Err(ManifestError::Content {
                    what,
                    manifest,
                    resources,
                });
            }
        }
        Ok(())
    }
}

impl PublicKey {
    /// The first 8 bytes of the key's SHA-256, in hex.
    #[must_use]
    pub fn key_id(&self) -> String {
        let hash = digest(&SHA256, &self.0);
        hex(hash.as_ref().get(..8).unwrap_or_default())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for PublicKey {
    type Err = SignerError;
    fn from_str(text: &str) -> Result<Self, SignerError> {
        let bytes = unhex(text).ok_or(SignerError::NotAKey)?;
        Ok(Self(bytes.try_into().map_err(|_| SignerError::NotAKey)?))
    }
}

fn signed_bytes(version: Version, resource_count: u32, root: &[u8; 32]) -> Vec<u8> {
    let mut bytes = CONTEXT.to_vec();
    bytes.extend(version.epoch.to_be_bytes());
    bytes.extend(version.number.to_be_bytes());
    bytes.extend(u64::from(resource_count).to_be_bytes());
    bytes.extend(root);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> (Manifest, PublicKey) {
        let (signer, _) = Signer::generate().unwrap();
        let version = Version {
            epoch: 3,
            number: 7,
        };
        (signer.sign_root(version, [9; 32], 42), signer.public_key())
    }

    #[test]
    fn a_signature_is_checked_against_the_trusted_keys() {
        let (manifest, key) = manifest();
        let (other, pkcs8) = Signer::generate().unwrap();
        assert_eq!(manifest.verify(&[other.public_key(), key]), Ok(()));
        let refused = manifest.verify(&[other.public_key()]);
        assert_eq!(refused, Err(ManifestError::UnknownSigner(key.key_id())));
        let again = Signer::load(&pkcs8).unwrap();
        assert_eq!(again.public_key(), other.public_key());
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!(Signer::load(b"nonsense").is_err());
    }

    proptest! {
        #[test]
        fn a_tampered_manifest_is_refused(bit in 0_usize..(64 + 32 + 8 + 8 + 4) * 8) {
            let (mut manifest, key) = manifest();
            let (byte, flip) = (bit / 8, 1_u8 << (bit % 8));
            match byte {
                0..64 => manifest.signature[byte] ^= flip,
                64..96 => manifest.root[byte - 64] ^= flip,
                96..104 => manifest.version.epoch ^= u64::from(flip) << ((byte - 96) * 8),
                104..112 => manifest.version.number ^= u64::from(flip) << ((byte - 104) * 8),
                _ => manifest.resource_count ^= u32::from(flip) << ((byte - 112) * 8),
            }
            prop_assert_eq!(manifest.verify(&[key]), Err(ManifestError::Signature));
        }
    }
}
