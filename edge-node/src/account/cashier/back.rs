//! Money that leaves a node: what is over, what nobody uses, and what the ledger may have given
//! without anybody's hearing of it. Deliberately not here: telling the ledger.

use super::Cashier;
use crate::account::desk::Withdrawn;
use crate::account::wal::{Record, ReturnedPart, Returning};
use shared::clock::Moment;
use shared::limit::{Purse, Window};
use shared::money::Amount;
use shared::task::lock;
use std::collections::BTreeSet;

/// Returns that wait for the ledger's answer; more leases stay where they are.
const RETURNING_MAX: usize = 10_000;

impl Cashier {
    /// Takes expired leases out of use. The ledger has taken them back, or will be told: it may
    /// have been away itself.
    pub(in crate::account) fn expire(&self, now: Moment) {
        for withdrawn in self.desk.expire(self.time(now)) {
            let (purse, amount) = (withdrawn.purse, withdrawn.amount);
            tracing::warn!(%purse, usd = %amount, "lease expired without contact");
            if self.has_no_room() {
                self.log.note(&Record::Expire { purse, amount });
                continue;
            }
            let asked = withdrawn.asked;
            let part = asked
                .clone()
                .map_or(ReturnedPart::Any, ReturnedPart::Before);
            self.give_back(self.fresh_id("expired"), purse.clone(), amount, part);
            self.give_back_unheard(purse, asked);
        }
    }

    /// Takes leases out of use: those that nobody has used since `before`, or all; and always what
    /// requests that were reserved one by one have left.
    pub(in crate::account) fn send_back(&self, before: Option<Moment>) {
        if !self.has_no_room() {
            self.return_all(self.desk.withdraw_idle(before));
        }
    }

    /// What is not used of a purse is wanted elsewhere.
    pub(in crate::account) fn recall(&self, purse: &Purse) {
        self.desk.recall(purse);
        lock(&self.left).insert(purse.clone());
    }

    /// Limits may be others now: what is leased of those windows of theirs goes back at once, and of
    /// what requests hold as they end.
    pub(in crate::account) fn recall_windows(&self, which: impl Fn(&Purse, &Window) -> bool) {
        let purses = self.desk.recall_windows(which);
        if !self.has_no_room() {
            self.return_all(self.desk.withdraw_left(&purses));
        }
        lock(&self.left).extend(purses);
    }

    /// Takes out of use what ended holds have left of balances that are not leased ahead, and what of
    /// them was recalled. Gives whose they are.
    pub(in crate::account) fn send_back_left(&self) -> BTreeSet<Purse> {
        let left = std::mem::take(&mut *lock(&self.left));
        if !left.is_empty() && !self.has_no_room() {
            self.return_all(self.desk.withdraw_left(&left));
        }
        left
    }

    fn return_all(&self, all: impl IntoIterator<Item = Withdrawn>) {
        for withdrawn in all {
            let (purse, amount) = (withdrawn.purse, withdrawn.amount);
            if amount > Amount::ZERO {
                let id = self.fresh_id("return");
                self.give_back(id, purse.clone(), amount, ReturnedPart::Any);
            }
            self.give_back_unheard(purse, withdrawn.asked);
        }
    }

    /// What earlier runs had is another's: nothing of it is spent from now on, or given back.
    pub(in crate::account) fn disinherit(&self) {
        for withdrawn in self.desk.withdraw_all() {
            let (purse, amount) = (withdrawn.purse, withdrawn.amount);
            self.log.note(&Record::Expire { purse, amount });
        }
        for returning in self.returning() {
            self.returned(&returning.release_id);
        }
    }

    /// What the ledger may have given under this lease id goes back.
    pub(super) fn give_back_unheard(&self, purse: Purse, asked: Option<String>) {
        let Some(asked) = asked else { return };
        let (id, part) = (unheard(&asked), ReturnedPart::Unheard(asked.clone()));
        self.give_back(id, purse, Amount::ZERO, part);
        self.log.note(&Record::Refused { lease_id: asked });
    }

    fn give_back(&self, release_id: String, purse: Purse, amount: Amount, part: ReturnedPart) {
        self.log.note(&Record::Return(Returning {
            release_id,
            epoch: self.epoch,
            purse,
            amount,
            part,
        }));
    }

    fn has_no_room(&self) -> bool {
        self.log.with_book(|book| book.returning.len()) >= RETURNING_MAX
    }
}

/// The release id of what may have been granted under a lease id.
pub(in crate::account) fn unheard(lease_id: &str) -> String {
    format!("unheard-{lease_id}")
}
