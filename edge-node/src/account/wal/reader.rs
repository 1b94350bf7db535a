//! Reads logs back: [`Records`] gives every good record of a folder in order, [`Reader`] the ends
//! in contiguous batches for the ledger. Both read in chunks, so that a long outage's log needs
//! no memory. Deliberately not here: what to conclude from what is missing.

use super::{MAGIC, Record, Scanned, check_magic, find, is_torn, scan, segment_path, segments};
use shared::record::UsageRecord;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read at once.
const CHUNK: u64 = 1024 * 1024;

/// A place between two records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(in crate::account) struct Position {
    /// The segment's number.
    pub(in crate::account) segment: u64,
    /// Bytes from its start.
    pub(in crate::account) offset: u64,
}

/// All good records of a folder, in order.
pub(in crate::account) struct Records {
    dir: PathBuf,
    waiting: VecDeque<u64>,
    current: Option<Current>,
    /// Where bytes were seen that were once a record.
    pub(in crate::account) damage: Vec<Position>,
    /// Where a segment ends in a record that was never written whole.
    pub(in crate::account) torn: Vec<Position>,
}

struct Current {
    segment: u64,
    file: File,
    /// Offset of `bytes` in the file.
    base: u64,
    bytes: Vec<u8>,
    at: usize,
}

/// Ends for the ledger, contiguous from the reader's next sequence.
#[derive(Debug, Default)]
pub(in crate::account) struct Batch {
    /// Ascending, contiguous.
    pub(in crate::account) records: Vec<Arc<UsageRecord>>,
    /// The place after each; none where they were not read.
    places: Vec<Position>,
    /// The sequences that are missing, when what follows is there.
    pub(in crate::account) gap: Option<Range<u64>>,
}

/// How much goes into a batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::account) struct BatchLimit {
    /// Records.
    pub(in crate::account) records: usize,
    /// Bytes of the log, about.
    pub(in crate::account) bytes: u64,
}

/// Reads one epoch's ends from where the ledger is.
#[derive(Clone)]
pub(in crate::account) struct Reader {
    dir: PathBuf,
    position: Position,
    next: u64,
    fills: BTreeMap<u64, Arc<UsageRecord>>,
}

impl Records {
    /// The records of `dir` from `from` on.
    pub(in crate::account) fn open(dir: &Path, from: Position) -> io::Result<Self> {
        let waiting: VecDeque<u64> = segments(dir)?
            .into_iter()
            .filter(|segment| *segment >= from.segment)
            .collect();
        let mut records = Self {
            dir: dir.to_owned(),
            waiting,
            current: None,
            damage: Vec::new(),
            torn: Vec::new(),
        };
        if records.waiting.front() == Some(&from.segment) {
            records.enter(from.offset)?;
        }
        Ok(records)
    }

    /// The next good record and the place after it. None at the end, which may move on later.
    pub(in crate::account) fn next(&mut self) -> io::Result<Option<(Record, Position)>> {
        loop {
            let Some(current) = &mut self.current else {
                if self.waiting.is_empty() {
                    return Ok(None);
                }
                self.enter(0)?;
                continue;
            };
            match scan(&current.bytes, current.at) {
                Scanned::Good(record, end) => {
                    current.at = end;
                    return Ok(Some((*record, current.place())));
                }
                // What looks cut off or damaged may only not be read yet.
                Scanned::End { .. } | Scanned::Bad if current.read_more()? => {}
                Scanned::End { torn: false } => {
                    if !self.leave() {
                        return Ok(None);
                    }
                }
                Scanned::End { torn: true } | Scanned::Bad => {
                    let place = current.place();
                    if let Some(next) = find(&current.bytes, current.at + 1) {
                        self.damage.push(place);
                        current.at = next;
                        continue;
                    }
                    if is_torn(&current.bytes, current.at) {
                        self.torn.push(place);
                    } else {
                        self.damage.push(place);
                    }
                    if !self.leave() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes to the next segment, if there is one.
    fn leave(&mut self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        self.current = None;
        true
    }

    fn enter(&mut self, offset: u64) -> io::Result<()> {
        let Some(segment) = self.waiting.pop_front() else {
            return Ok(());
        };
        let mut file = match File::open(segment_path(&self.dir, segment)) {
            Ok(file) => file,
            // Acknowledged and removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let start = MAGIC.len() as u64;
        if offset < start {
            let mut magic = Vec::new();
            (&mut file).take(start).read_to_end(&mut magic)?;
            if !check_magic(&magic)? {
                let place = Position { segment, offset: 0 };
                if (magic.len() as u64) < start {
                    // Killed while it was made. An empty one is nothing.
                    self.torn.extend((!magic.is_empty()).then_some(place));
                    return Ok(());
                }
                self.damage.push(place);
            }
        }
        let base = offset.max(start);
        file.seek(SeekFrom::Start(base))?;
        self.current = Some(Current {
            segment,
            file,
            base,
            bytes: Vec::new(),
            at: 0,
        });
        Ok(())
    }
}

impl Current {
    fn place(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.base + self.at as u64,
        }
    }

    fn read_more(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let more = (&mut self.file).take(CHUNK).read_to_end(&mut self.bytes)?;
        Ok(more > 0)
    }
}

impl Reader {
    /// A reader of the ends in `dir` from sequence `next` on. `fills` are ends that stand apart
    /// (in `recovered.log`).
    pub(in crate::account) fn new(
        dir: &Path,
        next: u64,
        fills: impl IntoIterator<Item = Arc<UsageRecord>>,
    ) -> Self {
        let mut reader = Self {
            dir: dir.to_owned(),
            position: Position::default(),
            next,
            fills: BTreeMap::new(),
        };
        reader.fill(fills);
        reader
    }

    /// The ledger has all up to `watermark`: what it has is not told again.
    pub(in crate::account) fn skip(&mut self, watermark: u64) {
        self.next = self.next.max(watermark.saturating_add(1));
        self.fills = self.fills.split_off(&self.next);
    }

    /// What is missing from the files is told like this.
    pub(in crate::account) fn fill(&mut self, fills: impl IntoIterator<Item = Arc<UsageRecord>>) {
        self.fills
            .extend(fills.into_iter().map(|end| (end.sequence, end)));
    }

    /// Those fills that the ledger has when it has all up to `watermark`.
    pub(in crate::account) fn filled(&self, watermark: u64) -> Vec<Arc<UsageRecord>> {
        let filled = self.fills.range(..=watermark);
        filled.map(|(_, end)| Arc::clone(end)).collect()
    }

    /// The next sequence that the ledger needs.
    pub(in crate::account) fn next(&self) -> u64 {
        self.next
    }

    /// The next batch, up to sequence `until`. The reader itself stays where it is.
    pub(in crate::account) fn read(&self, until: u64, limit: BatchLimit) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let mut expected = self.next;
        let mut place = self.position;
        let mut bytes = 0;
        let mut files = None;
        let mut ahead: Option<(Arc<UsageRecord>, Position)> = None;
        while expected <= until && batch.records.len() < limit.records && bytes < limit.bytes {
            if let Some(fill) = self.fills.get(&expected) {
                batch.push(Arc::clone(fill), place);
                expected += 1;
                continue;
            }
            if ahead.is_none() {
                let files = match &mut files {
                    Some(files) => files,
                    None => files.insert(Records::open(&self.dir, self.position)?),
                };
                ahead = next_end(files, expected)?;
            }
            match ahead.take() {
                Some((end, after)) if end.sequence == expected => {
                    bytes += if after.segment == place.segment {
                        after.offset.saturating_sub(place.offset)
                    } else {
                        after.offset
                    };
                    place = after;
                    batch.push(end, place);
                    expected += 1;
                }
                Some((later, _)) => {
                    batch.gap = Some(expected..later.sequence.min(until.saturating_add(1)));
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }

    /// The ledger has all up to `watermark`: moves on behind those of `batch` that it has.
    pub(in crate::account) fn advance(&mut self, batch: &Batch, watermark: u64) {
        let taken = batch.records.iter().zip(&batch.places);
        if let Some((_, place)) = taken
            .take_while(|(end, _)| end.sequence <= watermark)
            .last()
        {
            self.position = *place;
        }
        self.skip(watermark);
    }
}

impl Batch {
    /// Of contiguous ends that are still in memory.
    pub(super) fn of(records: Vec<Arc<UsageRecord>>) -> Self {
        Self {
            records,
            ..Self::default()
        }
    }

    fn push(&mut self, end: Arc<UsageRecord>, place: Position) {
        self.records.push(end);
        self.places.push(place);
    }
}

fn next_end(
    files: &mut Records,
    expected: u64,
) -> io::Result<Option<(Arc<UsageRecord>, Position)>> {
    while let Some((record, after)) = files.next()? {
        if let Record::End(end) = record
            && end.sequence >= expected
        {
            return Ok(Some((end, after)));
        }
    }
    Ok(None)
}
