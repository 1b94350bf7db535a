//! What this node has leased of balances and of windows of limits, and who waits for more. A
//! request sets aside from all its purses or from none. One mutex, no system calls under it.
//! Deliberately not here: the calls to the ledger ([`super::topup`]).

use super::lease::{Lease, Time};
use super::want::Asks;
use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use shared::task::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;

/// Purses with a lease on one node; more are refused until one is empty.
pub(super) const PURSES_MAX: usize = 100_000;

/// How a flight to the ledger ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Landed {
    /// Not yet.
    Flying,
    /// The ledger answered: look again.
    Answered,
    /// Nobody knows.
    Failed,
}

/// What the desk says to a request.
#[derive(Debug)]
pub(super) enum Desk {
    /// The parts of this much are set aside. `low`: time to ask for more of something.
    Set { amount: Amount, low: bool },
    /// This purse does not carry it.
    Poor(Box<Poor>),
    /// There is too little, and the ledger was not to be asked.
    Short,
    /// Wait for these flights.
    Wait(Vec<Flight>),
    /// No room for another purse.
    Crowded,
}

/// A purse that does not carry a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Poor {
    /// Which.
    pub(super) purse: Purse,
    /// What is left of it here,
    pub(super) left: Amount,
    /// what is left of it at the ledger,
    pub(super) outside: Amount,
    /// what requests in flight here hold,
    pub(super) held: Amount,
    /// and what of it the request needs at least.
    pub(super) needs: Amount,
}

/// A question to the ledger on its way.
#[derive(Debug)]
pub(super) struct Flight {
    /// About what.
    pub(super) purse: Purse,
    /// How it ends.
    pub(super) landing: watch::Receiver<Landed>,
    /// It is for the caller to start it.
    pub(super) start: bool,
}

/// What a flight asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    /// The same as long as nobody knows whether it was answered.
    pub(super) lease_id: String,
    /// How much would help.
    pub(super) wanted: Amount,
    /// How much is the least that helps.
    pub(super) least: Amount,
    /// When this id was first sent: the lease lasts from here.
    pub(super) sent: Moment,
    /// It was sent before.
    pub(super) again: bool,
}

/// What the ledger answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Granted {
    /// Maybe nothing.
    pub(super) amount: Amount,
    /// How long it lasts without contact.
    pub(super) ttl: Duration,
    /// What the purse has outside of leases.
    pub(super) outside: Amount,
}

/// Money that was taken out of use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Withdrawn {
    /// Of what.
    pub(super) purse: Purse,
    /// How much; zero when only a question is without an answer.
    pub(super) amount: Amount,
    /// The lease id that the ledger was asked under and has not answered.
    pub(super) asked: Option<String>,
}

/// The desk.
pub(super) struct Leases {
    purses: Mutex<HashMap<Purse, Entry>>,
    refused_for: Duration,
}

#[derive(Default)]
struct Entry {
    lease: Lease,
    flight: Option<watch::Sender<Landed>>,
    /// What those wait for whom the next flight is.
    wanted: Amount,
    least: Option<Amount>,
    /// Asked for, and never answered.
    unanswered: Option<(String, Moment)>,
    refused: Option<Refused>,
    /// No background refill before this.
    quiet_until: Moment,
}

#[derive(Clone, Copy)]
struct Refused {
    at: Moment,
    outside: Amount,
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
        may_ask: bool,
        time: Time,
    ) -> Desk {
        let mut entries = lock(&self.purses);
        let mut amount = ceiling;
        let mut poor: Option<Poor> = None;
        for want in wants {
            let purse = want.purse();
            if !entries.contains_key(purse) && !make_room(&mut entries) {
                return Desk::Crowded;
            }
            let entry = entries.entry(purse.clone()).or_default();
            let wanted = entry.lease.asked(want.part(ceiling));
            let (left, needs) = (entry.lease.available(time), want.part(least));
            if left >= wanted {
                continue;
            }
            let most = if may_ask {
                let fresh = |refused: &Refused| time.now < refused.at.plus(self.refused_for);
                let Some(Refused { outside, .. }) = entry.refused.filter(fresh) else {
                    continue;
                };
                if left + outside < needs {
                    let purse = purse.clone();
                    let held = entry.lease.held();
                    worst(
                        &mut poor,
                        Poor {
                            purse,
                            left,
                            outside,
                            held,
                            needs,
                        },
                    );
                    continue;
                }
                // The ledger did not give the ceiling: what it has must do.
                left + outside.at_least_zero()
            } else {
                if left < needs || left <= Amount::ZERO {
                    return Desk::Short;
                }
                left
            };
            if want.part(amount) > most {
                amount = want.fit(amount, most);
            }
        }
        if let Some(poor) = poor {
            return Desk::Poor(Box::new(poor));
        }
        take(&mut entries, wants, amount, time)
    }

    /// Joins or starts a flight in the background, if it is time for one.
    pub(super) fn refill(&self, purse: &Purse, time: Time) -> bool {
        let mut entries = lock(&self.purses);
        let Some(entry) = entries.get_mut(purse) else {
            return false;
        };
        if !entry.is_low(time) {
            return false;
        }
        entry.flight = Some(watch::channel(Landed::Flying).0);
        true
    }

    /// What the flight that was just started asks for. `fresh_id` is used unless an earlier
    /// question is unanswered.
    pub(super) fn ask(&self, purse: &Purse, fresh_id: String, time: Time) -> Ask {
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        let available = entry.lease.available(time);
        let target = entry.lease.target(time.now) - available;
        let least = entry.least.take().unwrap_or(Amount(1));
        let wanted = std::mem::take(&mut entry.wanted).max(target).max(least);
        let again = entry.unanswered.is_some();
        let (lease_id, sent) = entry.unanswered.take().unwrap_or((fresh_id, time.now));
        entry.unanswered = Some((lease_id.clone(), sent));
        Ask {
            lease_id,
            wanted,
            least,
            sent,
            again,
        }
    }

    /// The ledger has answered.
    pub(super) fn granted(&self, purse: &Purse, ask: &Ask, granted: Granted, now: Moment) {
        let Granted {
            amount,
            ttl,
            outside,
        } = granted;
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        entry.unanswered = None;
        if amount > Amount::ZERO {
            entry.lease.grant(amount, ttl, ask.sent.plus(ttl));
        }
        entry.lease.answered(amount >= ask.wanted);
        entry.refused = (amount < ask.wanted).then_some(Refused { at: now, outside });
        if entry.refused.is_some() {
            entry.quiet_until = now.plus(self.refused_for);
        }
        entry.land(Landed::Answered);
    }

    /// The flight found nobody. `forget`: the question itself was refused, ask anew next time.
    pub(super) fn failed(&self, purse: &Purse, forget: bool, now: Moment) {
        let mut entries = lock(&self.purses);
        let Some(entry) = entries.get_mut(purse) else {
            return;
        };
        if forget {
            entry.unanswered = None;
        }
        entry.quiet_until = now.plus(self.refused_for);
        entry.land(Landed::Failed);
    }

    /// A hold was not begun after all.
    pub(super) fn undo<W: Asks>(&self, wants: &[W], amount: Amount, now: Moment) {
        for want in wants {
            self.end(want.purse(), want.part(amount), Amount::ZERO, now);
        }
    }

    /// A hold has ended, as far as it is about this purse.
    pub(super) fn end(&self, purse: &Purse, held: Amount, charged: Amount, now: Moment) {
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        entry.lease.end(held, charged, now);
    }

    /// Takes over what an earlier run left.
    pub(super) fn inherit(&self, purse: &Purse, amount: Amount, ttl: Duration, until: Moment) {
        let mut entries = lock(&self.purses);
        let entry = entries.entry(purse.clone()).or_default();
        entry.lease.grant(amount, ttl, until);
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

    /// Takes out what has expired, also while the ledger is asked for more: that answer will not be
    /// taken, because nobody can tell whether the ledger had taken the rest back before it.
    pub(super) fn expire(&self, time: Time) -> Vec<Withdrawn> {
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
        taken
    }

    /// True when the answer to this question may be taken.
    pub(super) fn expects(&self, purse: &Purse, ask: &Ask) -> bool {
        let entries = lock(&self.purses);
        let unanswered = entries
            .get(purse)
            .and_then(|entry| entry.unanswered.as_ref());
        unanswered.is_some_and(|(id, _)| *id == ask.lease_id)
    }

    /// Takes out what nobody has used since `before`; all when it is none. What the ledger was
    /// asked for without an answer is not asked for again.
    pub(super) fn withdraw_idle(&self, before: Option<Moment>) -> Vec<Withdrawn> {
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
        taken
    }
}

/// Sets the parts of `amount` aside if all purses have them; else asks for what is missing.
fn take<W: Asks>(
    entries: &mut HashMap<Purse, Entry>,
    wants: &[W],
    amount: Amount,
    time: Time,
) -> Desk {
    let mut flights = Vec::new();
    for want in wants {
        let Some(entry) = entries.get_mut(want.purse()) else {
            continue;
        };
        let missing = want.part(amount) - entry.lease.available(time);
        if missing > Amount::ZERO {
            let (landing, start) = entry.wait(missing);
            let purse = want.purse().clone();
            flights.push(Flight {
                purse,
                landing,
                start,
            });
        }
    }
    if !flights.is_empty() {
        return Desk::Wait(flights);
    }
    let mut low = false;
    for want in wants {
        if let Some(entry) = entries.get_mut(want.purse()) {
            entry.lease.take(want.part(amount));
            low |= entry.is_low(time);
        }
    }
    Desk::Set { amount, low }
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

impl Entry {
    fn is_low(&self, time: Time) -> bool {
        self.flight.is_none() && time.now >= self.quiet_until && self.lease.low(time)
    }

    /// The flight brings at least `short`, if the ledger has that.
    fn wait(&mut self, short: Amount) -> (watch::Receiver<Landed>, bool) {
        let short = short.max(Amount(1));
        self.wanted += short;
        self.least = Some(self.least.map_or(short, |other| other.min(short)));
        if let Some(flight) = &self.flight {
            return (flight.subscribe(), false);
        }
        let (flight, landing) = watch::channel(Landed::Flying);
        self.flight = Some(flight);
        (landing, true)
    }

    fn land(&mut self, landed: Landed) {
        if let Some(flight) = self.flight.take() {
            flight.send_replace(landed);
        }
    }

    /// True when forgetting it loses nothing.
    fn disposable(&self) -> bool {
        self.lease.empty() && self.flight.is_none() && self.unanswered.is_none()
    }
}

fn make_room(entries: &mut HashMap<Purse, Entry>) -> bool {
    if entries.len() >= PURSES_MAX {
        entries.retain(|_, entry| !entry.disposable());
    }
    entries.len() < PURSES_MAX
}
