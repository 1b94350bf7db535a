//! Finds the programs to start: `GODWIT_BIN_DIR`, or the folder of this executable or of the one
//! above it (test executables stand in `deps`). Building them is the caller's business.

use super::ClusterError;
use std::path::{Path, PathBuf};

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The folder that holds the programs.
    ///
    /// # Errors
    /// None of the places holds `program`.
    pub fn find(program: &str) -> Result<Self, ClusterError> {
        let chosen = std::env::var_os("GODWIT_BIN_DIR").map(PathBuf::from);
        let own = std::env::current_exe().unwrap_or_default();
        let places: Vec<PathBuf> = match chosen {
            Some(folder) => vec![folder],
            None => own
                .ancestors()
                .skip(1)
                .take(2)
                .map(Path::to_owned)
                .collect(),
        };
        let holding = places.iter().find(|folder| folder.join(program).is_file());
        match holding {
            Some(folder) => Ok(Self {
                folder: folder.clone(),
            }),
            None => Err(ClusterError::Missing {
                program: program.to_owned(),
                folder: places.last().cloned().unwrap_or_default(),
            }),
        }
    }

    /// The program of that name.
    ///
    /// # Errors
    /// It is not there.
    pub fn path(&self, program: &str) -> Result<PathBuf, ClusterError> {
        let path = self.folder.join(program);
        if path.is_file() {
            return Ok(path);
        }
        Err(ClusterError::Missing {
            program: program.to_owned(),
            folder: self.folder.clone(),
        })
    }
}
