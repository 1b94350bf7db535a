//! Who makes versions, ranks and grants: one control plane at a time. Every write of a leader
//! carries the epoch of its leadership, so that one that was replaced and does not know it yet can
//! do no harm. A control plane on an embedded store leads from its start.

use crate::metrics;
use crate::store::{Epoch, Leadership, Store, StoreError};

/// A leadership that this process holds. Given up when dropped.
pub struct Leader {
    leadership: Leadership,
}

impl Leader {
    /// Waits until nobody else leads, then leads.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn elect(store: &dyn Store, candidate: &str) -> Result<Self, StoreError> {
        metrics::leader(false);
        let leadership = store.campaign(candidate).await?;
        metrics::leader(true);
        tracing::info!(epoch = leadership.epoch.0, candidate, "leading");
        Ok(Self { leadership })
    }

    /// The number of this leadership: on every write, and the first half of every version.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.leadership.epoch
    }

    /// Resolves when the leadership is lost.
    pub async fn lost(&mut self) {
        if self.leadership.lost.wait_for(|lost| *lost).await.is_err() {
            // Nobody can take it away any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        metrics::leader(false);
    }
}
