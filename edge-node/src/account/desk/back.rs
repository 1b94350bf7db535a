//! What is taken out of use: leases that are over, and leases that nobody uses. In the order of the
//! purses, so that a run can be played again. Deliberately not here: telling the ledger.

use super::entry::Entry;
use super::{Leases, Withdrawn};
use crate::account::lease::Time;
use shared::clock::Moment;
use shared::limit::{Purse, Window};
use shared::money::Amount;
use shared::task::lock;
use std::collections::BTreeSet;

impl Leases {
    /// Takes out what has expired, also while the ledger is asked for more: that answer will not be
    /// taken, because nobody can tell whether the ledger had taken the rest back before it.
    pub(in crate::account) fn expire(&self, time: Time) -> Vec<Withdrawn> {
        let mut entries = lock(&self.purses);
        let mut taken = Vec::new();
        for (purse, entry) in entries.iter_mut() {
            if entry.taking || !entry.lease.expired(time) {
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
        entries.retain(|_, entry| !entry.forgettable(time.now));
        taken.sort();
        taken
    }

    /// Takes out what nobody has used since `before`, and what no hold needs of what is not leased
    /// ahead; all when it is none. What the ledger was asked for without an answer is not asked for
    /// again.
    pub(in crate::account) fn withdraw_idle(&self, before: Option<Moment>) -> Vec<Withdrawn> {
        self.withdraw(|entry| {
            let idle = before.is_none_or(|before| entry.lease.idle(before));
            let all = idle.then_some(Amount::ZERO);
            all.or_else(|| entry.keeps())
        })
    }

    /// A purse is wanted back: from now on each request is reserved.
    pub(in crate::account) fn recall(&self, purse: &Purse) {
        if let Some(entry) = lock(&self.purses).get_mut(purse) {
            entry.central = true;
        }
    }

    /// Limits may be others now: what is leased of those windows of theirs goes back. Gives which.
    pub(in crate::account) fn recall_windows(
        &self,
        which: impl Fn(&Purse, &Window) -> bool,
    ) -> BTreeSet<Purse> {
        let mut entries = lock(&self.purses);
        let of = entries.iter_mut().filter(|(purse, _)| {
            let window = purse.window.as_ref();
            window.is_some_and(|window| which(purse, window))
        });
        let recalled = of.map(|(purse, entry)| {
            entry.recall();
            purse.clone()
        });
        recalled.collect()
    }

    /// Takes out what no hold needs of these, as far as they are not leased ahead or were recalled.
    pub(in crate::account) fn withdraw_left(&self, purses: &BTreeSet<Purse>) -> Vec<Withdrawn> {
        let mut entries = lock(&self.purses);
        let taken = purses.iter().filter_map(|purse| {
            let entry = entries.get_mut(purse)?;
            let keep = entry.keeps()?;
            take_out(purse, entry, keep)
        });
        taken.collect()
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
    fn withdraw(&self, keep: impl Fn(&Entry) -> Option<Amount>) -> Vec<Withdrawn> {
        let mut entries = lock(&self.purses);
        let mut taken: Vec<_> = entries
            .iter_mut()
            .filter_map(|(purse, entry)| {
                let keep = keep(entry)?;
                take_out(purse, entry, keep)
            })
            .collect();
        taken.sort();
        taken
    }
}

fn take_out(purse: &Purse, entry: &mut Entry, keep: Amount) -> Option<Withdrawn> {
    if entry.flight.is_some() {
        return None;
    }
    let amount = entry.lease.withdraw(keep);
    entry.over = (entry.over - amount).at_least_zero();
    let asked = entry.unanswered.take().map(|(id, _)| id);
    if amount > Amount::ZERO {
        // There will be more than there was when the ledger refused.
        entry.refused = None;
    }
    (amount > Amount::ZERO || asked.is_some()).then(|| Withdrawn {
        purse: purse.clone(),
        amount,
        asked,
    })
}
