//! The members of this dialect's objects that mean something to us, in whatever order they stand.

use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};

/// How many sources of one block are kept.
const CITATIONS_MAX: usize = 256;

/// The members of an event, or of a whole answer, that say where the rest is.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub(super) kind: Option<Str<'a>>,
    pub(super) index: u64,
    pub(super) id: Option<Str<'a>>,
    pub(super) stop_reason: Option<Str<'a>>,
    pub(super) stop_sequence: Option<Str<'a>>,
    pub(super) message: Option<Span>,
    pub(super) block: Option<Span>,
    pub(super) delta: Option<Span>,
    pub(super) usage: Option<Span>,
    pub(super) content: Option<Span>,
    pub(super) has_error: bool,
}

/// The members of blocks and deltas, of all kinds.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) kind: Option<Str<'a>>,
    pub(super) text: Option<Str<'a>>,
    pub(super) thinking: Option<Str<'a>>,
    pub(super) signature: Option<Str<'a>>,
    pub(super) data: Option<Str<'a>>,
    pub(super) partial_json: Option<Str<'a>>,
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    pub(super) stop_reason: Option<Str<'a>>,
    pub(super) stop_sequence: Option<Str<'a>>,
    pub(super) input: Option<&'a str>,
    /// The call that a result belongs to.
    pub(super) call_id: Option<Str<'a>>,
    /// The whole object as written, and where in it the input stands.
    pub(super) raw: &'a str,
    pub(super) input_at: Option<Span>,
    pub(super) citations: Vec<Citation>,
}

/// A source; the insides of JSON strings.
#[derive(Debug, Default)]
pub(super) struct Citation {
    /// Of a page.
    pub(super) url: String,
    /// Of what the client itself gave: a document, or a result of its own search.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) content: String,
}

impl<'a> Outline<'a> {
    /// Reads a whole text.
    pub(super) fn read(text: &'a str) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        let outline = Self::object(&mut scanner)?;
        scanner.end()?;
        Ok(outline)
    }

    /// Reads the object at a place.
    pub(super) fn starting(text: &'a str, at: usize) -> Result<Self, SyntaxError> {
        Self::object(&mut Scanner::starting(text, at))
    }

    fn object(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut outline = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let is_text = kind == Kind::String;
            match &*key.name.decode() {
                "type" if is_text => outline.kind = Some(scanner.string()?),
                "id" if is_text => outline.id = Some(scanner.string()?),
                "stop_reason" if is_text => outline.stop_reason = Some(scanner.string()?),
                "stop_sequence" if is_text => outline.stop_sequence = Some(scanner.string()?),
                "index" => {
                    let span = scanner.value()?;
                    outline.index = json::count(scanner.raw(span)).unwrap_or(0);
                }
                name => {
                    let span = Some(scanner.value()?);
                    match (name, kind) {
                        ("message", Kind::Object) => outline.message = span,
                        ("content_block", Kind::Object) => outline.block = span,
                        ("delta", Kind::Object) => outline.delta = span,
                        ("usage", Kind::Object) => outline.usage = span,
                        ("content", Kind::Array) => outline.content = span,
                        ("error", kind) => outline.has_error |= kind != Kind::Null,
                        _ => {}
                    }
                }
            }
        }
        Ok(outline)
    }
}

impl<'a> Fields<'a> {
    /// Reads the object at a place.
    pub(super) fn starting(text: &'a str, at: usize) -> Result<Self, SyntaxError> {
        Self::read(&mut Scanner::starting(text, at))
    }

    /// Consumes an object.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut fields = Self::default();
        scanner.kind()?;
        let start = scanner.at();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let name = key.name.decode();
            if kind == Kind::String
                && let Some(field) = fields.text_field(&name)
            {
                *field = Some(scanner.string()?);
                continue;
            }
            match (&*name, kind) {
                ("input", _) => {
                    let span = scanner.value()?;
                    fields.input = Some(scanner.raw(span));
                    fields.input_at = Some(Span {
                        start: span.start - start,
                        end: span.end - start,
                    });
                }
                ("citation", Kind::Object) => fields.citation(scanner)?,
                ("citations", Kind::Array) => {
                    scanner.begin_array()?;
                    while scanner.element()? {
                        fields.citation(scanner)?;
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        let end = scanner.at();
        fields.raw = scanner.raw(Span { start, end });
        Ok(fields)
    }

    /// The sources, at most so many that `known` and they are within the limit.
    pub(super) fn cited(&mut self, known: &mut Vec<Citation>) {
        let room = CITATIONS_MAX.saturating_sub(known.len());
        known.extend(self.citations.drain(..).take(room));
    }

    fn text_field(&mut self, name: &str) -> Option<&mut Option<Str<'a>>> {
        Some(match name {
            "type" => &mut self.kind,
            "text" => &mut self.text,
            "thinking" => &mut self.thinking,
            "signature" => &mut self.signature,
            "data" => &mut self.data,
            "partial_json" => &mut self.partial_json,
            "id" => &mut self.id,
            "name" => &mut self.name,
            "stop_reason" => &mut self.stop_reason,
            "stop_sequence" => &mut self.stop_sequence,
            "tool_use_id" => &mut self.call_id,
            _ => return None,
        })
    }

    /// A source: a page has a URL, a document a title or only a number.
    fn citation(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            return Ok(());
        }
        let (mut found, mut number) = (Citation::default(), None);
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let place = match (&*key.name.decode(), scanner.kind()?) {
                ("url", Kind::String) => &mut found.url,
                ("source" | "document_title", Kind::String) => &mut found.name,
                ("title", Kind::String) => &mut found.title,
                ("cited_text", Kind::String) => &mut found.content,
                ("document_index", Kind::Number) => {
                    let span = scanner.value()?;
                    number = Some(scanner.raw(span));
                    continue;
                }
                _ => {
                    scanner.value()?;
                    continue;
                }
            };
            scanner.string()?.inner().clone_into(place);
        }
        if found.url.is_empty()
            && found.name.is_empty()
            && let Some(number) = number
        {
            found.name = format!("document {number}");
        }
        if found.url.is_empty() && found.name.starts_with("http") {
            found.url = std::mem::take(&mut found.name);
        }
        if found.title.is_empty() {
            found.title.clone_from(&found.name);
        }
        let is_named = !found.url.is_empty() || !found.name.is_empty();
        if is_named && self.citations.len() < CITATIONS_MAX {
            self.citations.push(found);
        }
        Ok(())
    }
}
