//! Who makes versions, ranks and grants: one control plane at a time. Every write of a leader
//! carries the epoch of its leadership, so that one that was replaced and does not know it yet can
//! do no harm. A control plane on an embedded store leads from its start.

use crate::metrics;
use crate::store::{Epoch, Leadership, Store, StoreError};
use shared::task::Stop;
use tokio::sync::watch;

/// A leadership that this process holds. Given up when dropped.
pub struct Leader {
    leadership: Leadership,
    held: watch::Sender<Option<Epoch>>,
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
        let epoch = leadership.epoch;
        tracing::info!(epoch = epoch.0, candidate, "leading");
        let (held, _) = watch::channel(Some(epoch));
        Ok(Self { leadership, held })
    }

    /// The number of this leadership: on every write, and the first half of every version.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.leadership.epoch
    }

    /// The leadership as it is now and from now on; none once it is lost.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Epoch>> {
        self.held.subscribe()
    }

    /// Holds the leadership until it is lost or the program stops, then says so.
    pub async fn run(mut self, mut stop: Stop) {
        let lost = async {
            if self.leadership.lost.wait_for(|lost| *lost).await.is_err() {
                // Nobody can take it away any more.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stop.wait() => {}
            () = lost => tracing::error!("the leadership is lost"),
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.held.send_replace(None);
        metrics::leader(false);
    }
}
