//! Folders of data: keys, logs and books lie in them, so nobody but their owner looks in. Called
//! at start, so the calls block.

use std::fs::{DirBuilder, metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Read, write and enter for the owner, nothing for anyone else.
const OWNER_ONLY: u32 = 0o700;
/// What others may do.
const OTHERS: u32 = 0o077;

/// Makes the folder and what it lies in, for its owner only. One that is there stays as it is.
///
/// # Errors
/// As the file system says.
pub fn make(path: &Path) -> io::Result<()> {
    let mut maker = DirBuilder::new();
    maker.recursive(true).mode(OWNER_ONLY).create(path)
}

/// The same, and warns when it was there and others may look in.
///
/// # Errors
/// As the file system says.
pub fn make_and_look(path: &Path) -> io::Result<()> {
    make(path)?;
    let mode = metadata(path)?.permissions().mode();
    if mode & OTHERS != 0 {
        let (folder, mode) = (path.display(), format!("{:o}", mode & 0o777));
        tracing::warn!(%folder, mode, "others may look into the data folder: chmod 700 it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_its_owners_and_an_old_one_stays() {
        let around = tempfile::tempdir().unwrap();
        let mode = |path: &Path| metadata(path).unwrap().permissions().mode() & 0o777;
        let (outer, inner) = (around.path().join("a"), around.path().join("a/b"));
        make_and_look(&inner).unwrap();
        assert_eq!((mode(&outer), mode(&inner)), (0o700, 0o700));
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&inner, open).unwrap();
        make_and_look(&inner).unwrap();
        assert_eq!(mode(&inner), 0o755);
        std::fs::write(around.path().join("file"), "").unwrap();
        assert!(make(&around.path().join("file")).is_err());
    }
}
