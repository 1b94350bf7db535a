//! Anthropic's Messages as an upstream. For clients that speak the same, bytes pass both ways but
//! for declared splices; for others requests are written from the canonical request, and answers
//! are read as canonical events.

mod counts;
mod fields;
mod media;
mod messages;
mod pass;
mod reader;
mod request;
mod runs;
mod splice;
pub(crate) mod thinking;

#[cfg(test)]
mod tests;

pub(crate) use messages::{is_blank, is_own};
pub(super) use request::body;
pub(super) use splice::{Host, body as spliced};

use crate::dialect::{Count, Outgoing, Target, Translator, translate};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::{self, Api, Call};
use crate::wire::sse;
use http::{HeaderName, HeaderValue, header};
use shared::catalog::Tier;

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// What asks for the dearer, faster service.
const FAST: &str = "\"speed\":\"fast\"";
/// The opt-in that it needs.
const FAST_BETA: &str = "fast-mode-2026-02-01";

/// Is the endpoint Anthropic's fast mode?
fn is_fast(target: &Target<'_>) -> bool {
    target.endpoint.tier() == Some(Tier::Priority)
}

/// The call for an upstream of this dialect.
pub(crate) fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let model = quoted(&target.endpoint.provider_model);
    let body = if passes(call) {
        let more = if is_fast(target) { FAST } else { "" };
        let host = Host {
            more,
            ..Host::own(&model)
        };
        spliced(call, target, &host)
    } else {
        let request = ingress::request(call)?;
        let speed = if is_fast(target) { FAST } else { "" };
        let comma = if speed.is_empty() { "" } else { "," };
        body(
            &request,
            target,
            &format!("{{\"model\":{model}{comma}{speed}"),
        )?
        .into()
    };
    let mut headers = versioned(call);
    if is_fast(target) {
        let own = call.anthropic_beta.as_ref();
        let own = own.and_then(|value| value.to_str().ok());
        let all = own.map_or_else(|| FAST_BETA.to_owned(), |own| format!("{own},{FAST_BETA}"));
        headers.retain(|(name, _)| *name != BETA);
        headers.extend(HeaderValue::from_str(&all).ok().map(|all| (BETA, all)));
    }
    Ok(Outgoing {
        path: path(target, ""),
        headers,
        body,
        translator: translator(call, target),
    })
}

/// What to send to count the tokens of a Messages call, and where; none unless its bytes may pass.
pub(crate) fn count(call: &Call, target: &Target<'_>) -> Option<Count> {
    let model = quoted(&target.endpoint.provider_model);
    passes(call).then(|| Count {
        path: path(target, "/count_tokens"),
        headers: versioned(call),
        body: spliced(
            call,
            target,
            &Host {
                with_limit: false,
                ..Host::own(&model)
            },
        ),
    })
}

/// True when the client's own bytes can go upstream: it speaks this dialect, and gives no other
/// makers' thoughts back, which would be refused, and asks for no search in OpenRouter's words.
pub(super) fn passes(call: &Call) -> bool {
    call.api == Api::Messages && call.sealed.is_empty() && call.search.is_none()
}

/// Base URLs are written with and without the version.
fn path(target: &Target<'_>, rest: &str) -> String {
    let version = if target.provider.base_url.ends_with("/v1") {
        ""
    } else {
        "/v1"
    };
    format!("{version}/messages{rest}")
}

fn versioned(call: &Call) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = headers(call);
    headers.push((VERSION, HeaderValue::from_static("2023-06-01")));
    headers
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

/// Carries the answer to a call, streamed as Anthropic itself does it.
pub(super) fn translator(call: &Call, target: &Target<'_>) -> Box<dyn Translator> {
    match (passes(call), call.stream) {
        (true, true) => Box::new(pass::Stream::new(call, target)),
        (true, false) => Box::new(pass::Whole::new(call, target)),
        (false, _) => {
            let reader = reader::Answer::new(target);
            translate::translator::<sse::Parser, _>(reader, call, target)
        }
    }
}
