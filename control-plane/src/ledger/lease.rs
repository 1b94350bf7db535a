//! Leases: granted and given back by their holder, each once per id however often it is asked,
//! and taken back when nothing is heard of the holder.

mod grants;
mod prune;
mod reclaim;

#[cfg(test)]
mod tests;

use super::account::Account;
use super::journal::{Book, Kind};
use super::{Ledger, LedgerError, check_id, check_positive};
use crate::store::Epoch;
use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::Origin;
use std::time::Duration;

/// The leases of a purse are recalled at most so often,
const RECALL_EVERY: Duration = Duration::from_secs(10);
/// or after this, and then twice as long each time, while somebody gets nothing of what others have
/// leased,
const RECALL_POOR_AFTER: Duration = Duration::from_secs(1);
/// and those of so many purses in that time, of one organisation of so many; what others have goes
/// back when it is idle.
const RECALLED_MAX: usize = 1000;
const RECALLED_OF_ORG_MAX: usize = 16;

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
    /// Who can reserve each request by itself says so; none is always leased ahead.
    pub need: Option<Need>,
}

/// What a node needs that can reserve each request by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// What waiting requests hold together.
    pub now: Amount,
    /// The largest hold of late.
    pub largest: Amount,
    /// It reserves each request, as far as it knows.
    pub central: bool,
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
    /// The purse has too little to be leased ahead: each request is to be reserved.
    pub central: bool,
    /// What other runs have leased of it.
    pub elsewhere: Amount,
    /// It has just become so, or nothing was granted because others have it: what they have leased
    /// and don't use is wanted back.
    pub recall: bool,
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

/// The leases of a purse were recalled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recalled {
    at: Moment,
    /// For want of it that is done again after this.
    again: Duration,
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
        let (central, elsewhere) = book.is_central(request, most.unwrap_or_default()).await?;
        let granted = match (before, most) {
            (Some(granted), _) => granted,
            (None, Some(most)) => book.grant(request, most, central).await?,
            (None, None) => return Err(LedgerError::NoLimit),
        };
        let outside = book.balance(&Account::outside(&request.purse)).await?;
        let available = outside + most.unwrap_or_default();
        // Who has no money leaves no trace.
        if before.is_none() && granted > Amount::ZERO {
            book.commit().await?;
        }
        let knows = request.need.is_none_or(|need| need.central);
        let poor = granted == Amount::ZERO && elsewhere > Amount::ZERO;
        let recall = (poor || central && !knows) && self.may_recall(&request.purse, poor);
        Ok(Grant {
            granted,
            ttl: self.times.ttl,
            available,
            central,
            elsewhere,
            recall,
        })
    }

    /// True once in a while for each purse: nodes ask one after the other.
    fn may_recall(&self, purse: &Purse, poor: bool) -> bool {
        let now = self.clock.now();
        let mut recalled = shared::task::lock(&self.recalled);
        recalled.retain(|_, last: &mut Recalled| now.since(last.at) < 2 * RECALL_EVERY);
        let again = match recalled.get(purse) {
            Some(last) => {
                let wait = if poor { last.again } else { RECALL_EVERY };
                if now.since(last.at) < wait {
                    return false;
                }
                (2 * last.again).min(RECALL_EVERY)
            }
            None => {
                let of_org = recalled.keys().filter(|other| other.org == purse.org);
                if recalled.len() >= RECALLED_MAX || of_org.count() >= RECALLED_OF_ORG_MAX {
                    crate::metrics::shed("lease_recalls");
                    return false;
                }
                RECALL_POOR_AFTER
            }
        };
        recalled.insert(purse.clone(), Recalled { at: now, again });
        true
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
        let newer = book.heir_of(&request.origin).await?;
        if newer > 0 {
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
}

impl Book {
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
        let regained = format!("{}/{reference}", kind.as_str());
        self.regain(&part.purse, part.holds, &regained).await?;
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
