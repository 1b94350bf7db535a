//! Anthropic's Messages as an upstream: requests are written from the canonical request, answers
//! are read as canonical events.

mod counts;
mod fields;
mod messages;
mod reader;
mod request;
mod thinking;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::sse;
use http::{HeaderName, HeaderValue, header};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let body = request::body(&request, target)?;
    let mut headers = vec![
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (VERSION, HeaderValue::from_static("2023-06-01")),
    ];
    if let Some(beta) = &call.anthropic_beta {
        headers.push((BETA, beta.clone()));
    }
    // Base URLs are written with and without the version.
    let path = if target.provider.base_url.ends_with("/v1") {
        "/messages"
    } else {
        "/v1/messages"
    };
    Ok(Outgoing {
        path: path.to_owned(),
        headers,
        body: body.into(),
        translator: translate::translator::<sse::Parser, _>(
            reader::Answer::new(&target.provider.name),
            call,
            target,
        ),
    })
}
