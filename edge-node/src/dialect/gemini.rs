//! Google's `generateContent` as an upstream, at AI Studio and at Vertex: requests are written from
//! the canonical request, answers are read as canonical events. Tokens and projects of Vertex are
//! the credentials' matter.

mod config;
mod contents;
mod counts;
mod fields;
mod media;
mod model;
mod reader;
mod request;
mod schema;
mod sources;
mod thinking;

#[cfg(test)]
mod tests;

use crate::dialect::{Outgoing, Target, translate};
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::message::ToolChoice;
use crate::wire::sse;
use http::{HeaderName, HeaderValue, header};
use model::Model;

/// Where it is served: the same bodies but for small differences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    /// `generativelanguage.googleapis.com`
    Studio,
    /// `aiplatform.googleapis.com`
    Vertex,
}

/// Which of Vertex's shared capacity to use: `flex` or `priority`.
const VERTEX_TIER: HeaderName = HeaderName::from_static("x-vertex-ai-llm-shared-request-type");

/// How reasoning details of this dialect are marked.
const REASONING_FORMAT: &str = "google-gemini-v1";

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>, host: Host) -> Result<Outgoing, Failure> {
    let mut request = ingress::request_in_full(call)?;
    // Of several functions only some: that can be said where one of them must be called.
    if !matches!(request.tool_choice, Some(ToolChoice::Required)) {
        request.narrow();
    }
    let model = Model::of(target, host);
    let body = request::body(&request, target, model)?;
    let json = HeaderValue::from_static("application/json");
    let mut headers = vec![(header::CONTENT_TYPE, json)];
    if host == Host::Vertex
        && let Some(tier) = target.endpoint.tier()
    {
        // AI Studio's is in the body.
        headers.push((VERTEX_TIER, HeaderValue::from_static(tier.as_str())));
    }
    Ok(Outgoing {
        path: path(call, target, host),
        headers,
        body: body.into(),
        translator: translate::translator::<sse::Parser, _>(
            reader::Answer::new(target, model),
            call,
            target,
        ),
    })
}

/// Model names come with and without the collection that they are in, base URLs of AI Studio with
/// and without the version.
fn path(call: &Call, target: &Target<'_>, host: Host) -> String {
    let base = &target.provider.base_url;
    let name = &target.endpoint.provider_model;
    let has_version = ["/v1", "/v1beta", "/v1alpha"]
        .iter()
        .any(|v| base.ends_with(v));
    let (version, collection) = match host {
        Host::Studio if has_version => ("", "models/"),
        Host::Studio => ("/v1beta", "models/"),
        Host::Vertex => ("", "publishers/google/models/"),
    };
    let is_whole = ["models/", "tunedModels/", "publishers/", "endpoints/"]
        .iter()
        .any(|known| name.starts_with(known));
    let collection = if is_whole { "" } else { collection };
    let verb = if call.stream {
        ":streamGenerateContent?alt=sse"
    } else {
        ":generateContent"
    };
    format!("{version}/{collection}{name}{verb}")
}
