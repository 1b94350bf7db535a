//! The log of money, so that a kill loses nothing that was settled and leaves each request in
//! flight as exactly one open intent.
//!
//! Format: a folder per boot epoch; in it segments `00000001.log`, `00000002.log`, …, and after a
//! recovery `recovered.log`. A file is [`MAGIC`], then records: payload length and CRC-32 of the
//! payload (u32 little-endian each), then the payload, a [`Record`] as JSON. Every segment begins
//! with a [`Record::Checkpoint`]: all that came before, folded, so that earlier segments are
//! needed only for ends that the ledger has not acknowledged. A record is one `write` call; fsync
//! follows within milliseconds, for all records of that time together.
//!
//! Deliberately not here: lease arithmetic ([`super::lease`]) and what is done after a crash
//! ([`super::recover`]).

pub(super) mod book;
pub(super) mod log;
pub(super) mod reader;

pub use book::Asked;
pub(super) use book::{Book, LeaseBook, OpenHold, Owed, Progress, ReturnedPart, Returning};
pub(super) use log::Log;
pub(super) use reader::{Position, Reader};

use serde::{Deserialize, Serialize};
use shared::id::{GenerationId, OrgId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::UsageRecord;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// First bytes of every file: name and version of the format.
pub(super) const MAGIC: &[u8; 8] = b"godwal1\n";
/// The part of [`MAGIC`] that all versions share.
const MAGIC_NAME: &[u8; 6] = b"godwal";
/// Longest payload; a checkpoint of 100,000 open holds stays below it. A longer length field is
/// damage.
pub(super) const RECORD_MAX: usize = 64 * 1024 * 1024;
/// Length and checksum before each payload.
pub(super) const HEAD: usize = 8;
/// First bytes of each payload.
const OPENING: &[u8] = b"{\"";
/// Name of the file that recovery adds to an old epoch's folder.
pub(super) const RECOVERED: &str = "recovered.log";

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// First in each segment: everything before it, folded.
    Checkpoint(Book),
    /// Money came in. `lease_id` is the ledger's key of it.
    Grant {
        lease_id: String,
        #[serde(rename = "org")]
        purse: Purse,
        amount: Amount,
        ttl_ms: u64,
        unix_ms: u64,
        /// Not leased ahead: for requests that waited for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        central: bool,
    },
    /// The ledger is asked for money under this id.
    Ask {
        lease_id: String,
        #[serde(rename = "org")]
        purse: Purse,
    },
    /// It gave nothing under it.
    Refused { lease_id: String },
    /// An expired lease that there was no room to return: the ledger keeps it for this run.
    Expire {
        #[serde(rename = "org")]
        purse: Purse,
        amount: Amount,
    },
    /// Unused money goes back. It is gone from here, but the ledger has to be told until it says
    /// that it knows.
    Return(Returning),
    /// The ledger knows of this return.
    Returned { release_id: String },
    /// The ledger answered: leases last from now.
    Contact { unix_ms: u64 },
    /// A hold begins.
    Intent(Arc<OpenHold>),
    /// A hold goes on: what is known of it.
    Mark {
        generation: GenerationId,
        progress: Progress,
    },
    /// A hold has ended.
    End(Arc<UsageRecord>),
    /// The ledger has all ends up to here.
    Ack { watermark: u64 },
    /// The ledger has answered a question about the balance of an organisation that had used some on
    /// credit.
    Heard { org: OrgId },
    /// Last in `recovered.log`: the file is whole.
    Recovered,
}

/// What stands at an offset of a file.
#[derive(Debug)]
pub(super) enum Scanned {
    /// A good record, and the offset after it.
    Good(Box<Record>, usize),
    /// Bytes that are no record.
    Bad,
    /// Nothing more, or a record that is cut off by the end of the bytes.
    End { torn: bool },
}

/// Appends `record` in its written form.
pub(super) fn encode(record: &Record, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    serde_json::to_writer(&mut *out, record)?;
    let payload = out.get(start + HEAD..).unwrap_or_default();
    let checksum = crc32fast::hash(payload);
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|length| *length as usize <= RECORD_MAX)
        .ok_or_else(|| io::Error::other("record too long"))?;
    if let Some(head) = out.get_mut(start..start + HEAD) {
        head.copy_from_slice(&[length.to_le_bytes(), checksum.to_le_bytes()].concat());
    }
    Ok(())
}

/// Reads what stands at `at`.
pub(super) fn scan(bytes: &[u8], at: usize) -> Scanned {
    match frame(bytes, at) {
        Frame::End { torn } => Scanned::End { torn },
        Frame::Whole { payload, good, end } if good => match serde_json::from_slice(payload) {
            Ok(record) => Scanned::Good(Box::new(record), end),
            Err(_) => Scanned::Bad,
        },
        Frame::Bad | Frame::Whole { .. } => Scanned::Bad,
    }
}

/// Where the next good record begins, at `from` or later. A length has bytes that JSON writes as
/// escapes, so that nothing inside a record looks like one.
pub(super) fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let payloads = bytes.get(from.checked_add(HEAD)?..)?;
    memchr::memmem::find_iter(payloads, OPENING)
        .map(|at| from + at)
        .find(|at| matches!(scan(bytes, *at), Scanned::Good(..)))
}

/// What a write that was cut off leaves: less than it said, or zeros. Anything else is damage.
pub(super) fn is_torn(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    matches!(frame(bytes, at), Frame::End { torn: true }) || rest.iter().all(|byte| *byte == 0)
}

enum Frame<'a> {
    Whole {
        payload: &'a [u8],
        good: bool,
        end: usize,
    },
    Bad,
    End {
        torn: bool,
    },
}

fn frame(bytes: &[u8], at: usize) -> Frame<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else {
        let torn = !rest.is_empty();
        return Frame::End { torn };
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
    if length == 0 || length > RECORD_MAX {
        return Frame::Bad;
    }
    let Some(payload) = rest.get(..length) else {
        return Frame::End { torn: true };
    };
    Frame::Whole {
        payload,
        good: crc32fast::hash(payload) == checksum,
        end: at + HEAD + length,
    }
}

/// Is this the beginning of a log? An error when a newer version wrote it: that must not be taken
/// for damage.
pub(super) fn check_magic(bytes: &[u8]) -> io::Result<bool> {
    if bytes.starts_with(MAGIC) {
        return Ok(true);
    }
    if bytes.len() >= MAGIC.len() && bytes.starts_with(MAGIC_NAME) && bytes.get(7) == Some(&b'\n') {
        let text = "written by another version of this program";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(false)
}

/// The path of segment `index` in `dir`.
pub(super) fn segment_path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:08}.log"))
}

/// The segments of a folder, ascending. A folder that is gone has none.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".log"));
        found.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes the names in a folder survive a power loss.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
pub(super) mod tests;
