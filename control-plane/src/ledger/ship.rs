//! Usage records into the books: watermark, detail, postings and the leadership's check in one
//! SQL transaction, so that a batch is there as a whole and once, or not at all.

use super::journal::{Account, Book, Kind, Line};
use super::{Ledger, LedgerError, balance, usage, watermark};
use crate::metrics;
use crate::sql::{amount, bigint, unsigned};
use crate::store::Epoch;
use shared::id::{BootEpoch, OrgId};
use shared::money::Amount;
use shared::record::{Origin, UsageRecord};
use sqlx::Row;
use std::time::Duration;

/// Earlier runs that one run may say it has inherited from.
pub(super) const INHERITED_MAX: usize = 1000;

/// What one run of one node reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Whose records they are.
    pub origin: Origin,
    /// Earlier runs of the node whose leases this run has taken over.
    pub inherited: Vec<BootEpoch>,
    /// Contiguous; none is a sign of life.
    pub records: Vec<UsageRecord>,
}

impl Ledger {
    /// Applies what is new in a batch, exactly once. Gives the watermark: everything up to it is
    /// in the ledger for good.
    ///
    /// # Errors
    /// [`LedgerError::Gap`] when records are missing before the batch, `EpochReused` when the
    /// repeated part is not what was applied, `Invalid` when it can't be read, `Fenced` when this
    /// process no longer leads; or the database fails. Nothing is applied then.
    pub async fn ship(&self, fence: Epoch, batch: &Batch) -> Result<u64, LedgerError> {
        watermark::check(&batch.records)?;
        if batch.inherited.len() > INHERITED_MAX {
            return Err(LedgerError::Invalid {
                what: "inherited epochs",
                reason: format!("{}, at most {INHERITED_MAX}", batch.inherited.len()),
            });
        }
        let origin = &batch.origin;
        let mut book = self.book(fence).await?;
        let before = book.watermark(origin).await?;
        let cut = watermark::cut(&batch.records, before)?;
        book.must_be_known(origin, cut.known).await?;
        let mut changed = book.inherit(origin, &batch.inherited).await?;
        let mut after = before;
        if let Some(last) = cut.new.last() {
            after = last.sequence;
            book.apply(origin, before, cut.new).await?;
            book.set_watermark(origin, after).await?;
            changed = true;
        }
        if changed {
            book.commit().await?;
        }
        if let Some(oldest) = cut.new.first() {
            let ended = oldest.started_unix_ms.saturating_add(oldest.duration_ms);
            let age = self.clock.unix_ms().saturating_sub(ended);
            metrics::ledger_lag(Duration::from_millis(age));
        }
        self.touch(origin, self.clock.now());
        Ok(after)
    }
}

impl Book {
    async fn watermark(&mut self, origin: &Origin) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT sequence FROM watermarks WHERE node = $1 AND epoch = $2")
            .bind(origin.node.as_str())
            .bind(bigint(origin.epoch.0))
            .fetch_optional(&mut **self.sql())
            .await?;
        Ok(row.map_or(Ok(0), |row| unsigned(&row, 0))?)
    }

    async fn set_watermark(&mut self, origin: &Origin, to: u64) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO watermarks (node, epoch, sequence) VALUES ($1, $2, $3)
             ON CONFLICT (node, epoch) DO UPDATE SET sequence = excluded.sequence",
        )
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .bind(bigint(to))
        .execute(&mut **self.sql())
        .await?;
        Ok(())
    }

    /// Checks that repeated records are those that were applied: a node restored from a copy of
    /// its disk reports other things under the same numbers.
    async fn must_be_known(
        &mut self,
        origin: &Origin,
        repeated: &[UsageRecord],
    ) -> Result<(), LedgerError> {
        let (Some(first), Some(last)) = (repeated.first(), repeated.last()) else {
            return Ok(());
        };
        let rows = sqlx::query(
            "SELECT sequence, generation FROM usage_records
             WHERE node = $1 AND epoch = $2 AND sequence >= $3 AND sequence <= $4
             ORDER BY sequence",
        )
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .bind(bigint(first.sequence))
        .bind(bigint(last.sequence))
        .fetch_all(&mut **self.sql())
        .await?;
        for (row, record) in rows.iter().zip(repeated) {
            let same = unsigned(row, 0)? == record.sequence
                && row.try_get::<String, _>(1)? == record.generation.as_str();
            if !same {
                return Err(LedgerError::EpochReused {
                    sequence: record.sequence,
                });
            }
        }
        Ok(())
    }

    /// Moves what earlier runs hold to the run that has taken it over, once. True when money
    /// moved.
    async fn inherit(
        &mut self,
        origin: &Origin,
        inherited: &[BootEpoch],
    ) -> Result<bool, LedgerError> {
        if inherited.is_empty() {
            return Ok(false);
        }
        let rows = sqlx::query(
            "SELECT nano, pico_rem, org, epoch FROM balances
             WHERE kind = 'lease' AND node = $1 AND epoch < $2 AND (nano > 0 OR pico_rem > 0)
             ORDER BY org, epoch",
        )
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .fetch_all(&mut **self.sql())
        .await?;
        let mut moved = false;
        for row in &rows {
            let from = BootEpoch(unsigned(row, 3)?);
            if !inherited.contains(&from) {
                continue;
            }
            let org = OrgId::from(row.try_get::<String, _>(2)?);
            let (node, to) = (&origin.node, origin.epoch.0);
            let reference = format!("{node}/{}/{to}/{org}", from.0);
            if self.has(Kind::Inherit, &reference).await? {
                continue;
            }
            let holds = amount(row, 0)?;
            let old = Origin {
                node: node.clone(),
                epoch: from,
            };
            let lines = [
                (Account::Lease(org.clone(), old), -holds),
                (Account::Lease(org, origin.clone()), holds),
            ];
            self.post(Kind::Inherit, &reference, &lines).await?;
            moved = true;
        }
        Ok(moved)
    }

    async fn apply(
        &mut self,
        origin: &Origin,
        before: u64,
        records: &[UsageRecord],
    ) -> Result<(), LedgerError> {
        usage::insert(self.sql(), origin, records).await?;
        for (org, charge) in balance::charges(records) {
            if charge.total() == Amount::ZERO {
                continue;
            }
            let leases = self.leases_of(&org, origin).await?;
            let lines: Vec<Line> = balance::charge_lines(&org, &charge, &leases);
            let reference = format!("{}/{}/{before}/{org}", origin.node, origin.epoch.0);
            self.post(Kind::Usage, &reference, &lines).await?;
            self.cover(&org).await?;
        }
        Ok(())
    }

    /// What the node holds of an organisation: the run's own lease first, then those of its other
    /// runs, newest first. A run may spend what it has taken over before that is posted.
    async fn leases_of(
        &mut self,
        org: &OrgId,
        origin: &Origin,
    ) -> Result<Vec<(Origin, Amount)>, LedgerError> {
        let rows = sqlx::query(
            "SELECT nano, pico_rem, epoch FROM balances
             WHERE kind = 'lease' AND org = $1 AND node = $2 AND (nano > 0 OR pico_rem > 0)
             ORDER BY CASE WHEN epoch = $3 THEN 0 ELSE 1 END, epoch DESC",
        )
        .bind(org.as_str())
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .fetch_all(&mut **self.sql())
        .await?;
        rows.iter()
            .map(|row| {
                let run = Origin {
                    node: origin.node.clone(),
                    epoch: BootEpoch(unsigned(row, 2)?),
                };
                Ok((run, amount(row, 0)?))
            })
            .collect()
    }
}
