//! Voyage's own forms: other names for dimensions and limits, and a path of its own for pictures.

use super::{Composed, ranking, texts, tokens};
use crate::dialect::Target;
use crate::dialect::write::{List, member, put, refuse};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::message::{Embed, Input, Media, Part, Rerank};
use crate::wire::json::Str;

/// The body for vectors.
pub(super) fn embed(request: &Embed<'_>, target: &Target<'_>) -> Result<Composed, Failure> {
    let has_parts = |input: &Input<'_>| matches!(input, Input::Parts(_));
    let multimodal = target.endpoint.provider_model.contains("multimodal");
    let multimodal = multimodal || request.inputs.iter().any(has_parts);
    let mut out = Vec::with_capacity(1024);
    let model = quoted(&target.endpoint.provider_model);
    put(&mut out, &["{\"model\":", &model]);
    let mut list = List::default();
    let (path, name, encoding) = if multimodal {
        for (index, input) in request.inputs.iter().enumerate() {
            content(index, input, list.item())?;
        }
        ("/multimodalembeddings", "inputs", "output_encoding")
    } else {
        for text in texts(request)? {
            put(list.item(), &[text]);
        }
        ("/embeddings", "input", "encoding_format")
    };
    member(&mut out, name, &list);
    if let Some(kind) = request.input_type.and_then(input_type) {
        put(&mut out, &[",\"input_type\":\"", kind, "\""]);
    }
    if let Some(dimensions) = request.dimensions {
        put(&mut out, &[",\"output_dimension\":", dimensions]);
    }
    if request.base64 {
        put(&mut out, &[",\"", encoding, "\":\"base64\""]);
    }
    put(&mut out, &["}"]);
    Ok(Composed {
        path: path.to_owned(),
        body: out.into(),
    })
}

/// Texts are for searching or for being found; anything else is for neither.
fn input_type(word: Str<'_>) -> Option<&'static str> {
    match &*word.decode() {
        "query" | "search_query" => Some("query"),
        "document" | "search_document" | "passage" => Some("document"),
        _ => None,
    }
}

fn content(index: usize, input: &Input<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut list = List::default();
    match input {
        Input::Tokens(_) => return Err(tokens()),
        Input::Text(text) => {
            put(
                list.item(),
                &["{\"type\":\"text\",\"text\":", text.raw(), "}"],
            );
        }
        Input::Parts(parts) => {
            for part in parts {
                match part {
                    Part::Text { text, .. } => {
                        let text = text.raw();
                        put(list.item(), &["{\"type\":\"text\",\"text\":", text, "}"]);
                    }
                    Part::Image { source, .. } => {
                        let is_inline = matches!(source.resolve(), Media::Inline { .. });
                        let kind = if is_inline {
                            "image_base64"
                        } else {
                            "image_url"
                        };
                        let item = list.item();
                        put(item, &["{\"type\":\"", kind, "\",\"", kind, "\":"]);
                        source.write_url(item);
                        item.push(b'}');
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
    ranking(request, target, "top_k", "/rerank".to_owned())
}
