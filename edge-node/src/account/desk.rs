//! What this node has leased of balances and of windows of limits, and who waits for more. A
//! request sets aside from all its purses or from none. One mutex, no system calls under it.
//! Deliberately not here: the calls to the ledger ([`super::topup`]).

mod back;
mod entry;
mod flight;
mod said;

pub(super) use said::{
    Ask, Desk, Ended, Flight, Granted, Landed, May, Poor, Reach, Set, Withdrawn,
};

use super::lease::Time;
use super::recover::Inherited;
use super::want::Asks;
use entry::{Entry, Refused};
use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use shared::task::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// Purses with a lease on one node; more are refused until one is empty.
pub(super) const PURSES_MAX: usize = 100_000;

/// The desk.
pub(super) struct Leases {
    purses: Mutex<HashMap<Purse, Entry>>,
    refused_for: Duration,
}

impl Leases {
    /// A desk without leases. A refusal of the ledger is believed for `refused_for`.
    pub(super) fn new(refused_for: Duration) -> Self {
        Self {
            purses: Mutex::default(),
            refused_for,
        }
    }

    /// Sets aside from each of `wants` its part of `ceiling`; or of as much as the poorest of them
    /// has, if that is at least `least` (above zero unless the ceiling is zero) and the ledger
    /// gives no more, or may not be asked; or says what to do.
    pub(super) fn reserve<W: Asks>(
        &self,
        wants: &[W],
        (ceiling, least): (Amount, Amount),
        may: May,
        time: Time,
    ) -> Desk {
        let mut entries = lock(&self.purses);
        let mut amount = ceiling;
        let mut poor: Option<Poor> = None;
        for want in wants {
            let purse = want.purse();
            if !entries.contains_key(purse) && !make_room(&mut entries, time.now) {
                return Desk::Crowded;
            }
            let entry = entries.entry(purse.clone()).or_default();
            let wanted = entry.lease.asked(want.part(ceiling), time.now);
            let (left, needs) = (entry.lease.available(time), want.part(least));
            if left >= wanted {
                continue;
            }
            let may = of_purse(may, purse);
            let spare = entry.spare(may);
            let most = if may.ask && spare == Amount::ZERO {
                let fresh = |refused: &Refused| time.now < refused.until;
                let Some(refused) = entry.refused.filter(fresh) else {
                    continue;
                };
                let outside = refused.outside;
                if left + outside < needs {
                    worst(&mut poor, entry.poor(purse, left, &refused, needs));
                    continue;
                }
                // The ledger did not give the ceiling: what it has must do.
                left + outside.at_least_zero()
            } else {
                let most = left + spare;
                if (most < needs || most <= Amount::ZERO) && !may.ask {
                    return Desk::Short;
                }
                if most < needs {
                    continue;
                }
                most
            };
            if want.part(amount) > most {
                amount = want.fit(amount, most);
            }
        }
        if let Some(poor) = poor {
            return Desk::Poor(Box::new(poor));
        }
        take(&mut entries, wants, (amount, least), (may, time))
    }

    /// A hold was not begun after all.
    pub(super) fn undo<W: Asks>(
        &self,
        wants: &[W],
        (amount, credit): (Amount, Amount),
        now: Moment,
    ) {
        for want in wants {
            let on_balance = want.purse().window.is_none();
            let ended = Ended {
                held: want.part(amount),
                credit: if on_balance { credit } else { Amount::ZERO },
                charged: Amount::ZERO,
                owed: Amount::ZERO,
            };
            self.end(want.purse(), ended, now);
        }
    }

    /// A hold has ended, as far as it is about this purse. True when something is left that goes back.
    pub(super) fn end(&self, purse: &Purse, ended: Ended, now: Moment) -> bool {
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        entry.credit -= ended.credit;
        entry.owed += ended.owed;
        entry.leave(ended.held, ended.charged);
        entry
            .lease
            .end(ended.held - ended.credit, ended.charged, now);
        entry.keeps().is_some()
    }

    /// The ledger has taken so much of it for ends that the log has lost.
    pub(super) fn lose(&self, purse: &Purse, amount: Amount) {
        let mut entries = lock(&self.purses);
        entries.entry(purse.clone()).or_default().lease.lose(amount);
    }

    /// An earlier run has used this on credit.
    pub(super) fn owe(&self, purse: &Purse, amount: Amount) {
        let mut entries = lock(&self.purses);
        entries.entry(purse.clone()).or_default().owed += amount;
    }

    /// Whether a question about this purse is worth waiting for: the last one has not found nobody.
    /// If it has, it may be time for one that nobody waits for, which the caller starts.
    pub(super) fn reach(&self, purse: &Purse, time: Time) -> Reach {
        let mut entries = lock(&self.purses);
        match entries.get_mut(purse) {
            Some(entry) if entry.is_due(time) => {
                entry.start();
                Reach::Probe
            }
            Some(entry) if entry.out_of_reach => Reach::Nobody,
            _ => Reach::Ask,
        }
    }

    /// What was used of it on credit.
    #[cfg(test)]
    pub(super) fn owes(&self, purse: &Purse) -> Amount {
        let entries = lock(&self.purses);
        entries.get(purse).map_or(Amount::ZERO, |entry| entry.owed)
    }

    /// This can be used on credit again.
    pub(super) fn forgive(&self, purse: &Purse, amount: Amount) {
        let mut entries = lock(&self.purses);
        if let Some(entry) = entries.get_mut(purse) {
            entry.owed -= amount;
        }
    }

    /// Takes over what an earlier run left.
    pub(super) fn inherit(&self, purse: &Purse, lease: &Inherited, now: Moment) {
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        let until = now.plus(lease.ttl.saturating_sub(lease.age));
        entry.lease.grant(lease.left, lease.ttl, until);
        entry.central = lease.central;
    }

    /// All balances' available money.
    pub(super) fn available(&self, time: Time) -> Amount {
        let entries = lock(&self.purses);
        let balances = entries.iter().filter(|(purse, _)| purse.window.is_none());
        balances.map(|(_, entry)| entry.lease.available(time)).sum()
    }

    /// Up to `most` purses: what holds have set aside of each, and what is left for new ones.
    pub(super) fn shown(&self, most: usize, time: Time) -> Vec<(Purse, Amount, Amount)> {
        let entries = lock(&self.purses);
        let entries = entries.iter().take(most);
        let shown = entries.map(|(purse, entry)| {
            let lease = &entry.lease;
            (purse.clone(), lease.held(), lease.available(time))
        });
        shown.collect()
    }
}

/// Credit is for the balance alone: a limit is its owner's.
fn of_purse(may: May, purse: &Purse) -> May {
    let credit = match purse.window {
        None => may.credit,
        Some(_) => Amount::ZERO,
    };
    May { credit, ..may }
}

/// Sets the parts of `amount` aside if all purses have them; else asks for what is missing, and says
/// that what `least` needs would do.
fn take<W: Asks>(
    entries: &mut HashMap<Purse, Entry>,
    wants: &[W],
    (amount, least): (Amount, Amount),
    (may, time): (May, Time),
) -> Desk {
    let mut flights = Vec::new();
    let mut credit = Amount::ZERO;
    for want in wants {
        let Some(entry) = entries.get_mut(want.purse()) else {
            continue;
        };
        let available = entry.lease.available(time);
        let missing = want.part(amount) - available;
        if missing <= Amount::ZERO {
            continue;
        }
        if missing <= entry.spare(of_purse(may, want.purse())) {
            credit = missing;
            continue;
        }
        let (landing, start) = entry.wait(missing, want.part(least.min(amount)) - available);
        let purse = want.purse().clone();
        flights.push(Flight {
            purse,
            landing,
            start,
        });
    }
    if !flights.is_empty() {
        return Desk::Wait(flights);
    }
    let mut refill = Vec::new();
    for want in wants {
        if let Some(entry) = entries.get_mut(want.purse()) {
            let lent = match want.purse().window {
                None => credit,
                Some(_) => Amount::ZERO,
            };
            entry.credit += lent;
            entry.lease.take(want.part(amount) - lent);
            if entry.is_low(time) || lent > Amount::ZERO && entry.is_due(time) {
                entry.start();
                refill.push(want.purse().clone());
            }
        }
    }
    Desk::Set(Set {
        amount,
        credit,
        refill,
    })
}

/// Of limits the broadest is told: what helps with a narrower one would not help with it. A limit
/// comes before the balance, which credits would not make up for.
fn worst(worst: &mut Option<Poor>, poor: Poor) {
    let breadth = |purse: &Purse| purse.window.as_ref().map(|window| window.interval);
    let broader = |other: &Poor| breadth(&poor.purse) > breadth(&other.purse);
    if worst.as_ref().is_none_or(broader) {
        *worst = Some(poor);
    }
}

fn make_room(entries: &mut HashMap<Purse, Entry>, now: Moment) -> bool {
    if entries.len() >= PURSES_MAX {
        entries.retain(|_, entry| !entry.forgettable(now));
    }
    if entries.len() >= PURSES_MAX {
        entries.retain(|_, entry| !entry.disposable());
    }
    entries.len() < PURSES_MAX
}

#[cfg(test)]
mod tests;
