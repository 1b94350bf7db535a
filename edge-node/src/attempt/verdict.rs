//! What an upstream failure means: for the client (status, text), for the walk (retry or not) and
//! for health (an outcome). Pure.

use crate::failure::{ErrorType, Failure, Fault, Retry};
use crate::upstream::{Error, Kind, Phase};
use shared::window::Outcome;
use std::time::Duration;

/// A failure of the leg itself.
pub(super) fn leg(error: &Error) -> Failure {
    let (status, reason, text) = match (error.phase, error.kind) {
        (Phase::Resolve, _) => (502, "resolve", "the provider's name has no address"),
        (Phase::Connect, Kind::Timeout) => (504, "connect_timeout", "connecting took too long"),
        (Phase::Connect, _) => (502, "connect", "the provider refused the connection"),
        (Phase::Tls, _) => (502, "tls", "no trusted TLS connection to the provider"),
        (Phase::Head, Kind::Timeout) => (504, "first_token_timeout", "the provider stayed silent"),
        (Phase::Body, Kind::Timeout) => (504, "stall", "the provider stopped in the middle"),
        (_, Kind::Protocol) => (502, "protocol", "the provider's answer was not valid HTTP"),
        _ => (502, "reset", "the provider closed the connection"),
    };
    Failure::provider(status, reason, text)
}

pub(super) fn first_token_timeout(patience: Duration) -> Failure {
    let text = format!(
        "the provider sent no content within {} ms",
        patience.as_millis()
    );
    Failure::provider(504, "first_token_timeout", text)
}

/// Every endpoint that is left has had its part of retries: more would be a storm.
pub(super) fn retries_spent() -> Failure {
    let text = "too many requests are being tried again; this one can be sent again soon";
    Failure::provider(503, "retry_budget", text).with_retry_after(Duration::from_secs(1))
}

/// True for the refusal of a request that another endpoint may take as it stands.
pub(super) fn is_misfit(failure: &Failure) -> bool {
    let too_long = failure.error_type == ErrorType::ContextLengthExceeded;
    too_long || (failure.fault == Fault::Gateway && failure.status < 500)
}

pub(super) fn empty() -> Failure {
    Failure::provider(502, "empty", "the provider's answer ended without content")
}

/// What health must know of a failure.
pub(super) fn outcome(failure: &Failure) -> Outcome {
    let after = match failure.retry {
        Retry::SameAfter(after) => Some(after),
        Retry::Never | Retry::OtherEndpoint => failure.retry_after,
    };
    match failure.fault {
        Fault::Provider => match (failure.status, failure.reason) {
            (429, _) => Outcome::RateLimited { retry_after: after },
            (529, _) | (_, "overloaded") => Outcome::Overload { retry_after: after },
            (_, "first_token_timeout" | "connect_timeout" | "stall") => Outcome::Timeout,
            _ => Outcome::HardFail,
        },
        // A refused key of ours makes the endpoint as useless as an outage would.
        Fault::ProviderKey => Outcome::HardFail,
        Fault::Caller
        | Fault::Account
        | Fault::Gateway
        | Fault::ControlPlane
        | Fault::ClientGone => Outcome::Neutral,
    }
}
