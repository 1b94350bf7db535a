//! Coordination between control planes: a small ordered map with versions, a watch and a
//! leadership. The catalogue, the membership and the leadership live here; accounts, money and
//! usage are in SQL and are not. Every implementation passes the one suite in `contract`.

#[cfg(test)]
pub(crate) mod contract;
pub mod embedded;
pub mod key;

pub use embedded::Embedded;
pub use key::{Key, Prefix};

use futures::stream::BoxStream;
use tokio::sync::watch;

/// The longest value; what is larger is split by its owner. etcd takes 1.5 MB in one request.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// How many changes a watch may reach back; further back it is told to list again.
pub const HISTORY_EVENTS_MAX: usize = 4096;

/// A count of all changes ever made in a store. Grows by one with each, over restarts, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Revision(pub u64);

/// A leadership's number. Each one is larger than all before; a write that carries an older one is
/// refused, so that a leader that does not know it was replaced can do no harm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Epoch(pub u64);

/// A key with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Vec<u8>,
    /// The change that wrote the value: what [`Precondition::MatchesVersion`] compares.
    pub revision: Revision,
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precondition {
    /// Nothing.
    None,
    /// There is no such key.
    DoesNotExist,
    /// The key's value was written by exactly this change.
    MatchesVersion(Revision),
}

/// The entries under a prefix, all as of one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// In order of their keys.
    pub entries: Vec<Entry>,
    /// Watch after this one to miss nothing.
    pub revision: Revision,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its number.
    pub revision: Revision,
    /// What it changed.
    pub key: Key,
    /// The new value; none when it was deleted.
    pub value: Option<Vec<u8>>,
}

/// Why a store refused or failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The precondition does not hold: somebody else was first.
    #[error("{key} is at {found:?}, which is not what the write expects")]
    Conflict {
        /// The key.
        key: Key,
        /// The change that wrote its value; none when it does not exist.
        found: Option<Revision>,
    },
    /// The write carried the epoch of a leadership that is over.
    #[error("epoch {} is over; the leadership is at {}", .carried.0, .current.0)]
    Fenced {
        /// The write's.
        carried: Epoch,
        /// The store's.
        current: Epoch,
    },
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("the value of {key} has {bytes} bytes, at most {VALUE_BYTES_MAX} are stored")]
    TooLarge {
        /// The key.
        key: Key,
        /// The value's length.
        bytes: usize,
    },
    /// The engine underneath failed; whether a write happened is not known.
    #[error("the store failed: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// True when the same call may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why a watch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WatchError {
    /// The changes that it asks for are no longer kept: list again and watch after that.
    #[error("changes before revision {} are no longer kept", .0.0)]
    Compacted(Revision),
}

/// Changes in order, in batches that are never empty. It ends with an error or with the store.
pub type Watch = BoxStream<'static, Result<Vec<Event>, WatchError>>;

/// A leadership that is held until it is dropped or lost.
pub struct Leadership {
    /// Its fencing epoch.
    pub epoch: Epoch,
    /// Becomes true when it is lost without being given up.
    pub lost: watch::Receiver<bool>,
    /// Gives it up when dropped.
    pub(crate) held: Box<dyn std::any::Any + Send + Sync>,
}

impl Leadership {
    /// Gives the leadership up.
    pub fn resign(self) {
        drop(self.held);
    }
}

/// The five verbs, and the leadership.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value of `key`.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Everything under `prefix`, as of one revision.
    async fn range(&self, prefix: Prefix) -> Result<Listing, StoreError>;

    /// Writes `value` if `precondition` holds and, where the write carries an epoch, if that
    /// leadership is not over. Gives the change's number.
    async fn put(
        &self,
        key: &Key,
        value: Vec<u8>,
        precondition: Precondition,
        fence: Option<Epoch>,
    ) -> Result<Revision, StoreError>;

    /// Deletes `key` if `precondition` holds. Gives the change's number; none when there was no
    /// such key, which is no change.
    async fn delete(
        &self,
        key: &Key,
        precondition: Precondition,
        fence: Option<Epoch>,
    ) -> Result<Option<Revision>, StoreError>;

    /// The changes under `prefix` after `after`.
    fn watch(&self, prefix: Prefix, after: Revision) -> Watch;

    /// Waits until nobody else leads, then leads with an epoch larger than all before.
    async fn campaign(&self, candidate: &str) -> Result<Leadership, StoreError>;
}
