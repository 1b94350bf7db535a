//! What went wrong, said once: whose fault it is, whether another endpoint may help, and the text
//! that a client may see. Only [`Fault::Provider`] feeds ejection; the forms of other client APIs
//! than OpenRouter's are in [`crate::egress`].

use serde_json::{Map, Value, json};
use shared::id::{EndpointId, ModelId};
use shared::routing::Candidate;
use std::time::Duration;

/// Who is to blame; a metric label, so a closed set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The request itself.
    Caller,
    /// The caller's key, credits or policy.
    Account,
    /// Our (or the organisation's) key at the provider.
    ProviderKey,
    /// The provider.
    Provider,
    /// This node.
    Gateway,
    /// A needed answer of the control plane did not come.
    ControlPlane,
    /// The client hung up.
    ClientGone,
}

impl Fault {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Account => "account",
            Self::ProviderKey => "provider_key",
            Self::Provider => "provider",
            Self::Gateway => "gateway",
            Self::ControlPlane => "control_plane",
            Self::ClientGone => "client_gone",
        }
    }
}

/// May the request be tried again, and where?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// No endpoint would answer otherwise.
    Never,
    /// Another endpoint may.
    OtherEndpoint,
    /// Another endpoint may, and this one after a while.
    SameAfter(Duration),
}

/// OpenRouter's stable error types (`metadata.error_type`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorType {
    /// The prompt is longer than the model takes.
    ContextLengthExceeded,
    /// `max_tokens` is more than the model gives.
    MaxTokensExceeded,
    /// No valid key.
    Authentication,
    /// A valid key that may not.
    PermissionDenied,
    /// Credits or a limit are used up.
    PaymentRequired,
    /// Too many requests.
    RateLimitExceeded,
    /// The provider is at its capacity.
    ProviderOverloaded,
    /// The provider failed.
    ProviderUnavailable,
    /// The request is wrong.
    InvalidRequest,
    /// No such thing, or nothing that fits.
    NotFound,
    /// The body is too large.
    PayloadTooLarge,
    /// Understood, but impossible.
    Unprocessable,
    /// The provider's filter refused.
    ContentPolicyViolation,
    /// We failed.
    Server,
    /// Too slow.
    Timeout,
    /// None of these.
    Unmapped,
}

impl ErrorType {
    /// How the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::MaxTokensExceeded => "max_tokens_exceeded",
            Self::Authentication => "authentication",
            Self::PermissionDenied => "permission_denied",
            Self::PaymentRequired => "payment_required",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::ProviderOverloaded => "provider_overloaded",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::InvalidRequest => "invalid_request",
            Self::NotFound => "not_found",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Unprocessable => "unprocessable",
            Self::ContentPolicyViolation => "content_policy_violation",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Unmapped => "unmapped",
        }
    }
}

/// One failed attempt, as a client may see it: never the provider's raw body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailedAttempt {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Its model.
    pub model: ModelId,
    /// The provider's name.
    pub provider: String,
    /// The provider's status, or ours (502, 504) when there was none.
    pub status: u16,
    /// The provider's own code, or our word for what happened.
    pub code: String,
    /// It was, or was to be, asked with the organisation's own key.
    pub own: bool,
    /// False when nothing left for it: the request can't be said there, or not be paid there. That is
    /// no attempt, and is not counted as one.
    pub sent: bool,
}

/// How it is told that we closed an attempt because another had answered first.
const CALLED_OFF_STATUS: u16 = 499;

impl FailedAttempt {
    /// What a failure says of the attempt at a candidate.
    #[must_use]
    pub fn of(candidate: &Candidate, failure: &Failure, sent: bool) -> Self {
        let code = failure.provider_code.clone();
        let status = failure.provider_status.unwrap_or(failure.status);
        let code = code.unwrap_or_else(|| failure.reason.into());
        Self::at(candidate, (status, code), sent)
    }

    /// An attempt that was called off.
    #[must_use]
    pub fn called_off(candidate: &Candidate) -> Self {
        let how = (CALLED_OFF_STATUS, "called_off".to_owned());
        Self::at(candidate, how, true)
    }

    fn at(candidate: &Candidate, (status, code): (u16, String), sent: bool) -> Self {
        Self {
            endpoint: candidate.endpoint.id.clone(),
            model: candidate.endpoint.model.clone(),
            provider: candidate.provider.name.clone(),
            status,
            code,
            own: candidate.own.is_some(),
            sent,
        }
    }
}

/// Everything that is known of a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Whose fault.
    pub fault: Fault,
    /// May another endpoint help.
    pub retry: Retry,
    /// HTTP status for the client.
    pub status: u16,
    /// For `metadata.error_type`.
    pub error_type: ErrorType,
    /// For the client: what was wrong, where, what to do. No secrets, no raw upstream text.
    pub message: String,
    /// For metrics and logs: one word of a closed set, e.g. `connect`, `first_token_timeout`.
    pub reason: &'static str,
    /// The provider's own code or type.
    pub provider_code: Option<String>,
    /// The provider's own status, where it has given one: what the client gets may be another.
    pub provider_status: Option<u16>,
    /// The request member at fault.
    pub param: Option<String>,
    /// For `Retry-After`.
    pub retry_after: Option<Duration>,
    /// OpenRouter's `error.availability.code`, with 404s and capacity errors.
    pub availability: Option<&'static str>,
    /// More members for `error.availability`.
    pub unavailable: Map<String, Value>,
    /// More members for `metadata`.
    pub metadata: Map<String, Value>,
    /// What was tried before, oldest first.
    pub attempts: Vec<FailedAttempt>,
}

/// A limit on how many requests come in a window, all of which have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// The most in one window.
    pub limit: u64,
    /// When the next one begins, in milliseconds since 1970.
    pub reset_unix_ms: u64,
}

/// In the metadata, and as headers of the answer.
const RATE_HEADERS: [&str; 3] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

impl Failure {
    /// A failure with the least that one needs.
    #[must_use]
    pub fn new(
        fault: Fault,
        status: u16,
        error_type: ErrorType,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            fault,
            retry: Retry::Never,
            status,
            error_type,
            message: message.into(),
            reason,
            provider_code: None,
            provider_status: None,
            param: None,
            retry_after: None,
            availability: None,
            unavailable: Map::new(),
            metadata: Map::new(),
            attempts: Vec::new(),
        }
    }

    /// 400: the request is wrong at `param`.
    #[must_use]
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        let mut failure = Self::new(
            Fault::Caller,
            400,
            ErrorType::InvalidRequest,
            "invalid_request",
            message,
        );
        if !param.is_empty() {
            failure.param = Some(param.to_owned());
        }
        failure
    }

    /// A provider's failure that another endpoint may not have.
    #[must_use]
    pub fn provider(status: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let error_type = match status {
            429 => ErrorType::RateLimitExceeded,
            503 | 529 => ErrorType::ProviderOverloaded,
            408 | 504 | 524 => ErrorType::Timeout,
            _ => ErrorType::ProviderUnavailable,
        };
        let mut failure = Self::new(Fault::Provider, status, error_type, reason, message);
        failure.retry = Retry::OtherEndpoint;
        failure
    }

    /// Our credential at a provider is set and not good at this moment.
    #[must_use]
    pub fn credential_pending(provider: &str) -> Self {
        let text = format!("the credential for {provider} is being renewed; try again soon");
        let kind = ErrorType::ProviderUnavailable;
        let mut failure = Self::new(Fault::Gateway, 503, kind, "credential_pending", text);
        failure.retry = Retry::OtherEndpoint;
        failure.availability = Some("temporarily_unavailable");
        failure.retry_after = Some(Duration::from_secs(2));
        failure
    }

    /// The client hung up: nobody reads this.
    #[must_use]
    pub fn client_gone() -> Self {
        let message = "the client closed the connection";
        Self::new(
            Fault::ClientGone,
            499,
            ErrorType::Unmapped,
            "client_gone",
            message,
        )
    }

    /// True when the provider says that there is no room for an answer, or for more of it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(
            self.error_type,
            ErrorType::ContextLengthExceeded | ErrorType::MaxTokensExceeded
        )
    }

    /// The same failure with another retry verdict.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same failure with a `Retry-After`.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The same failure with the limit on requests that is used up, told in `X-RateLimit-…` and in
    /// `metadata.headers`.
    #[must_use]
    pub fn with_rate(mut self, rate: RateLimit) -> Self {
        let values = [rate.limit, 0, rate.reset_unix_ms].map(|value| value.to_string());
        let headers = RATE_HEADERS.into_iter().zip(values);
        let headers = Value::from_iter(headers);
        self.metadata.insert("headers".into(), headers);
        self
    }

    /// The headers that [`Failure::with_rate`] has given it.
    pub fn rate_headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let headers = self.metadata.get("headers");
        let value = move |name| Some((name, headers?.get(name)?.as_str()?));
        RATE_HEADERS.into_iter().filter_map(value)
    }

    /// The same failure with the provider's own code.
    #[must_use]
    pub fn with_provider_code(mut self, code: impl Into<String>) -> Self {
        self.provider_code = Some(code.into());
        self
    }

    /// OpenRouter's error object: `{code, message, metadata, …}`.
    #[must_use]
    pub fn error_object(&self) -> Value {
        let mut metadata = self.metadata.clone();
        metadata.insert("error_type".into(), self.error_type.as_str().into());
        if self.status != 500
            && let Some(code) = &self.provider_code
        {
            metadata.insert("provider_code".into(), code.as_str().into());
        }
        if let Some(param) = &self.param {
            metadata.insert("param".into(), param.as_str().into());
        }
        if !self.attempts.is_empty() {
            let attempts = self.attempts.iter().map(|attempt| {
                json!({
                    "provider": attempt.provider,
                    "code": attempt.code,
                    "status": attempt.status,
                })
            });
            metadata.insert("previous_errors".into(), attempts.collect());
        }
        let mut error = Map::new();
        error.insert("code".into(), self.status.into());
        error.insert("message".into(), self.message.as_str().into());
        // OpenAI's SDKs read these two.
        error.insert("type".into(), self.error_type.as_str().into());
        error.insert(
            "param".into(),
            self.param.as_deref().map_or(Value::Null, Value::from),
        );
        error.insert("metadata".into(), Value::Object(metadata));
        if let Some(code) = self.availability {
            let retryable = matches!(self.status, 429 | 503);
            let mut availability = Map::new();
            availability.insert("code".into(), code.into());
            availability.insert("retryable".into(), retryable.into());
            if let Some(after) = self.retry_after {
                availability.insert("retry_after".into(), seconds_up(after).into());
            }
            let more = self.unavailable.iter();
            availability.extend(more.map(|(name, value)| (name.clone(), value.clone())));
            error.insert("availability".into(), Value::Object(availability));
        }
        Value::Object(error)
    }

    /// The whole error body.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "error": self.error_object() })
    }
}

/// Whole seconds, rounded up, at least one.
#[must_use]
pub fn seconds_up(duration: Duration) -> u64 {
    duration
        .as_millis()
        .div_ceil(1000)
        .max(1)
        .try_into()
        .unwrap_or(u64::MAX)
}
