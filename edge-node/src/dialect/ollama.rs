//! Ollama's native chat as an upstream: requests are written from the canonical request, answers,
//! one JSON text a line, are read as canonical events. How long a model stays loaded is left to the
//! server.

mod fields;
mod messages;
mod reader;
mod request;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::lines;
use http::{HeaderValue, header};

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let body = request::body(&request, target)?;
    let reader = reader::Answer::new(target);
    let translator = translate::translator::<lines::Parser, _>(reader, call, target);
    let json = HeaderValue::from_static("application/json");
    Ok(Outgoing {
        path: target.path("/api", "/chat"),
        headers: vec![(header::CONTENT_TYPE, json)],
        body: body.into(),
        translator,
    })
}
