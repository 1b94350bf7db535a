//! Why there is no answer, in OpenRouter's shape: the status, a sentence, and the stable type of
//! the error. A database that can't be reached is 503, never a no.

use crate::accounts::AccountsError;
use crate::ledger::LedgerError;
use crate::sql::DatabaseError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::borrow::Cow;
use std::time::Duration;

/// Somebody who came at a bad moment is told to come back after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    error_type: &'static str,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Refused {
    pub(crate) fn new(
        status: StatusCode,
        error_type: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            error_type,
            message: message.into(),
            retry_after: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(crate) fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication", message)
    }

    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_denied", message)
    }

    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn too_many(message: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self {
            retry_after: Some(wait),
            ..Self::new(status, "rate_limit_exceeded", message)
        }
    }

    pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            retry_after: Some(RETRY_AFTER),
            ..Self::new(status, "provider_overloaded", message)
        }
    }

    /// The status and the sentence, for an answer in another shape.
    pub(super) fn told(&self) -> (StatusCode, &str) {
        (self.status, &self.message)
    }

    /// What it is stays in the log.
    pub(crate) fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server", "internal error")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": {
            "code": self.status.as_u16(),
            "message": self.message,
            "metadata": { "error_type": self.error_type },
        }});
        let mut response = (self.status, axum::Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<AccountsError> for Refused {
    fn from(error: AccountsError) -> Self {
        match &error {
            AccountsError::NoSuchOrg(_)
            | AccountsError::NoSuchKey(_)
            | AccountsError::NoSuch { .. } => Self::not_found(error.to_string()),
            AccountsError::KeyTaken(_) | AccountsError::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, "invalid_request", error.to_string())
            }
            AccountsError::Forbidden { .. } => Self::forbidden(error.to_string()),
            AccountsError::Invalid { .. } => Self::invalid(error.to_string()),
            AccountsError::Busy => Self::too_many(error.to_string(), RETRY_AFTER),
            AccountsError::NoRandomness | AccountsError::Vault(_) => {
                tracing::error!(%error, "a management call fails");
                Self::internal()
            }
            AccountsError::Database(error) => database(error),
        }
    }
}

impl From<LedgerError> for Refused {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Database(error) => database(error),
            LedgerError::Fenced(_) => Self::unavailable("this control plane does not lead"),
            LedgerError::Invalid { .. } => Self::invalid(error.to_string()),
            LedgerError::OtherAmount | LedgerError::OtherOrg(_) => {
                Self::new(StatusCode::CONFLICT, "invalid_request", error.to_string())
            }
            LedgerError::Gap { .. }
            | LedgerError::EpochReused { .. }
            | LedgerError::Replaced { .. }
            | LedgerError::Copied { .. }
            | LedgerError::NoLimit
            | LedgerError::Unsound(_) => {
                tracing::error!(%error, "a management call fails");
                Self::internal()
            }
        }
    }
}

fn database(error: &DatabaseError) -> Refused {
    tracing::error!(%error, "the database of accounts and money fails");
    match error {
        DatabaseError::Engine(_) | DatabaseError::Conflict => {
            Refused::unavailable("the accounts can't be reached at the moment, try again")
        }
        DatabaseError::TooNew { .. } | DatabaseError::Corrupt { .. } => Refused::internal(),
    }
}
