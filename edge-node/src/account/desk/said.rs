//! What is said at the desk: what a request is told, what the ledger is asked and answers, what is
//! taken out of use. Values only.

use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use std::time::Duration;
use tokio::sync::watch;

/// How a flight to the ledger ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::account) enum Landed {
    /// Not yet.
    Flying,
    /// The ledger answered: look again.
    Answered,
    /// Nobody knows.
    Failed,
    /// There is no such limit: what is known of the key is old.
    NoLimit,
}

/// What the desk says to a request.
#[derive(Debug)]
pub(in crate::account) enum Desk {
    /// The parts of this much are set aside.
    Set(Set),
    /// This purse does not carry it.
    Poor(Box<Poor>),
    /// There is too little, and the ledger was not to be asked.
    Short,
    /// Wait for these flights.
    Wait(Vec<Flight>),
    /// No room for another purse.
    Crowded,
}

/// Whether a question to the ledger is worth waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::account) enum Reach {
    /// It is.
    Ask,
    /// It found nobody, and it is time to see whether somebody is back: the caller starts the
    /// flight, for which nobody waits.
    Probe,
    /// It found nobody just now.
    Nobody,
}

/// What is set aside for a request.
#[derive(Debug)]
pub(in crate::account) struct Set {
    /// The parts of this much.
    pub(in crate::account) amount: Amount,
    /// What of the balance's part no lease carries.
    pub(in crate::account) credit: Amount,
    /// Of these there is little left: the caller starts the flights, for which nobody waits.
    pub(in crate::account) refill: Vec<Purse>,
}

/// What a request may do besides taking what is there.
#[derive(Clone, Copy, Debug)]
pub(in crate::account) struct May {
    /// Ask the ledger.
    pub(in crate::account) ask: bool,
    /// Use so much of the balance beyond the lease, all requests here together, while the ledger is
    /// out of reach.
    pub(in crate::account) credit: Amount,
}

/// How a hold has ended, as far as one purse is concerned.
#[derive(Clone, Copy, Debug)]
pub(in crate::account) struct Ended {
    /// What was set aside,
    pub(in crate::account) held: Amount,
    /// what of it on credit,
    pub(in crate::account) credit: Amount,
    /// what the lease is charged,
    pub(in crate::account) charged: Amount,
    /// and what is owed.
    pub(in crate::account) owed: Amount,
}

/// A purse that does not carry a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::account) struct Poor {
    /// Which.
    pub(in crate::account) purse: Purse,
    /// What is left of it here,
    pub(in crate::account) left: Amount,
    /// what is left of it at the ledger,
    pub(in crate::account) outside: Amount,
    /// what other nodes have of it,
    pub(in crate::account) elsewhere: Amount,
    /// what requests in flight here hold,
    pub(in crate::account) held: Amount,
    /// and what of it the request needs at least.
    pub(in crate::account) needs: Amount,
}

impl Poor {
    /// True when other nodes have what the request needs, and may give it back in a moment.
    pub(in crate::account) fn is_elsewhere(&self) -> bool {
        let here = self.left + self.outside.at_least_zero();
        here < self.needs && here + self.elsewhere >= self.needs
    }
}

/// A question to the ledger on its way.
#[derive(Debug)]
pub(in crate::account) struct Flight {
    /// About what.
    pub(in crate::account) purse: Purse,
    /// How it ends.
    pub(in crate::account) landing: watch::Receiver<Landed>,
    /// It is for the caller to start it.
    pub(in crate::account) start: bool,
}

/// What a flight asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::account) struct Ask {
    /// The same as long as nobody knows whether it was answered.
    pub(in crate::account) lease_id: String,
    /// How much would help.
    pub(in crate::account) wanted: Amount,
    /// How much is the least that helps.
    pub(in crate::account) least: Amount,
    /// What those hold together who wait.
    pub(in crate::account) needed: Amount,
    /// The largest hold of late.
    pub(in crate::account) largest: Amount,
    /// Each request is reserved at the ledger.
    pub(in crate::account) central: bool,
    /// When this id was first sent: the lease lasts from here.
    pub(in crate::account) sent: Moment,
    /// It was sent before.
    pub(in crate::account) again: bool,
}

/// What the ledger answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::account) struct Granted {
    /// Maybe nothing.
    pub(in crate::account) amount: Amount,
    /// How long it lasts without contact.
    pub(in crate::account) ttl: Duration,
    /// What the purse has outside of leases,
    pub(in crate::account) outside: Amount,
    /// and in those of other nodes.
    pub(in crate::account) elsewhere: Amount,
    /// Each request is to be reserved at the ledger from now on, and what it leaves goes back.
    pub(in crate::account) central: bool,
}

/// Money that was taken out of use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::account) struct Withdrawn {
    /// Of what.
    pub(in crate::account) purse: Purse,
    /// How much; zero when only a question is without an answer.
    pub(in crate::account) amount: Amount,
    /// The lease id that the ledger was asked under and has not answered.
    pub(in crate::account) asked: Option<String>,
}
