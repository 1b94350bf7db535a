//! The store of a control plane that runs alone: everything in memory, every change in SQLite
//! before it is seen. It promises that what was answered survives a crash and a power loss, that
//! revisions and epochs never repeat over restarts, and that a second process on the same file is
//! refused. The history for watches is in memory only: after a restart they list again.

mod disk;

use super::{
    Entry, Epoch, Event, HISTORY_EVENTS_MAX, Key, Leadership, Listing, Precondition, Prefix,
    Revision, Store, StoreError, VALUE_BYTES_MAX, Watch, WatchError,
};
use disk::Disk;
use futures::StreamExt;
use futures::stream;
use shared::task::lock;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};

/// How many changes one batch of a watch holds at most.
const BATCH_EVENTS_MAX: usize = 256;

/// The embedded store. Cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    memory: Mutex<Memory>,
    /// Writers take turns; readers look at the memory only.
    writer: tokio::sync::Mutex<Writer>,
    newest: watch::Sender<Revision>,
    leadership: Arc<Semaphore>,
}

struct Writer {
    disk: Disk,
    epoch: Epoch,
    /// A write was begun and its end not seen (its caller went away, or the disk failed): the
    /// memory may be behind and is read again before the next write.
    unsure: bool,
}

#[derive(Default)]
struct Memory {
    entries: BTreeMap<String, Entry>,
    revision: Revision,
    history: VecDeque<Event>,
    /// Changes after this one are all in `history`.
    compacted: Revision,
}

/// A change that was checked and not yet made.
struct Change {
    key: Key,
    value: Option<Vec<u8>>,
}

impl Embedded {
    /// Opens the store in `file`, which is made if it is not there.
    ///
    /// # Errors
    /// When the file can't be opened, is another program's, or another process has it open.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let mut disk = Disk::open(file).await?;
        let state = disk.load().await?;
        let memory = Memory {
            entries: state.entries,
            revision: state.revision,
            history: VecDeque::new(),
            compacted: state.revision,
        };
        let (newest, _) = watch::channel(memory.revision);
        let writer = Writer {
            disk,
            epoch: state.epoch,
            unsure: false,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                memory: Mutex::new(memory),
                writer: tokio::sync::Mutex::new(writer),
                newest,
                leadership: Arc::new(Semaphore::new(1)),
            }),
        })
    }

    async fn change(
        &self,
        key: &Key,
        value: Option<Vec<u8>>,
        precondition: Precondition,
        fence: Option<Epoch>,
    ) -> Result<Option<Revision>, StoreError> {
        let mut writer = self.shared.writer.lock().await;
        if writer.unsure {
            self.read_again(&mut writer).await?;
        }
        if let Some(carried) = fence.filter(|carried| *carried < writer.epoch) {
            let current = writer.epoch;
            return Err(StoreError::Fenced { carried, current });
        }
        let revision = {
            let memory = lock(&self.shared.memory);
            let found = memory.entries.get(&key.path()).map(|entry| entry.revision);
            check(key, found, precondition)?;
            if value.is_none() && found.is_none() {
                return Ok(None);
            }
            Revision(memory.revision.0 + 1)
        };
        writer.unsure = true;
        writer
            .disk
            .write(&key.path(), value.as_deref(), revision)
            .await?;
        lock(&self.shared.memory).apply(
            revision,
            Change {
                key: key.clone(),
                value,
            },
        );
        writer.unsure = false;
        self.shared.newest.send_replace(revision);
        Ok(Some(revision))
    }

    /// Brings the memory up to the disk after a write whose end was not seen. At most one change
    /// can be missing, since writers take turns.
    async fn read_again(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let state = writer.disk.load().await?;
        writer.epoch = state.epoch;
        {
            let mut memory = lock(&self.shared.memory);
            if state.revision > memory.revision {
                memory.entries = state.entries;
                memory.revision = state.revision;
                memory.history.clear();
                memory.compacted = state.revision;
            }
        }
        writer.unsure = false;
        self.shared.newest.send_replace(state.revision);
        Ok(())
    }
}

fn check(key: &Key, found: Option<Revision>, precondition: Precondition) -> Result<(), StoreError> {
    let holds = match precondition {
        Precondition::None => true,
        Precondition::DoesNotExist => found.is_none(),
        Precondition::MatchesVersion(expected) => found == Some(expected),
    };
    let key = key.clone();
    if holds {
        Ok(())
    } else {
        Err(StoreError::Conflict { key, found })
    }
}

impl Memory {
    fn apply(&mut self, revision: Revision, change: Change) {
        let Change { key, value } = change;
        match value.clone() {
            Some(value) => {
                let path = key.path();
                let key = key.clone();
                self.entries.insert(
                    path,
                    Entry {
                        key,
                        value,
                        revision,
                    },
                );
            }
            None => {
                self.entries.remove(&key.path());
            }
        }
        self.revision = revision;
        self.history.push_back(Event {
            revision,
            key,
            value,
        });
        while self.history.len() > HISTORY_EVENTS_MAX {
            if let Some(dropped) = self.history.pop_front() {
                self.compacted = dropped.revision;
            }
        }
    }

    /// The first changes under `prefix` after `after`, and up to where it has looked.
    fn since(&self, prefix: Prefix, after: Revision) -> Result<(Vec<Event>, Revision), WatchError> {
        if after < self.compacted {
            return Err(WatchError::Compacted(self.compacted));
        }
        let begin = self
            .history
            .partition_point(|event| event.revision <= after);
        let matching: Vec<Event> = self
            .history
            .range(begin..)
            .filter(|event| event.key.path().starts_with(prefix.path()))
            .take(BATCH_EVENTS_MAX)
            .cloned()
            .collect();
        let looked = match matching.last() {
            Some(last) if matching.len() == BATCH_EVENTS_MAX => last.revision,
            _ => self.revision,
        };
        Ok((matching, looked))
    }
}

/// Where a watch stands.
struct Cursor {
    shared: Arc<Shared>,
    newest: watch::Receiver<Revision>,
    prefix: Prefix,
    after: Revision,
    ended: bool,
}

impl Cursor {
    async fn next(mut self) -> Option<(Result<Vec<Event>, WatchError>, Self)> {
        while !self.ended {
            // Marked as seen before looking, so that no change falls between the two.
            self.newest.borrow_and_update();
            let found = lock(&self.shared.memory).since(self.prefix, self.after);
            match found {
                Err(error) => {
                    self.ended = true;
                    return Some((Err(error), self));
                }
                Ok((events, looked)) => {
                    self.after = looked;
                    if !events.is_empty() {
                        return Some((Ok(events), self));
                    }
                }
            }
            if self.newest.changed().await.is_err() {
                self.ended = true;
            }
        }
        None
    }
}

#[async_trait::async_trait]
impl Store for Embedded {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(lock(&self.shared.memory).entries.get(&key.path()).cloned())
    }

    async fn range(&self, prefix: Prefix) -> Result<Listing, StoreError> {
        let memory = lock(&self.shared.memory);
        let begin = prefix.path().to_owned();
        let entries = memory
            .entries
            .range(begin..)
            .take_while(|(path, _)| path.starts_with(prefix.path()))
            .map(|(_, entry)| entry.clone())
            .collect();
        Ok(Listing {
            entries,
            revision: memory.revision,
        })
    }

    async fn put(
        &self,
        key: &Key,
        value: Vec<u8>,
        precondition: Precondition,
        fence: Option<Epoch>,
    ) -> Result<Revision, StoreError> {
        if value.len() > VALUE_BYTES_MAX {
            let key = key.clone();
            let bytes = value.len();
            return Err(StoreError::TooLarge { key, bytes });
        }
        let revision = self.change(key, Some(value), precondition, fence).await?;
        Ok(revision.unwrap_or_default())
    }

    async fn delete(
        &self,
        key: &Key,
        precondition: Precondition,
        fence: Option<Epoch>,
    ) -> Result<Option<Revision>, StoreError> {
        self.change(key, None, precondition, fence).await
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> Watch {
        let cursor = Cursor {
            shared: Arc::clone(&self.shared),
            newest: self.shared.newest.subscribe(),
            prefix,
            after,
            ended: false,
        };
        stream::unfold(cursor, Cursor::next).boxed()
    }

    async fn campaign(&self, _candidate: &str) -> Result<Leadership, StoreError> {
        let permit = Arc::clone(&self.shared.leadership).acquire_owned().await;
        let permit = permit.map_err(|closed| StoreError::Unavailable(closed.to_string()))?;
        let mut writer = self.shared.writer.lock().await;
        let epoch = Epoch(writer.epoch.0 + 1);
        writer.disk.write_epoch(epoch).await?;
        writer.epoch = epoch;
        // Only this process can open the store: nobody else can take the leadership away.
        let (lasting, lost) = watch::channel(false);
        Ok(Leadership {
            epoch,
            lost,
            held: Box::new((permit, lasting)),
        })
    }
}

#[cfg(test)]
mod tests;
