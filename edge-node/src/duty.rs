//! What operators want of this node, as the control plane has told it: that it serves, or that it
//! drains. Kept on disk, so that a restart without a control plane does not put a drained node back
//! in service. Deliberately not here: what follows from it (readiness, leases, connections).

use shared::duty::Duty;
use shared::task::lock;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// This node's duty.
#[derive(Debug, Default)]
pub struct Standing {
    /// None in tests: nothing is kept.
    file: Option<PathBuf>,
    duty: Mutex<Duty>,
    draining: Arc<AtomicBool>,
}

impl Standing {
    /// What an earlier run was told last; that the node serves where it was told nothing.
    #[must_use]
    pub fn open(file: PathBuf) -> Arc<Self> {
        let duty = match read(&file) {
            Ok(duty) => duty.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "this node's duty can't be read; it serves");
                Duty::default()
            }
        };
        if duty.draining {
            tracing::warn!("an operator has drained this node before its start");
        }
        Arc::new(Self {
            file: Some(file),
            duty: Mutex::new(duty),
            draining: Arc::new(AtomicBool::new(duty.draining)),
        })
    }

    /// What it was told last.
    #[must_use]
    pub fn duty(&self) -> Duty {
        *lock(&self.duty)
    }

    /// True while an operator wants it drained.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The same for who looks at nothing else.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// Does what it is told from now on. A disk that can't keep that does not keep the node from it.
    pub async fn take(self: &Arc<Self>, duty: Duty) {
        *lock(&self.duty) = duty;
        self.draining.store(duty.draining, Ordering::Relaxed);
        let Some(file) = self.file.clone() else {
            return;
        };
        let written = tokio::task::spawn_blocking(move || write(&file, duty)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "this node's duty can't be kept on disk");
        }
    }
}

fn read(file: &Path) -> io::Result<Option<Duty>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(file: &Path, duty: Duty) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = file.with_extension("new");
    let mut new = File::create(&temporary)?;
    new.write_all(&serde_json::to_vec(&duty)?)?;
    new.sync_all()?;
    fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_node_was_told_holds_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data/duty.json");
        let standing = Standing::open(file.clone());
        assert_eq!(standing.duty(), Duty::default());
        let drained = Duty {
            number: 7,
            draining: true,
        };
        standing.take(drained).await;
        assert!(standing.is_draining());
        let again = Standing::open(file.clone());
        assert_eq!(again.duty(), drained);
        assert!(again.is_draining());
        let serving = Duty {
            number: 8,
            draining: false,
        };
        again.take(serving).await;
        assert_eq!(Standing::open(file.clone()).duty(), serving);
        fs::write(&file, b"{").unwrap();
        assert!(!Standing::open(file).is_draining());
    }
}
