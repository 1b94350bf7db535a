//! What a request says: its query and its body, read or refused in the API's own shape. A body is
//! JSON within its limit; a member that a route does not know is refused, because what it asks for
//! would not happen.

use super::{BODY_BYTES_MAX, Refused};
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use shared::key::KeyHash;
use std::time::Duration;

/// Parameters of one query; more are refused.
const PARAMETERS_MAX: usize = 32;
/// How long a body may take to come.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The parameters of a query.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// The value of a parameter; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let wrong = |_| Refused::invalid(format!("{name}: a whole number is expected"));
        text.parse().map(Some).map_err(wrong)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refused::invalid(format!(
                "{name}: true or false is expected"
            ))),
        }
    }

    pub(crate) fn key(&self, name: &str) -> Result<Option<KeyHash>, Refused> {
        self.get(name).map(key_hash).transpose()
    }

    /// An id, such as a workspace's; what can't be one is refused.
    pub(crate) fn id(&self, name: &str) -> Result<Option<&str>, Refused> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let could_be = text.len() <= crate::accounts::ID_LENGTH_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        match could_be {
            true => Ok(Some(text)),
            false => Err(Refused::invalid(format!("{name}: an id is expected"))),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let pairs = form_urlencoded::parse(query).into_owned();
        let pairs: Vec<_> = pairs.take(PARAMETERS_MAX + 1).collect();
        if pairs.len() > PARAMETERS_MAX {
            let text = format!("at most {PARAMETERS_MAX} parameters are read");
            return Err(Refused::invalid(text));
        }
        Ok(Self(pairs))
    }
}

/// A body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
        // A page of another site can send a form here, but not this.
        let json = b"application/json";
        let is_json = kind
            .get(..json.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(json));
        if !is_json {
            let text = "a body with content-type application/json is expected";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refused::new(status, "invalid_request", text));
        }
        let body = to_bytes(request.into_body(), BODY_BYTES_MAX);
        let Ok(read) = tokio::time::timeout(BODY_DEADLINE, body).await else {
            let text = "the body did not arrive in time";
            return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "timeout", text));
        };
        let body = read.map_err(|_| {
            let text = format!("the body is larger than {BODY_BYTES_MAX} bytes, or was cut off");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
        })?;
        // A list would be taken for an object's members in their order, without their names.
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|first| *first != b'{') {
            return Err(Refused::invalid("body: an object is expected"));
        }
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Refused::invalid(format!("body: {error}")))
    }
}

/// A key's hash out of a path or a query.
pub(crate) fn key_hash(text: &str) -> Result<KeyHash, Refused> {
    text.parse()
        .map_err(|_| Refused::not_found("there is no such key: its hash has 64 hex digits"))
}

/// Tells a member that is absent from one that is null: the inner option is null.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
