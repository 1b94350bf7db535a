//! The catalogue's revisions and what is served of them. A change is written as content-addressed
//! chunks and becomes real with one compare-and-set of the head; a watch folds heads into signed
//! snapshots, and nothing else makes versions. It promises that a catalogue with a problem never
//! replaces a good one. Which edge gets what and when is not decided here.

mod fold;
pub mod revision;
mod rollout;

use crate::encoded::Encoded;
use crate::metrics;
use crate::store::key::Digest;
use crate::store::{Epoch, Store, StoreError};
pub use revision::Description;
pub use rollout::Pause;
use shared::catalog::Catalog;
use shared::catalog::file::{self, Problem};
use shared::clock::{Clock, Moment};
use shared::id::Version;
use shared::manifest::{Manifest, Signer};
use shared::snapshot::{Rejected, Resource, Snapshot};
use shared::task::lock;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// How many revisions are kept, to look at and to go back to; older ones are deleted.
pub const HISTORY_REVISIONS_MAX: usize = 100;
/// How many served versions are kept in memory, to send an edge what has changed since.
pub const RECENT_VERSIONS_MAX: usize = 8;
/// Who changes the catalogue when its folder has changed.
const FOLDER_ACTOR: &str = "catalog folder";

/// A catalogue version as it is pushed.
#[derive(Debug)]
pub struct Published {
    /// What is served.
    pub snapshot: Snapshot,
    /// Its signature.
    pub manifest: Manifest,
    /// When it was made: what a push's duration is measured from.
    pub since: Moment,
    /// What edges are sent of it.
    pub encoded: Encoded<(Version, [u8; 32])>,
}

impl Published {
    /// A version that nobody was sent yet.
    #[must_use]
    pub fn new(snapshot: Snapshot, manifest: Manifest, since: Moment) -> Self {
        Self {
            snapshot,
            manifest,
            since,
            encoded: Encoded::default(),
        }
    }
}

/// Who makes a change, and why.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// As in the audit log.
    pub actor: &'a str,
    /// For people.
    pub note: &'a str,
}

/// What a change did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The version that holds it.
    pub version: Version,
    /// How many resources are new or different.
    pub changed: usize,
    /// How many are gone.
    pub removed: usize,
}

/// What a change would do: names of resources.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// New.
    pub added: Vec<String>,
    /// Different.
    pub changed: Vec<String>,
    /// Gone.
    pub removed: Vec<String>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The catalogue is not valid.
    #[error("the catalogue has {} problems, first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Invalid(Vec<Problem>),
    /// There is no such revision (any more).
    #[error("there is no revision {0}")]
    NoSuchRevision(u64),
    /// Somebody else changed the catalogue at the same time.
    #[error("the catalogue was changed at the same time; look again and repeat")]
    Conflict,
    /// What the store holds is not what was written there.
    #[error("revision {digest} can't be read: {reason}")]
    Corrupt {
        /// Of its description.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// The catalogue's folder can't be read.
    #[error("the catalogue's folder can't be read: {0}")]
    Folder(#[from] std::io::Error),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The catalogue of a control plane that leads.
pub struct Registry {
    store: Arc<dyn Store>,
    epoch: Epoch,
    signer: Signer,
    clock: Clock,
    /// Changes take turns.
    changing: Mutex<()>,
    /// So do folds.
    folding: Mutex<()>,
    published: watch::Sender<Arc<Published>>,
    /// What edges are sent: the same, unless roll-outs are paused.
    released: watch::Sender<Arc<Published>>,
    pause: std::sync::Mutex<Option<Pause>>,
    /// What was served lately, the newest last.
    recent: std::sync::Mutex<VecDeque<Snapshot>>,
}

impl Registry {
    /// Opens the catalogue in `store` and folds its head. Versions carry `epoch` and are signed
    /// by `signer`.
    ///
    /// # Errors
    /// When the store fails or its newest revision can't be read.
    pub async fn open(
        store: Arc<dyn Store>,
        epoch: Epoch,
        signer: Signer,
        clock: Clock,
    ) -> Result<Arc<Self>, RegistryError> {
        let empty = Snapshot::empty();
        let manifest = signer.sign(&empty);
        let nothing = Published::new(empty, manifest, clock.now());
        let (published, _) = watch::channel(Arc::new(nothing));
        let (released, _) = watch::channel(published.borrow().clone());
        metrics::rollout_stage("none");
        let registry = Arc::new(Self {
            store,
            epoch,
            signer,
            clock,
            changing: Mutex::new(()),
            folding: Mutex::new(()),
            published,
            released,
            pause: std::sync::Mutex::default(),
            recent: std::sync::Mutex::default(),
        });
        registry.take_up_pause().await?;
        registry.fold_head().await?;
        Ok(registry)
    }

    /// The newest revision; version 0.0 before the first catalogue.
    #[must_use]
    pub fn current(&self) -> Arc<Published> {
        self.published.borrow().clone()
    }

    /// What was served lately and has this root, whatever its version was.
    #[must_use]
    pub fn with_root(&self, root: &[u8; 32]) -> Option<Snapshot> {
        let recent = lock(&self.recent);
        recent
            .iter()
            .rev()
            .find(|snapshot| snapshot.root() == *root)
            .cloned()
    }

    /// Reads a catalogue from its files' texts.
    ///
    /// # Errors
    /// All its problems.
    pub fn validate(files: &BTreeMap<String, String>) -> Result<(Catalog, Snapshot), Vec<Problem>> {
        let catalog = file::parse(files)?;
        let snapshot = Snapshot::from_catalog(Version::default(), &catalog)
            .map_err(|rejected| rejected.into_iter().map(problem).collect::<Vec<_>>())?;
        if snapshot.endpoints().is_empty() {
            let reason = "a catalogue without endpoints leaves nothing to serve".to_owned();
            let resource = "endpoints".to_owned();
            return Err(vec![problem(Rejected { resource, reason })]);
        }
        Ok((catalog, snapshot))
    }

    /// Replaces the catalogue by the one in `files` and waits until it is served. One that is
    /// equal to what is served changes nothing.
    ///
    /// # Errors
    /// See [`RegistryError`]; nothing has changed unless the store failed.
    pub async fn apply(
        &self,
        files: &BTreeMap<String, String>,
        author: Author<'_>,
    ) -> Result<Applied, RegistryError> {
        let (_, wanted) = refuse_invalid(Self::validate(files))?;
        let _turn = self.changing.lock().await;
        let current = self.current();
        if current.snapshot.root() == wanted.root() && current.snapshot.version().number > 0 {
            return Ok(unchanged(&current));
        }
        self.write(&wanted, author, None).await
    }

    /// Loads the catalogue's folder if its content is not what was last loaded from there: at the
    /// first start, and when somebody has edited it since. Gives none when it is the same.
    ///
    /// # Errors
    /// See [`RegistryError`]; nothing has changed unless the store failed.
    pub async fn load_folder(&self, folder: &Path) -> Result<Option<Applied>, RegistryError> {
        let path = folder.to_owned();
        let read = tokio::task::spawn_blocking(move || file::read_dir(&path)).await;
        let files = read.map_err(std::io::Error::other)??;
        let source = revision::source_of(&files);
        let _turn = self.changing.lock().await;
        let head = self.head().await?;
        let loaded = head.as_ref().and_then(|head| head.description.source);
        if loaded == Some(source) {
            return Ok(None);
        }
        let (_, wanted) = refuse_invalid(Self::validate(&files))?;
        let note = match head {
            None => "first load",
            Some(_) => "the folder has changed",
        };
        let actor = FOLDER_ACTOR;
        let applied = self
            .write(&wanted, Author { actor, note }, Some(source))
            .await?;
        Ok(Some(applied))
    }

    /// What [`Registry::apply`] would do.
    ///
    /// # Errors
    /// All the problems of the catalogue in `files`.
    pub fn diff(&self, files: &BTreeMap<String, String>) -> Result<Difference, Vec<Problem>> {
        let (_, wanted) = Self::validate(files)?;
        let served = self.current();
        let (upserts, removed) = served.snapshot.diff(&wanted);
        let before: std::collections::BTreeSet<String> = served
            .snapshot
            .resources()
            .map(|resource| resource.name())
            .collect();
        let (changed, added) = upserts
            .iter()
            .map(Resource::name)
            .partition(|name| before.contains(name));
        Ok(Difference {
            added,
            changed,
            removed,
        })
    }

    /// What is served, as files.
    #[must_use]
    pub fn export(&self) -> BTreeMap<String, String> {
        let served = self.current();
        let catalog = Catalog {
            providers: served.snapshot.providers().to_vec(),
            models: served.snapshot.models().to_vec(),
            endpoints: served.snapshot.endpoints().to_vec(),
            auto: served.snapshot.auto().cloned(),
        };
        file::to_toml(&catalog)
    }

    /// The kept revisions, newest first.
    ///
    /// # Errors
    /// When the store fails or a revision can't be read.
    pub async fn history(&self) -> Result<Vec<Description>, RegistryError> {
        let chain = self.chain().await?;
        Ok(chain
            .into_iter()
            .map(|(_, description)| description)
            .collect())
    }

    /// The catalogue as it was in these versions, as far as its revisions are still kept and can be
    /// read.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn versions(
        &self,
        wanted: &BTreeSet<Version>,
    ) -> Result<BTreeMap<Version, Snapshot>, RegistryError> {
        let mut found = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        for (digest, revision) in self.chain().await? {
            // Each leadership gives the same revision another version.
            let of = wanted.iter().filter(|it| it.number == revision.number);
            let of: Vec<Version> = of.copied().collect();
            let Some(first) = of.first() else {
                continue;
            };
            let snapshot = match self.assemble(*first, digest, &revision).await {
                Ok((snapshot, _)) => snapshot,
                Err(RegistryError::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            };
            found.extend(of.into_iter().map(|version| (version, snapshot.clone())));
        }
        Ok(found)
    }

    /// Serves the content of an older revision again, as a new one.
    ///
    /// # Errors
    /// See [`RegistryError`]; nothing has changed unless the store failed.
    pub async fn rollback(&self, number: u64, actor: &str) -> Result<Applied, RegistryError> {
        let _turn = self.changing.lock().await;
        let chain = self.chain().await?;
        let wanted = chain
            .into_iter()
            .find(|(_, revision)| revision.number == number);
        let (digest, wanted) = wanted.ok_or(RegistryError::NoSuchRevision(number))?;
        let (snapshot, rejected) = self.assemble(Version::default(), digest, &wanted).await?;
        if !rejected.is_empty() {
            return Err(RegistryError::Invalid(
                rejected.into_iter().map(problem).collect(),
            ));
        }
        let note = format!("back to revision {number}");
        self.write(&snapshot, Author { actor, note: &note }, None)
            .await
    }
}

fn unchanged(current: &Published) -> Applied {
    Applied {
        version: current.snapshot.version(),
        changed: 0,
        removed: 0,
    }
}

fn refuse_invalid<T>(read: Result<T, Vec<Problem>>) -> Result<T, RegistryError> {
    read.map_err(|problems| {
        metrics::catalog_refused();
        RegistryError::Invalid(problems)
    })
}

/// A problem that was only seen when the files were put together.
fn problem(rejected: Rejected) -> Problem {
    Problem {
        file: String::new(),
        line: 0,
        key: rejected.resource,
        reason: rejected.reason,
    }
}

#[cfg(test)]
mod tests;
