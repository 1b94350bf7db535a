//! Cohere's v2 forms.

use super::{Composed, at_most, ranking, tokens};
use crate::dialect::Target;
use crate::dialect::write::{List, member, put, refuse};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::message::{Embed, Input, Part, Rerank};
use crate::wire::json::Str;

/// How many inputs one call may have.
const INPUTS_MAX: usize = 96;

/// The body for vectors.
pub(super) fn embed(request: &Embed<'_>, target: &Target<'_>) -> Result<Composed, Failure> {
    at_most(request, INPUTS_MAX)?;
    let mut out = Vec::with_capacity(1024);
    let model = quoted(&target.endpoint.provider_model);
    put(&mut out, &["{\"model\":", &model]);
    let mut list = List::default();
    let has_parts = |input: &Input<'_>| matches!(input, Input::Parts(_));
    if request.inputs.iter().any(has_parts) {
        for (index, input) in request.inputs.iter().enumerate() {
            content(index, input, list.item())?;
        }
        member(&mut out, "inputs", &list);
    } else {
        for text in super::texts(request)? {
            put(list.item(), &[text]);
        }
        member(&mut out, "texts", &list);
    }
    let kind = input_type(request.input_type);
    put(&mut out, &[",\"input_type\":", &kind]);
    if let Some(dimensions) = request.dimensions {
        put(&mut out, &[",\"output_dimension\":", dimensions]);
    }
    let form = if request.base64 { "base64" } else { "float" };
    put(&mut out, &[",\"embedding_types\":[\"", form, "\"]}"]);
    Ok(Composed {
        path: target.path("/v2", "/embed"),
        body: out.into(),
    })
}

/// What the vectors are for must be said; documents are what most are made of.
fn input_type(word: Option<Str<'_>>) -> String {
    match word.map(Str::decode).as_deref() {
        None | Some("document" | "passage") => quoted("search_document"),
        Some("query") => quoted("search_query"),
        Some(other) => quoted(other),
    }
}

fn content(index: usize, input: &Input<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut list = List::default();
    let text = |text: Str<'_>, list: &mut List| {
        let text = text.raw();
        put(list.item(), &["{\"type\":\"text\",\"text\":", text, "}"]);
    };
    match input {
        Input::Tokens(_) => return Err(tokens()),
        Input::Text(own) => text(*own, &mut list),
        Input::Parts(parts) => {
            for part in parts {
                match part {
                    Part::Text { text: own, .. } => text(*own, &mut list),
                    Part::Image { source, .. } => {
                        let item = list.item();
                        put(item, &["{\"type\":\"image_url\",\"image_url\":{\"url\":"]);
                        source.write_url(item);
                        put(item, &["}}"]);
                    }
                    _ => {
                        let place = format!("input[{index}]");
                        return Err(refuse(&place, "takes texts and pictures"));
                    }
                }
            }
        }
    }
    put(out, &["{\"content\":["]);
    out.extend_from_slice(list.as_bytes());
    put(out, &["]}"]);
    Ok(())
}

/// The body for a ranking.
pub(super) fn rerank(request: &Rerank<'_>, target: &Target<'_>) -> Result<Composed, Failure> {
    ranking(request, target, "top_n", target.path("/v2", "/rerank"))
}
