//! What a payment provider tells: signed as Stripe signs its webhooks (`Stripe-Signature:
//! t=…,v1=…`, HMAC-SHA256 over time and body). Pure; time is passed in. A telling that is older
//! than [`TOLERANCE`] is refused, and a payment has one reference however often it is told.
//! Deliberately not here: charging cards ([`crate::topup`]), which takes the provider's own API.

use crate::ledger::PAYMENT;
use ring::hmac;
use serde::Deserialize;
use shared::id::OrgId;
use shared::key::unhex;
use shared::money::Amount;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How far the time of a signature may be from ours, either way.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// Signatures in one header that are looked at: a provider sends two while its secret changes.
const SIGNATURES_MAX: usize = 8;
/// Shortest secret that is taken, in bytes.
const SECRET_LENGTH_MIN: usize = 16;
/// A cent in pico-dollars.
const CENT: i128 = Amount::USD.0 / 100;
/// Events that tell of a payment.
const OURS: [&str; 4] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
];
/// How events begin that tell of money that goes back.
const GONE: [&str; 2] = ["charge.refund", "charge.dispute"];
/// In a payment's metadata: whose it is,
pub(crate) const ORG: &str = "godwit_org";
/// and which auto top-up it is.
pub(crate) const TOPUP: &str = "godwit_topup";

/// The secret of a webhook. Not printable.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Why a telling is not believed or not understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PaymentError {
    /// The secret is too short to be one.
    #[error("a webhook's secret has at least {SECRET_LENGTH_MIN} characters")]
    Secret,
    /// No signature, or none of ours.
    #[error("the signature is not ours")]
    Signature,
    /// Signed too long ago, or in the future.
    #[error("the signature is of another time")]
    Time,
    /// Signed, but not what we know.
    #[error("not understood: {0}")]
    Meaning(String),
}

/// What is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Telling {
    /// Money was paid.
    Paid(Payment),
    /// An auto top-up was not paid, and why.
    Failed {
        /// The provider's own id of the payment.
        id: String,
        /// Which auto top-up.
        topup: String,
        /// As the provider says it.
        reason: String,
    },
}

/// Money that was paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// By whom.
    pub org: OrgId,
    /// How much.
    pub amount: Amount,
    /// The provider's own id of the payment: it counts once.
    pub id: String,
    /// Which auto top-up it is; none is a payment that somebody has made.
    pub topup: Option<String>,
}

impl Payment {
    /// Under which it is in the books.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{PAYMENT}{}", self.id)
    }
}

impl WebhookSecret {
    /// The secret of this text.
    ///
    /// # Errors
    /// When it is too short.
    pub fn new(text: &str) -> Result<Self, PaymentError> {
        if text.len() < SECRET_LENGTH_MIN {
            return Err(PaymentError::Secret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }

    /// Checks that `body` was signed with this secret about now.
    ///
    /// # Errors
    /// When it was not.
    pub fn check(&self, header: &str, body: &[u8], now_unix_s: u64) -> Result<(), PaymentError> {
        let mut at = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            match part.trim().split_once('=') {
                Some(("t", text)) if at.is_none() => at = text.parse::<u64>().ok(),
                Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => {
                    signatures.extend(unhex(text));
                }
                _ => {}
            }
        }
        let at = at.ok_or(PaymentError::Signature)?;
        let mut signed = format!("{at}.").into_bytes();
        signed.extend_from_slice(body);
        let ours = |signature: &Vec<u8>| hmac::verify(&self.0, &signed, signature).is_ok();
        if !signatures.iter().any(ours) {
            return Err(PaymentError::Signature);
        }
        if at.abs_diff(now_unix_s) > TOLERANCE.as_secs() {
            return Err(PaymentError::Time);
        }
        Ok(())
    }
}

/// The payment that a telling is about; none when it is about something else: what names no
/// organisation is another product's, or a check-out's payment, whose check-out is told, too.
///
/// # Errors
/// When it is about an organisation's payment, but in another currency, or not readable.
pub fn read(body: &[u8]) -> Result<Option<Telling>, PaymentError> {
    let odd = |text: &str| PaymentError::Meaning(text.to_owned());
    let unreadable = |error: serde_json::Error| PaymentError::Meaning(error.to_string());
    // What it is about comes first: other events' objects have other members.
    let Kind { kind } = serde_json::from_slice(body).map_err(unreadable)?;
    if !OURS.contains(&kind.as_str()) {
        if GONE.iter().any(|start| kind.starts_with(start)) {
            warn_of_money_back(&kind, body);
        }
        return Ok(None);
    }
    let event: Event = serde_json::from_slice(body).map_err(unreadable)?;
    let object = event.data.object;
    let metadata = object.metadata.clone().unwrap_or_default();
    let cents = match kind.as_str() {
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            if object.payment_status.as_deref() != Some("paid") {
                return Ok(None);
            }
            object.amount_total
        }
        "payment_intent.succeeded" => object.amount_received,
        "payment_intent.payment_failed" => return Ok(object.failed()),
        _ => return Ok(None),
    };
    let named = metadata.get(ORG).cloned();
    let Some(org) = named.or(object.client_reference_id) else {
        tracing::debug!(id = object.id, "a payment of no organisation");
        return Ok(None);
    };
    let cents = cents.filter(|cents| *cents > 0);
    let cents = cents.ok_or_else(|| odd("a payment without an amount"))?;
    if !object
        .currency
        .is_some_and(|currency| currency.eq_ignore_ascii_case("usd"))
    {
        return Err(odd("only payments in USD are taken"));
    }
    // A check-out and its payment are told apart, but are one payment.
    let id = object.payment_intent.unwrap_or(object.id);
    Ok(Some(Telling::Paid(Payment {
        org: OrgId::from(org),
        amount: Amount(i128::from(cents) * CENT),
        id,
        topup: metadata.get(TOPUP).cloned(),
    })))
}

/// Money that was paid goes back, or may: what that means for credits is an operator's to decide.
fn warn_of_money_back(kind: &str, body: &[u8]) {
    let event: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| {
        let member = event.pointer(&format!("/data/object/{name}"));
        member.and_then(|value| value.as_str()).unwrap_or_default()
    };
    tracing::warn!(
        kind,
        id = text("id"),
        payment = text("payment_intent"),
        "a payment is given back or disputed, which takes no credits away: look at it, and take \
         them with `godwit admin credits refund`"
    );
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Event {
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    id: String,
    payment_status: Option<String>,
    payment_intent: Option<String>,
    amount_total: Option<i64>,
    amount_received: Option<i64>,
    currency: Option<String>,
    client_reference_id: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    last_payment_error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    message: Option<String>,
}

impl Object {
    /// Nothing is to be done about payments that somebody makes by hand.
    fn failed(self) -> Option<Telling> {
        let topup = self.metadata?.get(TOPUP).cloned()?;
        let problem = self.last_payment_error.and_then(|problem| problem.message);
        Some(Telling::Failed {
            id: self.id,
            topup,
            reason: problem.unwrap_or_else(|| "the payment has failed".to_owned()),
        })
    }
}

#[cfg(test)]
pub(crate) fn sign(secret: &str, body: &[u8], at: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut signed = format!("{at}.").into_bytes();
    signed.extend_from_slice(body);
    let tag = hmac::sign(&key, &signed);
    format!("t={at},v1={}", shared::key::hex(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_0123456789abcdef";

    #[test]
    fn only_what_is_signed_now_is_believed() {
        let secret = WebhookSecret::new(SECRET).unwrap();
        let body = br#"{"a":1}"#;
        let good = sign(SECRET, body, 1000);
        let zeros = "0".repeat(64);
        let rotated = good.replace(",v1=", &format!(",v1={zeros},v1="));
        let other = sign("whsec_another_secret", body, 1000);
        for (header, body, now, expect) in [
            (&*good, &body[..], 1000, Ok(())),
            (&*good, &body[..], 1300, Ok(())),
            (&*good, &body[..], 700, Ok(())),
            (&*rotated, &body[..], 1000, Ok(())),
            (&*good, &body[..], 1301, Err(PaymentError::Time)),
            (&*good, &body[..], 699, Err(PaymentError::Time)),
            (&*good, b"{}", 1000, Err(PaymentError::Signature)),
            (&*other, &body[..], 1000, Err(PaymentError::Signature)),
            ("", &body[..], 1000, Err(PaymentError::Signature)),
            ("t=1000", &body[..], 1000, Err(PaymentError::Signature)),
            ("t=1000,v1=", &body[..], 1000, Err(PaymentError::Signature)),
            (
                &*good.replace("v1=", "v0="),
                &body[..],
                1000,
                Err(PaymentError::Signature),
            ),
        ] {
            assert_eq!(secret.check(header, body, now), expect, "{header}");
        }
        assert!(!format!("{secret:?}").contains("whsec"));
        assert!(matches!(
            WebhookSecret::new("short"),
            Err(PaymentError::Secret)
        ));
    }

    #[test]
    fn a_check_out_and_its_payment_are_one() {
        let checkout = br#"{"type":"checkout.session.completed","data":{"object":{"id":"cs_1",
            "payment_status":"paid","payment_intent":"pi_1","amount_total":4050,
            "currency":"usd","client_reference_id":"org_a","metadata":{}}}}"#;
        let intent = br#"{"type":"payment_intent.succeeded","data":{"object":{"id":"pi_1",
            "amount_received":4050,"currency":"usd","metadata":{"godwit_org":"org_a"}}}}"#;
        let told = |body| match read(body).unwrap() {
            Some(Telling::Paid(paid)) => paid,
            other => panic!("{other:?}"),
        };
        let paid = told(checkout);
        assert_eq!(paid.amount.to_string(), "40.5");
        assert_eq!(paid.reference(), "payment/pi_1");
        assert_eq!(told(intent), paid);
        let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
        let unpaid = text(checkout).replace("\"paid\"", "\"unpaid\"");
        assert_eq!(read(unpaid.as_bytes()), Ok(None));
        let other = text(checkout).replace("checkout.session.completed", "invoice.paid");
        assert_eq!(read(other.as_bytes()), Ok(None));
        for odd in [
            r#"{"type":"invoice.upcoming","data":{"object":{"metadata":null}}}"#,
            r#"{"type":"balance.available","data":{"object":{"metadata":{"a":1}}}}"#,
            r#"{"type":"charge.refunded","data":{"object":{"id":"ch_1","payment_intent":"pi_1"}}}"#,
            r#"{"type":"charge.dispute.created","data":{"object":{"id":7}}}"#,
            r#"{"type":"payment_intent.succeeded","data":{"object":{"id":"pi_2","metadata":null}}}"#,
        ] {
            assert_eq!(read(odd.as_bytes()), Ok(None), "{odd}");
        }
        let nobodys = text(intent)
            .replace("godwit_org", "x")
            .replace("usd", "eur");
        assert_eq!(read(nobodys.as_bytes()), Ok(None));
        for (from, to) in [("usd", "eur"), ("4050", "0")] {
            let odd = text(intent).replace(from, to);
            assert!(
                matches!(read(odd.as_bytes()), Err(PaymentError::Meaning(_))),
                "{to}"
            );
        }
    }
}
