//! Between the registry and the store: writing a revision, reading one, and the fold that turns
//! the head into what is served.

use super::revision::{self, Description};
use super::{
    Applied, Author, HISTORY_REVISIONS_MAX, Published, RECENT_VERSIONS_MAX, Registry, RegistryError,
};
use crate::metrics;
use crate::store::key::Digest;
use crate::store::{Key, Precondition, Prefix, Revision, StoreError};
use futures::StreamExt;
use shared::id::Version;
use shared::snapshot::{Rejected, Snapshot};
use shared::task::{Stop, lock};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often unused chunks are looked for, in revisions.
const COLLECT_EVERY: u64 = 16;
/// How long the fold waits before it tries again when the store failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The newest revision and the change that made it so.
pub(super) struct Head {
    changed: Revision,
    digest: Digest,
    pub(super) description: Description,
}

impl Registry {
    /// Folds every new head until the program stops: also those that another control plane writes.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        loop {
            let ended = tokio::select! {
                () = stop.wait() => return,
                ended = self.follow() => ended,
            };
            if let Err(error) = ended {
                tracing::error!(%error, "the catalogue can't be folded; what was served stays");
                tokio::select! {
                    () = stop.wait() => return,
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                }
            }
        }
    }

    /// Folds what is there, then each change, until the watch ends.
    async fn follow(&self) -> Result<(), RegistryError> {
        let seen = self.store.range(Prefix::Head).await?.revision;
        self.fold_head().await?;
        let mut changes = self.store.watch(Prefix::Head, seen);
        // A watch that is told to list again ends, too: the next turn lists.
        while let Some(Ok(_)) = changes.next().await {
            self.fold_head().await?;
        }
        Ok(())
    }

    /// Serves the newest revision if it is not served yet. The only maker of versions.
    pub(super) async fn fold_head(&self) -> Result<(), RegistryError> {
        let _turn = self.folding.lock().await;
        let Some(Head {
            digest,
            description,
            ..
        }) = self.head().await?
        else {
            return Ok(());
        };
        let number = description.number;
        let served = self.current().snapshot.version();
        if served.epoch == self.epoch.0 && number <= served.number {
            return Ok(());
        }
        let epoch = self.epoch.0;
        let version = Version { epoch, number };
        let (snapshot, rejected) = self.assemble(version, digest, &description).await?;
        if let Some(Rejected { resource, reason }) = rejected.first() {
            let reason = format!("{resource}: {reason}");
            return Err(RegistryError::Corrupt { digest, reason });
        }
        let manifest = self.signer.sign(&snapshot);
        {
            let mut recent = lock(&self.recent);
            recent.push_back(snapshot.clone());
            while recent.len() > RECENT_VERSIONS_MAX {
                recent.pop_front();
            }
        }
        let since = self.clock.now();
        tracing::info!(%version, resources = description.resources, "catalogue version");
        metrics::catalog_version(number);
        let published = Arc::new(Published::new(snapshot, manifest, since));
        self.published.send_replace(Arc::clone(&published));
        self.release(&published);
        Ok(())
    }

    /// Stores `wanted` as the next revision and serves it. The caller has the turn.
    pub(super) async fn write(
        &self,
        wanted: &Snapshot,
        author: Author<'_>,
        source: Option<Digest>,
    ) -> Result<Applied, RegistryError> {
        let head = self.head().await?;
        let mut chunks = Vec::new();
        for chunk in revision::chunks_of(wanted) {
            chunks.push(self.keep(chunk).await?);
        }
        let before = head.as_ref().map(|head| &head.description);
        let description = Description {
            number: before.map_or(1, |before| before.number + 1),
            parent: head.as_ref().map(|head| head.digest),
            applied_unix_ms: self.clock.unix_ms(),
            actor: author.actor.to_owned(),
            note: author.note.to_owned(),
            resources: wanted.resource_count(),
            source: source.or_else(|| before.and_then(|before| before.source)),
            chunks,
        };
        let digest = self.keep(encode(&description)).await?;
        let expected = match &head {
            Some(head) => Precondition::MatchesVersion(head.changed),
            None => Precondition::DoesNotExist,
        };
        let value = digest.to_string().into_bytes();
        let swapped = self
            .store
            .put(&Key::Head, value, expected, Some(self.epoch))
            .await;
        swapped.map_err(|error| match error {
            StoreError::Conflict { .. } => RegistryError::Conflict,
            other => RegistryError::Store(other),
        })?;
        let (changed, removed) = self.current().snapshot.diff(wanted);
        self.fold_head().await?;
        if description.number.is_multiple_of(COLLECT_EVERY) {
            self.collect().await?;
        }
        Ok(Applied {
            version: Version {
                epoch: self.epoch.0,
                number: description.number,
            },
            changed: changed.len(),
            removed: removed.len(),
        })
    }

    /// The newest revision, if there is one.
    pub(super) async fn head(&self) -> Result<Option<Head>, RegistryError> {
        let Some(entry) = self.store.get(&Key::Head).await? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&entry.value);
        let digest = Digest::parse(&text).ok_or_else(|| RegistryError::Corrupt {
            digest: Digest([0; 32]),
            reason: format!("the head is {text:?}"),
        })?;
        let description = self
            .describe(digest)
            .await?
            .ok_or_else(|| missing(digest))?;
        Ok(Some(Head {
            changed: entry.revision,
            digest,
            description,
        }))
    }

    /// The kept revisions, newest first.
    pub(super) async fn chain(&self) -> Result<Vec<(Digest, Description)>, RegistryError> {
        let mut chain = Vec::new();
        let mut next = self
            .head()
            .await?
            .map(|head| (head.digest, head.description));
        while let Some((digest, description)) = next {
            let parent = description.parent;
            chain.push((digest, description));
            next = match parent {
                Some(parent) if chain.len() < HISTORY_REVISIONS_MAX => {
                    let description = self.describe(parent).await?;
                    description.map(|description| (parent, description))
                }
                _ => None,
            };
        }
        Ok(chain)
    }

    /// The snapshot that a revision describes.
    pub(super) async fn assemble(
        &self,
        version: Version,
        digest: Digest,
        description: &Description,
    ) -> Result<(Snapshot, Vec<Rejected>), RegistryError> {
        let mut resources = Vec::with_capacity(description.resources);
        for chunk in &description.chunks {
            let entry = self.store.get(&Key::Chunk(*chunk)).await?;
            let value = entry.ok_or_else(|| missing(*chunk))?.value;
            let read = revision::resources_of(&value).map_err(|error| corrupt(digest, &error))?;
            resources.extend(read);
        }
        Ok(Snapshot::from_resources(version, resources))
    }

    async fn describe(&self, digest: Digest) -> Result<Option<Description>, RegistryError> {
        let Some(entry) = self.store.get(&Key::Chunk(digest)).await? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&entry.value);
        read.map(Some).map_err(|error| corrupt(digest, &error))
    }

    /// Stores bytes under their digest; that they are there already is as good.
    async fn keep(&self, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&bytes);
        let key = Key::Chunk(digest);
        let once = Precondition::DoesNotExist;
        match self.store.put(&key, bytes, once, Some(self.epoch)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(digest),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes what no kept revision names. The caller has the turn, so that nothing is being
    /// written.
    async fn collect(&self) -> Result<(), RegistryError> {
        let mut used = BTreeSet::new();
        for (digest, description) in self.chain().await? {
            used.insert(digest);
            used.extend(description.chunks);
        }
        for entry in self.store.range(Prefix::Chunks).await?.entries {
            if matches!(entry.key, Key::Chunk(digest) if !used.contains(&digest)) {
                let unchanged = Precondition::MatchesVersion(entry.revision);
                self.store
                    .delete(&entry.key, unchanged, Some(self.epoch))
                    .await?;
            }
        }
        Ok(())
    }
}

fn encode(description: &Description) -> Vec<u8> {
    // A struct of texts and numbers can't fail to encode.
    serde_json::to_vec(description).unwrap_or_default()
}

fn missing(digest: Digest) -> RegistryError {
    let reason = "it is not there".to_owned();
    RegistryError::Corrupt { digest, reason }
}

fn corrupt(digest: Digest, error: &dyn std::fmt::Display) -> RegistryError {
    let reason = error.to_string();
    RegistryError::Corrupt { digest, reason }
}
