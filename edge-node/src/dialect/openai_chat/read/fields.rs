//! The members of this dialect's objects that mean something to us, in whatever order they stand.

use crate::dialect::openai_chat::counts::Counts;
use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};

/// A chunk or a whole answer.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) service_tier: Option<Str<'a>>,
    /// Where the array of choices starts.
    pub(super) choices: Option<usize>,
    /// As written.
    pub(super) error: Option<&'a str>,
    /// Sources as Perplexity and xAI give them, as written: the richer of two lists.
    pub(super) sources: Option<&'a str>,
}

impl<'a> Outline<'a> {
    /// Reads a whole text, usage into `counts`.
    pub(super) fn read(text: &'a str, counts: &mut Counts) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        let scanner = &mut scanner;
        let mut outline = Self::default();
        let mut links = None;
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let start = scanner.at();
            match (&*key.name.decode(), kind) {
                ("id", Kind::String) => outline.id = Some(scanner.string()?),
                ("service_tier", Kind::String) => {
                    outline.service_tier = Some(scanner.string()?);
                }
                ("usage", _) => counts.read(scanner)?,
                ("x_groq", Kind::Object) => x_groq(scanner, &mut outline, counts)?,
                (name, _) => {
                    let span = scanner.value()?;
                    let raw = scanner.raw(span);
                    match (name, kind) {
                        ("choices", Kind::Array) => outline.choices = Some(start),
                        ("error", kind) if kind != Kind::Null => outline.error = Some(raw),
                        ("search_results", Kind::Array) => outline.sources = Some(raw),
                        ("citations", Kind::Array) => links = Some(raw),
                        _ => {}
                    }
                }
            }
        }
        scanner.end()?;
        let is_filled = |raw: &&str| raw.len() > 2;
        let results = outline.sources.filter(is_filled);
        outline.sources = results.or_else(|| links.filter(is_filled));
        Ok(outline)
    }
}

/// Groq repeats its usage here.
fn x_groq<'a>(
    scanner: &mut Scanner<'a>,
    outline: &mut Outline<'a>,
    counts: &mut Counts,
) -> Result<(), SyntaxError> {
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("usage", _) => counts.read(scanner)?,
            ("error", kind) if kind != Kind::Null => {
                let span = scanner.value()?;
                outline.error = Some(scanner.raw(span));
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(())
}

/// One choice of a chunk or an answer.
#[derive(Debug, Default)]
pub(super) struct ChoiceFields<'a> {
    pub(super) index: Option<u64>,
    pub(super) finish: Option<Str<'a>>,
    pub(super) native: Option<Str<'a>>,
    /// The stop sequence that was met, where the provider tells.
    pub(super) stop: Option<Str<'a>>,
    /// What the provider failed with, as written.
    pub(super) error: Option<&'a str>,
    /// Where the object starts.
    pub(super) logprobs: Option<usize>,
    pub(super) body: Option<Body<'a>>,
}

impl<'a> ChoiceFields<'a> {
    /// Consumes an object. A chunk may repeat the whole message beside its delta (Perplexity).
    pub(super) fn read(
        scanner: &mut Scanner<'a>,
        whole: bool,
        counts: &mut Counts,
    ) -> Result<Self, SyntaxError> {
        let own = if whole { "message" } else { "delta" };
        let mut fields = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let start = scanner.at();
            match (&*key.name.decode(), kind) {
                ("finish_reason", Kind::String) => fields.finish = filled(scanner)?,
                ("native_finish_reason", Kind::String) => fields.native = filled(scanner)?,
                ("stop_reason", Kind::String) => fields.stop = filled(scanner)?,
                ("index", _) => {
                    let span = scanner.value()?;
                    fields.index = json::count(scanner.raw(span));
                }
                ("logprobs", Kind::Object) => {
                    scanner.value()?;
                    fields.logprobs = Some(start);
                }
                ("error", Kind::Object) => {
                    let span = scanner.value()?;
                    fields.error = Some(scanner.raw(span));
                }
                (name, Kind::Object) if name == own => fields.body = Some(Body::read(scanner)?),
                // Older Moonshot.
                ("usage", _) => counts.read(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Consumes a string; none for an empty one.
fn filled<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Str<'a>>, SyntaxError> {
    Ok(Some(scanner.string()?).filter(|text| !text.is_empty()))
}

/// What else providers call reasoning that is a string.
pub(in crate::dialect::openai_chat) const REASONING: [&str; 3] =
    ["reasoning_content", "reasoning_text", "thinking"];

/// A delta or a message. Lists and objects are noted by their starts.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) content: Option<Str<'a>>,
    /// Content that is no string.
    pub(super) parts: Option<usize>,
    pub(super) reasoning: Option<Str<'a>>,
    pub(super) refusal: Option<Str<'a>>,
    pub(super) details: Option<usize>,
    pub(super) calls: Option<usize>,
    /// OpenAI's older word for the only call.
    pub(super) function_call: Option<usize>,
    pub(super) annotations: Option<usize>,
    /// Tools that the provider ran, as written.
    pub(super) executed: Option<&'a str>,
    pub(super) images: Option<usize>,
    pub(super) audio: Option<usize>,
}

impl<'a> Body<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut body = Self::default();
        let mut alias = None;
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let start = Some(scanner.at());
            match (&*key.name.decode(), kind) {
                ("content", Kind::String) => body.content = filled(scanner)?,
                ("reasoning", Kind::String) => body.reasoning = filled(scanner)?,
                (name, Kind::String) if REASONING.contains(&name) => {
                    alias = filled(scanner)?.or(alias);
                }
                ("refusal", Kind::String) => body.refusal = filled(scanner)?,
                (name, _) => {
                    let span = scanner.value()?;
                    match (name, kind) {
                        ("executed_tools", Kind::Array) => {
                            body.executed = Some(scanner.raw(span));
                        }
                        ("content", Kind::Array | Kind::Object) => body.parts = start,
                        ("reasoning_details", Kind::Array) => body.details = start,
                        ("tool_calls", Kind::Array) => body.calls = start,
                        ("function_call", Kind::Object) => body.function_call = start,
                        ("annotations", Kind::Array) => body.annotations = start,
                        ("images", Kind::Array) => body.images = start,
                        ("audio", Kind::Object) => body.audio = start,
                        _ => {}
                    }
                }
            }
        }
        body.reasoning = body.reasoning.or(alias);
        Ok(body)
    }
}

/// Strings and a few others of a small object, found by their names at any depth up to two: an
/// annotation's `url_citation`, a picture's `image_url`, a call's `function`.
#[derive(Debug, Default)]
pub(super) struct Small<'a> {
    pub(super) kind: Option<Str<'a>>,
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    pub(super) text: Option<Str<'a>>,
    pub(super) signature: Option<Str<'a>>,
    pub(super) format: Option<Str<'a>>,
    pub(super) url: Option<Str<'a>>,
    pub(super) title: Option<Str<'a>>,
    pub(super) transcript: Option<Str<'a>>,
    /// What a call with free text gives.
    pub(super) input: Option<Str<'a>>,
    /// Arguments, of any kind.
    pub(super) arguments: Option<(Kind, Span)>,
    pub(super) index: Option<u64>,
    pub(super) start: Option<u64>,
    pub(super) end: Option<u64>,
    pub(super) expires_at: Option<u64>,
}

impl<'a> Small<'a> {
    /// Consumes an object; anything else has none of these members.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut small = Self::default();
        if scanner.kind()? == Kind::Object {
            small.object(scanner, true)?;
        } else {
            scanner.value()?;
        }
        Ok(small)
    }

    fn object(&mut self, scanner: &mut Scanner<'a>, outer: bool) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            let kind = scanner.kind()?;
            match (&*name, kind) {
                ("arguments", _) => {
                    let span = scanner.value()?;
                    self.arguments = Some((kind, span));
                }
                ("url_citation" | "image_url" | "function" | "custom", Kind::Object) if outer => {
                    self.object(scanner, false)?;
                }
                (name, Kind::String) => {
                    let text = scanner.string()?;
                    if let Some(field) = self.text_field(name) {
                        *field = Some(text).filter(|text| !text.is_empty());
                    }
                }
                (name, Kind::Number) => {
                    let span = scanner.value()?;
                    if let Some(field) = self.number_field(name) {
                        *field = json::count(scanner.raw(span));
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn text_field(&mut self, name: &str) -> Option<&mut Option<Str<'a>>> {
        Some(match name {
            "type" => &mut self.kind,
            "id" => &mut self.id,
            "name" => &mut self.name,
            "text" | "summary" | "data" | "content" | "snippet" => &mut self.text,
            "signature" => &mut self.signature,
            "format" => &mut self.format,
            "url" | "image_url" => &mut self.url,
            "title" => &mut self.title,
            "transcript" => &mut self.transcript,
            "input" => &mut self.input,
            _ => return None,
        })
    }

    fn number_field(&mut self, name: &str) -> Option<&mut Option<u64>> {
        Some(match name {
            "index" => &mut self.index,
            "start_index" => &mut self.start,
            "end_index" => &mut self.end,
            "expires_at" => &mut self.expires_at,
            _ => return None,
        })
    }
}
