//! The writer of this run's log: one `write` per record, group fsync, a new segment when one is
//! full or has failed. After any error the segment is left for good: what it may not have kept is
//! written again into the next. Deliberately not here: when to sync and reopen (the keeper task).

use super::reader::{Batch, BatchLimit};
use super::{Book, MAGIC, OpenHold, Progress, Record, encode, segment_path, sync_dir};
use crate::metrics;
use ::metrics::{counter, gauge};
use shared::id::{GenerationId, OrgId};
use shared::money::Amount;
use shared::record::UsageRecord;
use shared::task::lock;
use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A segment is left for a new one beyond this size, in bytes.
pub(in crate::account) const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// No new hold begins while the logs take more than this, in bytes: the ledger has been away for
/// millions of requests.
pub(in crate::account) const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Durable ends that are kept for the shipper; older ones it reads from the log.
pub(in crate::account) const FRESH_MAX: usize = 4096;

/// Why a hold can't begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::account) enum LogError {
    /// The log can't be written.
    Down,
    /// The log is at its size limit.
    Full,
}

/// This run's log.
pub(in crate::account) struct Log {
    dir: PathBuf,
    inner: Mutex<Inner>,
    /// One fsync at a time: who finds nothing to sync must not be ahead of who is at it.
    syncing: Mutex<()>,
    /// Wakes the keeper: bytes to sync, or a log to reopen.
    pub(in crate::account) wake: Notify,
}

struct Inner {
    book: Book,
    /// None: the log has failed.
    active: Option<Active>,
    last_index: u64,
    /// Segments that are written no more, oldest first.
    closed: VecDeque<Closed>,
    /// Ends since the last good fsync.
    undurable: VecDeque<Kept>,
    /// Ends after that, oldest first and contiguous: who ships soon, as nearly always, reads no
    /// file and parses nothing.
    fresh: VecDeque<Kept>,
    /// All ends up to here survive a power loss.
    durable: u64,
    /// Bytes in older epochs' folders.
    older_bytes: u64,
    buffer: Vec<u8>,
}

struct Kept {
    end: Arc<UsageRecord>,
    /// Bytes of the log, about.
    bytes: u64,
}

struct Active {
    index: u64,
    file: Arc<File>,
    bytes: u64,
    dirty: bool,
    /// Its checkpoint survives a power loss.
    head_durable: bool,
}

struct Closed {
    index: u64,
    bytes: u64,
    last_sequence: u64,
}

impl Log {
    /// Starts the log of a new epoch in `dir`, which is made. Everything in `book` is on disk,
    /// and will survive a power loss, when this returns.
    pub(in crate::account) fn create(dir: &Path, book: Book, older_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let log = Self {
            dir: dir.to_owned(),
            inner: Mutex::new(Inner {
                book,
                active: None,
                last_index: 0,
                closed: VecDeque::new(),
                undurable: VecDeque::new(),
                fresh: VecDeque::new(),
                durable: 0,
                older_bytes,
                buffer: Vec::new(),
            }),
            syncing: Mutex::default(),
            wake: Notify::new(),
        };
        log.roll()?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent)?;
        }
        Ok(log)
    }

    /// Where the segments are.
    pub(in crate::account) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Logs that a hold begins. One `write`, no fsync.
    pub(in crate::account) fn intent(&self, hold: &Arc<OpenHold>) -> Result<(), LogError> {
        let mut inner = lock(&self.inner);
        if inner.bytes() > LOG_BYTES_MAX {
            return Err(LogError::Full);
        }
        let record = Record::Intent(Arc::clone(hold));
        if !inner.write(&record) {
            self.wake.notify_one();
            return Err(LogError::Down);
        }
        inner.book.apply(&record);
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Logs progress of a hold. Lost when the log is down: the end will say it all.
    pub(in crate::account) fn mark(&self, generation: &GenerationId, progress: Progress) {
        let record = Record::Mark {
            generation: generation.clone(),
            progress,
        };
        let mut inner = lock(&self.inner);
        if inner.write(&record) {
            inner.book.apply(&record);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// Logs a hold's end under the next sequence. When the log is down the end is kept in memory
    /// and written into the next segment; there are never more of them than there were holds.
    pub(in crate::account) fn end(&self, mut end: UsageRecord) {
        let mut inner = lock(&self.inner);
        end.sequence = inner.book.next;
        let end = Arc::new(end);
        let record = Record::End(Arc::clone(&end));
        inner.write(&record);
        inner.book.apply(&record);
        let bytes = inner.buffer.len() as u64;
        inner.undurable.push_back(Kept { end, bytes });
        drop(inner);
        self.wake.notify_one();
    }

    /// Logs what the ledger said. It is in the book even when the log is down, hence in the next
    /// segment's checkpoint.
    pub(in crate::account) fn note(&self, record: &Record) {
        let mut inner = lock(&self.inner);
        inner.write(record);
        inner.book.apply(record);
        drop(inner);
        self.wake.notify_one();
    }

    /// Reads the book.
    pub(in crate::account) fn with_book<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&lock(&self.inner).book)
    }

    /// What was used on credit and does not count any more, since this was asked last.
    pub(in crate::account) fn forgiven(&self) -> Vec<(OrgId, Amount)> {
        std::mem::take(&mut lock(&self.inner).book.forgiven)
    }

    /// The next batch from sequence `next` on, where it is still in memory.
    pub(in crate::account) fn fresh(&self, next: u64, limit: BatchLimit) -> Option<Batch> {
        let inner = lock(&self.inner);
        let first = inner.fresh.front()?.end.sequence;
        let skipped = usize::try_from(next.checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let all = inner.fresh.iter().skip(skipped).take(limit.records);
        let all = all.take_while(|kept| {
            let room = bytes < limit.bytes;
            bytes += kept.bytes;
            room
        });
        let records: Vec<_> = all.map(|kept| Arc::clone(&kept.end)).collect();
        (!records.is_empty()).then(|| Batch::of(records))
    }

    /// The requests of which memory knows what became: they are in flight, or have ended lately.
    pub(in crate::account) fn remembered(&self) -> HashSet<GenerationId> {
        let inner = lock(&self.inner);
        let open = inner.book.open.keys();
        let ended = inner.fresh.iter().chain(&inner.undurable);
        let ended = ended.map(|kept| &kept.end.generation);
        open.chain(ended).cloned().collect()
    }

    /// All ends up to this sequence survive a power loss.
    pub(in crate::account) fn durable(&self) -> u64 {
        lock(&self.inner).durable
    }

    /// True when the log is down and [`Log::roll`] should be tried.
    pub(in crate::account) fn is_down(&self) -> bool {
        lock(&self.inner).active.is_none()
    }

    /// True when the segment is full and [`Log::roll`] is due.
    pub(in crate::account) fn is_full(&self) -> bool {
        let inner = lock(&self.inner);
        inner
            .active
            .as_ref()
            .is_some_and(|active| active.bytes >= SEGMENT_BYTES)
    }

    /// One fsync for all that was written before. An error fails the log: a later fsync of the
    /// same file could report success for pages that were dropped.
    pub(in crate::account) fn sync(&self) -> io::Result<()> {
        let _one = lock(&self.syncing);
        let Some((file, index, last)) = lock(&self.inner).begin_sync() else {
            return Ok(());
        };
        let synced = file.sync_data();
        let mut inner = lock(&self.inner);
        match synced {
            Ok(()) => {
                inner.synced(index, last);
                Ok(())
            }
            Err(error) => {
                failed("fsync");
                inner.fail(index);
                Err(error)
            }
        }
    }

    /// Starts a new segment: checkpoint, then the ends that may not have reached the disk.
    pub(in crate::account) fn roll(&self) -> io::Result<()> {
        // What can be made durable before the switch needs not be repeated after it.
        let _ = self.sync();
        let switched = lock(&self.inner).switch(&self.dir);
        switched.inspect_err(|_| failed("segment"))?;
        self.sync()?;
        sync_dir(&self.dir)?;
        gauge!(metrics::LOG_DOWN).set(0.0);
        Ok(())
    }

    /// The ledger has all ends up to `watermark`: removes segments that nobody needs any more.
    pub(in crate::account) fn acknowledge(&self, watermark: u64) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        if watermark > inner.book.watermark {
            let record = Record::Ack { watermark };
            inner.write(&record);
            inner.book.apply(&record);
        }
        let shipped = |kept: &Kept| kept.end.sequence <= watermark;
        while inner.fresh.front().is_some_and(shipped) {
            inner.fresh.pop_front();
        }
        let head_durable = inner.active.as_ref().is_some_and(|a| a.head_durable);
        let mut gone = Vec::new();
        while head_durable
            && inner
                .closed
                .front()
                .is_some_and(|closed| closed.last_sequence <= watermark)
        {
            gone.extend(inner.closed.pop_front());
        }
        drop(inner);
        self.wake.notify_one();
        for closed in gone {
            std::fs::remove_file(segment_path(&self.dir, closed.index))?;
        }
        Ok(())
    }

    /// Older epochs' folders now take this many bytes.
    pub(in crate::account) fn set_older_bytes(&self, bytes: u64) {
        lock(&self.inner).older_bytes = bytes;
    }

    /// Writes to another file from now on, such as `/dev/full`.
    #[cfg(test)]
    pub(in crate::account) fn redirect(&self, path: &Path) {
        let file = OpenOptions::new().append(true).open(path).unwrap();
        if let Some(active) = &mut lock(&self.inner).active {
            active.file = Arc::new(file);
        }
    }

    /// Makes every write fail until the next roll.
    #[cfg(test)]
    pub(in crate::account) fn break_down(&self) {
        lock(&self.inner).close_active();
    }
}

fn failed(what: &'static str) {
    counter!(metrics::LOG_FAILURES, "what" => what).increment(1);
    gauge!(metrics::LOG_DOWN).set(1.0);
}

impl Inner {
    fn bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, |active| active.bytes);
        let closed: u64 = self.closed.iter().map(|closed| closed.bytes).sum();
        active + closed + self.older_bytes
    }

    /// One `write` call; a short one counts as failed.
    fn write(&mut self, record: &Record) -> bool {
        let Some(active) = &mut self.active else {
            return false;
        };
        self.buffer.clear();
        let written = encode(record, &mut self.buffer)
            .and_then(|()| (&*active.file).write(&self.buffer))
            .and_then(|length| {
                if length == self.buffer.len() {
                    Ok(length)
                } else {
                    Err(io::ErrorKind::WriteZero.into())
                }
            });
        match written {
            Ok(length) => {
                active.bytes += length as u64;
                active.dirty = true;
                true
            }
            Err(error) => {
                failed("write");
                tracing::error!(%error, "usage log can't be written; no new holds");
                // Best effort: no half record before the next segment.
                let _ = active.file.set_len(active.bytes);
                let index = active.index;
                self.fail(index);
                false
            }
        }
    }

    fn begin_sync(&mut self) -> Option<(Arc<File>, u64, u64)> {
        let last = self.book.next.saturating_sub(1);
        let active = self.active.as_mut().filter(|active| active.dirty)?;
        active.dirty = false;
        Some((Arc::clone(&active.file), active.index, last))
    }

    fn synced(&mut self, index: u64, last: u64) {
        let current = self.active.as_mut().filter(|active| active.index == index);
        // A segment that was left meanwhile: its ends were repeated in the next.
        let Some(active) = current else { return };
        active.head_durable = true;
        self.durable = self.durable.max(last);
        let durable = self.durable;
        while self
            .undurable
            .front()
            .is_some_and(|kept| kept.end.sequence <= durable)
        {
            self.fresh.extend(self.undurable.pop_front());
        }
        let surplus = self.fresh.len().saturating_sub(FRESH_MAX);
        self.fresh.drain(..surplus);
    }

    fn fail(&mut self, index: u64) {
        if self.active.as_ref().is_some_and(|a| a.index == index) {
            self.close_active();
        }
    }

    fn close_active(&mut self) {
        if let Some(active) = self.active.take() {
            self.closed.push_back(Closed {
                index: active.index,
                bytes: active.bytes,
                last_sequence: self.book.next.saturating_sub(1),
            });
        }
    }

    fn switch(&mut self, dir: &Path) -> io::Result<()> {
        let index = self.last_index + 1;
        // A file of a try that failed is left as it is; its name is not used again.
        self.last_index = index;
        let mut bytes = MAGIC.to_vec();
        encode(&Record::Checkpoint(self.book.clone()), &mut bytes)?;
        for kept in &self.undurable {
            encode(&Record::End(Arc::clone(&kept.end)), &mut bytes)?;
        }
        let path = segment_path(dir, index);
        let mut file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)?;
        if let Err(error) = file.write_all(&bytes) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        self.close_active();
        self.active = Some(Active {
            index,
            file: Arc::new(file),
            bytes: bytes.len() as u64,
            dirty: true,
            head_durable: false,
        });
        Ok(())
    }
}
