//! The API for rankings: what its body calls things, and its full parse.

use crate::failure::Failure;
use crate::ingress::Call;
use crate::ingress::embeddings::no_stream;
use crate::ingress::peek::{Field, Grammar, Peek, Refused, integer};
use crate::ingress::read::{self, wrong};
use crate::message::{Document, Rerank};
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};

/// How many documents one call may have.
const DOCUMENTS_MAX: usize = 1000;
/// Bytes of text per token, on average over tokenizers.
const BYTES_PER_TOKEN: u64 = 4;
/// Documents in one search unit, and tokens in one of them: a longer document counts as several
/// (Cohere). Tokens are taken to be half as long as on average, because a hold is a bound.
const UNIT_DOCUMENTS: u64 = 100;
const DOCUMENT_TOKENS: u64 = 500;

/// What the peek must know of this API.
pub(super) const GRAMMAR: Grammar = Grammar {
    turns: "documents",
    field: |name| match name {
        "documents" => Field::Turns,
        "query" => Field::Special("query"),
        "top_n" => Field::Special("top_n"),
        "return_documents" => Field::Special("return_documents"),
        "stream" => Field::Special("stream"),
        "model" | "models" | "provider" | "route" | "plugins" | "preset" | "session_id"
        | "trace" => Field::common(name),
        _ => Field::Other,
    },
    kinds: |field| match field {
        Field::Turns => &[Kind::Array],
        Field::Special("top_n") => &[Kind::Number],
        Field::Special("return_documents" | "stream") => &[Kind::Bool],
        _ => &[Kind::String],
    },
    read: peek,
};

fn peek(peek: &mut Peek, scanner: &mut Scanner<'_>, field: Field) -> Result<(), Refused> {
    let survey = &mut peek.survey;
    match field {
        Field::Turns => {
            let (mut count, mut pieces) = (0, 0_u64);
            scanner.begin_array()?;
            while scanner.element()? {
                let kind = scanner.kind()?;
                if !matches!(kind, Kind::String | Kind::Object) {
                    let why = format!("must be text or an object, not {}", kind.as_str());
                    return Err(wrong(&format!("documents[{count}]"), &why));
                }
                let start = scanner.at();
                scanner.value()?;
                let bytes = scanner.at() - start;
                survey.text(bytes);
                let tokens = (bytes as u64).div_ceil(BYTES_PER_TOKEN);
                pieces += (2 * tokens).div_ceil(DOCUMENT_TOKENS).max(1);
                survey.longest_text = survey.longest_text.max(Some(tokens));
                count += 1;
            }
            survey.search_units = pieces.div_ceil(UNIT_DOCUMENTS);
            match count {
                0 => Err(wrong("documents", "is empty")),
                1..=DOCUMENTS_MAX => Ok(()),
                _ => Err(wrong(
                    "documents",
                    &format!("may have {DOCUMENTS_MAX} items"),
                )),
            }
        }
        Field::Special("query") => {
            survey.text(scanner.string()?.inner().len());
            Ok(())
        }
        Field::Special("top_n") => {
            integer(scanner, "top_n", 1, u64::MAX)?;
            Ok(())
        }
        Field::Special("stream") => no_stream(scanner),
        _ => {
            scanner.value()?;
            Ok(())
        }
    }
}

/// What one member can't tell about another.
///
/// # Errors
/// There is no query.
pub(super) fn check(peek: &Peek) -> Result<(), Failure> {
    let mut members = peek.members.iter();
    if members.any(|member| member.field == Field::Special("query")) {
        return Ok(());
    }
    Err(Failure::invalid("query", "query is missing"))
}

/// The body as a request.
///
/// # Errors
/// 400, with the place.
pub(super) fn request(call: &Call) -> Result<Rerank<'_>, Failure> {
    let mut rerank = Rerank {
        query: Str::EMPTY,
        documents: Vec::new(),
        top_n: None,
    };
    read::request(call, |found, _| {
        let mut scanner = found.scanner;
        match found.field {
            Field::Turns => rerank.documents = documents(&mut scanner)?,
            Field::Special("query") => rerank.query = scanner.string()?,
            Field::Special("top_n") => rerank.top_n = Some(found.raw),
            _ => {}
        }
        Ok(())
    })?;
    Ok(rerank)
}

fn documents<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<Document<'a>>, SyntaxError> {
    let mut list = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        if scanner.kind()? == Kind::String {
            let text = scanner.string()?;
            list.push(Document {
                raw: text.raw(),
                text: Some(text),
            });
            continue;
        }
        let (mut text, mut members) = (None, 0);
        let mut ahead = scanner.clone();
        ahead.begin_object()?;
        while let Some(key) = ahead.key()? {
            members += 1;
            if key.name.decode() == "text" && ahead.kind()? == Kind::String {
                text = Some(ahead.string()?);
            } else {
                ahead.value()?;
            }
        }
        let span = scanner.value()?;
        list.push(Document {
            raw: scanner.raw(span),
            text: text.filter(|_| members == 1),
        });
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::{Api, Surface, parse};
    use http::HeaderMap;

    fn with(members: &str) -> Result<Call, Failure> {
        let body = format!(r#"{{"model":"a/b",{members}}}"#);
        let headers = HeaderMap::new();
        parse(Api::Rerank, Surface::OpenAi, &headers, body.into())
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        let refused = |members: &str, param: &str| {
            let failure = with(members).unwrap_err();
            assert_eq!(failure.status, 400);
            assert_eq!(failure.param.as_deref(), Some(param), "{}", failure.message);
        };
        refused(r#""query":"q""#, "documents");
        refused(r#""documents":["a"]"#, "query");
        refused(r#""query":"q","documents":[]"#, "documents");
        refused(r#""query":"q","documents":[7]"#, "documents[0]");
        refused(r#""query":"q","documents":["a"],"top_n":0"#, "top_n");
        refused(r#""query":7,"documents":["a"]"#, "query");
    }

    #[test]
    fn documents_are_texts_or_objects() {
        let call = with(
            r#""query":"q","top_n":2,"documents":["a",{"text":"b"},{"text":"c","image":"x"}]"#,
        )
        .unwrap();
        let rerank = request(&call).unwrap();
        let texts: Vec<Option<&str>> = rerank
            .documents
            .iter()
            .map(|document| document.text.map(Str::inner))
            .collect();
        assert_eq!(texts, [Some("a"), Some("b"), None]);
        assert_eq!(rerank.documents[1].raw, r#"{"text":"b"}"#);
        assert_eq!((rerank.top_n, rerank.query.inner()), (Some("2"), "q"));
    }
}
