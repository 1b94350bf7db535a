//! The road to the ledger for leases: top-ups with single flight and a deadline, refills in the
//! background, returns. A request never waits longer than the deadline, and what an unanswered
//! question was granted is found again under the same id. Deliberately not here: what is done with
//! the answers ([`super::cashier`]).

use super::Accounts;
use super::cashier::{Answer, Before};
use super::desk::Landed;
use super::desk::{Ask, Desk, Granted, May};
use super::refuse::Unset;
use super::wal::Returning;
use super::want::Asks;
use crate::control::{ControlClient, Unanswered};
use crate::metrics::shed;
use shared::clock::Moment;
use shared::limit::Purse;
use shared::money::Amount;
use shared::proto::ledger::ledger_client::LedgerClient;
use shared::proto::ledger::{AcquireLeaseRequest, AcquireLeaseResponse, ReleaseLeaseRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

/// The longest time to live that is believed.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

impl Accounts {
    /// Sets money aside, asking the ledger when there is too little, until the deadline. Gives how
    /// much, and what of the balance's part is on credit.
    pub(super) async fn reserve<W: Asks + Sync>(
        self: &Arc<Self>,
        wants: &[W],
        (ceiling, least): (Amount, Amount),
        mut may: May,
        deadline: Instant,
    ) -> Result<(Amount, Amount), Unset> {
        let patience = deadline.min(Instant::now() + self.timers.elsewhere);
        loop {
            let now = self.clock.now();
            match self.cashier.reserve(wants, (ceiling, least), may, now) {
                Desk::Set(set) => {
                    for purse in &set.refill {
                        self.fly(purse);
                    }
                    return Ok((set.amount, set.credit));
                }
                Desk::Poor(poor) if poor.is_elsewhere() && Instant::now() < patience => {
                    tokio::time::sleep(self.timers.elsewhere_again).await;
                }
                Desk::Poor(poor) => return Err(Unset::Poor(poor)),
                Desk::Crowded => {
                    shed("lease_purses");
                    return Err(Unset::Crowded);
                }
                Desk::Short => return Err(Unset::Short),
                Desk::Wait(flights) => {
                    for flight in flights.iter().filter(|flight| flight.start) {
                        self.fly(&flight.purse);
                    }
                    for mut flight in flights {
                        let landed = flight.landing.wait_for(|landed| *landed != Landed::Flying);
                        let landed = tokio::time::timeout_at(deadline, landed).await;
                        let landed = landed.map(|it| it.map_or(Landed::Failed, |it| *it));
                        let landed = landed.unwrap_or(Landed::Failed);
                        if landed == Landed::NoLimit {
                            return Err(Unset::Outdated);
                        }
                        may.ask &= landed == Landed::Answered;
                    }
                }
            }
        }
    }

    /// Asks the ledger for more, in the background: a client that hangs up must not lose the
    /// answer.
    pub(super) fn fly(self: &Arc<Self>, purse: &Purse) {
        let (accounts, purse) = (Arc::clone(self), purse.clone());
        self.tasks.spawn("lease top-up", async move {
            accounts.top_up(&purse).await;
        });
    }

    async fn top_up(&self, purse: &Purse) {
        let ask = self.cashier.ask(purse, self.clock.now());
        let answer = match &self.control {
            Some(control) if self.may_ask(purse, &ask).await => {
                self.acquire(control, purse, &ask).await
            }
            Some(_) | None => Answer::Nobody,
        };
        self.cashier.answered(purse, &ask, answer, self.now());
    }

    /// True when the ledger knows what this run has taken over, and all that it returned of this
    /// purse; and when the disk knows the question.
    async fn may_ask(&self, purse: &Purse, ask: &Ask) -> bool {
        if !self.take_over().await {
            return false;
        }
        let ours = |it: &Returning| it.purse == *purse;
        if self.cashier.before_asking(purse) != Before::Free && !self.tell_returns(ours).await {
            return false;
        }
        self.cashier.asks(purse, ask);
        self.is_on_disk().await
    }

    async fn acquire(&self, control: &ControlClient, purse: &Purse, ask: &Ask) -> Answer {
        let request = AcquireLeaseRequest {
            node_id: self.cashier.node().to_string(),
            boot_epoch: self.cashier.epoch().0,
            org: purse.org.to_string(),
            window: window_text(purse),
            lease_id: ask.lease_id.clone(),
            wanted_pico: ask.wanted.0.to_string(),
            least_pico: ask.least.0.to_string(),
            needed_pico: ask.needed.0.to_string(),
            largest_pico: ask.largest.0.to_string(),
            central: ask.central,
        };
        let call = |channel| async move { LedgerClient::new(channel).acquire_lease(request).await };
        match control.ask(self.timers.topup, call).await {
            Ok(answer) => read_grant(&answer).map_or_else(
                || {
                    tracing::error!(%purse, ?answer, "lease top-up not understood");
                    Answer::Refused
                },
                Answer::Granted,
            ),
            Err(error) => {
                tracing::warn!(%purse, %error, "no lease top-up");
                match error {
                    Unanswered::Refused(status) if status.code() == Code::NotFound => {
                        Answer::NoLimit
                    }
                    Unanswered::Refused(_) => Answer::Refused,
                    _ => Answer::Nobody,
                }
            }
        }
    }

    /// Looks for leases that have expired or that nobody uses, and brings returns to the ledger.
    pub(super) async fn sweep(&self) {
        let now = self.clock.now();
        self.cashier.expire(now);
        if !self.cashier.has_taken_over() {
            // The ledger would look for the money under this run and not find it.
            return;
        }
        let idle = if self.draining.load(Ordering::Relaxed) {
            self.timers.lease_sweep
        } else {
            self.timers.lease_idle
        };
        let idle = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
        self.send_back(Some(Moment(now.0.saturating_sub(idle))));
        self.tell_returns(|_| true).await;
    }

    /// Brings to the ledger what ended holds have left of balances that are not leased ahead.
    pub(super) async fn send_back_left(&self) {
        let Some(control) = self
            .control
            .as_ref()
            .filter(|_| self.cashier.has_taken_over())
        else {
            return;
        };
        let purses = self.cashier.send_back_left();
        let mut returning = self.cashier.returning();
        returning.retain(|it| purses.contains(&it.purse));
        if returning.is_empty() || !self.is_on_disk().await {
            return;
        }
        for returning in returning {
            if !self.tell_return(control, &returning).await {
                // The sweep tries again, less often.
                return;
            }
        }
    }

    /// Takes leases out of use: those that nobody has used since `before`, or all.
    pub(super) fn send_back(&self, before: Option<Moment>) {
        // With nobody to tell, they stay.
        if self.control.is_some() {
            self.cashier.send_back(before);
        }
    }

    /// Tells the ledger of those returns that it has not confirmed, once it knows that this run has
    /// taken over what it returns. True when it knows all of them.
    pub(super) async fn tell_returns(&self, which: impl Fn(&Returning) -> bool) -> bool {
        let Some(control) = &self.control else {
            return true;
        };
        let mut all = self.cashier.returning();
        all.retain(which);
        // What the ledger takes back must be gone from here, whatever happens next.
        if !all.is_empty() && (!self.take_over().await || !self.is_on_disk().await) {
            return false;
        }
        let mut knows = true;
        for returning in all {
            // One that can't be told now does not keep the others.
            knows &= self.tell_return(control, &returning).await;
        }
        knows
    }

    async fn tell_return(&self, control: &ControlClient, returning: &Returning) -> bool {
        let request = ReleaseLeaseRequest {
            node_id: self.cashier.node().to_string(),
            boot_epoch: returning.epoch.0,
            org: returning.purse.org.to_string(),
            window: window_text(&returning.purse),
            release_id: returning.release_id.clone(),
            amount_pico: returning.amount.0.to_string(),
            apart_lease_id: returning.part.before().to_owned(),
            lease_id: returning.part.unheard().to_owned(),
        };
        let sent = self.clock.now();
        let call = |channel| async move { LedgerClient::new(channel).release_lease(request).await };
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
        self.cashier.returned(&returning.release_id);
        true
    }

    /// Makes all that was logged survive a power loss. False when the log is down.
    async fn is_on_disk(&self) -> bool {
        let log = Arc::clone(&self.cashier.log);
        let synced = tokio::task::spawn_blocking(move || log.sync()).await;
        matches!(synced, Ok(Ok(()))) && !self.cashier.log.is_down()
    }

    /// The ledger answered a question that was sent at `sent`.
    pub(super) fn contact(&self, sent: Moment) {
        self.cashier.contact(sent, self.now());
    }
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
        elsewhere: amount(&answer.elsewhere_pico).unwrap_or_default(),
        central: answer.central,
    })
}
