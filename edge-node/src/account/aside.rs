//! What is set aside for people to look at: segments with damage, and whole runs that the ledger
//! disowns. It is never read again and never removed; there is a bound, beyond which evidence is
//! not kept. Deliberately not here: what is concluded from damage ([`super::recover`]).

use super::wal::{segment_path, sync_dir};
use crate::metrics::{self, shed};
use ::metrics::{counter, gauge};
use shared::id::BootEpoch;
use std::io;
use std::path::{Path, PathBuf};

/// Where, in the folder of the logs.
pub(super) const FOLDER: &str = "quarantine";
/// Most entries that are kept.
pub(super) const KEPT_MAX: usize = 256;

/// Sets a damaged segment aside; the epoch's folder keeps it, too, for what is readable. True when
/// it was not there yet: then it is told.
pub(super) fn segment(dir: &Path, epoch: BootEpoch, segment: u64) -> io::Result<bool> {
    let Some(to) = place(dir, &format!("{}-{segment:08}.log", epoch.0))? else {
        return Ok(false);
    };
    let from = segment_path(dir, segment);
    match std::fs::hard_link(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // A file system without links.
        Err(_) => {
            std::fs::copy(&from, &to)?;
        }
    }
    keep(dir)?;
    Ok(true)
}

/// Moves the folder of a whole run there.
pub(super) fn epoch(dir: &Path) -> io::Result<()> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let Some(to) = place(dir, &name)? else {
        // No room: at least it must not look like a run any more.
        return std::fs::rename(dir, dir.with_extension("disowned"));
    };
    std::fs::rename(dir, to)?;
    if let Some(parent) = dir.parent() {
        sync_dir(parent)?;
    }
    keep(dir)
}

/// Shows how many entries the quarantine below `root` has.
pub(super) fn show(root: &Path) {
    let entries = std::fs::read_dir(root.join(FOLDER)).map_or(0, Iterator::count);
    #[expect(clippy::cast_precision_loss, reason = "at most 256")]
    gauge!(metrics::QUARANTINED).set(entries as f64);
}

/// Where an entry belongs; none when it is there or there is no room.
fn place(dir: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let Some(root) = dir.parent() else {
        return Ok(None);
    };
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let to = folder.join(name);
    if to.exists() {
        return Ok(None);
    }
    if std::fs::read_dir(&folder)?.count() >= KEPT_MAX {
        shed("quarantine");
        return Ok(None);
    }
    Ok(Some(to))
}

fn keep(dir: &Path) -> io::Result<()> {
    let Some(root) = dir.parent() else {
        return Ok(());
    };
    counter!(metrics::QUARANTINES).increment(1);
    show(root);
    sync_dir(&root.join(FOLDER))
}
