//! What many edges are sent, encoded once: whole, and as the change from each version that somebody
//! still holds. Deliberately not here: what is encoded.

use prost::Message;
use prost::bytes::Bytes;
use shared::task::lock;
use std::fmt;
use std::sync::{Mutex, OnceLock};

/// The most bases whose changes are kept; changes from further ones are encoded for each edge.
const BASES_MAX: usize = 16;

/// The encodings of one version of something; `B` names its earlier versions.
pub struct Encoded<B> {
    whole: OnceLock<Bytes>,
    changes: Mutex<Vec<(B, Bytes)>>,
}

impl<B> Default for Encoded<B> {
    fn default() -> Self {
        Self {
            whole: OnceLock::new(),
            changes: Mutex::default(),
        }
    }
}

impl<B: PartialEq> Encoded<B> {
    /// The whole, which `make` makes when it is first asked for.
    pub fn whole<M: Message>(&self, make: impl FnOnce() -> M) -> Bytes {
        let encode = || make().encode_to_vec().into();
        self.whole.get_or_init(encode).clone()
    }

    /// The change from `base`, which `make` makes when it is first asked for. Who asks meanwhile
    /// waits: all who ask hold the same base and would make the same.
    pub fn change<M: Message>(&self, base: B, make: impl FnOnce() -> M) -> Bytes {
        let mut changes = lock(&self.changes);
        if let Some((_, bytes)) = changes.iter().find(|(known, _)| *known == base) {
            return bytes.clone();
        }
        let bytes = Bytes::from(make().encode_to_vec());
        if changes.len() < BASES_MAX {
            changes.push((base, bytes.clone()));
        }
        bytes
    }
}

impl<B> fmt::Debug for Encoded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bases = lock(&self.changes).len();
        f.debug_struct("Encoded").field("bases", &bases).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::proto::discovery::Version as Wire;

    fn number(number: u64) -> Wire {
        Wire { epoch: 0, number }
    }

    #[test]
    fn each_encoding_is_made_once() {
        let encoded = Encoded::<u64>::default();
        let first = encoded.whole(|| number(1));
        assert_eq!(encoded.whole(|| number(2)), first);
        let change = encoded.change(1, || number(3));
        assert_eq!(encoded.change(1, || number(4)), change);
        assert_ne!(encoded.change(2, || number(4)), change);
        for further in 3..100 {
            encoded.change(further, || number(further));
        }
        assert_eq!(lock(&encoded.changes).len(), BASES_MAX);
        let last = encoded.change(99, || number(5));
        assert_eq!(last, Bytes::from(number(5).encode_to_vec()));
    }
}
