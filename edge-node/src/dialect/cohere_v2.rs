//! Cohere's chat (v2) as an upstream: requests are written from the canonical request, answers are
//! read as canonical events. Documents for retrieval and the choice of a safety mode have no word
//! in any client's API and are not here.

mod counts;
mod fields;
mod messages;
mod reader;
mod request;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target, accepted, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::sse;

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let body = request::body(&request, target)?;
    let reader = reader::Answer::new(target);
    let translator = translate::translator::<sse::Parser, _>(reader, call, target);
    let path = target.path("/v2", "/chat");
    Ok(Outgoing::json(
        path,
        accepted(call),
        body.into(),
        translator,
    ))
}
