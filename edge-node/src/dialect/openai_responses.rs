//! OpenAI's Responses as an upstream, stateless: nothing is stored at the provider, reasoning goes
//! back and forth encrypted. Requests are written from the canonical request, answers are read as
//! canonical events.

mod counts;
mod fields;
mod input;
mod items;
mod reader;
mod request;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::sse;
use http::{HeaderValue, header};
use shared::catalog::Dialect;

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let body = request::body(&request, target)?;
    let reader = reader::Answer::new(target);
    Ok(Outgoing {
        path: "/responses".to_owned(),
        headers: vec![(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        body: body.into(),
        translator: translate::translator::<sse::Parser, _>(reader, call, target),
    })
}

/// Whose form the target's reasoning has: what one maker encrypted, no other can read.
pub(super) fn maker(target: &Target<'_>) -> &'static str {
    let provider = target.provider;
    if provider.dialect == Dialect::AzureOpenai || provider.base_url.contains(".azure.") {
        "azure-openai-responses-v1"
    } else if provider.base_url.contains("://api.x.ai") {
        "xai-responses-v1"
    } else {
        "openai-responses-v1"
    }
}
