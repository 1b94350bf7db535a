//! Usage records into the books: watermark, detail, postings and the leadership's check in one
//! SQL transaction, so that a batch is there as a whole and once, or not at all.

use super::account::Account;
use super::journal::{Book, Kind, Line};
use super::opening::Opened;
use super::{Ledger, LedgerError, balance, usage, watermark};
use crate::metrics;
use crate::sql::rows::storable;
use crate::sql::{DatabaseError, amount, bigint, unsigned};
use crate::store::Epoch;
use shared::id::{BootEpoch, OrgId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::{Origin, UsageRecord};
use sqlx::{AssertSqlSafe, Row};
use std::cmp::Reverse;
use std::collections::BTreeSet;
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
        let after = self.retried(|| self.ship_once(fence, batch)).await?;
        self.touch(&batch.origin, self.clock.now());
        Ok(after)
    }

    async fn ship_once(&self, fence: Epoch, batch: &Batch) -> Result<u64, LedgerError> {
        let origin = &batch.origin;
        let mut orgs: BTreeSet<OrgId> = batch.records.iter().map(|r| r.org.clone()).collect();
        orgs.extend(self.heirs(batch).await?);
        let mut book = self.book(fence, &orgs).await?;
        let before = book.watermark(origin).await?;
        let cut = watermark::cut(&batch.records, before)?;
        book.must_be_known(origin, cut.known).await?;
        book.load_leases(&origin.node).await?;
        let mut changed = book.claim(origin, &batch.inherited).await?;
        changed |= book.inherit(origin, &batch.inherited, &orgs).await?;
        let mut after = before;
        if let Some(last) = cut.new.last() {
            after = last.sequence;
            book.apply(origin, before, cut.new).await?;
            book.set_watermark(origin, before, after).await?;
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
        Ok(after)
    }

    /// Whose money earlier runs hold that this run has taken over.
    async fn heirs(&self, batch: &Batch) -> Result<Vec<OrgId>, LedgerError> {
        if batch.inherited.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT DISTINCT org FROM balances
             WHERE kind IN ('lease', 'window_lease') AND node = $1 AND epoch < $2 AND (nano > 0 OR pico_rem > 0)",
        )
        .bind(batch.origin.node.as_str())
        .bind(bigint(batch.origin.epoch.0))
        .fetch_all(self.database.readers())
        .await?;
        rows.iter()
            .map(|row| Ok(OrgId::from(row.try_get::<String, _>(0)?)))
            .collect()
    }
}

impl Book {
    async fn watermark(&mut self, origin: &Origin) -> Result<u64, LedgerError> {
        let sql = format!(
            "SELECT sequence FROM watermarks WHERE node = $1 AND epoch = $2{}",
            self.engine().for_update()
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(origin.node.as_str())
            .bind(bigint(origin.epoch.0))
            .fetch_optional(&mut **self.sql())
            .await?;
        Ok(row.map_or(Ok(0), |row| unsigned(&row, 0))?)
    }

    async fn set_watermark(
        &mut self,
        origin: &Origin,
        from: u64,
        to: u64,
    ) -> Result<(), LedgerError> {
        let set = sqlx::query(
            "INSERT INTO watermarks (node, epoch, sequence) VALUES ($1, $2, $3)
             ON CONFLICT (node, epoch) DO UPDATE SET sequence = excluded.sequence
             WHERE watermarks.sequence = $4",
        )
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .bind(bigint(to))
        .bind(bigint(from))
        .execute(&mut **self.sql())
        .await?;
        // Two first batches of one run: there was no row that the second could have waited for.
        match set.rows_affected() {
            1 => Ok(()),
            _ => Err(LedgerError::Database(DatabaseError::Conflict)),
        }
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
            "SELECT sequence, generation, outcome, cost_nano, cost_pico_rem FROM usage_records
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
                && row.try_get::<String, _>(1)? == storable(record.generation.as_str())
                && row.try_get::<String, _>(2)? == usage::outcome_text(record.outcome)
                && amount(row, 3)? == record.cost;
            if !same {
                return Err(LedgerError::EpochReused {
                    sequence: record.sequence,
                });
            }
        }
        Ok(())
    }

    /// Notes that a run has taken over earlier ones. Who was taken over before was so by one of those:
    /// else two runs spend the same leases, each after its own copy of one log. True when there were
    /// any.
    async fn claim(
        &mut self,
        origin: &Origin,
        inherited: &[BootEpoch],
    ) -> Result<bool, LedgerError> {
        for from in inherited {
            let row = sqlx::query(
                "INSERT INTO run_heirs (node, epoch, heir) VALUES ($1, $2, $3)
                 ON CONFLICT (node, epoch) DO UPDATE SET heir = run_heirs.heir
                 RETURNING heir",
            )
            .bind(origin.node.as_str())
            .bind(bigint(from.0))
            .bind(bigint(origin.epoch.0))
            .fetch_one(&mut **self.sql())
            .await?;
            let heir = BootEpoch(unsigned(&row, 0)?);
            if heir != origin.epoch && !inherited.contains(&heir) {
                return Err(LedgerError::Copied { epoch: from.0 });
            }
        }
        Ok(!inherited.is_empty())
    }

    /// Moves what earlier runs hold to the run that has taken it over, once. True when money
    /// moved.
    async fn inherit(
        &mut self,
        origin: &Origin,
        inherited: &[BootEpoch],
        orgs: &BTreeSet<OrgId>,
    ) -> Result<bool, LedgerError> {
        if inherited.is_empty() {
            return Ok(false);
        }
        let mut moved = false;
        for org in orgs {
            let mut purses = vec![Purse::from(org.clone())];
            purses.extend(self.leased_windows(org).into_iter().map(|window| Purse {
                org: org.clone(),
                window: Some(window),
            }));
            for purse in &purses {
                moved |= self.inherit_of(purse, origin, inherited).await?;
            }
        }
        Ok(moved)
    }

    async fn inherit_of(
        &mut self,
        purse: &Purse,
        origin: &Origin,
        inherited: &[BootEpoch],
    ) -> Result<bool, LedgerError> {
        let mut moved = false;
        for (from, holds) in self.leases(purse, &origin.node) {
            if from.epoch >= origin.epoch || !inherited.contains(&from.epoch) {
                continue;
            }
            let (node, to) = (&origin.node, origin.epoch.0);
            let reference = format!("{node}/{}/{to}/{purse}", from.epoch.0);
            if self.has(&purse.org, Kind::Inherit, &reference).await? {
                continue;
            }
            let lines = [
                (Account::lease(purse, from), -holds),
                (Account::lease(purse, origin.clone()), holds),
            ];
            self.post(&purse.org, Kind::Inherit, &reference, &lines)
                .await?;
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
        let Opened { records, unleased } = self.with_openings(records).await?;
        let records = &*records;
        let mut fees = self.fees(records).await?;
        usage::insert(self, origin, records, &fees.net).await?;
        self.roll_up(records, &fees.net).await?;
        let charges = balance::charges(records);
        let touched: Vec<Account> = charges
            .iter()
            .flat_map(|(org, charge)| balance::accounts(org, charge))
            .collect();
        self.load(&touched).await?;
        for (org, charge) in charges {
            if charge.is_nothing() {
                continue;
            }
            let purse = Purse::from(org.clone());
            let leases = self.leases_for(&purse, origin);
            let mut lines: Vec<Line> = balance::charge_lines(&org, &charge, &leases);
            for (window, used) in &charge.windows {
                let purse = Purse {
                    org: org.clone(),
                    window: Some(window.clone()),
                };
                let leases = self.leases_for(&purse, origin);
                let beside = unleased.get(&(org.clone(), window.clone()));
                let beside = beside.copied().unwrap_or_default();
                lines.extend(balance::window_lines(&purse, *used - beside, &leases));
                lines.extend(balance::window_lines(&purse, beside, &[]));
            }
            let reference = format!("{}/{}/{before}/{org}", origin.node, origin.epoch.0);
            self.post(&org, Kind::Usage, &reference, &lines).await?;
            if charge.fee > Amount::ZERO {
                let leases = self.leases_for(&purse, origin);
                let lines = balance::fee_lines(&org, &charge, &leases);
                self.post(&org, Kind::Fee, &reference, &lines).await?;
            }
            if let Some(lines) = fees.orgs.remove(&org) {
                self.post(&org, Kind::Byok, &reference, &lines).await?;
            }
            self.cover(&org).await?;
        }
        Ok(())
    }

    /// The run's own lease first, then those of the node's other runs, newest first: a run may
    /// spend what it has taken over before that is posted.
    fn leases_for(&self, purse: &Purse, origin: &Origin) -> Vec<(Origin, Amount)> {
        let mut leases = self.leases(purse, &origin.node);
        leases.sort_by_key(|(run, _)| (run != origin, Reverse(run.epoch)));
        leases
    }
}
