//! Leases: granted and given back by their holder, each once per id however often it is asked,
//! and taken back when nothing is heard of the holder.

use super::account::Account;
use super::balance;
use super::journal::{Book, Kind, purse, split};
use super::{Ledger, LedgerError, check_id, check_positive};
use crate::sql::{amount, bigint, unsigned};
use crate::store::Epoch;
use shared::clock::Moment;
use shared::id::{BootEpoch, NodeId, OrgId};
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::Origin;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What an edge asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRequest {
    /// Who asks.
    pub origin: Origin,
    /// Of what.
    pub purse: Purse,
    /// Made by the edge: the same request has the same id.
    pub lease_id: String,
    /// How much would be good to have.
    pub wanted: Amount,
    /// How much helps at all.
    pub least: Amount,
}

/// What it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Zero when the balance does not carry the least that helps.
    pub granted: Amount,
    /// How long the lease lasts without contact, from when the edge sent its request.
    pub ttl: Duration,
    /// What the purse has left outside of leases.
    pub available: Amount,
}

/// What an edge gives back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReleaseRequest {
    /// Who gives.
    pub origin: Origin,
    /// Of what.
    pub purse: Purse,
    /// Made by the edge: the same release has the same id.
    pub release_id: String,
    /// How much.
    pub part: Part,
}

/// Which part of a lease goes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// So much, but nothing of what was granted under the lease id.
    Amount(Amount, Option<String>),
    /// What was granted under this lease id, which its holder never heard of.
    Grant(String),
}

/// Money in a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lease {
    pub(super) purse: Purse,
    pub(super) origin: Origin,
    pub(super) holds: Amount,
}

impl Ledger {
    /// Moves money from a purse, which is an organisation's balance or a window of one of its
    /// limits, into a lease. Asked again with the same id, it
    /// gives the same answer and moves nothing.
    ///
    /// # Errors
    /// When a value can't be accepted, the id was used by another run, a newer run of the node
    /// exists, there is no such limit now, this process no longer leads, or the database fails.
    pub async fn acquire(
        &self,
        fence: Epoch,
        request: &LeaseRequest,
    ) -> Result<Grant, LedgerError> {
        check_id("organisation", request.purse.org.as_str())?;
        check_id("lease id", &request.lease_id)?;
        check_positive("wanted", request.wanted.max(request.least))?;
        let grant = self.retried(|| self.acquire_once(fence, request)).await?;
        self.touch(&request.origin, self.clock.now());
        Ok(grant)
    }

    async fn acquire_once(
        &self,
        fence: Epoch,
        request: &LeaseRequest,
    ) -> Result<Grant, LedgerError> {
        let mut book = self.book_of(fence, &request.purse.org).await?;
        let before = book.granted_before(request).await?;
        let most = book.most(&request.purse, self.clock.unix_s()).await?;
        let granted = match (before, most) {
            (Some(granted), _) => granted,
            (None, Some(most)) => book.grant(request, most).await?,
            (None, None) => return Err(LedgerError::NoLimit),
        };
        let outside = book.balance(&Account::outside(&request.purse)).await?;
        let available = outside + most.unwrap_or_default();
        // Who has no money leaves no trace.
        if before.is_none() && granted > Amount::ZERO {
            book.commit().await?;
        }
        Ok(Grant {
            granted,
            ttl: self.times.ttl,
            available,
        })
    }

    /// Takes unused lease back, once per release id. More than the lease holds is taken as all
    /// that it holds: the rest was taken back before. It counts as told also when that is nothing,
    /// so that a late copy takes nothing of a later grant.
    ///
    /// # Errors
    /// When a value can't be accepted, this process no longer leads, or the database fails.
    pub async fn release(&self, fence: Epoch, request: &ReleaseRequest) -> Result<(), LedgerError> {
        check_id("organisation", request.purse.org.as_str())?;
        check_id("release id", &request.release_id)?;
        match &request.part {
            Part::Amount(amount, _) => check_positive("amount", *amount)?,
            Part::Grant(lease_id) => check_id("lease id", lease_id)?,
        }
        self.retried(|| self.release_once(fence, request)).await?;
        self.touch(&request.origin, self.clock.now());
        Ok(())
    }

    async fn release_once(
        &self,
        fence: Epoch,
        request: &ReleaseRequest,
    ) -> Result<(), LedgerError> {
        let reference = format!("{}/{}", request.origin.node, request.release_id);
        let org = &request.purse.org;
        let mut book = self.book_of(fence, org).await?;
        if book.has(org, Kind::Release, &reference).await? {
            return Ok(());
        }
        if let Some(newer) = book.heir(org, &request.origin).await? {
            // A late copy: the heir tells of this return itself.
            return Err(LedgerError::Replaced { newer });
        }
        let mut part = Lease {
            purse: request.purse.clone(),
            origin: request.origin.clone(),
            holds: Amount::ZERO,
        };
        let (meant, apart) = match &request.part {
            Part::Amount(amount, None) => (*amount, Amount::ZERO),
            Part::Amount(amount, Some(lease_id)) => {
                let (_, apart) = book.granted(&part, lease_id).await?;
                (*amount, apart)
            }
            Part::Grant(lease_id) => {
                let (run, granted) = book.granted(&part, lease_id).await?;
                book.never_grant(&part, lease_id).await?;
                // Granted after a later run had taken everything over: it still lies there.
                let late = Lease {
                    origin: Origin {
                        epoch: run,
                        ..part.origin.clone()
                    },
                    ..part.clone()
                };
                if book.balance(&late.account()).await? >= granted {
                    part = late;
                }
                (granted, Amount::ZERO)
            }
        };
        let holds = book.balance(&part.account()).await? - apart;
        part.holds = meant.min(holds.at_least_zero());
        book.give_back(Kind::Release, &reference, &part).await?;
        book.commit().await
    }

    /// Takes back every lease whose holder was not heard of for too long. Gives their number.
    ///
    /// # Errors
    /// When this process no longer leads or the database fails; what was taken back until then
    /// stays so.
    pub async fn sweep(&self, fence: Epoch, now: Moment) -> Result<usize, LedgerError> {
        let leases = self.leases().await?;
        let newest = newest_runs(shared::task::lock(&self.contacts).keys());
        let mut taken = 0;
        for lease in leases {
            let newer = newest.get(&lease.origin.node);
            let replaced = newer.is_some_and(|newest| *newest > lease.origin.epoch.0);
            let contact = self.contact(&lease.origin, now);
            if balance::is_over(&self.times, contact, now, replaced) {
                self.retried(|| self.reclaim(fence, &lease)).await?;
                taken += 1;
            }
        }
        self.forget_others().await?;
        Ok(taken)
    }

    /// Every lease that holds money.
    pub(super) async fn leases(&self) -> Result<Vec<Lease>, LedgerError> {
        let rows = sqlx::query(
            "SELECT org, node, epoch, nano, pico_rem, limit_window FROM balances
             WHERE kind IN ('lease', 'window_lease') AND (nano > 0 OR pico_rem > 0)
             ORDER BY org, node, epoch, limit_window",
        )
        .fetch_all(self.database.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Lease {
                    purse: purse(row.try_get(0)?, &row.try_get::<String, _>(5)?)?,
                    origin: Origin {
                        node: NodeId::from(row.try_get::<String, _>(1)?),
                        epoch: BootEpoch(unsigned(row, 2)?),
                    },
                    holds: amount(row, 3)?,
                })
            })
            .collect()
    }

    async fn reclaim(&self, fence: Epoch, lease: &Lease) -> Result<(), LedgerError> {
        let (purse, origin) = (&lease.purse, &lease.origin);
        let org = &purse.org;
        let mut book = self.book_of(fence, org).await?;
        // Read again: the holder may have reported since.
        let lease = Lease {
            holds: book.balance(&lease.account()).await?,
            ..lease.clone()
        };
        let (node, epoch) = (&origin.node, origin.epoch.0);
        let reference = format!("{node}/{epoch}/{}/{purse}", self.clock.unix_ms());
        book.give_back(Kind::Reclaim, &reference, &lease).await?;
        sqlx::query(
            "UPDATE lease_grants SET reclaimed = 1
             WHERE node = $1 AND epoch = $2 AND org = $3 AND limit_window = $4",
        )
        .bind(node.as_str())
        .bind(bigint(epoch))
        .bind(org.as_str())
        .bind(window_text(purse))
        .execute(&mut **book.sql())
        .await?;
        book.commit().await?;
        tracing::warn!(
            %purse,
            node = node.as_str(),
            epoch,
            usd = %lease.holds,
            "lease taken back: nothing was heard of its holder"
        );
        Ok(())
    }

    fn contact(&self, origin: &Origin, now: Moment) -> Moment {
        let mut contacts = shared::task::lock(&self.contacts);
        *contacts.entry(origin.clone()).or_insert(now)
    }

    /// Forgets runs that neither hold a lease nor are the newest of their node.
    async fn forget_others(&self) -> Result<(), LedgerError> {
        let leases = self.leases().await?;
        let holders: BTreeSet<_> = leases.into_iter().map(|lease| lease.origin).collect();
        let mut contacts = shared::task::lock(&self.contacts);
        let newest = newest_runs(contacts.keys());
        contacts.retain(|origin, _| {
            newest.get(&origin.node) == Some(&origin.epoch.0) || holders.contains(origin)
        });
        Ok(())
    }
}

impl Book {
    /// What was granted under this id; none when nothing was. A grant that was taken back without
    /// its holder is worth nothing any more.
    async fn granted_before(
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
            return Ok(None);
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
    async fn granted(
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

    /// The run that has taken over what this one had of the organisation's money; none when none
    /// has.
    async fn heir(&mut self, org: &OrgId, of: &Origin) -> Result<Option<u64>, LedgerError> {
        // A reference is "node/from/to/purse".
        let from = format!("{}/{}/", of.node, of.epoch.0);
        let row = sqlx::query(
            "SELECT reference FROM postings
             WHERE org = $1 AND kind = $2 AND substr(reference, 1, length($3)) = $3 LIMIT 1",
        )
        .bind(org.as_str())
        .bind(Kind::Inherit.as_str())
        .bind(from.as_str())
        .fetch_optional(&mut **self.sql())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let reference: String = row.try_get(0)?;
        let to = reference.get(from.len()..).unwrap_or_default();
        let to = to.split('/').next().unwrap_or_default();
        Ok(Some(to.parse().unwrap_or_default()))
    }

    /// A question that comes after its answer was given back gets nothing.
    async fn never_grant(&mut self, of: &Lease, lease_id: &str) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO lease_grants (id, org, node, epoch, nano, pico_rem, reclaimed,
                 limit_window) VALUES ($1, $2, $3, $4, 0, 0, 1, $5)
             ON CONFLICT (id) DO UPDATE SET reclaimed = 1
             WHERE lease_grants.org = excluded.org AND lease_grants.node = excluded.node
                 AND lease_grants.limit_window = excluded.limit_window",
        )
        .bind(lease_id)
        .bind(of.purse.org.as_str())
        .bind(of.origin.node.as_str())
        .bind(bigint(of.origin.epoch.0))
        .bind(window_text(&of.purse))
        .execute(&mut **self.sql())
        .await?;
        Ok(())
    }

    /// `most`: of a window, its limit.
    async fn grant(&mut self, request: &LeaseRequest, most: Amount) -> Result<Amount, LedgerError> {
        let origin = &request.origin;
        let row = sqlx::query(
            "SELECT CAST(COALESCE(MAX(epoch), 0) AS BIGINT) FROM lease_grants WHERE node = $1",
        )
        .bind(origin.node.as_str())
        .fetch_one(&mut **self.sql())
        .await?;
        let newer = unsigned(&row, 0)?;
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
        let granted = balance::grant(has, holds, request.wanted, request.least);
        if granted == Amount::ZERO {
            return Ok(granted);
        }
        let lines = [(available, -granted), (lease, granted)];
        self.post(&purse.org, Kind::Grant, &request.lease_id, &lines)
            .await?;
        let (nano, pico_rem) = split(granted)?;
        sqlx::query(
            "INSERT INTO lease_grants (id, org, node, epoch, nano, pico_rem, reclaimed,
                 limit_window) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)",
        )
        .bind(request.lease_id.as_str())
        .bind(purse.org.as_str())
        .bind(origin.node.as_str())
        .bind(bigint(origin.epoch.0))
        .bind(nano)
        .bind(pico_rem)
        .bind(window_text(purse))
        .execute(&mut **self.sql())
        .await?;
        Ok(granted)
    }

    async fn give_back(
        &mut self,
        kind: Kind,
        reference: &str,
        part: &Lease,
    ) -> Result<(), LedgerError> {
        let lines = [
            (part.account(), -part.holds),
            (Account::outside(&part.purse), part.holds),
        ];
        let org = &part.purse.org;
        self.post(org, kind, reference, &lines).await?;
        self.cover(org).await
    }
}

impl Lease {
    fn account(&self) -> Account {
        Account::lease(&self.purse, self.origin.clone())
    }
}

/// A purse's window as it is stored.
fn window_text(purse: &Purse) -> String {
    let window = purse.window.as_ref();
    window.map(ToString::to_string).unwrap_or_default()
}

fn newest_runs<'a>(origins: impl Iterator<Item = &'a Origin>) -> BTreeMap<NodeId, u64> {
    let mut newest: BTreeMap<NodeId, u64> = BTreeMap::new();
    for origin in origins {
        let known = newest.entry(origin.node.clone()).or_default();
        *known = origin.epoch.0.max(*known);
    }
    newest
}
