//! One purse at the desk: its lease, who waits, and what is on its way. Deliberately not here: more
//! than one purse at a time.

use super::{Landed, May, Poor};
use crate::account::lease::{Lease, Time};
use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use tokio::sync::watch;

#[derive(Default)]
pub(super) struct Entry {
    pub(super) lease: Lease,
    pub(super) flight: Option<watch::Sender<Landed>>,
    /// What those wait for whom the next flight is, since the last one landed,
    pub(super) wanted: Amount,
    /// and those who came while one was under way, who will say it again when it lands.
    pub(super) joined: Amount,
    /// The flight's question has been put.
    pub(super) asked: bool,
    pub(super) least: Option<Amount>,
    /// Asked for, and never answered.
    pub(super) unanswered: Option<(String, Moment)>,
    pub(super) refused: Option<Refused>,
    /// The last question found nobody.
    pub(super) out_of_reach: bool,
    /// What open holds have on credit,
    pub(super) credit: Amount,
    /// and what ended ones have used of it in this outage.
    pub(super) owed: Amount,
    /// Each request is reserved at the ledger; nothing is leased ahead.
    pub(super) central: bool,
    /// So much goes back though it is leased ahead: the limit may be another now.
    pub(super) over: Amount,
    /// So much of what holds have set aside was so under the limit of before,
    pub(super) recalled: Amount,
    /// and what is asked for may be granted under it.
    pub(super) doubted: bool,
    /// The answer is being logged: until it counts here, nothing that is here is over.
    pub(super) taking: bool,
    /// No background refill before this.
    pub(super) quiet_until: Moment,
}

#[derive(Clone, Copy)]
pub(super) struct Refused {
    /// It is believed until then.
    pub(super) until: Moment,
    pub(super) outside: Amount,
    pub(super) elsewhere: Amount,
}

impl Entry {
    pub(super) fn is_low(&self, time: Time) -> bool {
        !self.central
            && self.flight.is_none()
            && time.now >= self.quiet_until
            && self.lease.low(time)
    }

    /// What may still be used beyond the lease when so much may be in all. Nothing unless the ledger
    /// was silent: a question found nobody, or has been under way for longer than one waits.
    pub(super) fn spare(&self, may: May) -> Amount {
        if !self.out_of_reach && (may.ask || self.flight.is_none()) {
            return Amount::ZERO;
        }
        (may.credit - self.credit - self.owed).at_least_zero()
    }

    /// This purse does not carry a request that `needs` so much.
    pub(super) fn poor(
        &self,
        purse: &Purse,
        left: Amount,
        refused: &Refused,
        needs: Amount,
    ) -> Poor {
        Poor {
            purse: purse.clone(),
            left,
            outside: refused.outside,
            elsewhere: refused.elsewhere,
            held: self.lease.held(),
            needs,
        }
    }

    /// True when it is time to see whether the ledger is back.
    pub(super) fn is_due(&self, time: Time) -> bool {
        self.out_of_reach && self.flight.is_none() && time.now >= self.quiet_until
    }

    /// The flight brings `short`, or at least `least`, if the ledger has that.
    pub(super) fn wait(&mut self, short: Amount, least: Amount) -> (watch::Receiver<Landed>, bool) {
        let short = short.max(Amount(1));
        let least = least.max(Amount(1)).min(short);
        if self.asked {
            self.joined += short;
        } else {
            self.wanted += short;
        }
        self.least = Some(self.least.map_or(least, |other| other.min(least)));
        if let Some(flight) = &self.flight {
            return (flight.subscribe(), false);
        }
        (self.start(), true)
    }

    /// A flight begins.
    pub(super) fn start(&mut self) -> watch::Receiver<Landed> {
        let (flight, landing) = watch::channel(Landed::Flying);
        self.flight = Some(flight);
        landing
    }

    /// What the next question asks for those who wait, and the least that helps one of them.
    pub(super) fn put(&mut self) -> (Amount, Option<Amount>) {
        self.asked = true;
        let joined = std::mem::take(&mut self.joined);
        let needed = std::mem::take(&mut self.wanted).max(joined);
        (needed, self.least.take())
    }

    pub(super) fn land(&mut self, landed: Landed) {
        self.asked = false;
        if let Some(flight) = self.flight.take() {
            flight.send_replace(landed);
        }
    }

    /// What is leased goes back, of what requests hold when they end. What was refused may be there.
    pub(super) fn recall(&mut self) {
        self.refused = None;
        self.over = self.lease.unused();
        self.recalled = self.lease.held();
        self.doubted = self.flight.is_some() || self.unanswered.is_some();
    }

    /// A hold ends: what it leaves of what was recalled goes back.
    pub(super) fn leave(&mut self, held: Amount, charged: Amount) {
        let part = self.recalled.min(held);
        self.recalled -= part;
        self.over += (part - charged).at_least_zero();
    }

    /// How much of what no hold needs stays; none when nothing goes back. A question without an
    /// answer is put again first: that tells what there is.
    pub(super) fn keeps(&self) -> Option<Amount> {
        let unused = self.lease.unused();
        if self.unanswered.is_some() || unused == Amount::ZERO {
            None
        } else if self.central {
            Some(Amount::ZERO)
        } else {
            (self.over > Amount::ZERO).then(|| (unused - self.over).at_least_zero())
        }
    }

    /// True when forgetting it loses nothing, and nothing of it is worth knowing: that a balance is
    /// not leased ahead, and for how large holds, is what the ledger's next answer goes by.
    pub(super) fn forgettable(&self, now: Moment) -> bool {
        self.disposable() && !(self.central && self.lease.remembers(now))
    }

    /// True when forgetting it loses no money.
    pub(super) fn disposable(&self) -> bool {
        let on_credit = self.credit + self.owed > Amount::ZERO;
        self.lease.empty() && self.flight.is_none() && self.unanswered.is_none() && !on_credit
    }
}
