//! Usage records on their way to the ledger: contiguous batches per epoch, oldest epoch first,
//! each sent again until the ledger's watermark says that it has them. Only what survives a power
//! loss is sent, so that a sequence never means two things. Deliberately not here: the log files.

use super::Accounts;
use super::recover::{OldEpoch, remove_epoch};
use super::wal::reader::{Batch, BatchLimit};
use super::wal::{Book, Reader};
use crate::control::Backoff;
use shared::id::BootEpoch;
use shared::proto::ledger::ShipRequest;
use shared::proto::ledger::ledger_client::LedgerClient;
use shared::task::Stop;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::timeout;

/// How much one batch holds.
pub(super) const BATCH: BatchLimit = BatchLimit {
    records: 1000,
    bytes: 2 * 1024 * 1024,
};

/// Earlier runs whose leases one run tells the ledger that it has taken over; of more, the newest.
const INHERITED_MAX: usize = 1000;

/// The task that ships.
pub(super) struct Shipper {
    accounts: Arc<Accounts>,
    older: VecDeque<Older>,
    current: Arc<Reader>,
    backoff: Backoff,
}

/// An earlier run, being shipped.
struct Older {
    epoch: BootEpoch,
    dir: PathBuf,
    reader: Arc<Reader>,
    last: u64,
    bytes: u64,
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
        });
        let current = Reader::new(accounts.log.dir(), 1, []);
        let timers = &accounts.timers;
        let shipper = Self {
            older: older.collect(),
            current: Arc::new(current),
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
            if stop.requested() && self.accounts.log.with_book(|book| book.open.is_empty()) {
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
            returned = self.accounts.tell_returns().await;
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
        let synced = tokio::task::spawn_blocking(move || accounts.log.sync()).await;
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
        if !self.take_over().await {
            return Ok(Step::Failed);
        }
        let Some(older) = self.older.front() else {
            return self.step_current().await;
        };
        let (epoch, until) = (older.epoch, older.last);
        let mut reader = Arc::clone(&older.reader);
        if reader.next() <= until {
            let batch = read(&reader, until).await?;
            if let Some(watermark) = self.send(epoch, &batch).await {
                Arc::make_mut(&mut reader).advance(&batch, watermark);
                if let Some(older) = self.older.front_mut() {
                    older.reader = reader;
                }
                self.count_older();
                return Ok(Step::Moved);
            }
            if batch.records.is_empty() {
                // Damage: what follows the gap can't be shipped in sequence. The folder stays for
                // people to look at; the next runs go on.
                let missing = batch.gap.unwrap_or_else(|| reader.next());
                tracing::error!(epoch = epoch.0, missing, "usage log has a gap; set aside");
                self.older.pop_front();
                return Ok(Step::Moved);
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

    async fn step_current(&mut self) -> io::Result<Step> {
        let accounts = Arc::clone(&self.accounts);
        let batch = read(&self.current, accounts.log.durable()).await?;
        if batch.records.is_empty() {
            if let Some(missing) = batch.gap {
                tracing::error!(missing, "this run's usage log has a gap");
                return Ok(Step::Failed);
            }
            return Ok(Step::Idle);
        }
        let Some(watermark) = self.send(accounts.epoch, &batch).await else {
            return Ok(Step::Failed);
        };
        Arc::make_mut(&mut self.current).advance(&batch, watermark);
        tokio::task::spawn_blocking(move || accounts.log.acknowledge(watermark))
            .await
            .unwrap_or(Ok(()))?;
        Ok(Step::Moved)
    }

    /// Before anything else is said as this run: what earlier runs were giving back, then that
    /// the rest of theirs is this run's. In that order, because the ledger takes a return from
    /// the run that made it. True when the ledger knows.
    async fn take_over(&self) -> bool {
        let accounts = &self.accounts;
        if accounts.taken_over.load(Ordering::Relaxed) {
            return true;
        }
        let told = accounts.tell_returns().await
            && self.call(accounts.epoch, &Batch::default()).await.is_some();
        accounts.taken_over.store(told, Ordering::Relaxed);
        told
    }

    /// Sends one batch. The watermark when it moved, else none.
    async fn send(&self, epoch: BootEpoch, batch: &Batch) -> Option<u64> {
        let first = batch.records.first()?.sequence;
        let watermark = self.call(epoch, batch).await?;
        if watermark < first {
            tracing::error!(
                epoch = epoch.0,
                watermark,
                first,
                "ledger lacks older usage"
            );
            return None;
        }
        Some(watermark)
    }

    /// The ledger's answer to a batch, which may be empty: a sign of life.
    async fn call(&self, epoch: BootEpoch, batch: &Batch) -> Option<u64> {
        let accounts = &self.accounts;
        let control = accounts.control.as_ref()?;
        let current = epoch == accounts.epoch;
        let mut inherited_epochs = Vec::new();
        if current && !accounts.taken_over.load(Ordering::Relaxed) {
            let newest = |book: &Book| {
                let inherited = book.inherited.iter().rev().take(INHERITED_MAX);
                inherited.map(|epoch| epoch.0).collect()
            };
            inherited_epochs = accounts.log.with_book(newest);
        }
        let request = ShipRequest {
            node_id: accounts.node.to_string(),
            boot_epoch: epoch.0,
            records: batch.records.iter().map(|end| (&**end).into()).collect(),
            inherited_epochs,
        };
        let sent = accounts.clock.now();
        let call = |channel| async move { LedgerClient::new(channel).ship(request).await };
        match control.ask(accounts.timers.ledger, call).await {
            Ok(answer) => {
                // News of an earlier run say nothing of this run's leases.
                if current {
                    accounts.contact(sent);
                }
                Some(answer.watermark)
            }
            Err(error) => {
                tracing::warn!(%error, records = batch.records.len(), "usage not shipped");
                None
            }
        }
    }

    fn count_older(&self) {
        let left = |older: &Older| (older.last + 1).saturating_sub(older.reader.next());
        let records: u64 = self.older.iter().map(left).sum();
        let bytes: u64 = self.older.iter().map(|older| older.bytes).sum();
        let accounts = &self.accounts;
        accounts.older_records.store(records, Ordering::Relaxed);
        accounts.log.set_older_bytes(bytes);
    }
}

async fn read(reader: &Arc<Reader>, until: u64) -> io::Result<Batch> {
    let reader = Arc::clone(reader);
    let read = tokio::task::spawn_blocking(move || reader.read(until, BATCH)).await;
    read.unwrap_or_else(|error| Err(io::Error::other(error)))
}
