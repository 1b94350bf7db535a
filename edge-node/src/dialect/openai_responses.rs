//! OpenAI's Responses as an upstream, stateless: nothing is stored at the provider, reasoning goes
//! back and forth encrypted. For clients that speak the same, bytes pass both ways but for declared
//! splices; for others requests are written from the canonical request, answers are read as events.

mod counts;
mod fields;
mod input;
mod items;
mod pass;
mod reader;
mod request;
mod splice;

#[cfg(test)]
mod tests;

use crate::dialect::served;
use crate::dialect::{Outgoing, Target, translate};
use crate::failure::Failure;
use crate::ingress::{self, Api, Call};
use crate::wire::sse;
use http::{HeaderValue, header};
use shared::catalog::Dialect;

const XAI: &str = "xai-responses-v1";

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let (body, translator) = if call.api == Api::Responses && call.search.is_none() {
        if let Some(place) = &call.other_run {
            return Err(served::foreign_run(place));
        }
        (splice::body(call, target), pass::translator(call, target))
    } else {
        let mut request = ingress::request_in_full(call)?;
        if maker(target) == XAI {
            // Not known to take them.
            request.narrow();
        }
        let body = request::body(&request, target)?.into();
        let reader = reader::Answer::new(target);
        let translator = translate::translator::<sse::Parser, _>(reader, call, target);
        (body, translator)
    };
    Ok(Outgoing {
        path: "/responses".to_owned(),
        headers: vec![(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        body,
        translator,
    })
}

/// Whose form the target's reasoning has: what one maker encrypted, no other can read.
pub(super) fn maker(target: &Target<'_>) -> &'static str {
    let provider = target.provider;
    if provider.dialect == Dialect::AzureOpenai || provider.base_url.contains(".azure.") {
        "azure-openai-responses-v1"
    } else if provider.base_url.contains("://api.x.ai") {
        XAI
    } else {
        "openai-responses-v1"
    }
}
