//! Amazon Bedrock's Converse as an upstream: requests are written from the canonical request,
//! answers are read as canonical events. Guardrails are the operator's business at AWS and are not
//! here.

mod counts;
mod family;
mod fields;
mod media;
mod messages;
mod reader;
mod request;
mod tools;

#[cfg(test)]
mod tests;

use crate::dialect::write::segment;
use crate::dialect::{Outgoing, Target, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::eventstream;
use http::{HeaderValue, header};

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let body = request::body(&request, target)?;
    let (verb, accept) = if call.stream {
        ("converse-stream", "application/vnd.amazon.eventstream")
    } else {
        ("converse", "application/json")
    };
    let model = segment(&target.endpoint.provider_model);
    Ok(Outgoing {
        path: format!("/model/{model}/{verb}"),
        headers: vec![
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ),
            (header::ACCEPT, HeaderValue::from_static(accept)),
        ],
        body: body.into(),
        translator: translate::translator::<eventstream::Parser, _>(
            reader::Answer::new(target),
            call,
            target,
        ),
    })
}
