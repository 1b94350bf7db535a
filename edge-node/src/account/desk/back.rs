//! What is taken out of use: leases that are over, and leases that nobody uses. In the order of the
//! purses, so that a run can be played again. Deliberately not here: telling the ledger.

use super::{Leases, Withdrawn};
use crate::account::lease::Time;
use shared::clock::Moment;
use shared::money::Amount;
use shared::task::lock;

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
            let amount = entry.lease.withdraw();
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

    /// Takes out what nobody has used since `before`; all when it is none. What the ledger was
    /// asked for without an answer is not asked for again.
    pub(in crate::account) fn withdraw_idle(&self, before: Option<Moment>) -> Vec<Withdrawn> {
        let mut entries = lock(&self.purses);
        let mut taken = Vec::new();
        for (purse, entry) in entries.iter_mut() {
            let idle = before.is_none_or(|before| entry.lease.idle(before));
            if entry.flight.is_some() || !idle {
                continue;
            }
            let amount = entry.lease.withdraw();
            let asked = entry.unanswered.take().map(|(id, _)| id);
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
