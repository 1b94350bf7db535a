//! The client's body for an upstream of the same dialect: its bytes, but for the model's name, the
//! longest answer and the members that are addressed to us.

use crate::dialect::Target;
use crate::dialect::anthropic_messages::request;
use crate::egress::quoted;
use crate::ingress::Call;
use crate::ingress::peek::{Field, Member, Own};
use crate::wire::json;
use crate::wire::splice::{Members, Splices};
use bytes::Bytes;
use shared::catalog::Parameter;

/// In what the bodies of this dialect's hosts differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a> {
    /// A name and its value as written: what stands in the place of the client's model.
    pub(crate) head: (&'a str, &'a str),
    /// The longest answer, which this dialect demands, is added where the client left it out.
    pub(crate) with_limit: bool,
    /// The body says whether the answer is streamed.
    pub(crate) streams: bool,
    /// Members to add, as written; empty for none.
    pub(crate) more: &'a str,
}

impl<'a> Host<'a> {
    /// Anthropic itself.
    pub(crate) const fn own(model: &'a str) -> Self {
        Self {
            head: ("model", model),
            with_limit: true,
            streams: true,
            more: "",
        }
    }
}

/// The body to send.
pub(crate) fn body(call: &Call, target: &Target<'_>, host: &Host<'_>) -> Bytes {
    let head = host.head;
    let text = call.text();
    let mut splices = Splices::default();
    let first = call.members.first();
    let mut members = Members::new(first.map_or(0, |member| member.key.start));
    let (mut has_head, mut has_limit) = (false, false);
    for member in &call.members {
        let (start, end) = (member.key.start, member.value.end);
        let is_said = host.streams || !matches!(member.field, Field::Stream);
        if !is_said || !stays(member, text) {
            members.remove(&mut splices, start, end);
            continue;
        }
        members.keep(&mut splices, start, end);
        match member.field {
            Field::Model => {
                has_head = true;
                if head.0 != "model" {
                    splices.replace(member.key, quoted(head.0));
                }
                splices.replace(member.value, head.1);
            }
            Field::Parameter(Parameter::MaxTokens) => {
                has_limit = true;
                let wish = call.max_tokens;
                if let Some(clamp) = target.max_tokens_clamp
                    && wish.is_none_or(|wish| wish > clamp)
                {
                    splices.replace(member.value, clamp.to_string());
                }
            }
            _ => {}
        }
    }
    let mut tail = members.finish(&mut splices);
    if !has_head {
        tail.add(&mut splices, format!("\"{}\":{}", head.0, head.1));
    }
    if !host.more.is_empty() {
        tail.add(&mut splices, host.more);
    }
    if host.with_limit && !has_limit {
        let limit = request::max_tokens(call.max_tokens, target);
        tail.add(&mut splices, format!("\"max_tokens\":{limit}"));
    }
    let mut out = Vec::with_capacity(text.len() + 64);
    splices.pieces(text.as_bytes(), |piece| out.extend_from_slice(piece));
    out.into()
}

fn stays(member: &Member, text: &str) -> bool {
    match member.field {
        // Anthropic's own, too.
        Field::Own(Own::CacheControl) => true,
        Field::Own(_) | Field::Special("fallbacks" | "anthropic_version" | "speed") => false,
        // Only Anthropic's own words: a tier of OpenRouter's is an endpoint.
        Field::Special("service_tier") => {
            let raw = text.get(member.value.start..member.value.end);
            matches!(raw, Some("\"auto\"" | "\"standard_only\""))
        }
        // Null is as if it were not there.
        Field::Parameter(Parameter::MaxTokens) => {
            let raw = text.get(member.value.start..member.value.end);
            raw.and_then(json::count).is_some()
        }
        _ => true,
    }
}
