//! The calls about auto top-up.

use super::money::{find_org, usd};
use super::{Answer, Deps, accounts_status, database_status, ledger_status};
use crate::topup::{Rule, TopupError};
use shared::money::Amount;
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
    let before = topups.standing(&org).await;
    let before = before.map_err(|error| status(&error))?;
    let enabled = before.as_ref().is_none_or(|before| before.enabled);
    let before = before.map(|before| before.rule);
    let amount = |what: &'static str, text: &str, was: fn(&Rule) -> Amount| match (text, &before) {
        ("", Some(rule)) => Ok(was(rule)),
        (text, _) => usd(what, text),
    };
    let id = |text: &str, was: fn(&Rule) -> &String| match (text, &before) {
        ("", Some(rule)) => was(rule).clone(),
        (text, _) => text.to_owned(),
    };
    let rule = Rule {
        threshold: amount("threshold_usd", &message.threshold_usd, |rule| {
            rule.threshold
        })?,
        amount: amount("amount_usd", &message.amount_usd, |rule| rule.amount)?,
        monthly_cap: amount("monthly_cap_usd", &message.monthly_cap_usd, |rule| {
            rule.monthly_cap
        })?,
        customer: id(&message.customer, |rule| &rule.customer),
        payment_method: id(&message.payment_method, |rule| &rule.payment_method),
    };
    let enabled = message.enabled.unwrap_or(enabled);
    let set = topups.set(actor, &org, Some(&rule), enabled).await;
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
