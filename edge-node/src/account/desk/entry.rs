//! One purse at the desk: its lease, who waits, and what is on its way. Deliberately not here: more
//! than one purse at a time.

use super::Landed;
use crate::account::lease::{Lease, Time};
use shared::clock::Moment;
use shared::money::Amount;
use tokio::sync::watch;

#[derive(Default)]
pub(super) struct Entry {
    pub(super) lease: Lease,
    pub(super) flight: Option<watch::Sender<Landed>>,
    /// What those wait for whom the next flight is.
    pub(super) wanted: Amount,
    pub(super) least: Option<Amount>,
    /// Asked for, and never answered.
    pub(super) unanswered: Option<(String, Moment)>,
    pub(super) refused: Option<Refused>,
    /// No background refill before this.
    pub(super) quiet_until: Moment,
}

#[derive(Clone, Copy)]
pub(super) struct Refused {
    pub(super) at: Moment,
    pub(super) outside: Amount,
}

impl Entry {
    pub(super) fn is_low(&self, time: Time) -> bool {
        self.flight.is_none() && time.now >= self.quiet_until && self.lease.low(time)
    }

    /// The flight brings at least `short`, if the ledger has that.
    pub(super) fn wait(&mut self, short: Amount) -> (watch::Receiver<Landed>, bool) {
        let short = short.max(Amount(1));
        self.wanted += short;
        self.least = Some(self.least.map_or(short, |other| other.min(short)));
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

    pub(super) fn land(&mut self, landed: Landed) {
        if let Some(flight) = self.flight.take() {
            flight.send_replace(landed);
        }
    }

    /// True when forgetting it loses nothing.
    pub(super) fn disposable(&self) -> bool {
        self.lease.empty() && self.flight.is_none() && self.unanswered.is_none()
    }
}
