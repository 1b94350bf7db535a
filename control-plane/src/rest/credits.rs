//! `/credits`: what an organisation has had and used, and purchases. A purchase is money that has
//! been paid elsewhere, so only who runs this control plane may post one here: with a management
//! key of the first organisation, or as its administrator. Anybody else's comes through the
//! payment provider, or an operator.

use super::read::Body;
use super::usd::{Paid, Usd};
use super::{Answer, Caller, Refused, Rest, data, json};
use crate::ledger::PAYMENT;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

/// The header that makes a purchase be one, however often it is sent.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

#[derive(Serialize)]
struct Credits {
    total_credits: Usd,
    total_usage: Usd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Purchase {
    /// What was paid, in dollars.
    amount: Paid,
}

#[derive(Serialize)]
struct Bought {
    /// False when this idempotency key was used before: nothing has moved.
    added: bool,
    amount: Usd,
    fee: Usd,
    total_credits: Usd,
    total_usage: Usd,
}

pub(super) async fn show(State(rest): State<Rest>, caller: Caller) -> Answer {
    caller.must_belong()?;
    Ok(data(&credits(&rest, &caller).await?))
}

pub(super) async fn buy(
    State(rest): State<Rest>,
    caller: Caller,
    headers: HeaderMap,
    Body(given): Body<Purchase>,
) -> Answer {
    caller.must_administer()?;
    let first = rest.accounts.first_org().await?;
    if first.is_none_or(|first| first.id != *caller.org()) {
        let text = "credits are bought through the payment provider or by an operator; only the \
                    first organisation's own can be posted here";
        return Err(Refused::forbidden(text));
    }
    let reference = headers
        .get(IDEMPOTENCY_KEY)
        .and_then(|key| key.to_str().ok());
    let Some(reference) = reference else {
        let text = format!("a purchase needs the header {IDEMPOTENCY_KEY}, a text of its own");
        return Err(Refused::invalid(text));
    };
    if reference.starts_with(PAYMENT) {
        let text = format!(
            "{IDEMPOTENCY_KEY}: what begins with {PAYMENT} is the payment provider's; choose another"
        );
        return Err(Refused::invalid(text));
    }
    let org = caller.org();
    let bought = rest
        .ledger
        .purchase(rest.fence()?, org, reference, given.amount.0);
    let bought = bought.await?;
    if bought.new {
        let object = format!("{org} USD {} ({reference})", given.amount.0);
        let actor = caller.actor();
        rest.accounts.record(&actor, "credits.buy", &object).await?;
    }
    let now = credits(&rest, &caller).await?;
    let status = if bought.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    #[derive(Serialize)]
    struct Made {
        data: Bought,
    }
    let made = Made {
        data: Bought {
            added: bought.new,
            amount: Usd(given.amount.0),
            fee: Usd(bought.fee),
            total_credits: now.total_credits,
            total_usage: now.total_usage,
        },
    };
    Ok(json(status, &made))
}

/// OpenRouter's old route for crypto-currencies.
pub(super) async fn retired() -> Refused {
    Refused::new(StatusCode::GONE, "not_found", "this route was retired")
}

/// What is left is the difference of the two.
async fn credits(rest: &Rest, caller: &Caller) -> Result<Credits, Refused> {
    let totals = rest.ledger.totals_of(caller.org()).await?;
    let fees = rest.ledger.purchase_fees(caller.org()).await?;
    let left = totals.available + totals.leased + totals.suspense - totals.overrun;
    // Fees on what is spent are part of the use.
    let had = totals.given + totals.bought - fees;
    Ok(Credits {
        total_credits: Usd(had),
        total_usage: Usd(had - left),
    })
}
