//! What was granted under which id: once each, to the run that asked, and nothing under an id that
//! its holder has given back or that is closed. Deliberately not here: how much
//! ([`super::super::balance`]), and which grants are closed without a next one ([`super::prune`]).

use super::{Lease, LeaseRequest, window_text};
use crate::ledger::account::Account;
use crate::ledger::journal::{Book, Kind, split};
use crate::ledger::{LedgerError, balance};
use crate::sql::{amount, bigint, unsigned};
use shared::id::BootEpoch;
use shared::money::Amount;
use shared::record::Origin;
use sqlx::Row;

/// Grants of before that the next one of their purse closes at once; more wait for those after it.
const CLOSED_MAX: i64 = 64;

impl Book {
    /// What was granted under this id; none when nothing was. A grant that was taken back without
    /// its holder, or that is closed and forgotten, is worth nothing any more.
    pub(super) async fn granted_before(
        &mut self,
        request: &LeaseRequest,
    ) -> Result<Option<Amount>, LedgerError> {
        let row = sqlx::query(
            "SELECT org, node, epoch, nano, pico_rem, reclaimed, limit_window
             FROM lease_grants WHERE id = $1",
        )
        .bind(request.lease_id.as_str())
        .fetch_optional(&mut **self.sql())
        .await?;
        let Some(row) = row else {
            let (org, id) = (&request.purse.org, &request.lease_id);
            let closed = self.has(org, Kind::Grant, id).await?;
            return Ok(closed.then_some(Amount::ZERO));
        };
        let same = row.try_get::<String, _>(0)? == request.purse.org.as_str()
            && row.try_get::<String, _>(6)? == window_text(&request.purse)
            && row.try_get::<String, _>(1)? == request.origin.node.as_str();
        // Which run said that it never heard of it does not matter.
        let over = row.try_get::<i64, _>(5)? != 0;
        if same && over {
            return Ok(Some(Amount::ZERO));
        }
        if !same || unsigned(&row, 2)? != request.origin.epoch.0 {
            return Err(LedgerError::Invalid {
                what: "lease id",
                reason: "was used for another lease".to_owned(),
            });
        }
        Ok(Some(amount(&row, 3)?))
    }

    /// What was granted under this id of the purse to the node, and to which of its runs; zero
    /// when nothing was, or when it was taken back.
    pub(super) async fn granted(
        &mut self,
        of: &Lease,
        lease_id: &str,
    ) -> Result<(BootEpoch, Amount), LedgerError> {
        let row = sqlx::query(
            "SELECT epoch, nano, pico_rem FROM lease_grants
             WHERE id = $1 AND org = $2 AND node = $3 AND limit_window = $4 AND reclaimed = 0",
        )
        .bind(lease_id)
        .bind(of.purse.org.as_str())
        .bind(of.origin.node.as_str())
        .bind(window_text(&of.purse))
        .fetch_optional(&mut **self.sql())
        .await?;
        let Some(row) = row else {
            return Ok((of.origin.epoch, Amount::ZERO));
        };
        Ok((BootEpoch(unsigned(&row, 0)?), amount(&row, 1)?))
    }

    /// A question that comes after its answer was given back gets nothing. One that was granted
    /// something and is forgotten gets nothing anyway.
    pub(super) async fn never_grant(
        &mut self,
        of: &Lease,
        lease_id: &str,
    ) -> Result<(), LedgerError> {
        let (org, kind) = (of.purse.org.as_str(), Kind::Grant.as_str());
        sqlx::query(
            "INSERT INTO lease_grants (id, org, node, epoch, nano, pico_rem, reclaimed,
                 limit_window)
             SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), 0, 0,
                 1, CAST($5 AS TEXT)
             WHERE NOT EXISTS (
                     SELECT 1 FROM postings WHERE org = $2 AND kind = $6 AND reference = $1)
                 OR EXISTS (SELECT 1 FROM lease_grants WHERE id = $1)
             ON CONFLICT (id) DO UPDATE SET reclaimed = 1
             WHERE lease_grants.org = excluded.org AND lease_grants.node = excluded.node
                 AND lease_grants.limit_window = excluded.limit_window",
        )
        .bind(lease_id)
        .bind(org)
        .bind(of.origin.node.as_str())
        .bind(bigint(of.origin.epoch.0))
        .bind(window_text(&of.purse))
        .bind(kind)
        .execute(&mut **self.sql())
        .await?;
        Ok(())
    }

    /// True when what is asked of is too small to be leased ahead: a balance, or what is left of a
    /// window whose limit is `most`. And what other runs have leased of it.
    pub(super) async fn is_central(
        &mut self,
        request: &LeaseRequest,
        most: Amount,
    ) -> Result<(bool, Amount), LedgerError> {
        let Some(need) = request.need else {
            return Ok((false, Amount::ZERO));
        };
        let (purse, origin) = (&request.purse, &request.origin);
        let kind = match purse.window {
            None => "lease",
            Some(_) => "window_lease",
        };
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(nano), 0) AS BIGINT),
                 CAST(COALESCE(SUM(pico_rem), 0) AS BIGINT), CAST(COUNT(*) AS BIGINT),
                 CAST(COALESCE(SUM(CASE WHEN node = $2 AND epoch = $3 THEN 0 ELSE nano END), 0)
                     AS BIGINT),
                 CAST(COALESCE(SUM(CASE WHEN node = $2 AND epoch = $3 THEN 0 ELSE pico_rem END), 0)
                     AS BIGINT)
             FROM balances WHERE kind = $4 AND org = $1 AND limit_window = $5
                 AND (nano > 0 OR pico_rem > 0)",
        )
        .bind(purse.org.as_str())
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .bind(kind)
        .bind(window_text(purse))
        .fetch_one(&mut **self.sql())
        .await?;
        let leased = Amount::from_nano(row.try_get(0)?, row.try_get(1)?);
        let elsewhere = Amount::from_nano(row.try_get(3)?, row.try_get(4)?);
        let nodes = unsigned(&row, 2)?;
        let outside = self.balance(&Account::outside(purse)).await?;
        let (left, largest) = (most + outside + leased, need.largest);
        let central = balance::is_central(left, nodes, largest, need.central);
        Ok((central, elsewhere))
    }

    /// The run that has taken over what this one had, by its own word; 0 when none has.
    pub(super) async fn heir_of(&mut self, origin: &Origin) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT heir FROM run_heirs WHERE node = $1 AND epoch = $2")
            .bind(origin.node.as_str())
            .bind(bigint(origin.epoch.0))
            .fetch_optional(&mut **self.sql())
            .await?;
        Ok(row.map_or(Ok(0), |row| unsigned(&row, 0))?)
    }

    /// The newest run of the node that was granted anything; 0 when none was.
    async fn newest_run(&mut self, origin: &Origin) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT epoch FROM lease_runs WHERE node = $1")
            .bind(origin.node.as_str())
            .fetch_optional(&mut **self.sql())
            .await?;
        Ok(row.map_or(Ok(0), |row| unsigned(&row, 0))?)
    }

    /// `most`: of a window, its limit.
    pub(super) async fn grant(
        &mut self,
        request: &LeaseRequest,
        most: Amount,
        central: bool,
    ) -> Result<Amount, LedgerError> {
        let origin = &request.origin;
        let newest = self.newest_run(origin).await?;
        let newer = newest.max(self.heir_of(origin).await?);
        if newer > origin.epoch.0 {
            // Money for a run that is over would only lie there.
            return Err(LedgerError::Replaced { newer });
        }
        let purse = &request.purse;
        let available = Account::outside(purse);
        let lease = Account::lease(purse, origin.clone());
        self.load([&available, &lease]).await?;
        let has = most + self.balance(&available).await?;
        let holds = self.balance(&lease).await?;
        let granted = match request.need {
            Some(need) if central => balance::reserve(has, need.now, request.least),
            need => {
                let enough = need.map_or(Amount::ZERO, |need| need.now.min(need.largest));
                balance::grant(has, holds, request.wanted, (request.least, enough))
            }
        };
        if granted == Amount::ZERO {
            return Ok(granted);
        }
        let lines = [(available, -granted), (lease, granted)];
        self.post(&purse.org, Kind::Grant, &request.lease_id, &lines)
            .await?;
        self.note_grant(request, granted).await?;
        if newest < origin.epoch.0 {
            self.note_run(origin).await?;
        }
        self.close_before(request).await?;
        Ok(granted)
    }

    async fn note_grant(
        &mut self,
        request: &LeaseRequest,
        granted: Amount,
    ) -> Result<(), LedgerError> {
        let (nano, pico_rem) = split(granted)?;
        sqlx::query(
            "INSERT INTO lease_grants (id, org, node, epoch, nano, pico_rem, reclaimed,
                 limit_window) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)",
        )
        .bind(request.lease_id.as_str())
        .bind(request.purse.org.as_str())
        .bind(request.origin.node.as_str())
        .bind(bigint(request.origin.epoch.0))
        .bind(nano)
        .bind(pico_rem)
        .bind(window_text(&request.purse))
        .execute(&mut **self.sql())
        .await?;
        Ok(())
    }

    async fn note_run(&mut self, origin: &Origin) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO lease_runs (node, epoch) VALUES ($1, $2)
             ON CONFLICT (node) DO UPDATE SET epoch = excluded.epoch
             WHERE lease_runs.epoch < excluded.epoch",
        )
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .execute(&mut **self.sql())
        .await?;
        Ok(())
    }

    /// Forgets what the node was granted of this purse before. A node has one question about a purse
    /// at a time, and asks the next one when it has heard the answer to the last, or when what that
    /// may have got is given back and confirmed; a run asks after it has given back what earlier
    /// ones had not heard of. So nothing that is still to be done depends on earlier grants, and a
    /// late copy of their questions is told that they are closed. What was given back before it was
    /// asked for is known by its row alone, so as long as its run may ask that stays.
    async fn close_before(&mut self, request: &LeaseRequest) -> Result<(), LedgerError> {
        sqlx::query(
            "DELETE FROM lease_grants WHERE id IN (
                 SELECT id FROM lease_grants
                 WHERE node = $1 AND org = $2 AND limit_window = $3 AND epoch <= $4 AND id <> $5
                     AND (epoch < $4 OR nano > 0 OR pico_rem > 0)
                 LIMIT $6)",
        )
        .bind(request.origin.node.as_str())
        .bind(request.purse.org.as_str())
        .bind(window_text(&request.purse))
        .bind(bigint(request.origin.epoch.0))
        .bind(request.lease_id.as_str())
        .bind(CLOSED_MAX)
        .execute(&mut **self.sql())
        .await?;
        Ok(())
    }
}
