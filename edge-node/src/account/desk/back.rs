//! What is taken out of use: leases that are over, and leases that nobody uses. In the order of the
//! purses, so that a run can be played again. Deliberately not here: telling the ledger.

use super::entry::Entry;
use super::{Leases, Withdrawn};
use crate::account::lease::Time;
use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use shared::task::lock;

/// A lease that is wanted back and in use keeps so many of its largest holds.
const RECALL_LEAVES: i128 = 4;

impl Leases {
    /// Takes out what has expired, also while the ledger is asked for more: that answer will not be
    /// taken, because nobody can tell whether the ledger had taken the rest back before it.
    pub(in crate::account) fn expire(&self, time: Time) -> Vec<Withdrawn> {
        let mut entries = lock(&self.purses);
        let mut taken = Vec::new();
        for (purse, entry) in entries.iter_mut() {
            if !entry.lease.expired(time) {
                continue;
            }
            let amount = entry.lease.withdraw(Amount::ZERO);
            if amount > Amount::ZERO {
                taken.push(Withdrawn {
                    purse: purse.clone(),
                    amount,
                    asked: entry.unanswered.take().map(|(id, _)| id),
                });
            }
        }
        entries.retain(|_, entry| !entry.disposable());
        taken.sort();
        taken
    }

    /// Takes out what nobody has used since `before`, and what no hold needs of what is not leased
    /// ahead; all when it is none. What the ledger was asked for without an answer is not asked for
    /// again.
    pub(in crate::account) fn withdraw_idle(&self, before: Option<Moment>) -> Vec<Withdrawn> {
        self.withdraw(|_, entry| {
            let idle = before.is_none_or(|before| entry.lease.idle(before));
            // A question without an answer is put again first: that tells what there is.
            let left = entry.central && entry.unanswered.is_none();
            (idle || left).then_some(Amount::ZERO)
        })
    }

    /// Takes out of one purse what no hold needs: all when it was not used since `before`, else what
    /// goes beyond a few more holds of the largest size.
    pub(in crate::account) fn withdraw_of(&self, purse: &Purse, before: Moment) -> Vec<Withdrawn> {
        self.withdraw(|of, entry| {
            let lease = &entry.lease;
            let few = Amount(lease.largest().0.saturating_mul(RECALL_LEAVES));
            let keep = if lease.idle(before) {
                Amount::ZERO
            } else {
                few
            };
            (of == purse && entry.unanswered.is_none()).then_some(keep)
        })
    }

    /// Takes out what no hold needs of everything, also while the ledger is asked for more.
    pub(in crate::account) fn withdraw_all(&self) -> Vec<Withdrawn> {
        let mut entries = lock(&self.purses);
        let taken = entries.iter_mut().map(|(purse, entry)| Withdrawn {
            purse: purse.clone(),
            amount: entry.lease.withdraw(Amount::ZERO),
            asked: None,
        });
        let mut taken: Vec<_> = taken.collect();
        taken.sort();
        taken
    }

    /// `keep`: how much is left for new holds; none leaves everything.
    fn withdraw(&self, keep: impl Fn(&Purse, &Entry) -> Option<Amount>) -> Vec<Withdrawn> {
        let mut entries = lock(&self.purses);
        let mut taken = Vec::new();
        for (purse, entry) in entries.iter_mut() {
            let Some(keep) = keep(purse, entry).filter(|_| entry.flight.is_none()) else {
                continue;
            };
            let amount = entry.lease.withdraw(keep);
            let asked = entry.unanswered.take().map(|(id, _)| id);
            if amount > Amount::ZERO {
                // There will be more than there was when the ledger refused.
                entry.refused = None;
            }
            if amount > Amount::ZERO || asked.is_some() {
                taken.push(Withdrawn {
                    purse: purse.clone(),
                    amount,
                    asked,
                });
            }
        }
        entries.retain(|_, entry| !entry.disposable());
        taken.sort();
        taken
    }
}
