//! The last good tables on disk, so that a node starts without a control plane. Each file is a
//! whole signed table: what was damaged does not verify and the one before is used. Writes are
//! atomic: temporary file, fsync, rename, fsync of the folder.

use prost::Message;
use shared::id::Version;
use shared::manifest::Manifest;
use shared::proto::discovery as wire;
use shared::snapshot::Snapshot;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Tables kept.
pub const KEPT: usize = 3;
/// Larger files are not ours.
const FILE_MAX: u64 = 256 << 20;
const EXTENSION: &str = "table";

/// A folder of tables.
pub struct Cache {
    folder: PathBuf,
}

/// A table as it is kept: a full update.
#[must_use]
pub fn image(manifest: &Manifest, snapshot: &Snapshot) -> Vec<u8> {
    let update = wire::AuthorityUpdate {
        manifest: Some(manifest.into()),
        base: None,
        upserts: snapshot
            .resources()
            .map(|resource| (&resource).into())
            .collect(),
        removals: Vec::new(),
    };
    update.encode_to_vec()
}

impl Cache {
    /// The tables in `folder`, which is made on the first write.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What is there and can be decoded, newest first.
    #[must_use]
    pub fn load(&self) -> Vec<(PathBuf, wire::AuthorityUpdate)> {
        let mut tables = Vec::new();
        for path in self.files().into_iter().rev() {
            let small = fs::metadata(&path).is_ok_and(|data| data.len() <= FILE_MAX);
            let bytes = if small { fs::read(&path).ok() } else { None };
            match bytes.map(|bytes| wire::AuthorityUpdate::decode(bytes.as_slice())) {
                Some(Ok(update)) => tables.push((path, update)),
                _ => tracing::warn!(path = %path.display(), "table on disk can't be read"),
            }
        }
        tables
    }

    /// Keeps a table and drops the oldest. A disk that can't take it is not the table's fault:
    /// the node goes on, and says so.
    pub async fn keep(&self, version: Version, image: Vec<u8>) {
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, version, &image)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(folder = %self.folder.display(), %error, "table can't be kept on disk");
        }
        for old in self.files().into_iter().rev().skip(KEPT) {
            let _ = fs::remove_file(old);
        }
    }

    /// Oldest first: names sort as versions do.
    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == EXTENSION)
            })
            .collect();
        files.sort();
        files
    }
}

fn write(folder: &Path, version: Version, image: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = format!("{:020}-{:020}.{EXTENSION}", version.epoch, version.number);
    let temporary = folder.join(format!("{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(image)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    File::open(folder)?.sync_all()
}
