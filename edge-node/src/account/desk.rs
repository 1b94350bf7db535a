//! All organisations' leases on this node, and who waits for more. One mutex, no system calls
//! under it. Deliberately not here: the calls to the ledger ([`super::topup`]).

use super::lease::{Lease, Reserve, Time};
use shared::clock::Moment;
use shared::id::OrgId;
use shared::money::Amount;
use shared::task::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;

/// Organisations with a lease on one node; more are refused until one is empty.
pub(super) const ORGS_MAX: usize = 100_000;

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
    /// This much is set aside. `low`: time to ask for more.
    Set { amount: Amount, low: bool },
    /// The organisation can't pay: it has `left` here and `outside` elsewhere.
    Poor { left: Amount, outside: Amount },
    /// There is too little, and the ledger was not to be asked.
    Short,
    /// Wait for this flight; `start`: and start it.
    Wait {
        landing: watch::Receiver<Landed>,
        start: bool,
    },
    /// No room for another organisation.
    Crowded,
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
}

/// What the ledger answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Granted {
    /// Maybe nothing.
    pub(super) amount: Amount,
    /// How long it lasts without contact.
    pub(super) ttl: Duration,
    /// What the organisation has outside of leases.
    pub(super) outside: Amount,
}

/// The desk.
pub(super) struct Leases {
    orgs: Mutex<HashMap<OrgId, Entry>>,
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
            orgs: Mutex::default(),
            refused_for,
        }
    }

    /// Sets aside `ceiling`; or what there is, if it is at least `least` (above zero unless the
    /// ceiling is zero) and the ledger gives no more, or may not be asked; or says what to do.
    pub(super) fn reserve(
        &self,
        org: &OrgId,
        (ceiling, least): (Amount, Amount),
        may_ask: bool,
        time: Time,
    ) -> Desk {
        let mut orgs = lock(&self.orgs);
        if !orgs.contains_key(org) && !make_room(&mut orgs) {
            return Desk::Crowded;
        }
        let entry = orgs.entry(org.clone()).or_default();
        let part = match entry.lease.reserve(ceiling, least, time) {
            Reserve::Whole => return entry.set(ceiling, time),
            Reserve::Part(part) => Some(part),
            Reserve::Short => None,
        };
        if !may_ask {
            return match part {
                Some(part) => entry.take(part, time),
                None => Desk::Short,
            };
        }
        let left = entry.lease.available(time);
        let fresh = |refused: &Refused| time.now < refused.at.plus(self.refused_for);
        let Some(Refused { outside, .. }) = entry.refused.filter(fresh) else {
            return entry.wait(ceiling - left);
        };
        if left + outside < least {
            return Desk::Poor { left, outside };
        }
        // The ledger did not give the ceiling: what it has must do.
        let most = ceiling.min(left + outside);
        match part {
            Some(part) if most <= left => entry.take(part, time),
            _ => entry.wait(most - left),
        }
    }

    /// Joins or starts a flight in the background, if it is time for one.
    pub(super) fn refill(&self, org: &OrgId, time: Time) -> bool {
        let mut orgs = lock(&self.orgs);
        let Some(entry) = orgs.get_mut(org) else {
            return false;
        };
        if entry.flight.is_some() || time.now < entry.quiet_until || !entry.lease.low(time) {
            return false;
        }
        entry.flight = Some(watch::channel(Landed::Flying).0);
        true
    }

    /// What the flight that was just started asks for. `fresh_id` is used unless an earlier
    /// question is unanswered.
    pub(super) fn ask(&self, org: &OrgId, fresh_id: String, time: Time) -> Ask {
        let mut orgs = lock(&self.orgs);
        let entry = orgs.entry(org.clone()).or_default();
        let available = entry.lease.available(time);
        let target = entry.lease.target(time.now) - available;
        let least = entry.least.take().unwrap_or(Amount(1));
        let wanted = std::mem::take(&mut entry.wanted).max(target).max(least);
        let (lease_id, sent) = entry.unanswered.take().unwrap_or((fresh_id, time.now));
        entry.unanswered = Some((lease_id.clone(), sent));
        Ask {
            lease_id,
            wanted,
            least,
            sent,
        }
    }

    /// The ledger has answered.
    pub(super) fn granted(&self, org: &OrgId, ask: &Ask, granted: Granted, now: Moment) {
        let Granted {
            amount,
            ttl,
            outside,
        } = granted;
        let mut orgs = lock(&self.orgs);
        let entry = orgs.entry(org.clone()).or_default();
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
    pub(super) fn failed(&self, org: &OrgId, forget: bool, now: Moment) {
        let mut orgs = lock(&self.orgs);
        let Some(entry) = orgs.get_mut(org) else {
            return;
        };
        if forget {
            entry.unanswered = None;
        }
        entry.quiet_until = now.plus(self.refused_for);
        entry.land(Landed::Failed);
    }

    /// A hold was not begun after all.
    pub(super) fn undo(&self, org: &OrgId, amount: Amount, now: Moment) {
        self.end(org, amount, Amount::ZERO, now);
    }

    /// A hold has ended.
    pub(super) fn end(&self, org: &OrgId, held: Amount, charged: Amount, now: Moment) {
        let mut orgs = lock(&self.orgs);
        let entry = orgs.entry(org.clone()).or_default();
        entry.lease.end(held, charged, now);
    }

    /// Takes over what an earlier run left.
    pub(super) fn inherit(&self, org: &OrgId, amount: Amount, ttl: Duration, until: Moment) {
        let mut orgs = lock(&self.orgs);
        let entry = orgs.entry(org.clone()).or_default();
        entry.lease.grant(amount, ttl, until);
    }

    /// All organisations' available money.
    pub(super) fn available(&self, time: Time) -> Amount {
        let orgs = lock(&self.orgs);
        orgs.values().map(|entry| entry.lease.available(time)).sum()
    }

    /// Takes out what has expired.
    pub(super) fn expire(&self, time: Time) -> Vec<(OrgId, Amount)> {
        self.withdraw(|lease| lease.expired(time))
    }

    /// Takes out what nobody has used since `before`; all when it is none.
    pub(super) fn withdraw_idle(&self, before: Option<Moment>) -> Vec<(OrgId, Amount)> {
        self.withdraw(|lease| before.is_none_or(|before| lease.idle(before)))
    }

    fn withdraw(&self, which: impl Fn(&Lease) -> bool) -> Vec<(OrgId, Amount)> {
        let mut orgs = lock(&self.orgs);
        let mut taken = Vec::new();
        for (org, entry) in orgs.iter_mut() {
            if entry.flight.is_some() || !which(&entry.lease) {
                continue;
            }
            let amount = entry.lease.withdraw();
            if amount > Amount::ZERO {
                taken.push((org.clone(), amount));
            }
        }
        orgs.retain(|_, entry| !entry.disposable());
        taken
    }
}

impl Entry {
    fn set(&self, amount: Amount, time: Time) -> Desk {
        let low = self.flight.is_none() && time.now >= self.quiet_until && self.lease.low(time);
        Desk::Set { amount, low }
    }

    fn take(&mut self, part: Amount, time: Time) -> Desk {
        self.lease.take(part);
        self.set(part, time)
    }

    /// The flight brings at least `short`, if the ledger has that.
    fn wait(&mut self, short: Amount) -> Desk {
        let short = short.max(Amount(1));
        self.wanted += short;
        self.least = Some(self.least.map_or(short, |other| other.min(short)));
        match &self.flight {
            Some(flight) => Desk::Wait {
                landing: flight.subscribe(),
                start: false,
            },
            None => {
                let (flight, landing) = watch::channel(Landed::Flying);
                self.flight = Some(flight);
                Desk::Wait {
                    landing,
                    start: true,
                }
            }
        }
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

fn make_room(orgs: &mut HashMap<OrgId, Entry>) -> bool {
    if orgs.len() >= ORGS_MAX {
        orgs.retain(|_, entry| !entry.disposable());
    }
    orgs.len() < ORGS_MAX
}
