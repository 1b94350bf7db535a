//! `/credits/auto-topup`: when credits are bought by themselves. Who pays and with what is linked by
//! an operator, since those ids are of the payment provider's accounts, not of ours; an
//! administrator says when, how much, and whether at all.

use super::read::Body;
use super::usd::Usd;
use super::{Answer, Caller, Refused, Rest, data};
use crate::topup::{Charge, RuleChange, Standing, TopupError};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::date;

/// Charges that are shown.
const SHOWN_MAX: u32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    threshold: Option<Usd>,
    amount: Option<Usd>,
    monthly_cap: Option<Usd>,
    enabled: Option<bool>,
}

#[derive(Serialize)]
struct Told {
    enabled: bool,
    threshold: Usd,
    amount: Usd,
    monthly_cap: Usd,
    /// Failed charges in a row.
    failures: u64,
    /// Why it was disabled.
    disabled_reason: Option<String>,
    charges: Vec<ToldCharge>,
}

#[derive(Serialize)]
struct ToldCharge {
    id: String,
    amount: Usd,
    /// `pending`, `charged`, `paid` or `failed`.
    state: &'static str,
    reason: Option<String>,
    created_at: String,
    ended_at: Option<String>,
}

impl From<Charge> for ToldCharge {
    fn from(charge: Charge) -> Self {
        Self {
            amount: Usd(charge.amount()),
            state: charge.state.as_str(),
            reason: Some(charge.reason).filter(|reason| !reason.is_empty()),
            created_at: date::rfc3339_ms(charge.begun_unix_ms),
            ended_at: charge.ended_unix_ms.map(date::rfc3339_ms),
            id: charge.id,
        }
    }
}

pub(super) async fn show(State(rest): State<Rest>, caller: Caller) -> Answer {
    caller.must_administer()?;
    let standing = standing(&rest, &caller).await?;
    told(&rest, &caller, standing).await
}

pub(super) async fn change(
    State(rest): State<Rest>,
    caller: Caller,
    Body(given): Body<Given>,
) -> Answer {
    caller.must_administer()?;
    // Without a rule nothing is linked that could pay.
    standing(&rest, &caller).await?;
    let change = RuleChange {
        threshold: given.threshold.map(|usd| usd.0),
        amount: given.amount.map(|usd| usd.0),
        monthly_cap: given.monthly_cap.map(|usd| usd.0),
        enabled: given.enabled,
        ..RuleChange::default()
    };
    let (topups, actor) = (rest.accounts.topups(), caller.actor());
    topups.change(&actor, caller.org(), &change).await?;
    let standing = standing(&rest, &caller).await?;
    told(&rest, &caller, standing).await
}

async fn standing(rest: &Rest, caller: &Caller) -> Result<Standing, Refused> {
    let standing = rest.accounts.topups().standing(caller.org()).await?;
    let text = "no payment method is linked; ask the operator to link one";
    standing.ok_or_else(|| Refused::not_found(text))
}

async fn told(rest: &Rest, caller: &Caller, standing: Standing) -> Answer {
    let topups = rest.accounts.topups();
    let charges = topups.charges(caller.org(), SHOWN_MAX).await?;
    let charges = charges.into_iter().map(Into::into).collect();
    Ok(data(&Told {
        enabled: standing.enabled,
        threshold: Usd(standing.rule.threshold),
        amount: Usd(standing.rule.amount),
        monthly_cap: Usd(standing.rule.monthly_cap),
        failures: standing.failures,
        disabled_reason: Some(standing.reason).filter(|reason| !reason.is_empty()),
        charges,
    }))
}

impl From<TopupError> for Refused {
    fn from(error: TopupError) -> Self {
        match error {
            TopupError::Invalid(..) => Self::invalid(error.to_string()),
            TopupError::Accounts(error) => error.into(),
            TopupError::Ledger(error) => error.into(),
            TopupError::Database(error) => {
                tracing::error!(%error, "auto top-up");
                Self::unavailable("the database can't be used now")
            }
        }
    }
}
