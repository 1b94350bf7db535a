//! The API for embeddings: what its body calls things, and its full parse. There is no stream, and
//! each input must fit the context by itself.

use crate::failure::Failure;
use crate::ingress::Call;
use crate::ingress::chat::parts;
use crate::ingress::peek::{Field, Grammar, Peek, Refused, boolean, expect, integer};
use crate::ingress::read::{self, wrong};
use crate::ingress::survey::{Survey, type_of};
use crate::message::{Embed, Input, Part, Place};
use crate::wire::json::{Kind, Scanner};
use shared::catalog::Modality;

/// How many inputs one call may have.
const INPUTS_MAX: usize = 2048;
/// Bytes of text per token, on average over tokenizers.
const BYTES_PER_TOKEN: u64 = 4;

/// What the peek must know of this API.
pub(super) const GRAMMAR: Grammar = Grammar {
    turns: "input",
    field: |name| match name {
        "input" => Field::Turns,
        "dimensions" => Field::Special("dimensions"),
        "encoding_format" => Field::Special("encoding_format"),
        "input_type" => Field::Special("input_type"),
        "stream" => Field::Special("stream"),
        "model" | "models" | "provider" | "user" | "route" | "plugins" | "preset"
        | "session_id" | "trace" => Field::common(name),
        _ => Field::Other,
    },
    kinds: |field| match field {
        Field::Turns => &[Kind::String, Kind::Array],
        Field::Special("dimensions") => &[Kind::Number],
        Field::Special("stream") => &[Kind::Bool],
        _ => &[Kind::String],
    },
    read: peek,
};

fn peek(peek: &mut Peek, scanner: &mut Scanner<'_>, field: Field) -> Result<(), Refused> {
    match field {
        Field::Turns => inputs(scanner, &mut peek.survey),
        Field::Special("dimensions") => {
            integer(scanner, "dimensions", 1, u64::MAX)?;
            Ok(())
        }
        Field::Special("encoding_format") => match &*scanner.string()?.decode() {
            "float" | "base64" => Ok(()),
            _ => Err(wrong("encoding_format", "must be float or base64")),
        },
        Field::Special("stream") => no_stream(scanner),
        _ => {
            scanner.value()?;
            Ok(())
        }
    }
}

/// Consumes `stream`.
pub(super) fn no_stream(scanner: &mut Scanner<'_>) -> Result<(), Refused> {
    if boolean(scanner)? {
        return Err(wrong("stream", "is not available here: answers come whole"));
    }
    Ok(())
}

fn inputs(scanner: &mut Scanner<'_>, survey: &mut Survey) -> Result<(), Refused> {
    if scanner.kind()? == Kind::String {
        let bytes = scanner.string()?.inner().len();
        note(survey, bytes as u64);
        return Ok(());
    }
    let (mut count, mut tokens) = (0, 0);
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("input[{count}]");
        match scanner.kind()? {
            Kind::Number => {
                scanner.value()?;
                tokens += 1;
                continue;
            }
            Kind::String => {
                let bytes = scanner.string()?.inner().len();
                note(survey, bytes as u64);
            }
            Kind::Array => {
                let mut own = 0;
                scanner.begin_array()?;
                while scanner.element()? {
                    let kind = scanner.kind()?;
                    expect(&place, &[Kind::Number], kind)?;
                    scanner.value()?;
                    own += 1;
                }
                note(survey, own * BYTES_PER_TOKEN);
            }
            Kind::Object => item(scanner, survey, &place)?,
            kind => {
                let why = format!("must be text, tokens or an object, not {}", kind.as_str());
                return Err(wrong(&place, &why));
            }
        }
        count += 1;
    }
    match (count, tokens) {
        (0, 0) => Err(wrong("input", "is empty")),
        (0, _) => {
            note(survey, tokens * BYTES_PER_TOKEN);
            Ok(())
        }
        (_, 0) if count <= INPUTS_MAX => Ok(()),
        (_, 0) => Err(wrong("input", &format!("may have {INPUTS_MAX} items"))),
        _ => Err(wrong("input", "mixes tokens with other inputs")),
    }
}

/// Notes one input of so many bytes.
fn note(survey: &mut Survey, bytes: u64) {
    survey.text_bytes += bytes;
    let tokens = bytes.div_ceil(BYTES_PER_TOKEN);
    survey.longest_text = survey.longest_text.max(Some(tokens));
}

/// Consumes `{"content":[…]}`.
fn item(scanner: &mut Scanner<'_>, survey: &mut Survey, place: &str) -> Result<(), Refused> {
    let mut has_content = false;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if key.name.decode() != "content" {
            scanner.value()?;
            continue;
        }
        has_content = true;
        let place = format!("{place}.content");
        let kind = scanner.kind()?;
        expect(&place, &[Kind::Array], kind)?;
        let start = scanner.at();
        let mut index = 0;
        let mut media = Vec::new();
        scanner.begin_array()?;
        while scanner.element()? {
            let kind = type_of(scanner, &format!("{place}[{index}]"))?;
            media.extend(kind.as_deref().and_then(modality));
            index += 1;
        }
        if media.is_empty() {
            note(survey, (scanner.at() - start) as u64);
        }
        for kind in media {
            survey.media(kind);
        }
    }
    if !has_content {
        return Err(wrong(&format!("{place}.content"), "is missing"));
    }
    Ok(())
}

fn modality(kind: &str) -> Option<Modality> {
    Some(match kind {
        "image_url" => Modality::Image,
        "input_audio" => Modality::Audio,
        "file" => Modality::File,
        "video_url" => Modality::Video,
        _ => return None,
    })
}

/// The body as a request.
///
/// # Errors
/// 400, with the place.
pub(super) fn request(call: &Call) -> Result<Embed<'_>, Failure> {
    let mut embed = Embed::default();
    read::request(call, |found, _| {
        let mut scanner = found.scanner;
        match found.field {
            Field::Turns => embed.inputs = list(&mut scanner, found.raw)?,
            Field::Special("dimensions") => embed.dimensions = Some(found.raw),
            Field::Special("encoding_format") => embed.base64 = found.raw == "\"base64\"",
            Field::Special("input_type") => embed.input_type = Some(scanner.string()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(embed)
}

fn list<'a>(scanner: &mut Scanner<'a>, raw: &'a str) -> Result<Vec<Input<'a>>, Refused> {
    if scanner.kind()? == Kind::String {
        return Ok(vec![Input::Text(scanner.string()?)]);
    }
    let mut list = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        match scanner.kind()? {
            Kind::Number => return Ok(vec![Input::Tokens(raw)]),
            Kind::String => list.push(Input::Text(scanner.string()?)),
            Kind::Object => {
                let index = list.len();
                list.push(Input::Parts(content(scanner, index)?));
            }
            _ => {
                let span = scanner.value()?;
                list.push(Input::Tokens(scanner.raw(span)));
            }
        }
    }
    Ok(list)
}

fn content<'a>(scanner: &mut Scanner<'a>, index: usize) -> Result<Vec<Part<'a>>, Refused> {
    let place = Place {
        list: GRAMMAR.turns,
        index,
    };
    let mut all = Vec::new();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if key.name.decode() == "content" {
            parts(scanner, place, &mut all)?;
        } else {
            scanner.value()?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::{Api, Surface, parse};
    use http::HeaderMap;

    fn with(members: &str) -> Result<Call, Failure> {
        let body = format!(r#"{{"model":"a/b",{members}}}"#);
        let headers = HeaderMap::new();
        parse(Api::Embeddings, Surface::OpenAi, &headers, body.into())
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        let refused = |members: &str, param: &str| {
            let failure = with(members).unwrap_err();
            assert_eq!(failure.status, 400);
            assert_eq!(failure.param.as_deref(), Some(param), "{}", failure.message);
        };
        refused(r#""user":"u""#, "input");
        refused(r#""input":[]"#, "input");
        refused(r#""input":7"#, "input");
        refused(r#""input":["a",1]"#, "input");
        refused(r#""input":[true]"#, "input[0]");
        refused(r#""input":[["a"]]"#, "input[0]");
        refused(r#""input":[{}]"#, "input[0].content");
        refused(r#""input":"a","encoding_format":"int8""#, "encoding_format");
        refused(r#""input":"a","dimensions":0"#, "dimensions");
        refused(r#""input":"a","stream":true"#, "stream");
        let many = format!(r#""input":[{}"a"]"#, "\"a\",".repeat(INPUTS_MAX));
        refused(&many, "input");
    }

    #[test]
    fn every_form_of_input_is_read() {
        let call = with(r#""input":["abcdefgh","abcd"],"encoding_format":"base64","dimensions":64,"input_type":"query""#).unwrap();
        assert_eq!(
            (call.demand.prompt_tokens, call.demand.longest_text),
            (3, Some(2))
        );
        assert_eq!(call.demand.output, [Modality::Embeddings]);
        let embed = request(&call).unwrap();
        assert!(embed.base64 && embed.inputs.len() == 2);
        assert_eq!(
            (embed.dimensions, embed.input_type.unwrap().inner()),
            (Some("64"), "query")
        );
        let inputs = |input: &str| {
            let call = with(&format!("\"input\":{input}")).unwrap();
            format!("{:?}", request(&call).unwrap().inputs)
        };
        assert_eq!(inputs("\"a\""), "[Text(\"a\")]");
        assert_eq!(inputs("[1, 2]"), "[Tokens(\"[1, 2]\")]");
        assert_eq!(inputs("[[1],[2]]"), "[Tokens(\"[1]\"), Tokens(\"[2]\")]");
        let picture = r#""input":[{"content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QQ=="}}]}]"#;
        let call = with(picture).unwrap();
        assert!(call.demand.input.contains(&Modality::Image));
        assert!(
            matches!(&request(&call).unwrap().inputs[..], [Input::Parts(parts)] if parts.len() == 2)
        );
    }
}
