//! What a node does between its desk and its log: holds begin and end, the ledger is asked, its
//! answers are taken, money is over or goes back. Nothing here waits and no clock is read: the
//! caller says what time it is and carries what is said, in the node as in the simulation, which
//! drives this very code. Deliberately not here: the network, fsync, and when to do what.

mod back;

pub(super) use back::unheard;

use super::desk::{Ask, Desk, Ended, Granted, Landed, Leases, May};
use super::lease::{Now, Time};
use super::recover::Found;
use super::wal::log::LogError;
use super::wal::{Book, Log, OpenHold, Progress, Record, Returning};
use super::want::Asks;
use shared::clock::Moment;
use shared::id::{BootEpoch, NodeId};
use shared::key::hex;
use shared::limit::Purse;
use shared::money::Amount;
use shared::record::{Outcome, UsageRecord};
use shared::task::lock;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// No lease is over sooner after a contact: only after longer silence is it looked for.
const LEASE_LASTS: Duration = Duration::from_secs(1);

/// Whose cashier it is, and how patient.
#[derive(Clone, Debug)]
pub(super) struct Post {
    /// The node.
    pub(super) node: NodeId,
    /// How long a refusal of the ledger is believed.
    pub(super) refused_for: Duration,
    /// Between two notes of contact in the log.
    pub(super) contact_logged: Duration,
}

/// What became of a question for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The ledger gave, maybe nothing.
    Granted(Granted),
    /// The question itself is wrong: it is not asked again.
    Refused,
    /// There is no such limit, or not any more.
    NoLimit,
    /// Nobody knows.
    Nobody,
}

/// What stands between this run and a question for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    /// Nothing.
    Free,
    /// The ledger does not know that this run has taken over what earlier ones had.
    TakeOver,
    /// It has not confirmed what was returned of the purse: it would take that out of what it
    /// grants.
    Return,
}

/// One run's desk and log.
pub(super) struct Cashier {
    pub(super) desk: Leases,
    pub(super) log: Arc<Log>,
    post: Post,
    epoch: BootEpoch,
    /// Nanoseconds of the [`Moment`] of the last contact; 0 is none.
    contact: AtomicU64,
    contact_logged: AtomicU64,
    /// The ledger knows that this run has taken over the leases of earlier ones.
    taken_over: AtomicBool,
    /// Of these, ended holds have left something that goes back. No more than the desk has.
    left: Mutex<BTreeSet<Purse>>,
    random: Mutex<fastrand::Rng>,
}

impl Cashier {
    /// Opens with what earlier runs left. `random` is for ids that nobody has used.
    pub(super) fn open(
        post: Post,
        log: Log,
        found: &Found,
        now: Moment,
        random: fastrand::Rng,
    ) -> Self {
        let desk = Leases::new(post.refused_for);
        for (purse, lease) in &found.leases {
            desk.inherit(purse, lease, now);
        }
        for (org, amount) in &found.owed {
            desk.owe(&org.clone().into(), *amount);
        }
        Self {
            epoch: log.with_book(|book| book.epoch),
            desk,
            log: Arc::new(log),
            post,
            contact: AtomicU64::new(0),
            contact_logged: AtomicU64::new(0),
            taken_over: AtomicBool::new(found.inherited.is_empty()),
            left: Mutex::default(),
            random: Mutex::new(random),
        }
    }

    /// Whose.
    pub(super) fn node(&self) -> &NodeId {
        &self.post.node
    }

    /// Which run's.
    pub(super) fn epoch(&self) -> BootEpoch {
        self.epoch
    }

    /// Now, and the last contact.
    pub(super) fn time(&self, now: Moment) -> Time {
        let contact = self.contact.load(Ordering::Relaxed);
        Time {
            now,
            contact: (contact > 0).then_some(Moment(contact)),
        }
    }

    /// True when the ledger knows whose leases this run has taken over.
    pub(super) fn has_taken_over(&self) -> bool {
        self.taken_over.load(Ordering::Relaxed)
    }

    /// The ledger knows it now.
    pub(super) fn took_over(&self) {
        self.taken_over.store(true, Ordering::Relaxed);
    }

    /// Sets money aside, or says what to do.
    pub(super) fn reserve<W: Asks>(
        &self,
        wants: &[W],
        most: (Amount, Amount),
        may: May,
        now: Moment,
    ) -> Desk {
        self.desk.reserve(wants, most, may, self.time(now))
    }

    /// Logs that a hold begins for which `amount` was set aside. An error: it does not, and nothing
    /// is set aside.
    pub(super) fn begin<W: Asks>(
        &self,
        open: &Arc<OpenHold>,
        (wants, amount): (&[W], Amount),
        now: Moment,
    ) -> Result<(), LogError> {
        let logged = self.log.intent(open);
        if logged.is_err() {
            self.desk.undo(wants, (amount, open.credit), now);
        }
        logged
    }

    /// Ends a hold with what is known of it; a cost of zero releases it. True when something is left
    /// for [`Cashier::send_back_left`].
    pub(super) fn end<W: Asks>(
        &self,
        open: &OpenHold,
        (wants, amount): (&[W], Amount),
        progress: Progress,
        now: Moment,
    ) -> bool {
        let outcome = if progress.cost() > Amount::ZERO {
            Outcome::Settled
        } else {
            Outcome::Released
        };
        let end = open.end(progress, outcome);
        let charges: Vec<(Purse, Amount)> = end.charges().collect();
        let owed = end.on_credit;
        self.log.end(end);
        let mut leaves = false;
        for want in wants {
            let charged = charges.iter().find(|(purse, _)| purse == want.purse());
            let charged = charged.map_or(Amount::ZERO, |(_, charged)| *charged);
            let on_balance = want.purse().window.is_none();
            let of = |credit| if on_balance { credit } else { Amount::ZERO };
            let ended = Ended {
                held: want.part(amount),
                credit: of(open.credit),
                charged,
                owed: of(owed),
            };
            if self.desk.end(want.purse(), ended, now) {
                lock(&self.left).insert(want.purse().clone());
                leaves = true;
            }
        }
        leaves
    }

    /// The ledger has all ends up to `watermark`.
    pub(super) fn acknowledged(&self, watermark: u64) -> std::io::Result<()> {
        let done = self.log.acknowledge(watermark);
        self.forgive();
        done
    }

    /// The ledger was told of `fills` in place of ends that damage took from the log: what it has taken
    /// for them is not here any more, as when recovery tells them. What was charged here for the ends
    /// themselves stays charged: less is spent, never more.
    pub(super) fn lost(&self, fills: &[Arc<UsageRecord>]) {
        for (purse, amount) in fills.iter().flat_map(|fill| fill.charges()) {
            self.desk.lose(&purse, amount);
            self.log.note(&Record::Expire { purse, amount });
        }
    }

    /// The ledger has answered a question about this purse: with what it knows already, that ends an
    /// outage.
    fn heard(&self, purse: &Purse) {
        let owes = |book: &Book| book.owed.contains_key(&purse.org);
        if purse.window.is_none() && self.log.with_book(owes) {
            let org = purse.org.clone();
            self.log.note(&Record::Heard { org });
            self.forgive();
        }
    }

    /// What the book has forgiven is forgiven at the desk.
    fn forgive(&self) {
        for (org, amount) in self.log.forgiven() {
            self.desk.forgive(&org.into(), amount);
        }
    }

    /// What a flight that was just started asks for.
    pub(super) fn ask(&self, purse: &Purse, now: Moment) -> Ask {
        let id = self.fresh_id("lease");
        self.desk.ask(purse, id, self.time(now))
    }

    /// What must come before a question about this purse.
    pub(super) fn before_asking(&self, purse: &Purse) -> Before {
        let returns = |book: &Book| book.returning.iter().any(|r| r.purse == *purse);
        if !self.has_taken_over() {
            Before::TakeOver
        } else if self.log.with_book(returns) {
            Before::Return
        } else {
            Before::Free
        }
    }

    /// Logs a question that is about to be sent: it must be on disk before, so that a grant whose
    /// answer dies with the node goes back.
    pub(super) fn asks(&self, purse: &Purse, ask: &Ask) {
        self.log.note(&Record::Ask {
            lease_id: ask.lease_id.clone(),
            purse: purse.clone(),
        });
    }

    /// Takes the answer to a question, and wakes those who wait for it.
    pub(super) fn answered(&self, purse: &Purse, ask: &Ask, answer: Answer, now: Now) {
        let granted = match answer {
            Answer::Granted(granted) => granted,
            Answer::Refused | Answer::NoLimit => {
                let lease_id = ask.lease_id.clone();
                self.log.note(&Record::Refused { lease_id });
                let landed = if answer == Answer::NoLimit {
                    Landed::NoLimit
                } else {
                    Landed::Failed
                };
                return self.desk.failed(purse, (landed, true), now.moment);
            }
            Answer::Nobody => {
                let failed = (Landed::Failed, false);
                return self.desk.failed(purse, failed, now.moment);
            }
        };
        self.contact(ask.sent, now);
        self.heard(purse);
        if !self.desk.expects(purse, ask) {
            // What was left here expired meanwhile, and all of it goes back.
            let failed = (Landed::Failed, true);
            return self.desk.failed(purse, failed, now.moment);
        }
        let lease_id = ask.lease_id.clone();
        if granted.amount > Amount::ZERO {
            self.log.note(&Record::Grant {
                lease_id,
                purse: purse.clone(),
                amount: granted.amount,
                ttl_ms: u64::try_from(granted.ttl.as_millis()).unwrap_or(u64::MAX),
                unix_ms: now.unix_ms,
                central: granted.central,
            });
        } else if ask.again {
            // The question's first copy may still be under way, and get something.
            self.give_back_unheard(purse.clone(), Some(lease_id));
        } else {
            self.log.note(&Record::Refused { lease_id });
        }
        self.desk.granted(purse, ask, granted, now.moment);
    }

    /// The ledger answered a question that was sent at `sent`: leases last from then, but not those
    /// that are over.
    pub(super) fn contact(&self, sent: Moment, now: Now) {
        let before = Moment(self.contact.load(Ordering::Relaxed));
        if now.moment.since(before) >= LEASE_LASTS {
            self.expire(now.moment);
        }
        self.contact.fetch_max(sent.0.max(1), Ordering::Relaxed);
        let every = self.post.contact_logged.as_nanos();
        let last = self.contact_logged.load(Ordering::Relaxed);
        let due = last == 0 || u128::from(sent.0.saturating_sub(last)) >= every;
        let claim = |last| {
            self.contact_logged
                .compare_exchange(last, sent.0.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if due && claim(last) {
            let late = now.moment.since(sent);
            let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            let unix_ms = now.unix_ms.saturating_sub(late);
            self.log.note(&Record::Contact { unix_ms });
        }
    }

    /// What has been returned and not confirmed.
    pub(super) fn returning(&self) -> Vec<Returning> {
        self.log.with_book(|book| book.returning.clone())
    }

    /// The ledger has taken a return, or never will.
    pub(super) fn returned(&self, release_id: &str) {
        let release_id = release_id.to_owned();
        self.log.note(&Record::Returned { release_id });
    }

    fn fresh_id(&self, what: &str) -> String {
        let random = lock(&self.random).u128(..);
        let (node, epoch) = (&self.post.node, self.epoch.0);
        format!("{what}-{node}-{epoch}-{}", hex(&random.to_be_bytes()))
    }
}
