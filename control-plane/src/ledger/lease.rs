//! Leases: granted and given back by their holder, each once per id however often it is asked,
//! and taken back when nothing is heard of the holder.

use super::account::Account;
use super::balance;
use super::journal::{Book, Kind, purse, split};
use super::{Ledger, LedgerError, check_id, check_positive};
use crate::sql::{amount, bigint, unsigned};
use crate::store::Epoch;
use shared::clock::Moment;
use shared::id::NodeId;
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
    pub amount: Amount,
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
    /// that it holds: the rest was taken back before.
    ///
    /// # Errors
    /// When a value can't be accepted, this process no longer leads, or the database fails.
    pub async fn release(&self, fence: Epoch, request: &ReleaseRequest) -> Result<(), LedgerError> {
        check_id("organisation", request.purse.org.as_str())?;
        check_id("release id", &request.release_id)?;
        check_positive("amount", request.amount)?;
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
        let mut part = Lease {
            purse: request.purse.clone(),
            origin: request.origin.clone(),
            holds: request.amount,
        };
        part.holds = part.holds.min(book.balance(&part.account()).await?);
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
                        epoch: shared::id::BootEpoch(unsigned(row, 2)?),
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
            && row.try_get::<String, _>(1)? == request.origin.node.as_str()
            && unsigned(&row, 2)? == request.origin.epoch.0;
        if !same {
            return Err(LedgerError::Invalid {
                what: "lease id",
                reason: "was used for another lease".to_owned(),
            });
        }
        let reclaimed = row.try_get::<i64, _>(5)? != 0;
        Ok(Some(if reclaimed {
            Amount::ZERO
        } else {
            amount(&row, 3)?
        }))
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
