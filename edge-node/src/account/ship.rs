//! Usage records on their way to the ledger: contiguous batches per epoch, oldest epoch first,
//! each sent again until the ledger's watermark says that it has them. Only what survives a power
//! loss is sent, so that a sequence never means two things. Deliberately not here: the log files.

use super::recover::{OldEpoch, fill_gap, remove_epoch};
use super::tell::Told;
use super::wal::Reader;
use super::wal::reader::{Batch, BatchLimit};
use super::{Accounts, aside};
use crate::control::Backoff;
use crate::metrics;
use ::metrics::gauge;
use shared::id::{BootEpoch, GenerationId};
use shared::task::Stop;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::timeout;

/// How much one batch holds.
pub(super) const BATCH: BatchLimit = BatchLimit {
    records: 1000,
    bytes: 2 * 1024 * 1024,
};

/// The task that ships.
pub(super) struct Shipper {
    accounts: Arc<Accounts>,
    older: VecDeque<Older>,
    current: Arc<Reader>,
    /// Whose ends were lost in this run, and told as such.
    filled: HashSet<GenerationId>,
    backoff: Backoff,
}

/// An earlier run, being shipped.
struct Older {
    epoch: BootEpoch,
    dir: PathBuf,
    reader: Arc<Reader>,
    last: u64,
    bytes: u64,
    damaged: bool,
    /// The ledger was asked what it has of it.
    asked: bool,
}

/// What one step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Something was shipped; there may be more.
    Moved,
    /// Nothing to ship.
    Idle,
    /// Not now.
    Failed,
}

impl Shipper {
    /// A shipper of what recovery found, then of this run.
    pub(super) fn new(accounts: Arc<Accounts>, found: Vec<OldEpoch>) -> Self {
        let older = found.into_iter().map(|old| Older {
            reader: Arc::new(Reader::new(&old.dir, old.first, old.fills)),
            epoch: old.epoch,
            dir: old.dir,
            last: old.last,
            bytes: old.bytes,
            damaged: old.damaged,
            asked: false,
        });
        let current = Reader::new(accounts.cashier.log.dir(), 1, []);
        let timers = &accounts.timers;
        let shipper = Self {
            older: older.collect(),
            current: Arc::new(current),
            filled: HashSet::new(),
            backoff: Backoff::new(timers.retry_min, timers.retry_max),
            accounts,
        };
        shipper.count_older();
        shipper
    }

    /// Ships until the program stops and the last hold has ended; then ships the rest and gives
    /// unused leases back. Gives up on the rest when nobody can be reached: it is on disk.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let every = self.accounts.timers.ship;
        loop {
            let wait = match self.round().await {
                Step::Failed => self.backoff.next(fastrand::f64()).max(every),
                Step::Moved | Step::Idle => every,
            };
            // While stopping, the tick alone drives the loop.
            let _ = timeout(wait, async {
                if stop.requested() {
                    std::future::pending::<()>().await;
                }
                stop.wait().await;
            })
            .await;
            if stop.requested()
                && self
                    .accounts
                    .cashier
                    .log
                    .with_book(|book| book.open.is_empty())
            {
                break;
            }
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        self.sync_now().await;
        self.backoff.reset();
        let mut returned = false;
        if self.round().await != Step::Failed {
            self.accounts.send_back(None);
            returned = self.accounts.tell_returns(|_| true).await;
        }
        self.sync_now().await;
        if !returned {
            let records = self.accounts.outbox_records();
            tracing::warn!(
                records,
                "stopping with usage or leases not yet at the ledger"
            );
        }
        self.accounts.finished.send_replace(true);
    }

    async fn sync_now(&self) {
        let accounts = Arc::clone(&self.accounts);
        let synced = tokio::task::spawn_blocking(move || accounts.cashier.log.sync()).await;
        if let Ok(Err(error)) = synced {
            tracing::error!(%error, "usage log not synced");
        }
    }

    /// Ships all that there is.
    async fn round(&mut self) -> Step {
        loop {
            match self.step().await {
                Ok(Step::Moved) => self.backoff.reset(),
                Ok(other) => return other,
                Err(error) => {
                    tracing::error!(%error, "usage log can't be read");
                    return Step::Failed;
                }
            }
        }
    }

    async fn step(&mut self) -> io::Result<Step> {
        if !self.accounts.take_over().await {
            return Ok(Step::Failed);
        }
        let Some(older) = self.older.front() else {
            return self.step_current().await;
        };
        let (epoch, until) = (older.epoch, older.last);
        if !older.asked {
            return self.ask_of_older(epoch, until).await;
        }
        let mut reader = Arc::clone(&older.reader);
        if reader.next() <= until {
            let batch = read(&reader, until).await?;
            let sent = self.send(epoch, &batch).await;
            if sent == Err(Told::Disowned) {
                return self.disown("the ledger has other records of it").await;
            }
            if let Ok(watermark) = sent {
                Arc::make_mut(&mut reader).advance(&batch, watermark);
                if let Some(older) = self.older.front_mut() {
                    older.reader = reader;
                }
                self.count_older();
                return Ok(Step::Moved);
            }
            if batch.records.is_empty() {
                // Damage: what follows the gap can't be shipped in sequence.
                return self.disown("it has a gap").await;
            }
            return Ok(Step::Failed);
        }
        let dir = older.dir.clone();
        self.older.pop_front();
        self.count_older();
        tokio::task::spawn_blocking(move || remove_epoch(&dir))
            .await
            .unwrap_or(Ok(()))?;
        Ok(Step::Moved)
    }

    /// What the ledger has of an earlier run. More than the log has: the disk is an old copy, and
    /// the leases that were found on it may have been spent since. Of a damaged log it is not told
    /// again what it has, which can't be told as it was.
    async fn ask_of_older(&mut self, epoch: BootEpoch, last: u64) -> io::Result<Step> {
        let watermark = match self.accounts.tell(epoch, &Batch::default()).await {
            Ok(watermark) => watermark,
            Err(Told::Later) => return Ok(Step::Failed),
            Err(Told::Disowned) => return self.disown("the ledger has other records of it").await,
        };
        if watermark > last {
            return self
                .disown("the ledger has more records of it: the disk is an old copy")
                .await;
        }
        if let Some(older) = self.older.front_mut() {
            older.asked = true;
            if older.damaged {
                Arc::make_mut(&mut older.reader).skip(watermark);
            }
        }
        Ok(Step::Moved)
    }

    /// Sets the oldest run aside, and gives back what leases there are: what was found with it is
    /// not to be trusted, and the ledger takes no more than it has given.
    async fn disown(&mut self, why: &'static str) -> io::Result<Step> {
        let Some(older) = self.older.pop_front() else {
            return Ok(Step::Moved);
        };
        tracing::error!(
            epoch = older.epoch.0,
            why,
            "an earlier run's usage is set aside"
        );
        self.accounts.send_back(None);
        self.count_older();
        tokio::task::spawn_blocking(move || aside::epoch(&older.dir))
            .await
            .unwrap_or(Ok(()))?;
        Ok(Step::Moved)
    }

    async fn step_current(&mut self) -> io::Result<Step> {
        let accounts = Arc::clone(&self.accounts);
        let log = &accounts.cashier.log;
        let batch = match log.fresh(self.current.next(), BATCH) {
            Some(batch) => batch,
            None => read(&self.current, log.durable()).await?,
        };
        if batch.records.is_empty() {
            return match batch.gap {
                Some(missing) => self.fill(missing).await,
                None => Ok(Step::Idle),
            };
        }
        let watermark = match self.send(accounts.epoch(), &batch).await {
            Ok(watermark) => watermark,
            Err(told) => {
                if told == Told::Disowned && !accounts.disowned.swap(true, Ordering::Relaxed) {
                    gauge!(metrics::DISOWNED).set(1.0);
                    tracing::error!(
                        epoch = accounts.epoch().0,
                        "the ledger has other records of this run: no new holds, restart the node"
                    );
                }
                return Ok(Step::Failed);
            }
        };
        // Before the watermark is logged: until then, the next start subtracts it.
        accounts.cashier.lost(&self.current.filled(watermark));
        Arc::make_mut(&mut self.current).advance(&batch, watermark);
        tokio::task::spawn_blocking(move || accounts.cashier.acknowledged(watermark))
            .await
            .unwrap_or(Ok(()))?;
        Ok(Step::Moved)
    }

    /// Ends of this run that damage took from its log are told as recovery tells them, and shipping
    /// goes on behind them.
    async fn fill(&mut self, missing: Range<u64>) -> io::Result<Step> {
        let (first, next) = (missing.start, missing.end);
        tracing::error!(first, next, "this run's usage log has a gap");
        let (accounts, mut known) = (Arc::clone(&self.accounts), self.filled.clone());
        let filled = tokio::task::spawn_blocking(move || {
            let log = &accounts.cashier.log;
            // The next start must read that they have ended, or it tells them again.
            log.roll()?;
            known.extend(log.remembered());
            let run = (accounts.cashier.node(), accounts.epoch());
            fill_gap(log.dir(), run, missing, &known)
        });
        let fills = filled
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))?;
        if fills.is_empty() {
            return Ok(Step::Failed);
        }
        self.filled
            .extend(fills.iter().map(|fill| fill.generation.clone()));
        Arc::make_mut(&mut self.current).fill(fills);
        Ok(Step::Moved)
    }

    /// Sends one batch. The watermark when it moved.
    async fn send(&self, epoch: BootEpoch, batch: &Batch) -> Result<u64, Told> {
        let first = batch.records.first().ok_or(Told::Later)?.sequence;
        let watermark = self.accounts.tell(epoch, batch).await?;
        if watermark < first {
            tracing::error!(
                epoch = epoch.0,
                watermark,
                first,
                "ledger lacks older usage"
            );
            return Err(Told::Later);
        }
        Ok(watermark)
    }

    fn count_older(&self) {
        let left = |older: &Older| (older.last + 1).saturating_sub(older.reader.next());
        let records: u64 = self.older.iter().map(left).sum();
        let bytes: u64 = self.older.iter().map(|older| older.bytes).sum();
        let accounts = &self.accounts;
        accounts.older_records.store(records, Ordering::Relaxed);
        accounts.cashier.log.set_older_bytes(bytes);
    }
}

async fn read(reader: &Arc<Reader>, until: u64) -> io::Result<Batch> {
    let reader = Arc::clone(reader);
    let read = tokio::task::spawn_blocking(move || reader.read(until, BATCH)).await;
    read.unwrap_or_else(|error| Err(io::Error::other(error)))
}
