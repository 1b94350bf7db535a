//! The peers on disk, so that a node that starts without a control plane still hears them. Their key
//! is a secret: the file is sealed (AES-256-GCM) under a key that follows from the node's own; a
//! file that does not open is as good as none.

use crate::control::Pem;
use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use shared::gossip::Circle;
use shared::proto::discovery as wire;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Larger files are not ours.
const FILE_MAX: u64 = 64 * 1024;

/// Where the peers are kept.
#[derive(Clone, Default)]
pub struct Keep {
    /// None keeps nothing.
    file: Option<(PathBuf, [u8; 32])>,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.file.as_ref().map(|(path, _)| path);
        f.debug_tuple("Keep").field(&path).finish()
    }
}

impl Keep {
    /// In this file, under the node's private key; without one nothing is kept.
    #[must_use]
    pub fn new(path: PathBuf, key: Option<&Pem>) -> Self {
        let text = match key {
            Some(Pem::File(path)) => fs::read(path).ok(),
            Some(Pem::Text(text)) => Some(text.clone()),
            None => None,
        };
        let file = text.map(|text| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &text);
            let mut secret = [0; 32];
            let signed = hmac::sign(&key, b"godwit gossip peers v1");
            for (to, from) in secret.iter_mut().zip(signed.as_ref()) {
                *to = *from;
            }
            (path, secret)
        });
        Self { file }
    }

    /// What is there and opens.
    #[must_use]
    pub fn load(&self) -> Option<Circle> {
        let (path, secret) = self.file.as_ref()?;
        if fs::metadata(path).ok()?.len() > FILE_MAX {
            return None;
        }
        let bytes = fs::read(path).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = key(secret)?.open_in_place(nonce, Aad::empty(), &mut sealed);
        let update = wire::PeerUpdate::decode(&*plain.ok()?).ok()?;
        let circle = Circle::try_from(update).ok()?;
        tracing::info!(peers = circle.peers.len(), "gossip peers from disk");
        Some(circle)
    }

    /// Keeps the peers. A disk that can't take them is not their fault: the node goes on.
    pub async fn save(&self, circle: &Circle) {
        let Some((path, secret)) = self.file.clone() else {
            return;
        };
        let plain = wire::PeerUpdate::from(circle).encode_to_vec();
        let written = tokio::task::spawn_blocking(move || write(&path, &secret, plain)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "gossip peers can't be kept on disk");
        }
    }
}

fn key(secret: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, secret)
        .ok()
        .map(LessSafeKey::new)
}

fn write(path: &Path, secret: &[u8; 32], mut plain: Vec<u8>) -> io::Result<()> {
    let refused = |_| io::Error::other("the peers can't be sealed");
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(refused)?;
    let key = key(secret).ok_or_else(|| io::Error::other("no key"))?;
    let unique = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(unique, Aad::empty(), &mut plain)
        .map_err(refused)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(&nonce)?;
    file.write_all(&plain)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
