//! Gemini's batches of embeddings.

use super::{Composed, at_most, tokens};
use crate::dialect::Target;
use crate::dialect::write::{List, member, put, refuse};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::message::{Embed, Input, Media, Part};
use crate::wire::json::{self, Str};

/// How many inputs one call may have.
const INPUTS_MAX: usize = 100;

/// The body for vectors.
pub(super) fn embed(request: &Embed<'_>, target: &Target<'_>) -> Result<Composed, Failure> {
    at_most(request, INPUTS_MAX)?;
    let name = &target.endpoint.provider_model;
    let collection = if name.contains('/') { "" } else { "models/" };
    let model = quoted(&format!("{collection}{name}"));
    let mut list = List::default();
    for (index, input) in request.inputs.iter().enumerate() {
        let mut parts = List::default();
        write(index, input, &mut parts)?;
        let item = list.item();
        put(item, &["{\"model\":", &model, ",\"content\":{\"parts\":["]);
        item.extend_from_slice(parts.as_bytes());
        put(item, &["]}"]);
        if let Some(kind) = request.input_type.and_then(task) {
            put(item, &[",\"taskType\":\"", &kind, "\""]);
        }
        if let Some(dimensions) = request.dimensions {
            put(item, &[",\"outputDimensionality\":", dimensions]);
        }
        item.push(b'}');
    }
    // A first member, which holds nothing, would need a comma of its own.
    let mut out = Vec::with_capacity(1024);
    member(&mut out, "requests", &list);
    if let Some(comma) = out.first_mut() {
        *comma = b'{';
    }
    out.push(b'}');
    let rest = format!("/{collection}{name}:batchEmbedContents");
    let has_version = ["/v1", "/v1alpha"];
    let has_version = has_version
        .iter()
        .any(|v| target.provider.base_url.ends_with(v));
    Ok(Composed {
        path: if has_version {
            rest
        } else {
            target.path("/v1beta", &rest)
        },
        body: out.into(),
    })
}

/// Only models of the first generation know tasks; unknown words would be refused.
fn task(word: Str<'_>) -> Option<String> {
    let word = word.decode().to_ascii_uppercase();
    Some(match &*word {
        "QUERY" | "SEARCH_QUERY" => "RETRIEVAL_QUERY".to_owned(),
        "DOCUMENT" | "SEARCH_DOCUMENT" | "PASSAGE" => "RETRIEVAL_DOCUMENT".to_owned(),
        "SEMANTIC_SIMILARITY"
        | "CLASSIFICATION"
        | "CLUSTERING"
        | "RETRIEVAL_QUERY"
        | "RETRIEVAL_DOCUMENT"
        | "QUESTION_ANSWERING"
        | "FACT_VERIFICATION"
        | "CODE_RETRIEVAL_QUERY" => word,
        _ => return None,
    })
}

fn write(index: usize, input: &Input<'_>, list: &mut List) -> Result<(), Failure> {
    let parts = match input {
        Input::Tokens(_) => return Err(tokens()),
        Input::Text(text) => {
            put(list.item(), &["{\"text\":", text.raw(), "}"]);
            return Ok(());
        }
        Input::Parts(parts) => parts,
    };
    for part in parts {
        match part {
            Part::Text { text, .. } => put(list.item(), &["{\"text\":", text.raw(), "}"]),
            Part::Image { source, .. } | Part::File { source, .. } | Part::Video { source, .. } => {
                let Media::Inline { media, data } = source.resolve() else {
                    let place = format!("input[{index}]");
                    return Err(refuse(&place, "needs the bytes in a data URL"));
                };
                inline(&media, &data, list);
            }
            Part::Audio { data, format, .. } => {
                let media = format!("audio/{}", format.decode());
                inline(&media, &data.decode(), list);
            }
            _ => return Err(refuse(&format!("input[{index}]"), "does not take this")),
        }
    }
    Ok(())
}

fn inline(media: &str, data: &str, list: &mut List) {
    let item = list.item();
    put(item, &["{\"inlineData\":{\"mimeType\":"]);
    json::write_string(item, media);
    put(item, &[",\"data\":"]);
    json::write_string(item, data);
    put(item, &["}}"]);
}
