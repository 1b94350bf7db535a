//! What earlier runs left behind, found at the start: ends that the ledger has not acknowledged,
//! intents without an end (each becomes exactly one suspense), and leases (which the new run
//! owns). Everything found here is a function of the files alone, so that a kill in the middle
//! changes nothing: the next start finds the same. Deliberately not here: shipping.

mod fill;
mod gap;

use super::aside;
use super::wal::reader::Records;
use super::wal::{
    Book, LeaseBook, MAGIC, Owed, Position, RECOVERED, Record, ReturnedPart, Returning, Scanned,
    check_magic, encode, scan, segments, sync_dir,
};
use crate::metrics;
use ::metrics::counter;
use fill::{Ends, suspend};
pub(super) use gap::fill_gap;
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::UsageRecord;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
    /// Something in it could not be read.
    pub(super) damaged: bool,
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
    /// It was reserved for requests one by one.
    pub(super) central: bool,
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
    /// What was used on credit and the ledger may not know of.
    pub(super) owed: BTreeMap<OrgId, Amount>,
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
            found.returning.extend(left.returning.iter().cloned());
            left.carry_into(&mut found, *epoch, unix_ms);
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
    asked: BTreeMap<String, Purse>,
    owed: BTreeMap<OrgId, Owed>,
}

impl Left {
    /// What is good still is the new run's; what is not goes back, as does what the ledger may have
    /// given without the run's hearing of it.
    fn carry_into(&self, found: &mut Found, epoch: BootEpoch, unix_ms: u64) {
        for (lease_id, purse) in &self.asked {
            found.returning.push(Returning {
                release_id: super::cashier::unheard(lease_id),
                epoch,
                purse: purse.clone(),
                amount: Amount::ZERO,
                part: ReturnedPart::Unheard(lease_id.clone()),
            });
        }
        for (org, owed) in &self.owed {
            *found.owed.entry(org.clone()).or_default() += owed.amount;
        }
        let age_ms = unix_ms.saturating_sub(self.contact_unix_ms);
        let age = Duration::from_millis(age_ms);
        for (purse, lease) in &self.leases {
            // What was drawn from a window that is over matters to nobody here any more.
            if lease.left < Amount::ZERO && is_past(purse, unix_ms) {
                continue;
            }
            // A debt (more spent than granted) is carried whatever its age.
            if lease.left > Amount::ZERO && age_ms >= lease.ttl_ms {
                found.returning.push(Returning {
                    release_id: format!("expired-{}-{purse}", epoch.0),
                    epoch,
                    purse: purse.clone(),
                    amount: lease.left,
                    part: ReturnedPart::Any,
                });
                continue;
            }
            let ttl = Duration::from_millis(lease.ttl_ms);
            let sum = found.leases.entry(purse.clone()).or_insert(Inherited {
                left: Amount::ZERO,
                ttl,
                age,
                central: false,
            });
            sum.left += lease.left;
            sum.central |= lease.central;
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
    let mut lost = HashMap::new();
    let mut records = Records::open(dir, Position::default())?;
    let mut seen = None;
    while let Some((record, _)) = records.next()? {
        match &record {
            Record::End(end) => {
                ends.see(end.sequence);
                // Not lost, but written while the log was down: it stands behind the checkpoint.
                lost.remove(&end.generation);
                seen = Some(Arc::clone(end));
            }
            Record::Checkpoint(new) => {
                ends.start(new.next);
                // Ended, says the checkpoint, but the end was not seen: it was damaged.
                let open = book.open.drain().map(|(_, entry)| entry);
                let open = open.filter(|e| !new.open.contains_key(&e.hold.generation));
                lost.extend(open.map(|e| (e.hold.generation.clone(), e)));
            }
            _ => {}
        }
        book.apply(&record);
    }
    // An end that the ledger has is not lost, whatever became of its record: only as many are as
    // sequences are missing, the newest.
    let mut lost: Vec<_> = lost.into_iter().collect();
    lost.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.hold.started_unix_ms));
    lost.truncate(ends.missing_after(book.watermark));
    book.open.extend(lost);
    tell(dir, epoch, &records)?;
    let damage = records.damage.len();
    let fills = match read_recovered(&dir.join(RECOVERED))? {
        Some(fills) => fills,
        None => {
            let fills = suspend(&book, &mut ends, seen.as_deref());
            if !fills.is_empty() {
                write_recovered(dir, &fills)?;
            }
            fills
        }
    };
    sync_segments(dir)?;
    let last_fill = fills.last().map_or(0, |end| end.sequence);
    for fill in &fills {
        for (purse, charged) in fill.charges() {
            let lease = book.leases.entry(purse).or_default();
            lease.left -= charged;
        }
        if fill.on_credit > Amount::ZERO {
            book.owed.entry(fill.org.clone()).or_default().amount += fill.on_credit;
        }
    }
    Ok(ClosedEpoch {
        left: Left {
            contact_unix_ms: book.contact_unix_ms,
            leases: book.leases,
            returning: book.returning,
            asked: book.asked,
            owed: book.owed,
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
            damaged: damage > 0,
        },
    })
}

/// True of a window that has ended.
fn is_past(purse: &Purse, unix_ms: u64) -> bool {
    let window = purse.window.as_ref();
    let end = window.and_then(|window| window.interval.end(window.start));
    end.is_some_and(|end| end <= unix_ms / 1000)
}

/// Cuts off what was never written whole, and sets aside what was and is not readable: told once.
fn tell(dir: &Path, epoch: BootEpoch, records: &Records) -> io::Result<()> {
    for place in &records.torn {
        let path = super::wal::segment_path(dir, place.segment);
        let file = File::options().write(true).open(path)?;
        file.set_len(place.offset)?;
        file.sync_all()?;
        counter!(metrics::LOG_TORN).increment(1);
        tracing::info!(
            epoch = epoch.0,
            ?place,
            "a usage log ended in half a record"
        );
    }
    set_aside(dir, epoch, records)
}

/// Sets aside each segment with damage: told once.
fn set_aside(dir: &Path, epoch: BootEpoch, records: &Records) -> io::Result<()> {
    let damaged: BTreeSet<u64> = records.damage.iter().map(|place| place.segment).collect();
    for segment in damaged {
        if !aside::segment(dir, epoch, segment)? {
            continue;
        }
        let places = records.damage.iter().filter(|at| at.segment == segment);
        let places: Vec<u64> = places.map(|at| at.offset).collect();
        counter!(metrics::LOG_DAMAGE).increment(places.len() as u64);
        tracing::error!(
            epoch = epoch.0,
            segment,
            ?places,
            "damage in a usage log: the segment is set aside, what is readable is used"
        );
    }
    Ok(())
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
    // What recovery concluded from the segments must not outlive them.
    sync_segments(dir)?;
    std::fs::rename(&new, &path)?;
    sync_dir(dir)
}

/// The segments may have been read from memory only; what is shipped must survive a power loss.
fn sync_segments(dir: &Path) -> io::Result<()> {
    for segment in segments(dir)? {
        File::open(super::wal::segment_path(dir, segment))?.sync_all()?;
    }
    Ok(())
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
