//! The members of this dialect's objects that mean something to us, in whatever order they stand.

use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};
use std::borrow::Cow;

/// One candidate of a frame.
#[derive(Debug, Default)]
pub(super) struct Candidate<'a> {
    pub(super) index: Option<u64>,
    pub(super) content: Option<Span>,
    pub(super) finish: Option<Cow<'a, str>>,
    pub(super) grounding: Option<Span>,
    pub(super) citations: Option<Span>,
    pub(super) logprobs: Option<Span>,
}

/// One part of a content.
#[derive(Debug, Default)]
pub(super) struct Piece<'a> {
    pub(super) text: Option<Str<'a>>,
    pub(super) is_thought: bool,
    pub(super) signature: Option<Str<'a>>,
    pub(super) call: Option<FunctionCall<'a>>,
    /// Media type, and base64 or a link.
    pub(super) inline: Option<(Str<'a>, Str<'a>)>,
    pub(super) link: Option<(Str<'a>, Str<'a>)>,
    /// What a tool of the provider's own was asked, by its name, as written.
    pub(super) asked: Option<(Str<'a>, &'a str)>,
    /// What such a tool gave.
    pub(super) gave: Option<(Str<'a>, &'a str)>,
}

/// A call of one of the client's functions.
#[derive(Debug, Default)]
pub(super) struct FunctionCall<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    /// As written.
    pub(super) arguments: Option<&'a str>,
}

impl<'a> Candidate<'a> {
    /// Consumes a candidate.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut candidate = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let name = key.name.decode();
            if name == "finishReason" && kind == Kind::String {
                candidate.finish = Some(scanner.string()?.decode());
                continue;
            }
            let span = scanner.value()?;
            match (&*name, kind) {
                ("index", _) => candidate.index = json::count(scanner.raw(span)),
                ("finishReason", Kind::Number) => {
                    candidate.finish = Some(finish_of(scanner.raw(span)).into());
                }
                ("content", Kind::Object) => candidate.content = Some(span),
                ("groundingMetadata", Kind::Object) => candidate.grounding = Some(span),
                ("citationMetadata", Kind::Object) => candidate.citations = Some(span),
                ("logprobsResult", Kind::Object) => candidate.logprobs = Some(span),
                _ => {}
            }
        }
        candidate.finish = candidate
            .finish
            .filter(|word| !word.is_empty() && word != "FINISH_REASON_UNSPECIFIED");
        Ok(candidate)
    }
}

/// Vertex's words for the numbers of its enum.
fn finish_of(number: &str) -> &'static str {
    match number {
        "0" => "",
        "1" => "STOP",
        "2" => "MAX_TOKENS",
        "3" => "SAFETY",
        "4" => "RECITATION",
        "6" => "BLOCKLIST",
        "7" => "PROHIBITED_CONTENT",
        "8" => "SPII",
        "9" => "MALFORMED_FUNCTION_CALL",
        _ => "OTHER",
    }
}

/// Calls `each` before every element of the array that is the member `name` of the object at a
/// place; `each` consumes it.
pub(super) fn each_of<'a>(
    text: &'a str,
    at: usize,
    name: &str,
    mut each: impl FnMut(&mut Scanner<'a>) -> Result<(), SyntaxError>,
) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::starting(text, at);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if key.name.decode() == name && scanner.kind()? == Kind::Array {
            scanner.begin_array()?;
            while scanner.element()? {
                if scanner.kind()? == Kind::Object {
                    each(&mut scanner)?;
                } else {
                    scanner.value()?;
                }
            }
        } else {
            scanner.value()?;
        }
    }
    Ok(())
}

impl<'a> Piece<'a> {
    /// Consumes a part.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut piece = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("text", Kind::String) => piece.text = Some(scanner.string()?),
                ("thoughtSignature", Kind::String) => piece.signature = Some(scanner.string()?),
                ("functionCall", Kind::Object) => piece.call = Some(FunctionCall::read(scanner)?),
                ("inlineData", Kind::Object) => piece.inline = pair(scanner, "data")?,
                ("fileData", Kind::Object) => piece.link = pair(scanner, "fileUri")?,
                ("thought", Kind::Bool) => {
                    let span = scanner.value()?;
                    piece.is_thought = scanner.raw(span) == "true";
                }
                ("executableCode" | "toolCall", Kind::Object) => {
                    let span = scanner.value()?;
                    piece.asked = Some((key.name, scanner.raw(span)));
                }
                ("codeExecutionResult" | "toolResponse", Kind::Object) => {
                    let span = scanner.value()?;
                    piece.gave = Some((key.name, scanner.raw(span)));
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(piece)
    }
}

impl<'a> FunctionCall<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut call = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("id", Kind::String) => call.id = Some(scanner.string()?),
                ("name", Kind::String) => call.name = Some(scanner.string()?),
                ("args", kind) => {
                    let span = scanner.value()?;
                    call.arguments = Some(scanner.raw(span)).filter(|_| kind != Kind::Null);
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(call)
    }
}

/// Consumes an object; its media type and the member `name`.
fn pair<'a>(
    scanner: &mut Scanner<'a>,
    name: &str,
) -> Result<Option<(Str<'a>, Str<'a>)>, SyntaxError> {
    let (mut media, mut content) = (Str::EMPTY, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let is_text = scanner.kind()? == Kind::String;
        match &*key.name.decode() {
            "mimeType" if is_text => media = scanner.string()?,
            known if is_text && known == name => content = Some(scanner.string()?),
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(content.map(|content| (media, content)))
}
