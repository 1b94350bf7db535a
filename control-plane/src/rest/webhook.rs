//! `POST /webhooks/stripe`: the payment provider tells of a payment, which becomes a purchase. Who
//! calls is known by the signature alone; what is told twice counts once.

use super::{Answer, BODY_BYTES_MAX, Refused, Rest, json};
use crate::payment::{self, Payment, PaymentError, Telling, WebhookSecret};
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::json as literal;
use std::sync::Arc;

/// Who does it, in the audit log.
const ACTOR: &str = "payment";
const SIGNATURE: &str = "stripe-signature";

pub(super) type Tellings = (Rest, Arc<WebhookSecret>);

pub(super) async fn told(
    State((rest, secret)): State<Tellings>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Refused::new(
            status,
            "payload_too_large",
            "the body is too large, or was cut off",
        )
    })?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let signature = signature.unwrap_or_default();
    let paid = secret
        .check(signature, &body, rest.clock.unix_s())
        .and_then(|()| payment::read(&body));
    match paid {
        Ok(Some(Telling::Paid(payment))) => post(&rest, payment).await?,
        Ok(Some(Telling::Failed { id, topup, reason })) => {
            let topups = rest.accounts.topups();
            topups.told(&topup, &id, Some(&reason)).await?;
        }
        Ok(None) => {}
        Err(error @ PaymentError::Meaning(_)) => {
            tracing::error!(%error, "a signed telling of a payment can't be used");
            return Err(Refused::invalid(error.to_string()));
        }
        Err(error) => return Err(Refused::invalid(error.to_string())),
    }
    Ok(json(StatusCode::OK, &literal!({ "received": true })))
}

async fn post(rest: &Rest, payment: Payment) -> Result<(), Refused> {
    let reference = payment.reference();
    let Payment {
        org,
        amount,
        id,
        topup,
    } = payment;
    // An id out of somebody else's form must name an organisation that there is.
    let org = match org.as_str() {
        "" => return Err(Refused::invalid("no organisation")),
        id => rest.accounts.find_org(id).await?,
    };
    let fence = rest.fence()?;
    let bought = rest
        .ledger
        .purchase(fence, &org, &reference, amount)
        .await?;
    if bought.new {
        let object = format!("{org} USD {amount} ({reference})");
        rest.accounts.record(ACTOR, "credits.buy", &object).await?;
    }
    // Also when it was posted before: the one who posted may have been killed here.
    if let Some(topup) = topup {
        rest.accounts.topups().told(&topup, &id, None).await?;
    }
    Ok(())
}
