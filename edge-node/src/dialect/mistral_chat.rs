//! Mistral's chat completions as an upstream: near to OpenAI's, but strict. A body is composed of
//! nothing but what Mistral knows; answers are read as OpenAI's are.

mod messages;
mod request;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target, accepted, openai_chat, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::sse;

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let body = request::body(&request, target)?;
    let reader = openai_chat::Answer::new(target);
    let translator = translate::translator::<sse::Parser, _>(reader, call, target);
    let path = target.path("/v1", "/chat/completions");
    Ok(Outgoing::json(
        path,
        accepted(call),
        body.into(),
        translator,
    ))
}
