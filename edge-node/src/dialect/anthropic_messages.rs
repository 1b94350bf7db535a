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

pub(super) use request::body;

use crate::dialect::{Outgoing, Target, Translator, translate};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::sse;
use http::{HeaderName, HeaderValue, header};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let head = format!("{{\"model\":{}", quoted(&target.endpoint.provider_model));
    let body = body(&request, target, &head)?;
    let mut headers = headers(call);
    headers.push((VERSION, HeaderValue::from_static("2023-06-01")));
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
        translator: translator(call, target),
    })
}

/// The headers that are the same wherever this dialect is spoken.
pub(super) fn headers(call: &Call) -> Vec<(HeaderName, HeaderValue)> {
    let json = HeaderValue::from_static("application/json");
    let mut headers = vec![(header::CONTENT_TYPE, json)];
    if let Some(beta) = &call.anthropic_beta {
        headers.push((BETA, beta.clone()));
    }
    headers
}

/// Reads the answer to a call, streamed as Anthropic itself does it.
pub(super) fn translator(call: &Call, target: &Target<'_>) -> Box<dyn Translator> {
    let reader = reader::Answer::new(&target.provider.name);
    translate::translator::<sse::Parser, _>(reader, call, target)
}
