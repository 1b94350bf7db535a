//! Builder for black-box tests and tools: real child processes beside this executable, data in
//! temporary folders, port 0, addresses from the files that the programs write when they are
//! ready. It promises that no child outlives its owner; it knows the outside of the programs
//! (contract) and nothing of their inside.

mod catalogue;
mod fleet;
mod heard;
mod process;
mod programs;
pub mod scene;
mod standalone;

pub use catalogue::{CatalogSpec, EndpointSpec, ModelSpec, ProviderSpec};
pub use fleet::{EdgeNode, Fleet, FleetConfig};
pub use heard::Heard;
pub use process::{Process, Spawn};
pub use programs::Programs;
pub use standalone::{DEV_KEY, Standalone, StandaloneConfig};

use crate::client::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long a program may take until it is ready.
pub const READY_MAX: Duration = Duration::from_secs(30);
/// Between two looks at something that is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why a cluster does not run.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A program is not beside this executable.
    #[error(
        "{program} is not in {folder}: build it first (cargo build --release --workspace), or set \
         GODWIT_BIN_DIR"
    )]
    Missing {
        /// The program.
        program: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file or a process.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended instead of becoming ready, or did not become ready in time.
    #[error("{name} {what}; its output ends with:\n{log}")]
    NotReady {
        /// The process.
        name: String,
        /// What it did.
        what: String,
        /// The last of its output.
        log: String,
    },
    /// A command of the admin client failed.
    #[error("godwit admin {arguments}: {output}")]
    Admin {
        /// Its arguments.
        arguments: String,
        /// What it printed.
        output: String,
    },
}

impl ClusterError {
    fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// Where a program listens, by the names of `addresses.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<String, SocketAddr>);

impl Addresses {
    /// The address of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<SocketAddr> {
        self.0.get(name).copied()
    }

    /// `http://ADDRESS` of that name; empty when it is not there.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        let url = |addr| format!("http://{addr}");
        self.get(name).map(url).unwrap_or_default()
    }

    /// Reads the file; none while it is missing or half written. Values may be URLs.
    fn read(file: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let address = |value: &Value| -> Option<SocketAddr> {
            let text = value.as_str()?;
            let text = text.split_once("://").map_or(text, |(_, rest)| rest);
            text.trim_end_matches('/').parse().ok()
        };
        let members = value.as_object()?.iter();
        let addresses: BTreeMap<String, SocketAddr> = members
            .filter_map(|(name, value)| Some((name.clone(), address(value)?)))
            .collect();
        (!addresses.is_empty()).then_some(Self(addresses))
    }
}

/// Waits until the process has written its addresses.
async fn ready(process: &mut Process, file: &Path) -> Result<Addresses, ClusterError> {
    let deadline = Instant::now() + READY_MAX;
    loop {
        if let Some(addresses) = Addresses::read(file) {
            return Ok(addresses);
        }
        let what = match process.exited() {
            Some(status) => format!("ended with {status}"),
            None if Instant::now() >= deadline => format!("is not ready after {READY_MAX:?}"),
            None => {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
        };
        return Err(ClusterError::NotReady {
            name: process.name().to_owned(),
            what,
            log: process.log_tail(),
        });
    }
}

/// Waits until an edge has written its addresses and says that it is ready, or would be if no
/// operator had drained it.
async fn serving(process: &mut Process, file: &Path) -> Result<Addresses, ClusterError> {
    let addresses = ready(process, file).await?;
    let client = Client::new(&addresses.url("edge_admin"));
    let probe = || async {
        client
            .get("/readyz")
            .await
            .ok()
            .filter(|reply| reply.status == 200 || reply.text().contains("an operator"))
    };
    if eventually(READY_MAX, probe).await.is_some() {
        return Ok(addresses);
    }
    Err(ClusterError::NotReady {
        name: process.name().to_owned(),
        what: "does not get ready".to_owned(),
        log: process.log_tail(),
    })
}

/// Waits until `probe` gives something, at most `patience`.
pub async fn eventually<T, F, Fut>(patience: Duration, mut probe: F) -> Option<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe().await {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
