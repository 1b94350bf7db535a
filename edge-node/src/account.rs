//! Money on the edge: every request holds a part of its organisation's lease and ends it exactly
//! once, by [`Hold::settle`] or by drop. The log makes that survive kill -9; the ledger at the
//! control plane gets each end exactly once. Deliberately not here: prices, and who may spend.

mod allowance;
mod aside;
mod cashier;
mod desk;
mod hold;
mod lease;
mod recover;
mod refuse;
mod rehearsal;
mod ship;
mod show;
mod tell;
mod topup;
mod wal;
mod want;

pub use hold::{Hold, Intent, Receipt, Trail};
pub use refuse::{BYOK_FEE, FREE_LIMIT, LIMITS_CHANGED, available};
pub use rehearsal::{Admitted, Rehearsal};
pub use wal::Asked;

use crate::control::ControlClient;
use crate::failure::{Failure, Fault};
use crate::metrics::shed;
use crate::timers::Timers;
use cashier::{Cashier, Post};
use desk::May;
use lease::Now;
use recover::{Found, recover};
use shared::clock::Clock;
use shared::id::{BootEpoch, LimitId, NodeId, OrgId};
use shared::limit::{Purse, Scope};
use shared::money::Amount;
use shared::policy::Principal;
use shared::task::Tasks;
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use wal::log::LogError;
use wal::{Book, LeaseBook, Log, OpenHold, Owed, Returning};
use want::{Wants, Worst};

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
    cashier: Cashier,
    clock: Clock,
    timers: Timers,
    control: Option<Arc<ControlClient>>,
    tasks: Tasks,
    older_records: AtomicU64,
    taking_over: tokio::sync::Mutex<()>,
    /// True when the ledger has other records of this run: two machines are one node, or this one
    /// is a copy.
    disowned: AtomicBool,
    /// The node is drained: nothing is leased for longer than it is used.
    draining: AtomicBool,
    /// Wakes the sweep: money goes back.
    left: Notify,
    /// True when the last record is written.
    finished: watch::Sender<bool>,
    /// Keeps other processes out of the folder.
    _lock: File,
}

impl Accounts {
    /// Recovers what earlier runs left in the folder, then starts this run's log. Background work
    /// (fsync, shipping, refills) runs in `tasks`; when they are asked to stop it goes on until
    /// the last hold has ended, ships the rest and gives unused leases back.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub async fn open(
        config: AccountConfig,
        control: Option<Arc<ControlClient>>,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, OpenError> {
        let dir = config.dir.clone();
        let (node, wall) = (config.node.clone(), clock.clone());
        let opened = tokio::task::spawn_blocking(move || open_log(&dir, &node, &wall)).await;
        let (lock, found, log) = opened
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
            .map_err(|error| error.at(&config.dir))?;
        let post = Post {
            node: config.node,
            refused_for: config.timers.topup_refused,
            contact_logged: config.timers.contact_logged,
        };
        let random = fastrand::Rng::new();
        let accounts = Arc::new(Self {
            cashier: Cashier::open(post, log, &found, clock.now(), random),
            timers: config.timers,
            clock,
            control,
            tasks: tasks.clone(),
            older_records: AtomicU64::new(0),
            taking_over: tokio::sync::Mutex::default(),
            disowned: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            left: Notify::new(),
            finished: watch::channel(false).0,
            _lock: lock,
        });
        tell_found(&found);
        let shipper = ship::Shipper::new(Arc::clone(&accounts), found.epochs);
        tasks.spawn("usage shipping", shipper.run(tasks.stop_signal()));
        tasks.spawn("usage log", keep_log(Arc::clone(&accounts)));
        tasks.spawn("lease sweep", sweep(Arc::clone(&accounts)));
        Ok(accounts)
    }

    /// This run's number, larger than any before in the folder.
    #[must_use]
    pub fn epoch(&self) -> BootEpoch {
        self.cashier.epoch()
    }

    /// Sets money aside for one request and logs the intent. Waits for the ledger only when the
    /// lease is short, and never beyond the top-up deadline.
    ///
    /// # Errors
    /// 402 when the organisation can't pay, 503 when that can't be known or can't be logged.
    pub async fn hold(
        self: &Arc<Self>,
        principal: &Principal,
        intent: Intent,
    ) -> Result<Hold, Failure> {
        if self.disowned.load(Ordering::Relaxed) {
            let text = "billing is not available on this node; try another";
            return Err(refuse::billing_unavailable(Fault::Gateway, text));
        }
        let deadline = Instant::now() + self.timers.topup;
        let policy = &principal.policy;
        let worst = Worst {
            shared: intent.shared.map(Amount::at_least_zero),
            own: intent.own.at_least_zero(),
            free: intent.free,
            fee_ppm: policy.spend_fee_ppm,
            own_fee_ppm: policy.byok_fee_ppm,
            own_free: Amount::ZERO,
            useful: intent.useful,
        };
        let unix_s = intent.started_unix_ms / 1000;
        let allowance = self.allowance(principal, &worst, unix_s).await;
        let fee_free = allowance.free();
        let worst = Worst {
            own_free: fee_free,
            ..worst
        };
        let ceiling = worst.shared.unwrap_or_default().max(worst.own);
        let least = intent.least.max(Amount(1)).min(ceiling);
        let wants = Wants::of(principal, worst, unix_s);
        let may = May {
            ask: true,
            credit: policy.outage_credit,
        };
        let most = (ceiling, least);
        let set = self.reserve(wants.all(), most, may, deadline).await;
        let (amount, credit) =
            set.map_err(|unset| unset.told(principal, &worst, self.clock.unix_s()))?;
        let wants = wants.with(allowance.take());
        let open = Arc::new(OpenHold {
            generation: intent.generation,
            org: principal.org.clone(),
            key: principal.key,
            held: wants.held(amount),
            api: intent.api.to_owned(),
            requested_model: intent.requested_model,
            price_version: intent.price_version,
            streamed: intent.streamed,
            started_unix_ms: intent.started_unix_ms,
            windows: wants.windows(),
            own_windows: wants.own_windows(),
            fee_ppm: worst.fee_ppm,
            own_fee_ppm: worst.own_fee_ppm,
            flags: intent.flags,
            first: intent.first,
            credit,
            fee_free,
            particulars: intent.particulars,
        });
        let parts = (wants.all(), amount);
        if let Err(error) = self.cashier.begin(&open, parts, self.clock.now()) {
            let text = match error {
                LogError::Down => "billing is not available on this node now; try again",
                LogError::Full => {
                    shed("usage_log_bytes");
                    "this node holds too much unsettled usage; try again"
                }
            };
            return Err(refuse::billing_unavailable(Fault::Gateway, text));
        }
        Ok(Hold::new(Arc::clone(self), open, (wants, amount)))
    }

    /// What is leased of a purse and not held by a request goes back, and each request is reserved from
    /// now on, until the ledger says otherwise.
    pub fn recall(&self, purse: &Purse) {
        if self.control.is_some() {
            self.cashier.recall(purse);
            self.left.notify_one();
        }
    }

    /// Something has changed about these organisations and keys, their limits maybe, or about `all`:
    /// what is leased of windows of their limits goes back, so that a lower limit binds what was
    /// leased of the one before.
    pub fn limits_changed(&self, orgs: &BTreeSet<OrgId>, keys: &BTreeSet<LimitId>, all: bool) {
        if self.control.is_none() || !all && orgs.is_empty() && keys.is_empty() {
            return;
        }
        self.cashier.recall_windows(|purse, window| {
            let own = window.scope == Scope::Key && keys.contains(&window.id);
            all || own || orgs.contains(&purse.org)
        });
        self.left.notify_one();
    }

    /// While this node drains, leases go back as soon as no request uses them; what still arrives is
    /// leased for anew.
    pub fn drain(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// What is left of all leases for new holds.
    #[must_use]
    pub fn available(&self) -> Amount {
        let time = self.cashier.time(self.clock.now());
        self.cashier.desk.available(time)
    }

    /// Usage records that the ledger has not acknowledged.
    #[must_use]
    pub fn outbox_records(&self) -> u64 {
        let current = self.cashier.log.with_book(Book::unacknowledged);
        current + self.older_records.load(Ordering::Relaxed)
    }

    fn now(&self) -> Now {
        Now {
            moment: self.clock.now(),
            unix_ms: self.clock.unix_ms(),
        }
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("node", self.cashier.node())
            .field("epoch", &self.cashier.epoch())
            .finish_non_exhaustive()
    }
}

fn tell_found(found: &Found) {
    let suspended: usize = found.epochs.iter().map(|old| old.fills.len()).sum();
    let (epochs, leases) = (found.epochs.len(), found.leases.len());
    if epochs > 0 {
        let damage = found.damage;
        tracing::info!(epochs, leases, suspended, damage, "took over earlier runs");
    }
}

enum LogOpenError {
    Locked,
    Io(std::io::Error),
}

impl From<std::io::Error> for LogOpenError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl LogOpenError {
    fn at(self, dir: &Path) -> OpenError {
        match self {
            Self::Locked => OpenError::Locked(dir.to_owned()),
            Self::Io(error) => OpenError::Io(dir.to_owned(), error),
        }
    }
}

fn open_log(dir: &Path, node: &NodeId, clock: &Clock) -> Result<(File, Found, Log), LogOpenError> {
    std::fs::create_dir_all(dir)?;
    let lock = File::create(dir.join("LOCK"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LogOpenError::Locked),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    aside::show(dir);
    let found = recover(dir, node, clock.unix_ms())?;
    let epoch = BootEpoch(clock.unix_ms().max(found.highest.0.saturating_add(1)));
    let mut book = Book::new(node.clone(), epoch);
    book.inherited.clone_from(&found.inherited);
    // What earlier runs had is this run's once the ledger knows that it has taken over.
    let of_this = |returning: &Returning| Returning {
        epoch,
        ..returning.clone()
    };
    book.returning = found.returning.iter().map(of_this).collect();
    for (purse, lease) in &found.leases {
        let ttl_ms = u64::try_from(lease.ttl.as_millis()).unwrap_or(u64::MAX);
        let here = LeaseBook {
            left: lease.left,
            ttl_ms,
            central: lease.central,
        };
        book.leases.insert(purse.clone(), here);
    }
    // Earlier runs' ends are told before this run's first.
    let owed = |(org, amount): (&OrgId, &Amount)| {
        let amount = *amount;
        let owed = Owed {
            amount,
            last: 1,
            heard: false,
        };
        (org.clone(), owed)
    };
    book.owed = found.owed.iter().map(owed).collect();
    // The youngest contact that any of these leases had: none of them lives longer for it.
    let age = found.leases.values().map(|lease| lease.age).max();
    let age = age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    book.contact_unix_ms = clock.unix_ms().saturating_sub(age);
    let older_bytes = found.epochs.iter().map(|old| old.bytes).sum();
    let log = Log::create(&dir.join(epoch.0.to_string()), book, older_bytes)?;
    Ok((lock, found, log))
}

/// Syncs what was written, within milliseconds; starts the next segment; reopens a failed log.
async fn keep_log(accounts: Arc<Accounts>) {
    let mut finished = accounts.finished.subscribe();
    loop {
        tokio::select! {
            () = accounts.cashier.log.wake.notified() => {}
            _ = finished.wait_for(|finished| *finished) => break,
        }
        let wait = if accounts.cashier.log.is_down() {
            accounts.timers.wal_reopen
        } else {
            accounts.timers.wal_sync
        };
        tokio::time::sleep(wait).await;
        let log = Arc::clone(&accounts.cashier.log);
        let kept = tokio::task::spawn_blocking(move || keep_once(&log)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(%error, "usage log is down; no new holds");
        }
        if accounts.cashier.log.is_down() {
            accounts.cashier.log.wake.notify_one();
        }
    }
}

fn keep_once(log: &Log) -> std::io::Result<()> {
    if log.is_down() {
        log.roll()?;
        tracing::warn!("usage log is up again in a new segment");
        return Ok(());
    }
    log.sync()?;
    if log.is_full() {
        log.roll()?;
    }
    Ok(())
}

async fn sweep(accounts: Arc<Accounts>) {
    let mut finished = accounts.finished.subscribe();
    let mut every = tokio::time::interval(accounts.timers.lease_sweep);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let all = tokio::select! {
            _ = every.tick() => true,
            () = accounts.left.notified() => false,
            _ = finished.wait_for(|finished| *finished) => break,
        };
        if all {
            accounts.sweep().await;
        } else {
            tokio::time::sleep(accounts.timers.lease_return).await;
            accounts.send_back_left().await;
        }
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
