//! The members of this dialect's objects that mean something to us, in whatever order they stand.
//! Lists and objects are noted by their starts: streams give one object where whole answers give a
//! list.

use crate::dialect::cohere_v2::counts::Counts;
use crate::wire::json::{self, Kind, Scanner, Str, SyntaxError};

/// An event, its delta, or a whole answer.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub(super) kind: Option<Str<'a>>,
    pub(super) index: Option<u64>,
    pub(super) id: Option<Str<'a>>,
    pub(super) finish: Option<Str<'a>>,
    pub(super) delta: Option<usize>,
    pub(super) message: Option<usize>,
    pub(super) logprobs: Option<usize>,
    pub(super) has_error: bool,
}

impl<'a> Outline<'a> {
    /// Reads a whole text, usage into `counts`.
    pub(super) fn read(text: &'a str, counts: &mut Counts) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        let outline = Self::object(&mut scanner, counts)?;
        scanner.end()?;
        Ok(outline)
    }

    /// Consumes an object.
    pub(super) fn object(
        scanner: &mut Scanner<'a>,
        counts: &mut Counts,
    ) -> Result<Self, SyntaxError> {
        let mut outline = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let start = Some(scanner.at());
            match (&*key.name.decode(), kind) {
                ("type", Kind::String) => outline.kind = Some(scanner.string()?),
                ("id", Kind::String) => outline.id = Some(scanner.string()?),
                ("finish_reason", Kind::String) => outline.finish = Some(scanner.string()?),
                ("usage", _) => counts.read(scanner)?,
                ("index", _) => {
                    let span = scanner.value()?;
                    outline.index = json::count(scanner.raw(span));
                }
                (name, _) => {
                    scanner.value()?;
                    match (name, kind) {
                        ("delta", Kind::Object) => outline.delta = start,
                        ("message", Kind::Object) => outline.message = start,
                        ("logprobs", Kind::Object | Kind::Array) => outline.logprobs = start,
                        ("error", kind) => outline.has_error |= kind != Kind::Null,
                        _ => {}
                    }
                }
            }
        }
        Ok(outline)
    }
}

/// A message, or a piece of one.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) plan: Option<Str<'a>>,
    pub(super) text: Option<Str<'a>>,
    pub(super) content: Option<usize>,
    pub(super) calls: Option<usize>,
    pub(super) citations: Option<usize>,
}

impl<'a> Message<'a> {
    /// Consumes an object.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut message = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let start = Some(scanner.at());
            match (&*key.name.decode(), kind) {
                ("tool_plan", Kind::String) => message.plan = Some(scanner.string()?),
                ("content", Kind::String) => message.text = Some(scanner.string()?),
                (name, _) => {
                    scanner.value()?;
                    let field = match (name, kind) {
                        ("content", Kind::Object | Kind::Array) => &mut message.content,
                        ("tool_calls", Kind::Object | Kind::Array) => &mut message.calls,
                        ("citations", Kind::Object | Kind::Array) => &mut message.citations,
                        _ => continue,
                    };
                    *field = start;
                }
            }
        }
        Ok(message)
    }
}

/// Strings and places of a small object: a piece of content, a call with its function, a source
/// with what it says, probabilities.
#[derive(Debug, Default)]
pub(super) struct Small<'a> {
    pub(super) kind: Option<Str<'a>>,
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    pub(super) text: Option<Str<'a>>,
    pub(super) thinking: Option<Str<'a>>,
    pub(super) arguments: Option<Str<'a>>,
    pub(super) url: Option<Str<'a>>,
    pub(super) title: Option<Str<'a>>,
    pub(super) start: Option<u64>,
    pub(super) end: Option<u64>,
    /// Where the list of sources starts.
    pub(super) sources: Option<usize>,
    /// Where the list of numbers starts.
    pub(super) logprobs: Option<usize>,
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
            let kind = scanner.kind()?;
            let start = scanner.at();
            match (&*key.name.decode(), kind) {
                ("function" | "tool_output" | "document", Kind::Object) if outer => {
                    self.object(scanner, false)?;
                }
                ("sources", Kind::Array) => {
                    scanner.value()?;
                    self.sources = Some(start);
                }
                ("logprobs", Kind::Array) => {
                    scanner.value()?;
                    self.logprobs = Some(start);
                }
                ("start" | "end", Kind::Number) => {
                    let span = scanner.value()?;
                    let count = json::count(scanner.raw(span));
                    if &*key.name.decode() == "start" {
                        self.start = count;
                    } else {
                        self.end = count;
                    }
                }
                (name, Kind::String) => {
                    let text = scanner.string()?;
                    // A document's id is not its source's.
                    let field = self.field(name).filter(|_| outer || name != "id");
                    if let Some(field) = field {
                        *field = Some(text);
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<Str<'a>>> {
        Some(match name {
            "type" => &mut self.kind,
            "id" => &mut self.id,
            "name" => &mut self.name,
            "text" | "content" | "output" | "snippet" => &mut self.text,
            "thinking" => &mut self.thinking,
            "arguments" => &mut self.arguments,
            "url" => &mut self.url,
            "title" => &mut self.title,
            _ => return None,
        })
    }
}

/// Reads the object that stands at a place, or each of the list.
pub(super) fn each<'a, E: From<SyntaxError>>(
    text: &'a str,
    start: Option<usize>,
    mut give: impl FnMut(Small<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(start) = start else {
        return Ok(());
    };
    let mut scanner = Scanner::starting(text, start);
    if scanner.kind()? == Kind::Object {
        return give(Small::read(&mut scanner)?);
    }
    scanner.begin_array()?;
    while scanner.element()? {
        give(Small::read(&mut scanner)?)?;
    }
    Ok(())
}
