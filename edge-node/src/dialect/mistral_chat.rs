//! Mistral's chat completions as an upstream: near to OpenAI's, but strict. A body is composed of
//! nothing but what Mistral knows; answers are read as OpenAI's are.

mod messages;
mod reader;
mod request;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::wire::sse;
use http::{HeaderValue, header};

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::request(call)?;
    let body = request::body(&request, target)?;
    let accept = if call.stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    // Base URLs are written with and without the version.
    let path = if target.provider.base_url.ends_with("/v1") {
        "/chat/completions"
    } else {
        "/v1/chat/completions"
    };
    Ok(Outgoing {
        path: path.to_owned(),
        headers: vec![
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ),
            (header::ACCEPT, HeaderValue::from_static(accept)),
        ],
        body: body.into(),
        translator: translate::translator::<sse::Parser, _>(
            reader::Answer::new(target),
            call,
            target,
        ),
    })
}
