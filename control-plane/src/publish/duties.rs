//! Which edges operators want drained. Kept in the store, so that a restart forgets none of them;
//! each edge's session tells it when its own duty is another than it says.

use crate::store::{Epoch, Key, Precondition, Store, StoreError};
use serde::{Deserialize, Serialize};
use shared::duty::Duty;
use shared::id::NodeId;
use shared::task::lock;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Edges that can be drained at one time.
pub const DRAINED_MAX: usize = super::edges::EDGES_MAX;

/// Why a duty was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DutyError {
    /// There are [`DRAINED_MAX`].
    #[error("{DRAINED_MAX} edges are drained already; undrain one first")]
    Full,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All edges' duties.
pub struct Duties {
    store: Arc<dyn Store>,
    epoch: Epoch,
    kept: Mutex<Kept>,
    /// The number of the last change.
    changes: watch::Sender<u64>,
    /// One change is written at a time.
    changing: tokio::sync::Mutex<()>,
}

/// As it is stored.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    number: u64,
    draining: BTreeSet<NodeId>,
}

impl Duties {
    /// What the store remembers, for the leadership of `epoch`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(store: Arc<dyn Store>, epoch: Epoch) -> Result<Arc<Self>, StoreError> {
        let entry = store.get(&Key::Duties).await?;
        let read = entry.map(|entry| serde_json::from_slice(&entry.value));
        let kept: Kept = read
            .transpose()
            .unwrap_or_else(|error| {
                tracing::error!(%error, "which edges are to be drained can't be read; none is");
                None
            })
            .unwrap_or_default();
        Ok(Arc::new(Self {
            store,
            epoch,
            changes: watch::Sender::new(kept.number),
            kept: Mutex::new(kept),
            changing: tokio::sync::Mutex::default(),
        }))
    }

    /// What is wanted of an edge, known or not.
    #[must_use]
    pub fn of(&self, node: &NodeId) -> Duty {
        let kept = lock(&self.kept);
        Duty {
            number: kept.number,
            draining: kept.draining.contains(node),
        }
    }

    /// The edges that are to be drained.
    #[must_use]
    pub fn draining(&self) -> BTreeSet<NodeId> {
        lock(&self.kept).draining.clone()
    }

    /// Changes with each change; the value is its number.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes an edge's duty, for good.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn set(&self, node: &NodeId, draining: bool) -> Result<Duty, DutyError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut wanted = lock(&self.kept).clone();
        if draining && wanted.draining.len() >= DRAINED_MAX && !wanted.draining.contains(node) {
            return Err(DutyError::Full);
        }
        let changes = if draining {
            wanted.draining.insert(node.clone())
        } else {
            wanted.draining.remove(node)
        };
        if changes {
            wanted.number += 1;
            // Texts and a number can't fail to be written.
            let value = serde_json::to_vec(&wanted).unwrap_or_default();
            let (key, fence) = (Key::Duties, Some(self.epoch));
            self.store
                .put(&key, value, Precondition::None, fence)
                .await?;
            let number = wanted.number;
            *lock(&self.kept) = wanted;
            self.changes.send_replace(number);
        }
        Ok(self.of(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Embedded;

    #[tokio::test]
    async fn duties_are_numbered_and_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let (one, two) = (NodeId::from("fra1-a"), NodeId::from("fra1-b"));
        let duty = |number, draining| Duty { number, draining };
        {
            let store: Arc<dyn Store> = Arc::new(Embedded::open(&path).await.unwrap());
            let duties = Duties::open(store, Epoch(1)).await.unwrap();
            let mut changes = duties.changes();
            assert_eq!(duties.of(&one), Duty::default());
            assert_eq!(duties.set(&one, true).await.unwrap(), duty(1, true));
            assert_eq!(*changes.borrow_and_update(), 1);
            assert_eq!(duties.set(&two, true).await.unwrap(), duty(2, true));
            // What is so already is no change.
            assert_eq!(duties.set(&one, true).await.unwrap(), duty(2, true));
            assert_eq!(duties.set(&one, false).await.unwrap(), duty(3, false));
        }
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&path).await.unwrap());
        let duties = Duties::open(store, Epoch(2)).await.unwrap();
        assert_eq!(duties.draining(), [two.clone()].into());
        assert_eq!(duties.set(&two, false).await.unwrap(), duty(4, false));
    }
}
