//! Secrets on disk: readable by their owner only, whole or not there. Callers run at start or in
//! a command line, so the calls block.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Read and write for the owner, nothing for anyone else.
const OWNER_ONLY: u32 = 0o600;
/// Readable by all.
const PUBLIC: u32 = 0o644;

/// Writes `contents` so that only the owner can read it, replacing what was there in one step.
///
/// # Errors
/// As the file system says.
pub fn write_secret(path: &Path, contents: &[u8]) -> io::Result<()> {
    write(path, contents, OWNER_ONLY)
}

/// Writes `contents` for all to read, replacing what was there in one step.
///
/// # Errors
/// As the file system says.
pub fn write_public(path: &Path, contents: &[u8]) -> io::Result<()> {
    write(path, contents, PUBLIC)
}

/// The file's text, or none when there is no such file.
///
/// # Errors
/// As the file system says, and when it is not UTF-8.
pub fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    // A left-over of a crash keeps its old mode when it is opened again: start from nothing.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_the_owners_even_when_it_replaces_a_public_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_public(&path, b"one").unwrap();
        assert_eq!(mode(), 0o644);
        write_secret(&path, b"two").unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(read_if_there(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(read_if_there(&folder.path().join("none")).unwrap(), None);
    }
}
