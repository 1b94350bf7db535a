//! Where every dollar is. Double entry, append-only, in SQL: a posting's lines add up to zero, and
//! so do the accounts of each organisation. An edge spends from a lease, a slice of the balance
//! that was moved to one boot of one node; its usage records move the lease into usage, exactly
//! once each, whatever is sent twice, late or cut off in between. Prices and budgets are not here: an
//! amount arrives computed.

pub mod account;
pub mod activity;
pub mod balance;
mod bill;
mod byok;
mod funds;
pub mod journal;
mod lease;
mod limit;
mod opening;
mod read;
mod rollup;
pub mod service;
mod ship;
pub mod spent;
mod usage;
mod verify;
pub mod watermark;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod days;
#[cfg(test)]
mod model;
#[cfg(test)]
mod purse;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod windows;

use crate::metrics;
use crate::sql::{Database, DatabaseError};
use crate::store::Epoch;
use journal::Book;
use shared::clock::{Clock, Moment};
use shared::id::OrgId;
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::Origin;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

pub use bill::{Bill, BillLine, Billed, Place, Reconciled};
pub use byok::Allowance;
pub use funds::{FEE_PPM_MAX, Movement, PAYMENT, Terms};
use lease::Recalled;
pub use lease::{Grant, LeaseRequest, Need, Part, ReleaseRequest};
pub use limit::free_a_day;
pub use read::Totals;
pub use ship::Batch;
pub use verify::Verdict;

/// Most records in one batch.
pub const RECORDS_MAX: usize = 10_000;
/// How often a posting is tried that others' postings get in the way of.
pub const ATTEMPTS_MAX: u32 = 8;
/// How long the first further try waits; each later one twice as long.
const RETRY_AFTER: Duration = Duration::from_millis(4);
/// Longest id of an organisation, a lease or a release, in bytes.
pub const ID_LENGTH_MAX: usize = 128;

/// How long leases live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTimes {
    /// A lease without contact ends after this, on the edge. Counted here from the last contact,
    /// with a margin, so that it ends here later than there.
    pub ttl: Duration,
    /// The lease of a run ends after this without contact once a newer run of its node is known:
    /// what the old run has left to report comes before.
    pub replaced: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(2 * 3600),
            replaced: Duration::from_secs(600),
        }
    }
}

/// The ledger in a database.
pub struct Ledger {
    database: Database,
    clock: Clock,
    times: LeaseTimes,
    terms: Terms,
    /// When each run was last heard of, since this process started: a control plane that was away
    /// must not take leases for abandoned. Holds the newest run of each node and every run with a
    /// lease.
    contacts: Mutex<BTreeMap<Origin, Moment>>,
    /// Which purses' leases were recalled lately, and when.
    recalled: Mutex<BTreeMap<Purse, Recalled>>,
    /// The id of the last grant that the last sweep has looked at; empty: it was the last of all.
    pruned_to: Mutex<String>,
}

/// What went wrong with money.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Somebody with a later leadership has written: this process no longer leads.
    #[error("leadership {} is over: the ledger was written under a later one", .0.0)]
    Fenced(Epoch),
    /// The records don't continue where the last batch ended.
    #[error("expected the record {expected}, the batch starts with {found}")]
    Gap {
        /// The next sequence that can be applied.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// What was applied under this boot epoch is something else: two runs have used it.
    #[error("record {sequence} of this boot epoch was applied with another content")]
    EpochReused {
        /// The first record that differs.
        sequence: u64,
    },
    /// What an earlier run had was taken over by a run that this one does not come after: the machine
    /// is a copy, or was copied.
    #[error("the leases of boot epoch {epoch} were taken over by another run")]
    Copied {
        /// The earlier run.
        epoch: u64,
    },
    /// A newer run of this node exists.
    #[error("a newer run of this node exists, with boot epoch {newer}")]
    Replaced {
        /// Its boot epoch.
        newer: u64,
    },
    /// What is asked for is no window of a limit that there is now.
    #[error("there is no such limit, or it is not the time of this window")]
    NoLimit,
    /// The reference of a movement of money was used before, for another amount.
    #[error("this reference was used before for another amount: nothing has moved")]
    OtherAmount,
    /// A payment that another organisation was credited with.
    #[error("{0} was posted for another organisation before: nothing has moved")]
    OtherOrg(String),
    /// A value that can't be accepted.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A posting that would break the rules of the books. Nothing was written.
    #[error("refused posting: {0}")]
    Unsound(String),
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Ledger {
    /// The ledger in `database`, with the usual times.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(database: Database, clock: Clock) -> Result<Self, LedgerError> {
        Self::open_with(database, clock, LeaseTimes::default()).await
    }

    /// The ledger in `database`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_with(
        database: Database,
        clock: Clock,
        times: LeaseTimes,
    ) -> Result<Self, LedgerError> {
        let ledger = Self {
            database,
            clock,
            times,
            terms: Terms::default(),
            contacts: Mutex::default(),
            recalled: Mutex::default(),
            pruned_to: Mutex::default(),
        };
        // Everybody who holds a lease has until one whole time from now.
        let now = ledger.clock.now();
        for lease in ledger.leases().await? {
            ledger.touch(&lease.origin, now);
        }
        Ok(ledger)
    }

    /// The same with other terms for organisations with which nothing was agreed.
    #[must_use]
    pub fn with_terms(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    async fn book(&self, fence: Epoch, orgs: &BTreeSet<OrgId>) -> Result<Book, LedgerError> {
        Book::open(&self.database, fence, self.clock.unix_ms(), orgs).await
    }

    async fn book_of(&self, fence: Epoch, org: &OrgId) -> Result<Book, LedgerError> {
        self.book(fence, &BTreeSet::from([org.clone()])).await
    }

    /// Does `work`, and again while it fails only for having met others. Not after any other
    /// failure: whether that has left something is for the caller's next call to find out, under
    /// the same id.
    async fn retried<T, F>(&self, work: impl Fn() -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let mut wait = RETRY_AFTER;
        for _ in 1..ATTEMPTS_MAX {
            match work().await {
                Err(LedgerError::Database(error)) if error.is_conflict() => {
                    metrics::ledger_retry();
                    tracing::debug!(%error, "a posting met another and is tried again");
                }
                done => return done,
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        work().await
    }

    fn touch(&self, origin: &Origin, now: Moment) {
        let mut contacts = shared::task::lock(&self.contacts);
        contacts.insert(origin.clone(), now);
        // Whoever tells of an earlier run is the newest one, which lives.
        let run = |epoch| Origin {
            epoch: shared::id::BootEpoch(epoch),
            ..origin.clone()
        };
        if let Some((_, contact)) = contacts.range_mut(run(0)..=run(u64::MAX)).next_back() {
            *contact = now;
        }
    }
}

fn check_id(what: &'static str, id: &str) -> Result<(), LedgerError> {
    let visible = id.bytes().all(|b| b.is_ascii_graphic());
    if visible && (1..=ID_LENGTH_MAX).contains(&id.len()) {
        return Ok(());
    }
    Err(LedgerError::Invalid {
        what,
        reason: format!("not 1 to {ID_LENGTH_MAX} visible ASCII characters"),
    })
}

fn check_positive(what: &'static str, amount: Amount) -> Result<(), LedgerError> {
    if amount > Amount::ZERO && amount.to_nano().is_some() {
        return Ok(());
    }
    Err(LedgerError::Invalid {
        what,
        reason: format!("{amount} USD is not an amount above zero that can be kept"),
    })
}
