//! The edges' logs as they lie on disk: which requests began, how far they were marked, how they
//! ended. Reads the format from its description (length, CRC-32, JSON) and nothing of the edge's
//! own code, so that both can't err together.

use serde_json::Value;
use shared::money::Amount;
use shared::record::UsageRecord;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

const MAGIC: &[u8] = b"godwal1\n";

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// By node and boot epoch.
    pub(super) runs: BTreeMap<(String, u64), Run>,
}

/// One run of one node.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// By sequence.
    pub(super) ends: BTreeMap<u64, UsageRecord>,
    /// What had not ended, by generation.
    pub(super) open: BTreeMap<String, Begun>,
}

/// A request that had begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) held: Amount,
    pub(super) marked: Amount,
}

impl Logs {
    /// Reads the logs of the node whose data folder this is. Runs that were read before must say
    /// the same, and may say more.
    ///
    /// # Errors
    /// The disk, or a log that is not one.
    pub(super) fn read(&mut self, data: &Path) -> Result<()> {
        let node = data.file_name().unwrap_or_default().to_string_lossy();
        for entry in std::fs::read_dir(data.join("wal"))? {
            let entry = entry?;
            let name = entry.file_name();
            let epoch = name.to_str().and_then(|name| name.parse().ok());
            let Some(epoch) = epoch else { continue };
            let run = self.runs.entry((node.to_string(), epoch)).or_default();
            run.read(&entry.path())?;
        }
        Ok(())
    }
}

impl Run {
    fn read(&mut self, folder: &Path) -> Result<()> {
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| stem.parse::<u64>().ok());
            segments.extend(number.map(|number| (number, path)));
        }
        segments.sort();
        if segments.first().is_some_and(|(number, _)| *number != 1) {
            return Err(Error::new(ErrorKind::NotFound, "the first segment is gone"));
        }
        self.open.clear();
        for (_, path) in segments {
            let bytes = std::fs::read(path)?;
            let mut rest = bytes.strip_prefix(MAGIC).unwrap_or_default();
            while let Some((record, after)) = next(rest) {
                self.apply(record)?;
                rest = after;
            }
        }
        Ok(())
    }

    fn apply(&mut self, mut record: Value) -> Result<()> {
        if let Some(intent) = record.get("intent") {
            let begun = Begun {
                held: amount(intent, "held")?,
                marked: Amount::ZERO,
            };
            self.open.insert(text(intent, "generation"), begun);
        } else if let Some(mark) = record.get("mark") {
            if let Some(begun) = self.open.get_mut(&text(mark, "generation")) {
                let progress = mark.get("progress").unwrap_or(&Value::Null);
                begun.marked = amount(progress, "cost")?;
            }
        } else if let Some(end) = record.get_mut("end") {
            let end: UsageRecord = serde_json::from_value(end.take())?;
            self.open.remove(end.generation.as_str());
            let sequence = end.sequence;
            let before = self.ends.insert(sequence, end);
            if before.is_some() && before.as_ref() != self.ends.get(&sequence) {
                let what = format!("record {sequence} was written twice, differently");
                return Err(Error::new(ErrorKind::InvalidData, what));
            }
        }
        Ok(())
    }
}

/// The first whole record, and what follows it.
fn next(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let payload = rest.get(..length)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*checksum) {
        return None;
    }
    Some((serde_json::from_slice(payload).ok()?, rest.get(length..)?))
}

fn amount(value: &Value, name: &str) -> Result<Amount> {
    let member = value.get(name).cloned().unwrap_or_default();
    Ok(serde_json::from_value(member)?)
}

fn text(value: &Value, name: &str) -> String {
    let member = value.get(name).and_then(Value::as_str);
    member.unwrap_or("").to_owned()
}
