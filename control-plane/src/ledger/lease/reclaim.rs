//! Leases of holders of whom nothing was heard for too long: found, and taken back. Deliberately not
//! here: how long that is ([`super::super::balance`]).

use super::{Lease, window_text};
use crate::ledger::journal::{Kind, purse};
use crate::ledger::{Ledger, LedgerError, balance};
use crate::sql::{amount, bigint, unsigned};
use crate::store::Epoch;
use shared::clock::Moment;
use shared::id::{BootEpoch, NodeId};
use shared::record::Origin;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};

impl Ledger {
    /// Takes back every lease whose holder was not heard of for too long, and forgets grants that are
    /// closed. Gives the number of leases that were taken back.
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
        self.prune(fence).await?;
        Ok(taken)
    }

    /// Every lease that holds money.
    pub(in crate::ledger) async fn leases(&self) -> Result<Vec<Lease>, LedgerError> {
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

fn newest_runs<'a>(origins: impl Iterator<Item = &'a Origin>) -> BTreeMap<NodeId, u64> {
    let mut newest: BTreeMap<NodeId, u64> = BTreeMap::new();
    for origin in origins {
        let known = newest.entry(origin.node.clone()).or_default();
        *known = origin.epoch.0.max(*known);
    }
    newest
}
