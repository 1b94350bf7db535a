//! The payment provider's API, in Stripe's shape: an off-session payment under an idempotency key,
//! and what has become of one. What is not understood is not known, never a no.

use super::Charge;
use crate::https::{Answer, Https, HttpsError};
use crate::payment::{ORG, TOPUP};
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// How long the provider may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// The secret key of the API. Not printable.
#[derive(Clone)]
pub struct StripeKey(String);

impl StripeKey {
    /// A key of this text; none when it is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let good = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for StripeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StripeKey(…)")
    }
}

/// The API.
#[derive(Clone, Debug)]
pub struct Stripe {
    base: String,
    key: StripeKey,
    https: Https,
}

/// What has become of a charge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The money was taken: by this payment.
    Taken(String),
    /// It is being taken.
    Processing(String),
    /// It was not and will not be.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

/// What an answer says.
#[derive(PartialEq, Eq, Debug)]
enum Said {
    /// What has become of it.
    Done(Outcome),
    /// The payment waits for its owner, who is not there, and would be taken whenever they came: it
    /// is to be cancelled. And why it waits.
    Waits(String, String),
}

impl Stripe {
    /// The API at `base`, which is `https://api.stripe.com` but for tests.
    #[must_use]
    pub fn new(base: &str, key: StripeKey) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            key,
            https: Https::new(DEADLINE),
        }
    }

    /// Charges, or finds out what the same question has led to before.
    pub(super) async fn charge(&self, charge: &Charge) -> Outcome {
        let request = self.request(Method::POST, "/v1/payment_intents");
        let request = request
            .header("idempotency-key", charge.id.as_str())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form(charge)));
        match request {
            Ok(request) => {
                let said = read(self.https.send(request).await);
                self.ended(charge, said).await
            }
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// What has become of a payment.
    pub(super) async fn find(&self, charge: &Charge) -> Outcome {
        let said = self.look_up(&charge.payment).await;
        self.ended(charge, said).await
    }

    async fn look_up(&self, payment: &str) -> Said {
        let path = format!("/v1/payment_intents/{payment}");
        match self.request(Method::GET, &path).body(Bytes::new()) {
            Ok(request) => match read(self.https.send(request).await) {
                // Whether there is such a payment is known already.
                Said::Done(Outcome::Refused(reason)) if !reason.starts_with(ENDED) => {
                    Said::Done(Outcome::Unknown(reason))
                }
                said => said,
            },
            Err(error) => Said::Done(Outcome::Unknown(error.to_string())),
        }
    }

    /// Cancels what waits. Only what is known to be cancelled is a refusal: what is not could still
    /// be taken, beside the next one.
    async fn ended(&self, charge: &Charge, said: Said) -> Outcome {
        let (payment, why) = match said {
            Said::Done(outcome) => return outcome,
            Said::Waits(payment, why) => (payment, why),
        };
        let path = format!("/v1/payment_intents/{payment}/cancel");
        let request = self.request(Method::POST, &path);
        let request = request
            .header("idempotency-key", format!("{}-cancel", charge.id))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::new());
        let cancelled = match request {
            Ok(request) => read(self.https.send(request).await),
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        if is_cancelled(&cancelled) {
            return Outcome::Refused(why);
        }
        // It may have been taken or cancelled just before.
        match self.look_up(&payment).await {
            said if is_cancelled(&said) => Outcome::Refused(why),
            Said::Done(outcome) => outcome,
            Said::Waits(..) => Outcome::Unknown(format!("not cancelled yet: {why}")),
        }
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key.0))
    }
}

/// The question. The same charge has the same, byte for byte.
fn form(charge: &Charge) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("amount", &charge.cents.to_string())
        .append_pair("currency", "usd")
        .append_pair("customer", &charge.customer)
        .append_pair("payment_method", &charge.payment_method)
        .append_pair("off_session", "true")
        .append_pair("confirm", "true")
        .append_pair(&format!("metadata[{ORG}]"), charge.org.as_str())
        .append_pair(&format!("metadata[{TOPUP}]"), &charge.id);
    form.finish()
}

/// How the reason of a payment begins that has ended without money.
const ENDED: &str = "payment ";
/// The status of one that was cancelled.
const CANCELLED: &str = "canceled";
/// How the status of one begins that waits for somebody.
const WAITS: &str = "requires_";

fn is_cancelled(said: &Said) -> bool {
    let Said::Done(Outcome::Refused(reason)) = said else {
        return false;
    };
    let status = reason.strip_prefix(ENDED);
    status.is_some_and(|status| status.starts_with(CANCELLED))
}

#[derive(Deserialize)]
struct Intent {
    id: String,
    status: String,
    last_payment_error: Option<Problem>,
}

#[derive(Deserialize)]
struct Failed {
    error: Problem,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    payment_intent: Option<Tried>,
}

/// The payment that an error is about.
#[derive(Deserialize)]
struct Tried {
    id: String,
    status: Option<String>,
}

impl Problem {
    fn told(&self) -> String {
        let parts = [&self.kind, &self.code, &self.message];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join(": ")
    }
}

fn read(answer: Result<Answer, HttpsError>) -> Said {
    let unknown = |reason| Said::Done(Outcome::Unknown(reason));
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return unknown(error.to_string()),
    };
    let status = answer.status;
    if (200..300).contains(&status) {
        let Ok(intent) = serde_json::from_slice::<Intent>(&answer.body) else {
            return unknown(format!("status {status}, and no payment"));
        };
        return read_intent(intent);
    }
    let problem = serde_json::from_slice::<Failed>(&answer.body).map(|failed| failed.error);
    let Ok(problem) = problem else {
        return unknown(format!("status {status}"));
    };
    let is_ours = problem.kind.as_deref() == Some("invalid_request_error");
    let why = format!("status {status}: {}", problem.told());
    match status {
        // Only these say that nothing was taken, now or when it was asked before.
        402 => {}
        400 | 404 if is_ours => {}
        // What is wrong with our key is not for customers to read.
        401 | 403 => return unknown(format!("status {status}")),
        _ => return unknown(why),
    }
    let tried = problem.payment_intent;
    let waits = |tried: &Tried| {
        tried
            .status
            .as_ref()
            .is_some_and(|it| it.starts_with(WAITS))
    };
    match tried.filter(|tried| status == 402 && waits(tried)) {
        Some(tried) => Said::Waits(tried.id, why),
        None => Said::Done(Outcome::Refused(why)),
    }
}

fn read_intent(intent: Intent) -> Said {
    let why = intent.last_payment_error.map(|problem| problem.told());
    let why = why.unwrap_or_else(|| "its owner is needed".to_owned());
    let why = format!("{ENDED}{}: {why}", intent.status);
    Said::Done(match intent.status.as_str() {
        "succeeded" => Outcome::Taken(intent.id),
        "processing" | "requires_capture" => Outcome::Processing(intent.id),
        CANCELLED => Outcome::Refused(why),
        status if status.starts_with(WAITS) => return Said::Waits(intent.id, why),
        _ => Outcome::Unknown(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_refusal() {
        let check = |status, body: &'static str, expect: &str| {
            let body = Bytes::from_static(body.as_bytes());
            let outcome = format!("{:?}", read(Ok(Answer { status, body })));
            assert!(outcome.starts_with(expect), "{status} {outcome}");
        };
        check(
            200,
            r#"{"id":"pi_1","status":"succeeded"}"#,
            "Done(Taken(\"pi_1\"))",
        );
        check(
            200,
            r#"{"id":"pi_1","status":"processing"}"#,
            "Done(Processing",
        );
        check(
            200,
            r#"{"id":"pi_1","status":"requires_action"}"#,
            "Waits(\"pi_1\", ",
        );
        check(
            200,
            r#"{"id":"pi_1","status":"canceled"}"#,
            "Done(Refused(\"payment canceled",
        );
        check(
            402,
            r#"{"error":{"type":"card_error","code":"authentication_required",
                "payment_intent":{"id":"pi_1","status":"requires_payment_method"}}}"#,
            "Waits(\"pi_1\", ",
        );
        check(200, "{", "Done(Unknown");
        check(
            402,
            r#"{"error":{"type":"card_error","code":"card_declined","message":"no"}}"#,
            "Done(Refused(\"status 402: card_error: card_declined: no\"))",
        );
        check(
            400,
            r#"{"error":{"type":"invalid_request_error","message":"no such customer"}}"#,
            "Done(Refused",
        );
        check(
            400,
            r#"{"error":{"type":"idempotency_error"}}"#,
            "Done(Unknown",
        );
        check(302, "", "Done(Unknown");
        check(
            401,
            r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key"}}"#,
            "Done(Unknown(\"status 401\"))",
        );
        check(409, "", "Done(Unknown");
        check(429, "", "Done(Unknown");
        check(503, "", "Done(Unknown");
        let late = read(Err(HttpsError::Deadline(DEADLINE)));
        assert!(matches!(late, Said::Done(Outcome::Unknown(_))));
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = StripeKey::new(" sk_test_0123456789 \n").unwrap();
        let stripe = Stripe::new("https://api.stripe.com/", key);
        assert!(!format!("{stripe:?}").contains("0123456789"));
        assert!(StripeKey::new("short").is_none());
    }
}
