//! What earlier runs left behind, found at the start: ends that the ledger has not acknowledged,
//! intents without an end (each becomes exactly one suspense), and leases (which the new run
//! owns). Everything found here is a function of the files alone, so that a kill in the middle
//! changes nothing: the next start finds the same. Deliberately not here: shipping.

use super::wal::reader::Records;
use super::wal::{
    Book, LeaseBook, MAGIC, Position, RECOVERED, Record, Returning, Scanned, check_magic, encode,
    scan, segments, sync_dir,
};
use shared::id::{BootEpoch, NodeId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::{Outcome, UsageRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Missing sequences that are remembered per epoch; damage beyond it leaves the epoch unshipped.
pub(super) const GAPS_MAX: usize = 100_000;
/// Ending of a folder whose ends are all acknowledged and which is being removed.
const ACKED: &str = "acked";

/// An earlier run that still has something to say.
#[derive(Debug)]
pub(super) struct OldEpoch {
    /// Its number.
    pub(super) epoch: BootEpoch,
    /// Its folder.
    pub(super) dir: PathBuf,
    /// The first sequence that the ledger may not have.
    pub(super) first: u64,
    /// The last sequence.
    pub(super) last: u64,
    /// The suspense records that recovery made, ascending.
    pub(super) fills: Vec<Arc<UsageRecord>>,
    /// Bytes on disk.
    pub(super) bytes: u64,
}

/// Money that a new run takes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Inherited {
    /// What is left of it.
    pub(super) left: Amount,
    /// How long it lasts without contact.
    pub(super) ttl: Duration,
    /// How much of that has passed.
    pub(super) age: Duration,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Oldest first.
    pub(super) epochs: Vec<OldEpoch>,
    /// The largest epoch that was ever used here.
    pub(super) highest: BootEpoch,
    /// By purse.
    pub(super) leases: BTreeMap<Purse, Inherited>,
    /// Money on its way back that the ledger may not know of.
    pub(super) returning: Vec<Returning>,
    /// The epochs that leases and returns come from.
    pub(super) inherited: BTreeSet<BootEpoch>,
    /// Places of damage, all epochs together.
    pub(super) damage: usize,
}

/// Looks through the folder `root` of a node's logs and closes every earlier epoch. `unix_ms` is
/// now.
pub(super) fn recover(root: &Path, node: &NodeId, unix_ms: u64) -> io::Result<Found> {
    let mut found = Found::default();
    let mut books = Vec::new();
    for (epoch, dir) in old_folders(root)? {
        found.highest = found.highest.max(epoch);
        let closed = close_epoch(&dir, node, epoch)?;
        found.damage += closed.damage;
        books.push((epoch, closed.left, closed.inherited));
        found.epochs.push(closed.old);
    }
    let consumed: BTreeSet<BootEpoch> = books
        .iter()
        .flat_map(|(_, _, inherited)| inherited.iter().copied())
        .collect();
    for (epoch, left, _) in &books {
        found.inherited.insert(*epoch);
        if !consumed.contains(epoch) {
            left.carry_into(&mut found.leases, unix_ms);
            found.returning.extend(left.returning.iter().cloned());
        }
    }
    Ok(found)
}

/// Removes the folder of an epoch whose ends the ledger has. The rename comes first: half a
/// folder must never look like an epoch.
pub(super) fn remove_epoch(dir: &Path) -> io::Result<()> {
    let gone = dir.with_extension(ACKED);
    std::fs::rename(dir, &gone)?;
    if let Some(parent) = dir.parent() {
        sync_dir(parent)?;
    }
    std::fs::remove_dir_all(gone)
}

struct ClosedEpoch {
    old: OldEpoch,
    left: Left,
    inherited: BTreeSet<BootEpoch>,
    damage: usize,
}

/// What a run had when it ended.
struct Left {
    contact_unix_ms: u64,
    leases: BTreeMap<Purse, LeaseBook>,
    returning: Vec<Returning>,
}

impl Left {
    fn carry_into(&self, leases: &mut BTreeMap<Purse, Inherited>, unix_ms: u64) {
        let age_ms = unix_ms.saturating_sub(self.contact_unix_ms);
        let age = Duration::from_millis(age_ms);
        for (purse, lease) in &self.leases {
            // What was drawn from a window that is over matters to nobody here any more.
            if lease.left < Amount::ZERO && is_past(purse, unix_ms) {
                continue;
            }
            // A debt (more spent than granted) is carried whatever its age.
            if lease.left > Amount::ZERO && age_ms >= lease.ttl_ms {
                continue;
            }
            let ttl = Duration::from_millis(lease.ttl_ms);
            let sum = leases.entry(purse.clone()).or_insert(Inherited {
                left: Amount::ZERO,
                ttl,
                age,
            });
            sum.left += lease.left;
            if ttl.saturating_sub(age) < sum.ttl.saturating_sub(sum.age) {
                (sum.ttl, sum.age) = (ttl, age);
            }
        }
    }
}

/// Reads one epoch and gives each open intent its end.
fn close_epoch(dir: &Path, node: &NodeId, epoch: BootEpoch) -> io::Result<ClosedEpoch> {
    let mut ends = Ends::default();
    let mut book = Book::new(node.clone(), epoch);
    let mut lost = Vec::new();
    let mut records = Records::open(dir, Position::default())?;
    while let Some((record, _)) = records.next()? {
        match &record {
            Record::End(end) => ends.see(end.sequence),
            Record::Checkpoint(new) => {
                ends.start(new.next);
                // Ended, says the checkpoint, but the end was not seen: it was damaged.
                let open = book.open.drain().map(|(_, entry)| entry);
                lost.extend(open.filter(|e| !new.open.contains_key(&e.hold.generation)));
            }
            _ => {}
        }
        book.apply(&record);
    }
    let lost = lost.into_iter().map(|e| (e.hold.generation.clone(), e));
    book.open.extend(lost);
    let damage = records.damage.len();
    for place in &records.damage {
        tracing::warn!(epoch = epoch.0, ?place, "damage in a usage log");
    }
    let fills = match read_recovered(&dir.join(RECOVERED))? {
        Some(fills) => fills,
        None => {
            let fills = suspend(&book, &mut ends);
            if !fills.is_empty() {
                write_recovered(dir, &fills)?;
            }
            fills
        }
    };
    let last_fill = fills.last().map_or(0, |end| end.sequence);
    for fill in &fills {
        for (purse, charged) in fill.charges() {
            let lease = book.leases.entry(purse).or_default();
            lease.left -= charged;
        }
    }
    Ok(ClosedEpoch {
        left: Left {
            contact_unix_ms: book.contact_unix_ms,
            leases: book.leases,
            returning: book.returning,
        },
        inherited: book.inherited,
        damage,
        old: OldEpoch {
            epoch,
            dir: dir.to_owned(),
            first: book.watermark + 1,
            last: last_fill.max(ends.next.saturating_sub(1)),
            fills,
            bytes: folder_bytes(dir)?,
        },
    })
}

/// True of a window that has ended.
fn is_past(purse: &Purse, unix_ms: u64) -> bool {
    let window = purse.window.as_ref();
    let end = window.and_then(|window| window.interval.end(window.start));
    end.is_some_and(|end| end <= unix_ms / 1000)
}

/// Which sequences are in the log.
#[derive(Debug)]
struct Ends {
    next: u64,
    begun: bool,
    missing: BTreeSet<u64>,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            next: 1,
            begun: false,
            missing: BTreeSet::new(),
        }
    }
}

impl Ends {
    /// A checkpoint says that all below `next` were written: here, or in a removed segment when
    /// it is the first.
    fn start(&mut self, next: u64) {
        self.skip_to(next);
        self.begun = true;
    }

    fn see(&mut self, sequence: u64) {
        if sequence < self.next {
            self.missing.remove(&sequence);
            return;
        }
        self.skip_to(sequence);
        self.begun = true;
        self.next = sequence.saturating_add(1);
    }

    fn skip_to(&mut self, next: u64) {
        if self.begun {
            let room = GAPS_MAX.saturating_sub(self.missing.len());
            self.missing.extend((self.next..next).take(room));
        }
        self.next = self.next.max(next);
    }
}

/// One suspense per open intent. An end that was damaged left its intent open, so the missing
/// sequences are used first; they were never shipped, because only what was synced is.
fn suspend(book: &Book, ends: &mut Ends) -> Vec<Arc<UsageRecord>> {
    let mut fills = Vec::new();
    ends.next = ends.next.max(book.next);
    ends.missing.retain(|sequence| *sequence > book.watermark);
    for entry in book.open_in_order() {
        let progress = entry.progress.clone().unwrap_or_default();
        let mut end = entry.hold.end(progress, Outcome::Suspense);
        end.sequence = match ends.missing.pop_first() {
            Some(missing) => missing,
            None => {
                ends.next += 1;
                ends.next - 1
            }
        };
        fills.push(Arc::new(end));
    }
    fills.sort_by_key(|end| end.sequence);
    fills
}

/// The ends in `recovered.log`; none when it is missing or not whole, so that it is made again.
fn read_recovered(path: &Path) -> io::Result<Option<Vec<Arc<UsageRecord>>>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !check_magic(&bytes)? {
        return Ok(None);
    }
    let (mut at, mut fills) = (MAGIC.len(), Vec::new());
    while let Scanned::Good(record, end) = scan(&bytes, at) {
        match *record {
            Record::End(end) => fills.push(end),
            Record::Recovered => return Ok(Some(fills)),
            _ => {}
        }
        at = end;
    }
    Ok(None)
}

fn write_recovered(dir: &Path, fills: &[Arc<UsageRecord>]) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    for fill in fills {
        encode(&Record::End(Arc::clone(fill)), &mut bytes)?;
    }
    encode(&Record::Recovered, &mut bytes)?;
    let path = dir.join(RECOVERED);
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    // The segments may have been read from memory only: what recovery concluded from them must
    // not outlive them.
    for segment in segments(dir)? {
        File::open(super::wal::segment_path(dir, segment))?.sync_all()?;
    }
    std::fs::rename(&new, &path)?;
    sync_dir(dir)
}

fn old_folders(root: &Path) -> io::Result<Vec<(BootEpoch, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == ACKED) {
            std::fs::remove_dir_all(&path)?;
            continue;
        }
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        folders.extend(number.map(|number| (BootEpoch(number), path)));
    }
    folders.sort();
    Ok(folders)
}

fn folder_bytes(dir: &Path) -> io::Result<u64> {
    std::fs::read_dir(dir)?.try_fold(0, |sum, entry| Ok(sum + entry?.metadata()?.len()))
}

#[cfg(test)]
mod tests;
