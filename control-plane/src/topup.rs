//! Auto top-up: a rule of an organisation that buys credits when they run low. A charge is written
//! down before the payment provider is asked, and asked for under its own id however often, so that
//! a kill at any moment charges once; the provider's signed telling posts the purchase. A rule that
//! fails too often is disabled. Deliberately not here: how cards are entered, which happens at the
//! provider.

mod charge;
mod rule;
mod stripe;

#[cfg(test)]
mod tests;

pub use charge::{Charge, State};
pub use rule::{Rule, RuleChange, Standing};
pub use stripe::{Stripe, StripeKey};

use crate::accounts::{Accounts, AccountsError};
use crate::ledger::service::LeadershipWatch;
use crate::ledger::{Ledger, LedgerError};
use crate::sql::{Database, DatabaseError};
use shared::clock::Clock;
use shared::money::Amount;
use std::sync::Arc;
use std::time::Duration;
use stripe::Outcome;

/// A cent in pico-dollars.
const CENT: i128 = Amount::USD.0 / 100;
/// How often it is looked for organisations that run low.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Charges that are asked for in one look; the rest waits for the next.
const CHARGES_MAX: i64 = 100;
/// A rule is disabled after so many failures in a row.
pub const FAILURES_MAX: u64 = 3;
/// After a failure nothing is charged for so long.
const FAILED_PAUSE: Duration = Duration::from_secs(3600);
/// The first pause before a charge is asked for again; doubled each time.
const AGAIN_MIN: Duration = Duration::from_secs(10);
/// The longest.
const AGAIN_MAX: Duration = Duration::from_secs(1800);
/// Providers forget what was asked under an id after a day: what is not known by then is given up
/// and told, since asking again could charge twice.
const KNOWN_FOR: Duration = Duration::from_secs(23 * 3600);
/// What the provider has taken and not told of is asked for after this.
const TOLD_AFTER: Duration = Duration::from_secs(600);

/// Who does it, in the audit log.
const ACTOR: &str = "auto top-up";

/// Rules and charges.
#[derive(Clone)]
pub struct Topups {
    database: Database,
    clock: Clock,
}

/// Why something about a top-up could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TopupError {
    /// A value can't be accepted.
    #[error("{0}: {1}")]
    Invalid(&'static str, String),
    /// The database can't be used now.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The audit log or the organisation.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The purchase could not be posted.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<sqlx::Error> for TopupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Topups {
    /// The rules and charges in this database.
    #[must_use]
    pub const fn new(database: Database, clock: Clock) -> Self {
        Self { database, clock }
    }
}

/// Charges for organisations that run low, as long as this control plane leads.
pub struct Charging {
    /// Rules and charges.
    pub topups: Topups,
    /// Whom to ask.
    pub stripe: Stripe,
    /// For the audit log.
    pub accounts: Arc<Accounts>,
    /// Where purchases are posted.
    pub ledger: Arc<Ledger>,
    /// Under which leadership.
    pub leadership: LeadershipWatch,
}

impl Charging {
    /// Looks again and again; ends when it is dropped.
    pub async fn run(self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        loop {
            every.tick().await;
            if self.leadership.borrow().is_none() {
                return;
            }
            if let Err(error) = self.look().await {
                tracing::error!(%error, "auto top-up can't look");
            }
        }
    }

    /// Begins charges that are due, and asks for all that are not answered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look(&self) -> Result<(), TopupError> {
        for org in self.topups.low().await? {
            if let Err(error) = self.topups.begin(&org).await {
                tracing::error!(%org, %error, "an auto top-up can't begin");
            }
        }
        for charge in self.topups.due(CHARGES_MAX).await? {
            // One that can't be ended is asked for later: the others do not wait for it.
            if let Err(error) = self.attend(&charge).await {
                let (org, id) = (&charge.org, &charge.id);
                tracing::error!(%org, charge = id, %error, "an auto top-up can't be ended");
                self.topups.again(&charge, &error.to_string()).await?;
            }
        }
        Ok(())
    }

    async fn attend(&self, charge: &Charge) -> Result<(), TopupError> {
        if self.topups.is_forgotten(charge) {
            let (org, id) = (&charge.org, &charge.id);
            tracing::error!(%org, charge = id, "an auto top-up was not answered for a day");
            self.topups.give_up(charge).await?;
            let object = format!("{org} {id}: not answered");
            self.accounts.record(ACTOR, "topup.fail", &object).await?;
            return Ok(());
        }
        let asked = match charge.state {
            State::Charged => self.stripe.find(charge).await,
            _ => self.stripe.charge(charge).await,
        };
        self.take(charge, asked).await
    }

    async fn take(&self, charge: &Charge, outcome: Outcome) -> Result<(), TopupError> {
        let org = &charge.org;
        match outcome {
            Outcome::Taken(payment) if charge.state == State::Charged => {
                // It was taken, and nobody has told us: the purchase has the same reference as the
                // telling that may still come.
                let Some(fence) = *self.leadership.borrow() else {
                    return Ok(());
                };
                let reference = format!("payment/{payment}");
                let bought = self
                    .ledger
                    .purchase(fence, org, &reference, charge.amount());
                if bought.await?.new {
                    let object = format!("{org} USD {} ({reference})", charge.amount());
                    self.accounts.record(ACTOR, "credits.buy", &object).await?;
                }
                self.topups.paid(&payment).await?;
            }
            Outcome::Taken(payment) | Outcome::Processing(payment) => {
                self.topups.charged(charge, &payment).await?;
            }
            Outcome::Refused(reason) => {
                tracing::warn!(%org, charge = charge.id, reason, "an auto top-up has failed");
                let object = format!("{org} {}: {reason}", charge.id);
                self.topups.failed(charge, &reason).await?;
                self.accounts.record(ACTOR, "topup.fail", &object).await?;
            }
            Outcome::Unknown(reason) => {
                tracing::warn!(%org, charge = charge.id, reason, "an auto top-up is not answered");
                self.topups.again(charge, &reason).await?;
            }
        }
        Ok(())
    }
}
