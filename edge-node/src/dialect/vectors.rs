//! Embeddings and rankings upstream: which form a provider takes is told by its dialect and quirks.
//! Answers come whole and are read alike, because they differ in names only.

mod answer;
mod base64;
mod cohere;
mod gemini;
mod openai;
mod voyage;

#[cfg(test)]
mod tests;

use crate::dialect::write::{List, member, put, refuse};
use crate::dialect::{Outgoing, Target};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::{self, Call};
use crate::message::{Embed, Input, Part, Rerank};
use answer::{Collected, Kind};
use bytes::Bytes;
use shared::catalog::{Dialect, Quirk};

/// A body and where to send it.
struct Composed {
    path: String,
    body: Bytes,
}

/// The call for vectors.
///
/// # Errors
/// The target's dialect has none, or can't take these inputs; another endpoint may.
pub(super) fn embed(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::embed(call)?;
    let composed = match target.provider.dialect {
        _ if is_voyage(target) => voyage::embed(&request, target)?,
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::MistralChat => {
            openai::embed(call, &request, target)?
        }
        Dialect::CohereV2 => cohere::embed(&request, target)?,
        Dialect::Gemini => gemini::embed(&request, target)?,
        _ => return Err(refuse("model", "has no embeddings in its dialect")),
    };
    let count = match request.inputs.as_slice() {
        [Input::Tokens(_)] => 1,
        all => all.len(),
    };
    let parts = request.inputs.iter().flat_map(|input| match input {
        Input::Parts(parts) => parts.as_slice(),
        Input::Text(_) | Input::Tokens(_) => &[],
    });
    let images = parts.filter(|part| matches!(part, Part::Image { .. }));
    let kind = Kind::Vectors {
        count,
        images: images.count() as u64,
        base64: request.base64,
        bytes: target.has(Quirk::Int8Vectors),
    };
    Ok(outgoing(composed, Collected::new(kind, call, target)))
}

/// The call for a ranking.
///
/// # Errors
/// As [`embed`].
pub(super) fn rerank(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let request = ingress::rerank(call)?;
    let composed = match target.provider.dialect {
        _ if is_voyage(target) => voyage::rerank(&request, target)?,
        Dialect::OpenaiChat => openai::rerank(&request, target),
        Dialect::CohereV2 => cohere::rerank(&request, target)?,
        _ => return Err(refuse("model", "has no rankings in its dialect")),
    };
    let documents = request.documents.iter();
    let documents = documents.map(|document| document.raw.to_owned()).collect();
    let kind = Kind::Ranking(documents);
    Ok(outgoing(composed, Collected::new(kind, call, target)))
}

fn outgoing(Composed { path, body }: Composed, translator: Collected) -> Outgoing {
    Outgoing::json(path, "application/json", body, Box::new(translator))
}

fn is_voyage(target: &Target<'_>) -> bool {
    target.has(Quirk::Voyage)
}

/// The body for a ranking of texts; the member for how many are wanted has many names.
fn ranking(
    request: &Rerank<'_>,
    target: &Target<'_>,
    limit: &str,
    path: String,
) -> Result<Composed, Failure> {
    let mut documents = List::default();
    for (index, document) in request.documents.iter().enumerate() {
        let Some(text) = document.text else {
            let place = format!("documents[{index}]");
            return Err(refuse(&place, "takes only text"));
        };
        put(documents.item(), &[text.raw()]);
    }
    let mut out = Vec::with_capacity(1024);
    let model = quoted(&target.endpoint.provider_model);
    put(&mut out, &["{\"model\":", &model]);
    put(&mut out, &[",\"query\":", request.query.raw()]);
    member(&mut out, "documents", &documents);
    if let Some(top_n) = request.top_n {
        put(&mut out, &[",\"", limit, "\":", top_n]);
    }
    put(&mut out, &["}"]);
    Ok(Composed {
        path,
        body: out.into(),
    })
}

/// The inputs, which must be texts.
fn texts<'a>(request: &'a Embed<'_>) -> Result<Vec<&'a str>, Failure> {
    let text = |(index, input): (usize, &'a Input<'_>)| match input {
        Input::Text(text) => Ok(text.raw()),
        Input::Tokens(_) => Err(tokens()),
        Input::Parts(_) => Err(refuse(&format!("input[{index}]"), "takes only text")),
    };
    request.inputs.iter().enumerate().map(text).collect()
}

fn tokens() -> Failure {
    refuse("input", "takes text, not tokens")
}

/// A 400 where a provider takes fewer inputs in one call.
fn at_most(request: &Embed<'_>, most: usize) -> Result<(), Failure> {
    if request.inputs.len() > most {
        return Err(refuse("input", &format!("takes {most} inputs in one call")));
    }
    Ok(())
}
