//! Secrets at rest: each under a data key of its own, the data keys under a master key that is only
//! in a file of its owner (AES-256-GCM of ring). The file may hold several master keys: the first
//! seals, the others only open, until nothing is left under them. Where sealed texts are kept is not
//! decided here.

use super::file::{read_if_there, write_secret};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use shared::key::{hex, unhex};
use shared::task::lock;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The master keys' file in the data folder.
pub const MASTER_KEY_FILE: &str = "master.key";
/// Most keys in the file; one more than two means that rotations did not end.
const KEYS_MAX: usize = 16;
const KEY_LENGTH: usize = 32;

/// Master keys from a file.
pub struct Vault {
    path: PathBuf,
    keys: Mutex<Arc<[MasterKey]>>,
}

struct MasterKey {
    id: String,
    key: [u8; KEY_LENGTH],
}

/// A secret as it is kept, in hex.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Under its data key.
    pub secret: String,
    /// The data key, under the master key.
    pub data_key: String,
    /// Which master key.
    pub master_key: String,
}

/// Why a secret can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The secret is under a master key that is not in the file.
    #[error("the master key {0} is not in the master key file")]
    NoSuchKey(String),
    /// It was changed, or belongs to something else.
    #[error("a secret at rest does not open")]
    NotOpened,
    /// A later rotation is under way.
    #[error("another rotation of the master key has begun, which ends this one")]
    Overtaken,
    /// The operating system's random source failed.
    #[error("the system has no randomness")]
    NoRandomness,
}

impl Vault {
    /// The keys of the file, which is made with one key when it is not there.
    ///
    /// # Errors
    /// When the file can't be used.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        if read(path)?.is_empty() {
            write(path, &[MasterKey::generate()?])?;
        }
        let keys = read(path)?.into();
        Ok(Self {
            path: path.to_owned(),
            keys: Mutex::new(keys),
        })
    }

    /// The key that seals.
    ///
    /// # Errors
    /// When there is none, which [`Vault::open`] forbids.
    pub fn current(&self) -> Result<String, VaultError> {
        Ok(self.first()?.id)
    }

    /// Seals a secret under a new data key, bound to `binding`.
    ///
    /// # Errors
    /// When the system has no randomness, or the file can't be read.
    pub fn seal(&self, secret: &[u8], binding: &[u8]) -> Result<Sealed, VaultError> {
        // Another control plane may have begun to seal under a newer key.
        self.reload()?;
        let data_key: [u8; KEY_LENGTH] = random()?;
        let secret = hex(&encrypt(&data_key, secret, binding)?);
        let master = self.first()?;
        Ok(Sealed {
            secret,
            data_key: hex(&encrypt(
                &master.key,
                &data_key,
                &about(&master.id, binding),
            )?),
            master_key: master.id,
        })
    }

    /// Opens a secret that was bound to `binding`.
    ///
    /// # Errors
    /// When its master key is gone, or it was changed or bound to something else.
    pub fn open_secret(&self, sealed: &Sealed, binding: &[u8]) -> Result<Vec<u8>, VaultError> {
        let data_key = self.data_key(sealed, binding)?;
        let secret = unhex(&sealed.secret).ok_or(VaultError::NotOpened)?;
        decrypt(&data_key, &secret, binding)
    }

    /// The same secret with its data key under the current master key.
    ///
    /// # Errors
    /// As [`Vault::open_secret`].
    pub fn rewrap(&self, sealed: &Sealed, binding: &[u8]) -> Result<Sealed, VaultError> {
        let data_key = self.data_key(sealed, binding)?;
        let master = self.first()?;
        Ok(Sealed {
            secret: sealed.secret.clone(),
            data_key: hex(&encrypt(
                &master.key,
                &data_key,
                &about(&master.id, binding),
            )?),
            master_key: master.id,
        })
    }

    /// Makes a new master key, which seals from now on; the others still open. Gives its id.
    ///
    /// # Errors
    /// When there are too many, or the file can't be written: then nothing has changed.
    pub fn begin_rotation(&self) -> Result<String, VaultError> {
        let mut keys = read(&self.path)?;
        if keys.len() >= KEYS_MAX {
            let error = io::Error::other(format!("holds {KEYS_MAX} keys; end a rotation first"));
            return Err(self.at(error));
        }
        let new = MasterKey::generate()?;
        let id = new.id.clone();
        keys.insert(0, new);
        write(&self.path, &keys)?;
        self.reload()?;
        Ok(id)
    }

    /// Is this the master key that seals now, by the file?
    ///
    /// # Errors
    /// When it is not: another rotation has begun; or the file can't be read.
    pub fn must_seal_with(&self, id: &str) -> Result<(), VaultError> {
        self.reload()?;
        if self.first()?.id == id {
            Ok(())
        } else {
            Err(VaultError::Overtaken)
        }
    }

    /// Forgets every master key but this one, which seals. Only when nothing is left under them.
    ///
    /// # Errors
    /// When another one seals, or the file can't be written: then nothing has changed.
    pub fn end_rotation(&self, id: &str) -> Result<(), VaultError> {
        let mut keys = read(&self.path)?;
        if keys.first().is_none_or(|first| first.id != id) {
            return Err(VaultError::Overtaken);
        }
        keys.truncate(1);
        write(&self.path, &keys)?;
        self.reload()
    }

    fn data_key(&self, sealed: &Sealed, binding: &[u8]) -> Result<[u8; KEY_LENGTH], VaultError> {
        let master = match self.find(&sealed.master_key) {
            Some(master) => master,
            None => {
                self.reload()?;
                let found = self.find(&sealed.master_key);
                found.ok_or_else(|| VaultError::NoSuchKey(sealed.master_key.clone()))?
            }
        };
        let wrapped = unhex(&sealed.data_key).ok_or(VaultError::NotOpened)?;
        let data_key = decrypt(&master.key, &wrapped, &about(&master.id, binding))?;
        data_key.try_into().map_err(|_| VaultError::NotOpened)
    }

    fn reload(&self) -> Result<(), VaultError> {
        let keys = read(&self.path)?;
        if keys.is_empty() {
            return Err(self.at(io::Error::other("holds no master key")));
        }
        *lock(&self.keys) = keys.into();
        Ok(())
    }

    fn find(&self, id: &str) -> Option<MasterKey> {
        let keys = Arc::clone(&lock(&self.keys));
        keys.iter().find(|key| key.id == id).map(MasterKey::copy)
    }

    fn first(&self) -> Result<MasterKey, VaultError> {
        let keys = Arc::clone(&lock(&self.keys));
        let first = keys.first().map(MasterKey::copy);
        first.ok_or_else(|| self.at(io::Error::other("holds no master key")))
    }

    fn at(&self, error: io::Error) -> VaultError {
        let path = self.path.clone();
        VaultError::File { path, error }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl MasterKey {
    fn generate() -> Result<Self, VaultError> {
        let id: [u8; 6] = random()?;
        Ok(Self {
            id: format!("mk_{}", hex(&id)),
            key: random()?,
        })
    }

    fn copy(&self) -> Self {
        Self {
            id: self.id.clone(),
            key: self.key,
        }
    }

    /// `id hex`.
    fn parse(line: &str) -> Option<Self> {
        let (id, key) = line.split_once(' ')?;
        Some(Self {
            id: id.to_owned(),
            key: unhex(key.trim())?.try_into().ok()?,
        })
    }
}

/// A wrapped data key is bound to its master key, too.
fn about(master_key: &str, binding: &[u8]) -> Vec<u8> {
    let mut about = format!("{master_key}\n").into_bytes();
    about.extend_from_slice(binding);
    about
}

fn read(path: &Path) -> Result<Vec<MasterKey>, VaultError> {
    let file = |error| VaultError::File {
        path: path.to_owned(),
        error,
    };
    let text = read_if_there(path).map_err(file)?.unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Option<Vec<MasterKey>> = lines.map(MasterKey::parse).collect();
    // What stands there is not repeated: it may be half a key.
    keys.ok_or_else(|| {
        file(io::Error::other(
            "a line is not `ID KEY`, the key in 64 hex digits",
        ))
    })
}

fn write(path: &Path, keys: &[MasterKey]) -> Result<(), VaultError> {
    let lines = keys
        .iter()
        .map(|it| format!("{} {}\n", it.id, hex(&it.key)));
    let text: String = lines.collect();
    write_secret(path, text.as_bytes()).map_err(|error| VaultError::File {
        path: path.to_owned(),
        error,
    })
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], VaultError> {
    let mut bytes = [0; LENGTH];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| VaultError::NoRandomness)?;
    Ok(bytes)
}

fn cipher(key: &[u8; KEY_LENGTH]) -> Result<LessSafeKey, VaultError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::NotOpened)?;
    Ok(LessSafeKey::new(key))
}

/// The nonce, then the text. Random nonces: a data key seals one text, a master key few.
fn encrypt(key: &[u8; KEY_LENGTH], text: &[u8], binding: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut sealed = text.to_vec();
    let unique = Nonce::assume_unique_for_key(nonce);
    cipher(key)?
        .seal_in_place_append_tag(unique, Aad::from(binding), &mut sealed)
        .map_err(|_| VaultError::NotOpened)?;
    let mut all = nonce.to_vec();
    all.append(&mut sealed);
    Ok(all)
}

fn decrypt(key: &[u8; KEY_LENGTH], sealed: &[u8], binding: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (nonce, text) = sealed
        .split_at_checked(NONCE_LEN)
        .ok_or(VaultError::NotOpened)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::NotOpened)?;
    let mut text = text.to_vec();
    let opened = cipher(key)?.open_in_place(nonce, Aad::from(binding), &mut text);
    Ok(opened.map_err(|_| VaultError::NotOpened)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_opens_only_as_what_it_was_sealed_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        let vault = Vault::open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let sealed = vault.seal(b"sk-marked-secret", b"a").unwrap();
        assert!(!format!("{sealed:?}").contains(&hex(b"sk-marked")));
        assert_eq!(
            vault.open_secret(&sealed, b"a").unwrap(),
            b"sk-marked-secret"
        );
        assert!(matches!(
            vault.open_secret(&sealed, b"b"),
            Err(VaultError::NotOpened)
        ));
        let again = vault.seal(b"sk-marked-secret", b"a").unwrap();
        assert!(again.secret != sealed.secret && again.data_key != sealed.data_key);
        let mixed = Sealed {
            data_key: again.data_key,
            ..sealed.clone()
        };
        assert!(vault.open_secret(&mixed, b"a").is_err());
        let other = Vault::open(&folder.path().join("other")).unwrap();
        assert!(matches!(
            other.open_secret(&sealed, b"a"),
            Err(VaultError::NoSuchKey(_))
        ));
    }

    #[test]
    fn a_rotation_keeps_the_old_key_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        let vault = Vault::open(&path).unwrap();
        let replica = Vault::open(&path).unwrap();
        let old = vault.seal(b"secret", b"a").unwrap();
        let id = vault.begin_rotation().unwrap();
        assert_eq!(vault.current().unwrap(), id);
        assert_eq!(vault.open_secret(&old, b"a").unwrap(), b"secret");
        // Another control plane with the same file learns of the new key when it meets it.
        let new = vault.rewrap(&old, b"a").unwrap();
        assert_eq!((&new.master_key, &new.secret), (&id, &old.secret));
        assert_eq!(replica.open_secret(&new, b"a").unwrap(), b"secret");
        assert_eq!(replica.seal(b"x", b"a").unwrap().master_key, id);
        assert!(vault.end_rotation("mk_other").is_err(), "another one seals");
        vault.end_rotation(&id).unwrap();
        assert!(matches!(
            vault.open_secret(&old, b"a"),
            Err(VaultError::NoSuchKey(_))
        ));
        assert_eq!(
            Vault::open(&path).unwrap().open_secret(&new, b"a").unwrap(),
            b"secret"
        );
    }

    #[test]
    fn a_broken_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MASTER_KEY_FILE);
        std::fs::write(&path, "mk_1 abc\n").unwrap();
        let refused = Vault::open(&path).unwrap_err().to_string();
        assert!(!refused.contains("abc"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mk_1 abc\n");
    }
}
