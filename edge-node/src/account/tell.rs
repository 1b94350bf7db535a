//! What the ledger is told of usage, and whose leases a run has taken over. Deliberately not here:
//! which records are due ([`super::ship`]).

use super::Accounts;
use super::wal::Book;
use super::wal::reader::Batch;
use crate::control::Unanswered;
use crate::metrics;
use ::metrics::counter;
use shared::id::BootEpoch;
use shared::proto::ledger::ShipRequest;
use shared::proto::ledger::ledger_client::LedgerClient;
use tonic::Code;

/// Earlier runs whose leases one run tells the ledger that it has taken over; of more, the newest.
const INHERITED_MAX: usize = 1000;

/// Why the ledger gave no watermark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// Not now.
    Later,
    /// It has other records of that run.
    Disowned,
}

impl Accounts {
    /// Before anything else is said as this run: what earlier runs were giving back, then that
    /// the rest of theirs is this run's. In that order, because the ledger takes a return from
    /// the run that made it; and before a lease is asked for, because the ledger takes back what
    /// is left with a run once it knows a newer one. True when the ledger knows.
    pub(super) async fn take_over(&self) -> bool {
        let _one = self.taking_over.lock().await;
        if self.cashier.has_taken_over() {
            return true;
        }
        match self.tell(self.epoch(), &Batch::default()).await {
            Ok(_) => {}
            Err(Told::Later) => return false,
            Err(Told::Disowned) => {
                tracing::error!(
                    epoch = self.epoch().0,
                    "another run has taken over what this node's earlier runs had: this disk is a \
                     copy, or was copied; its leases are given up"
                );
                counter!(metrics::COPIES).increment(1);
                self.cashier.disinherit();
            }
        }
        self.cashier.took_over();
        true
    }

    /// The ledger's answer to a batch, which may be empty: a sign of life.
    pub(super) async fn tell(&self, epoch: BootEpoch, batch: &Batch) -> Result<u64, Told> {
        let control = self.control.as_ref().ok_or(Told::Later)?;
        let current = epoch == self.epoch();
        let mut inherited_epochs = Vec::new();
        if current && !self.cashier.has_taken_over() {
            let newest = |book: &Book| {
                let inherited = book.inherited.iter().rev().take(INHERITED_MAX);
                inherited.map(|epoch| epoch.0).collect()
            };
            inherited_epochs = self.cashier.log.with_book(newest);
        }
        let request = ShipRequest {
            node_id: self.cashier.node().to_string(),
            boot_epoch: epoch.0,
            records: batch.records.iter().map(|end| (&**end).into()).collect(),
            inherited_epochs,
        };
        let sent = self.clock.now();
        let call = |channel| async move { LedgerClient::new(channel).ship(request).await };
        match control.ask(self.timers.ledger, call).await {
            Ok(answer) => {
                // News of an earlier run say nothing of this run's leases.
                if current {
                    self.contact(sent);
                }
                Ok(answer.watermark)
            }
            Err(Unanswered::Refused(status)) if status.code() == Code::DataLoss => {
                Err(Told::Disowned)
            }
            Err(error) => {
                tracing::warn!(%error, records = batch.records.len(), "usage not shipped");
                Err(Told::Later)
            }
        }
    }
}
