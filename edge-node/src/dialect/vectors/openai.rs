//! OpenAI's embeddings: the client's own bytes but for declared splices; and the ranking of Jina's
//! form, which most hosts of this dialect have.

use super::Composed;
use crate::dialect::Target;
use crate::dialect::write::{List, put, refuse};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::ingress::peek::Field;
use crate::message::{Embed, Input, Rerank};
use crate::wire::splice::{Members, Splices};
use shared::catalog::{Dialect, Quirk};

/// The body for vectors. What they are for has no word here; it is a hint, and left out.
pub(super) fn embed(
    call: &Call,
    request: &Embed<'_>,
    target: &Target<'_>,
) -> Result<Composed, Failure> {
    let mut inputs = request.inputs.iter();
    if let Some(index) = inputs.position(|input| matches!(input, Input::Parts(_))) {
        return Err(refuse(&format!("input[{index}]"), "takes only text"));
    }
    let is_mistral = target.provider.dialect == Dialect::MistralChat;
    let has_bytes = target.has(Quirk::Int8Vectors);
    let text = call.text();
    let mut splices = Splices::default();
    let first = call.members.first();
    let mut members = Members::new(first.map_or(0, |member| member.key.start));
    let mut has_model = false;
    for member in &call.members {
        let (start, end) = (member.key.start, member.value.end);
        match member.field {
            Field::Own(_) | Field::Special("input_type" | "stream") => {
                members.remove(&mut splices, start, end);
                continue;
            }
            // Its default is the form that is read.
            Field::Special("encoding_format") if has_bytes => {
                members.remove(&mut splices, start, end);
                continue;
            }
            Field::Model => {
                has_model = true;
                splices.replace(member.value, quoted(&target.endpoint.provider_model));
            }
            Field::Special("dimensions") if is_mistral => {
                splices.replace(member.key, "\"output_dimension\"");
            }
            _ => {}
        }
        members.keep(&mut splices, start, end);
    }
    let mut tail = members.finish(&mut splices);
    if !has_model {
        let model = quoted(&target.endpoint.provider_model);
        tail.add(&mut splices, format!("\"model\":{model}"));
    }
    let mut out = Vec::with_capacity(text.len() + 64);
    splices.pieces(text.as_bytes(), |piece| out.extend_from_slice(piece));
    let path = if is_mistral || has_bytes {
        target.path("/v1", "/embeddings")
    } else {
        "/embeddings".to_owned()
    };
    Ok(Composed {
        path,
        body: out.into(),
    })
}

/// The body for a ranking.
pub(super) fn rerank(request: &Rerank<'_>, target: &Target<'_>) -> Composed {
    let mut out = Vec::with_capacity(1024);
    let model = quoted(&target.endpoint.provider_model);
    put(&mut out, &["{\"model\":", &model]);
    put(&mut out, &[",\"query\":", request.query.raw()]);
    let mut documents = List::default();
    for document in &request.documents {
        put(documents.item(), &[document.raw]);
    }
    put(&mut out, &[",\"documents\":["]);
    out.extend_from_slice(documents.as_bytes());
    put(&mut out, &["]"]);
    if let Some(top_n) = request.top_n {
        put(&mut out, &[",\"top_n\":", top_n]);
    }
    // The client has them.
    put(&mut out, &[",\"return_documents\":false}"]);
    Composed {
        path: "/rerank".to_owned(),
        body: out.into(),
    }
}
