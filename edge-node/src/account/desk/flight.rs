//! A purse's questions to the ledger: what is asked, and what an answer changes. One at a time per
//! purse. Deliberately not here: the log, and the calls themselves.

use super::entry::Refused;
use super::{Ask, Granted, Landed, Leases};
use crate::account::lease::Time;
use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use shared::task::lock;

/// A refusal is believed for a part of the usual time where other nodes have what is missing.
const SOON: u32 = 10;

impl Leases {
    /// What the flight that was just started asks for. `fresh_id` is used unless an earlier
    /// question is unanswered.
    pub(in crate::account) fn ask(&self, purse: &Purse, fresh_id: String, time: Time) -> Ask {
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        let available = entry.lease.available(time);
        let target = entry.lease.target(time.now) - available;
        let (needed, least) = entry.put();
        let least = least.unwrap_or(Amount(1));
        let wanted = if entry.central {
            needed
        } else {
            needed.max(target)
        }
        .max(least);
        let again = entry.unanswered.is_some();
        let (lease_id, sent) = entry.unanswered.take().unwrap_or((fresh_id, time.now));
        entry.unanswered = Some((lease_id.clone(), sent));
        Ask {
            lease_id,
            wanted,
            least,
            needed,
            largest: entry.lease.largest(),
            central: entry.central,
            sent,
            again,
        }
    }

    /// The ledger has answered.
    pub(in crate::account) fn granted(
        &self,
        purse: &Purse,
        ask: &Ask,
        granted: Granted,
        now: Moment,
    ) {
        let Granted {
            amount,
            ttl,
            outside,
            elsewhere,
            central,
        } = granted;
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        (entry.unanswered, entry.taking) = (None, false);
        if amount > Amount::ZERO {
            entry.lease.grant(amount, ttl, ask.sent.plus(ttl));
        }
        let doubted = std::mem::take(&mut entry.doubted);
        if doubted {
            entry.over += amount;
        }
        entry.central = central;
        entry.out_of_reach = false;
        let enough = if central { ask.needed } else { ask.wanted };
        entry.lease.answered(amount >= enough);
        // What others give back may be here in a moment.
        let soon = elsewhere > Amount::ZERO && (central || amount == Amount::ZERO);
        let believed = if soon {
            self.refused_for / SOON
        } else {
            self.refused_for
        };
        entry.refused = (amount < enough && !doubted).then_some(Refused {
            until: now.plus(believed),
            outside,
            elsewhere,
        });
        if entry.refused.is_some() {
            entry.quiet_until = now.plus(self.refused_for);
        }
        entry.land(Landed::Answered);
    }

    /// The flight found nobody. `forget`: the question itself was refused, ask anew next time.
    pub(in crate::account) fn failed(
        &self,
        purse: &Purse,
        (landed, forget): (Landed, bool),
        now: Moment,
    ) {
        let mut entries = lock(&self.purses);
        let Some(entry) = entries.get_mut(purse) else {
            return;
        };
        if forget {
            entry.unanswered = None;
        }
        entry.out_of_reach = !forget;
        entry.quiet_until = now.plus(self.refused_for);
        entry.land(landed);
    }

    /// True when the answer to this question may be taken: then [`Leases::granted`] must follow, and
    /// until it does, what is here stays. It would be returned with all that the answer gives, while
    /// that is logged.
    pub(in crate::account) fn expects(&self, purse: &Purse, ask: &Ask) -> bool {
        let mut entries = lock(&self.purses);
        let Some(entry) = entries.get_mut(purse) else {
            return false;
        };
        let unanswered = entry.unanswered.as_ref();
        entry.taking = unanswered.is_some_and(|(id, _)| *id == ask.lease_id);
        entry.taking
    }
}
