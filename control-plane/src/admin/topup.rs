//! The calls about auto top-up.

use super::money::{find_org, usd};
use super::{Answer, Deps, accounts_status, database_status, ledger_status};
use crate::topup::{RuleChange, TopupError};
use shared::proto::admin as wire;
use tonic::{Response, Status};

/// Charges that are shown.
const SHOWN_MAX: u32 = 100;

pub(super) async fn set(
    deps: &Deps,
    actor: &str,
    message: wire::SetTopupRequest,
) -> Answer<wire::SetTopupResponse> {
    let org = find_org(deps, &message.org).await?;
    let topups = deps.accounts.topups();
    let answer = Response::new(wire::SetTopupResponse {});
    if message.remove {
        let removed = topups.remove(actor, &org).await;
        removed.map_err(|error| status(&error))?;
        return Ok(answer);
    }
    let amount = |what: &'static str, text: &str| match text {
        "" => Ok(None),
        text => usd(what, text).map(Some),
    };
    let id = |text: String| Some(text).filter(|text| !text.is_empty());
    let change = RuleChange {
        threshold: amount("threshold_usd", &message.threshold_usd)?,
        amount: amount("amount_usd", &message.amount_usd)?,
        monthly_cap: amount("monthly_cap_usd", &message.monthly_cap_usd)?,
        customer: id(message.customer),
        payment_method: id(message.payment_method),
        enabled: message.enabled,
    };
    let set = topups.change(actor, &org, &change).await;
    set.map_err(|error| status(&error))?;
    Ok(answer)
}

pub(super) async fn show(
    deps: &Deps,
    message: wire::ShowTopupRequest,
) -> Answer<wire::ShowTopupResponse> {
    let org = find_org(deps, &message.org).await?;
    let topups = deps.accounts.topups();
    let standing = topups.standing(&org).await;
    let standing = standing.map_err(|error| status(&error))?;
    let charges = topups.charges(&org, SHOWN_MAX).await;
    let charges = charges.map_err(|error| status(&error))?;
    Ok(Response::new(wire::ShowTopupResponse {
        rule: standing.map(|standing| wire::TopupRule {
            threshold_usd: standing.rule.threshold.to_string(),
            amount_usd: standing.rule.amount.to_string(),
            monthly_cap_usd: standing.rule.monthly_cap.to_string(),
            customer: standing.rule.customer,
            payment_method: standing.rule.payment_method,
            enabled: standing.enabled,
            failures: standing.failures,
            disabled_reason: standing.reason,
        }),
        charges: charges
            .into_iter()
            .map(|charge| wire::TopupCharge {
                amount_usd: charge.amount().to_string(),
                id: charge.id,
                state: charge.state.as_str().to_owned(),
                payment: charge.payment,
                reason: charge.reason,
                begun_unix_ms: charge.begun_unix_ms,
                ended_unix_ms: charge.ended_unix_ms,
            })
            .collect(),
    }))
}

fn status(error: &TopupError) -> Status {
    match error {
        TopupError::Invalid(..) => Status::invalid_argument(error.to_string()),
        TopupError::Database(error) => database_status(error),
        TopupError::Accounts(error) => accounts_status(error),
        TopupError::Ledger(error) => ledger_status(error),
    }
}
