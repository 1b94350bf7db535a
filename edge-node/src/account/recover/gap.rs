//! What damage took from the log of a run that goes on. Recovery's rules, but for what is still in
//! memory. Deliberately not here: telling the ledger.

use super::fill::{Ends, suspend};
use super::set_aside;
use crate::account::wal::book::OpenEntry;
use crate::account::wal::reader::Records;
use crate::account::wal::{Book, Position, Record};
use shared::id::{BootEpoch, GenerationId, NodeId};
use shared::record::UsageRecord;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Ends for the sequences `missing` in the log in `dir`, of which a later end is there: a suspense for
/// each request that has begun before that one, has no end there and is not `known` otherwise; for the
/// others a word that they are lost. The damaged segments are set aside.
pub(in crate::account) fn fill_gap(
    dir: &Path,
    (node, epoch): (&NodeId, BootEpoch),
    missing: Range<u64>,
    known: &HashSet<GenerationId>,
) -> io::Result<Vec<Arc<UsageRecord>>> {
    let mut records = Records::open(dir, Position::default())?;
    let mut open: HashMap<GenerationId, OpenEntry> = HashMap::new();
    let mut seen = None;
    // Places of damage before the end behind the gap, once that was read.
    let mut damage = None;
    while let Some((record, _)) = records.next()? {
        match record {
            Record::Intent(hold) if damage.is_none() => {
                let (generation, progress) = (hold.generation.clone(), None);
                open.insert(generation, OpenEntry { hold, progress });
            }
            Record::Mark {
                generation,
                progress,
            } => {
                if let Some(entry) = open.get_mut(&generation) {
                    entry.progress = Some(progress);
                }
            }
            Record::Checkpoint(book) if damage.is_none() => {
                for (generation, entry) in book.open {
                    open.entry(generation).or_insert(entry);
                }
            }
            Record::End(end) => {
                open.remove(&end.generation);
                if end.sequence >= missing.end && damage.is_none() {
                    damage = Some(records.damage.len());
                }
                seen = Some(end);
            }
            _ => {}
        }
    }
    // What is written meanwhile may look damaged for a moment.
    records.damage.truncate(damage.unwrap_or_default());
    set_aside(dir, epoch, &records)?;
    let mut ends = Ends::without(missing);
    let mut lost: Vec<_> = open
        .into_iter()
        .filter(|(generation, _)| !known.contains(generation))
        .collect();
    // An older one may have ended before, under a sequence that the ledger has.
    lost.sort_by_key(|(_, entry)| Reverse(entry.hold.started_unix_ms));
    lost.truncate(ends.missing_after(0));
    let mut book = Book::new(node.clone(), epoch);
    book.open.extend(lost);
    Ok(suspend(&book, &mut ends, seen.as_deref()))
}
