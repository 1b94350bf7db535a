//! What of the catalogue goes out to edges: the newest revision, at once and to all, or, while
//! roll-outs are paused, the one that went out last. A pause is kept over restarts. Stages are not
//! here: there are none.

use super::{Applied, Published, Registry, RegistryError};
use crate::metrics;
use crate::store::{Key, Precondition};
use serde::{Deserialize, Serialize};
use shared::id::Version;
use shared::task::lock;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// That no newer revision goes out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pause {
    /// The revision that edges are sent meanwhile.
    pub number: u64,
    /// Who has paused.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
}

impl Registry {
    /// What edges are sent now.
    #[must_use]
    pub fn released(&self) -> Arc<Published> {
        self.released.borrow().clone()
    }

    /// What edges are sent from now on.
    #[must_use]
    pub fn releases(&self) -> watch::Receiver<Arc<Published>> {
        self.released.subscribe()
    }

    /// The pause, while there is one.
    #[must_use]
    pub fn paused(&self) -> Option<Pause> {
        lock(&self.pause).clone()
    }

    /// Sends edges no newer revision than they are sent now, for good; one that was paused before
    /// stays as it is.
    ///
    /// # Errors
    /// When the store fails, or there is nothing yet that could be sent.
    pub async fn pause(&self, actor: &str) -> Result<Pause, RegistryError> {
        let _turn = self.folding.lock().await;
        if let Some(pause) = self.paused() {
            return Ok(pause);
        }
        let number = self.released().snapshot.version().number;
        if number == 0 {
            return Err(RegistryError::NoSuchRevision(0));
        }
        self.hold_at(number, actor).await
    }

    /// Sends edges the newest revision again, now and from now on. False when nothing was paused.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resume(&self) -> Result<bool, RegistryError> {
        let _turn = self.folding.lock().await;
        if self.paused().is_none() {
            return Ok(false);
        }
        let (always, fence) = (Precondition::None, Some(self.epoch));
        self.store.delete(&Key::Pause, always, fence).await?;
        *lock(&self.pause) = None;
        self.released.send_replace(self.current());
        metrics::rollout_stage("all");
        Ok(true)
    }

    /// Sends edges the content of an older revision as a new one, also while roll-outs are paused;
    /// with none, of the one before that which they are sent.
    ///
    /// # Errors
    /// See [`RegistryError`]; nothing has changed unless the store failed.
    pub async fn roll_back(
        &self,
        number: Option<u64>,
        actor: &str,
    ) -> Result<Applied, RegistryError> {
        let sent = self.released().snapshot.version().number;
        let number = match number {
            Some(number) => number,
            None => {
                let all = self.history().await?;
                let mut before = all.iter().map(|revision| revision.number);
                let before = before.find(|number| *number < sent);
                before.ok_or_else(|| RegistryError::NoSuchRevision(sent.saturating_sub(1)))?
            }
        };
        let applied = self.rollback(number, actor).await?;
        let _turn = self.folding.lock().await;
        if self.paused().is_some() {
            let newest = self.current();
            if newest.snapshot.version() != applied.version {
                // Somebody was faster with another; that is not what is wanted.
                return Err(RegistryError::Conflict);
            }
            self.hold_at(applied.version.number, actor).await?;
            self.released.send_replace(newest);
        }
        Ok(applied)
    }

    /// A new revision goes out, unless roll-outs are paused. The caller has the turn to fold.
    pub(super) fn release(&self, newest: &Arc<Published>) {
        if self.paused().is_none() {
            self.released.send_replace(Arc::clone(newest));
            metrics::rollout_stage("all");
        }
    }

    /// Finds the revision at which roll-outs were paused before the start.
    pub(super) async fn take_up_pause(&self) -> Result<(), RegistryError> {
        let Some(entry) = self.store.get(&Key::Pause).await? else {
            return Ok(());
        };
        let pause: Pause = match serde_json::from_slice(&entry.value) {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "the pause of roll-outs can't be read; the newest goes out");
                return Ok(());
            }
        };
        let (epoch, number) = (self.epoch.0, pause.number);
        let version = Version { epoch, number };
        let mut kept = self.versions(&BTreeSet::from([version])).await?;
        let Some(snapshot) = kept.remove(&version) else {
            tracing::error!(
                number,
                "roll-outs are paused at a revision that is no longer kept; the newest goes out"
            );
            return Ok(());
        };
        tracing::warn!(number, by = pause.actor, "roll-outs are paused");
        let manifest = self.signer.sign(&snapshot);
        lock(&self.recent).push_back(snapshot.clone());
        let published = Published::new(snapshot, manifest, self.clock.now());
        *lock(&self.pause) = Some(pause);
        self.released.send_replace(Arc::new(published));
        metrics::rollout_stage("paused");
        Ok(())
    }

    async fn hold_at(&self, number: u64, actor: &str) -> Result<Pause, RegistryError> {
        let pause = Pause {
            number,
            actor: actor.to_owned(),
            unix_ms: self.clock.unix_ms(),
        };
        // Texts and numbers can't fail to be written.
        let value = serde_json::to_vec(&pause).unwrap_or_default();
        let (always, fence) = (Precondition::None, Some(self.epoch));
        self.store.put(&Key::Pause, value, always, fence).await?;
        *lock(&self.pause) = Some(pause.clone());
        metrics::rollout_stage("paused");
        Ok(pause)
    }
}
