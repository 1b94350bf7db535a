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

/// The body to send. `head`, a name and its value as written, stands in the place of the client's
/// model, because hosts differ in whether that stands there; `with_limit` adds the longest answer,
/// which this dialect demands, where the client left it out.
pub(crate) fn body(
    call: &Call,
    target: &Target<'_>,
    head: (&str, &str),
    with_limit: bool,
) -> Bytes {
    let text = call.text();
    let mut splices = Splices::default();
    let first = call.members.first();
    let mut members = Members::new(first.map_or(0, |member| member.key.start));
    let (mut has_head, mut has_limit) = (false, false);
    for member in &call.members {
        let (start, end) = (member.key.start, member.value.end);
        if !stays(member, text) {
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
    if with_limit && !has_limit {
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
        Field::Own(_) | Field::Special("fallbacks" | "anthropic_version") => false,
        // Null is as if it were not there.
        Field::Parameter(Parameter::MaxTokens) => {
            let raw = text.get(member.value.start..member.value.end);
            raw.and_then(json::count).is_some()
        }
        _ => true,
    }
}
