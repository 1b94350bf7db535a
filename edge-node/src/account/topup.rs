//! The road to the ledger for leases: top-ups with single flight and a deadline, refills in the
//! background, returns. A request never waits longer than the deadline, and what an unanswered
//! question was granted is found again under the same id. Deliberately not here: arithmetic.

use super::Accounts;
use super::desk::{Ask, Desk, Granted, Landed};
use super::refuse::{self, billing_unavailable};
use super::wal::{Book, Record, ReturnedPart, Returning};
use super::want::{Asks, Wants};
use crate::control::{ControlClient, Unanswered};
use crate::failure::{Failure, Fault};
use crate::metrics::shed;
use shared::clock::Moment;
use shared::key::hex;
use shared::limit::Purse;
use shared::money::Amount;
use shared::policy::Principal;
use shared::proto::ledger::ledger_client::LedgerClient;
use shared::proto::ledger::{AcquireLeaseRequest, AcquireLeaseResponse, ReleaseLeaseRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Returns that wait for the ledger's answer; more leases stay where they are.
const RETURNING_MAX: usize = 10_000;
/// The longest time to live that is believed.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// No lease is over sooner after a contact: only after longer silence is it looked for.
const LEASE_LASTS: Duration = Duration::from_secs(1);

impl Accounts {
    /// Sets money aside, asking the ledger when there is too little.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        principal: &Principal,
        wants: &Wants,
        (ceiling, least): (Amount, Amount),
    ) -> Result<Amount, Failure> {
        let wants = wants.all();
        let deadline = Instant::now() + self.timers.topup;
        let mut may_ask = true;
        loop {
            let time = self.time();
            match self.desk.reserve(wants, (ceiling, least), may_ask, time) {
                Desk::Set { amount, low } => {
                    let low = wants.iter().filter(|_| low).map(Asks::purse);
                    for purse in low.filter(|purse| self.desk.refill(purse, time)) {
                        self.fly(purse);
                    }
                    return Ok(amount);
                }
                Desk::Poor(poor) => {
                    let now = self.clock.unix_s();
                    return Err(refuse::poor(principal, &poor, now));
                }
                Desk::Crowded => {
                    shed("lease_purses");
                    let text = "this node serves too many organisations now; try again";
                    return Err(billing_unavailable(Fault::Gateway, text));
                }
                Desk::Short => {
                    let text = "the credit balance can't be checked now; try again";
                    return Err(billing_unavailable(Fault::ControlPlane, text));
                }
                Desk::Wait(flights) => {
                    for flight in flights.iter().filter(|flight| flight.start) {
                        self.fly(&flight.purse);
                    }
                    for mut flight in flights {
                        let landed = flight.landing.wait_for(|landed| *landed != Landed::Flying);
                        let landed = tokio::time::timeout_at(deadline, landed).await;
                        may_ask &= matches!(landed, Ok(Ok(landed)) if *landed == Landed::Answered);
                    }
                }
            }
        }
    }

    /// Asks the ledger for more, in the background: a client that hangs up must not lose the
    /// answer.
    fn fly(self: &Arc<Self>, purse: &Purse) {
        let (accounts, purse) = (Arc::clone(self), purse.clone());
        self.tasks.spawn("lease top-up", async move {
            accounts.top_up(&purse).await;
        });
    }

    async fn top_up(&self, purse: &Purse) {
        let ask = self.desk.ask(purse, self.fresh_id("lease"), self.time());
        let answer = match &self.control {
            Some(control) if self.may_ask(purse, &ask).await => {
                self.acquire(control, purse, &ask).await
            }
            Some(_) | None => Err(false),
        };
        let now = self.clock.now();
        match answer {
            Ok(granted) => {
                self.contact(ask.sent);
                if !self.desk.expects(purse, &ask) {
                    // What was left here expired meanwhile, and all of it goes back.
                    return self.desk.failed(purse, false, now);
                }
                let lease_id = ask.lease_id.clone();
                if granted.amount > Amount::ZERO {
                    self.log.note(&Record::Grant {
                        lease_id,
                        purse: purse.clone(),
                        amount: granted.amount,
                        ttl_ms: u64::try_from(granted.ttl.as_millis()).unwrap_or(u64::MAX),
                        unix_ms: self.clock.unix_ms(),
                    });
                } else if ask.again {
                    // The question's first copy may still be under way, and get something.
                    self.give_back_unheard(purse.clone(), Some(lease_id));
                } else {
                    self.log.note(&Record::Refused { lease_id });
                }
                self.desk.granted(purse, &ask, granted, now);
            }
            Err(forget) => {
                if forget {
                    let lease_id = ask.lease_id;
                    self.log.note(&Record::Refused { lease_id });
                }
                self.desk.failed(purse, forget, now);
            }
        }
    }

    /// True when the ledger knows what this run has taken over, and all that it returned of this
    /// purse: else it would take a return out of the new grant. And when the disk knows the
    /// question: a grant whose answer dies with the node goes back.
    async fn may_ask(&self, purse: &Purse, ask: &Ask) -> bool {
        let returns = |book: &Book| book.returning.iter().any(|r| r.purse == *purse);
        if !self.take_over().await || self.log.with_book(returns) && !self.tell_returns().await {
            return false;
        }
        self.log.note(&Record::Ask {
            lease_id: ask.lease_id.clone(),
            purse: purse.clone(),
        });
        self.is_on_disk().await
    }

    /// The ledger's answer; an error says whether the question itself was refused.
    async fn acquire(
        &self,
        control: &ControlClient,
        purse: &Purse,
        ask: &Ask,
    ) -> Result<Granted, bool> {
        let request = AcquireLeaseRequest {
            node_id: self.node.to_string(),
            boot_epoch: self.epoch.0,
            org: purse.org.to_string(),
            window: window_text(purse),
            lease_id: ask.lease_id.clone(),
            wanted_pico: ask.wanted.0.to_string(),
            least_pico: ask.least.0.to_string(),
        };
        let call = |channel| async move { LedgerClient::new(channel).acquire_lease(request).await };
        let answer = control.ask(self.timers.topup, call).await;
        let answer = answer.map_err(|error| {
            tracing::warn!(%purse, %error, "no lease top-up");
            matches!(error, Unanswered::Refused(_))
        })?;
        read_grant(&answer).ok_or_else(|| {
            tracing::error!(%purse, ?answer, "lease top-up not understood");
            true
        })
    }

    /// Looks for leases that have expired or that nobody uses, and brings returns to the ledger.
    pub(super) async fn sweep(&self) {
        self.expire();
        if !self.taken_over.load(Ordering::Relaxed) {
            // The ledger would look for the money under this run and not find it.
            return;
        }
        let now = self.clock.now();
        let idle = u64::try_from(self.timers.lease_idle.as_nanos()).unwrap_or(u64::MAX);
        if let Some(before) = now.0.checked_sub(idle) {
            self.send_back(Some(Moment(before)));
        }
        self.tell_returns().await;
    }

    /// Takes expired leases out of use. The ledger has taken them back, or will be told: it may have
    /// been away itself.
    fn expire(&self) {
        for withdrawn in self.desk.expire(self.time()) {
            let (purse, amount) = (withdrawn.purse, withdrawn.amount);
            tracing::warn!(%purse, usd = %amount, "lease expired without contact");
            if self.log.with_book(|book| book.returning.len()) >= RETURNING_MAX {
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

    /// What the ledger may have given under this lease id goes back.
    fn give_back_unheard(&self, purse: Purse, asked: Option<String>) {
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

    /// Takes leases out of use: those that nobody has used since `before`, or all.
    pub(super) fn send_back(&self, before: Option<Moment>) {
        if self.control.is_none() || self.log.with_book(|b| b.returning.len()) >= RETURNING_MAX {
            return;
        }
        for withdrawn in self.desk.withdraw_idle(before) {
            let (purse, amount) = (withdrawn.purse, withdrawn.amount);
            if amount > Amount::ZERO {
                let id = self.fresh_id("return");
                self.give_back(id, purse.clone(), amount, ReturnedPart::Any);
            }
            self.give_back_unheard(purse, withdrawn.asked);
        }
    }

    /// Tells the ledger of all returns that it has not confirmed, once it knows that this run has
    /// taken over what it returns. True when it knows all.
    pub(super) async fn tell_returns(&self) -> bool {
        let Some(control) = &self.control else {
            return true;
        };
        let all = self.log.with_book(|book| book.returning.clone());
        // What the ledger takes back must be gone from here, whatever happens next.
        if !all.is_empty() && (!self.take_over().await || !self.is_on_disk().await) {
            return false;
        }
        for returning in all {
            let request = ReleaseLeaseRequest {
                node_id: self.node.to_string(),
                boot_epoch: returning.epoch.0,
                org: returning.purse.org.to_string(),
                window: window_text(&returning.purse),
                release_id: returning.release_id.clone(),
                amount_pico: returning.amount.0.to_string(),
                apart_lease_id: returning.part.before().to_owned(),
                lease_id: returning.part.unheard().to_owned(),
            };
            let sent = self.clock.now();
            let call =
                |channel| async move { LedgerClient::new(channel).release_lease(request).await };
            match control.ask(self.timers.ledger, call).await {
                Ok(_) => self.contact(sent),
                Err(error @ Unanswered::Refused(_)) => {
                    // It won't be taken later either; the ledger's own expiry takes it back.
                    tracing::error!(purse = %returning.purse, %error, "lease not taken back");
                }
                Err(error) => {
                    tracing::warn!(purse = %returning.purse, %error, "lease not returned yet");
                    return false;
                }
            }
            let release_id = returning.release_id;
            self.log.note(&Record::Returned { release_id });
        }
        true
    }

    /// Makes all that was logged survive a power loss. False when the log is down.
    async fn is_on_disk(&self) -> bool {
        let log = Arc::clone(&self.log);
        let synced = tokio::task::spawn_blocking(move || log.sync()).await;
        matches!(synced, Ok(Ok(()))) && !self.log.is_down()
    }

    /// The ledger answered a question that was sent at `sent`: leases last from then, but not those
    /// that are over.
    pub(super) fn contact(&self, sent: Moment) {
        let before = Moment(self.contact.load(Ordering::Relaxed));
        if self.clock.now().since(before) >= LEASE_LASTS {
            self.expire();
        }
        self.contact.fetch_max(sent.0.max(1), Ordering::Relaxed);
        let every = self.timers.contact_logged.as_nanos();
        let last = self.contact_logged.load(Ordering::Relaxed);
        let due = last == 0 || u128::from(sent.0.saturating_sub(last)) >= every;
        let claim = |last| {
            self.contact_logged
                .compare_exchange(last, sent.0.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if due && claim(last) {
            let late = self.clock.now().since(sent);
            let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            let unix_ms = self.clock.unix_ms().saturating_sub(late);
            self.log.note(&Record::Contact { unix_ms });
        }
    }

    fn fresh_id(&self, what: &str) -> String {
        let random = hex(&fastrand::u128(..).to_be_bytes());
        format!("{what}-{}-{}-{random}", self.node, self.epoch.0)
    }
}

/// The release id of what may have been granted under a lease id.
pub(super) fn unheard(lease_id: &str) -> String {
    format!("unheard-{lease_id}")
}

/// A purse's window on the wire.
fn window_text(purse: &Purse) -> String {
    let window = purse.window.as_ref();
    window.map(ToString::to_string).unwrap_or_default()
}

fn read_grant(answer: &AcquireLeaseResponse) -> Option<Granted> {
    let amount = |text: &str| text.parse().ok().map(Amount);
    let granted = amount(&answer.granted_pico).filter(|granted| *granted >= Amount::ZERO)?;
    Some(Granted {
        amount: granted,
        ttl: Duration::from_millis(answer.ttl_ms).min(TTL_MAX),
        // An empty text means that the ledger does not tell.
        outside: amount(&answer.available_pico).unwrap_or_default(),
    })
}
