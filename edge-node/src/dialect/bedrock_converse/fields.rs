//! The members of this dialect's objects that mean something to us, in whatever order they stand:
//! of an event, of a content block, or of a whole answer.

use crate::dialect::bedrock_converse::counts::Counts;
use crate::wire::json::{self, Kind, Scanner, Str, SyntaxError};

/// All of them, from whichever depth.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) index: u64,
    pub(super) text: Option<Str<'a>>,
    pub(super) thought: Option<Str<'a>>,
    pub(super) signature: Option<Str<'a>>,
    pub(super) redacted: Option<Str<'a>>,
    pub(super) call: Call<'a>,
    pub(super) citation: Citation<'a>,
    /// A picture's format, and its base64.
    pub(super) image: (Option<Str<'a>>, Option<Str<'a>>),
    /// Where the lists of a block of cited text start.
    pub(super) cited: (Option<usize>, Option<usize>),
    pub(super) stop_reason: Option<Str<'a>>,
    pub(super) stop_sequence: Option<Str<'a>>,
    /// Where the content of a whole answer starts.
    pub(super) content: Option<usize>,
}

/// A use of a tool.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    /// `server_tool_use` for Bedrock's own.
    pub(super) kind: Option<Str<'a>>,
    /// As written: a piece in a string, or an object.
    pub(super) input: Option<(Kind, &'a str)>,
}

/// A source.
#[derive(Debug, Default)]
pub(super) struct Citation<'a> {
    pub(super) url: Option<Str<'a>>,
    pub(super) title: Option<Str<'a>>,
    pub(super) source: Option<Str<'a>>,
    pub(super) content: Option<Str<'a>>,
}

impl Citation<'_> {
    /// True when it says whence.
    pub(super) const fn is_there(&self) -> bool {
        self.url.is_some() || self.source.is_some() || self.title.is_some()
    }
}

/// Which object is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Top,
    Call,
    Thought,
    Citation,
    Cited,
    Image,
}

impl<'a> Fields<'a> {
    /// Reads a whole text, usage into `counts`.
    pub(super) fn read(text: &'a str, counts: &mut Counts) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        let fields = Self::object(&mut scanner, counts)?;
        scanner.end()?;
        Ok(fields)
    }

    /// Consumes an object.
    pub(super) fn object(
        scanner: &mut Scanner<'a>,
        counts: &mut Counts,
    ) -> Result<Self, SyntaxError> {
        let mut fields = Self::default();
        if scanner.kind()? == Kind::Object {
            fields.members(scanner, Within::Top, counts)?;
        } else {
            scanner.value()?;
        }
        Ok(fields)
    }

    /// Consumes an element of a list of citations.
    pub(super) fn cited(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut fields = Self::default();
        if scanner.kind()? == Kind::Object {
            fields.members(scanner, Within::Citation, &mut Counts::default())?;
        } else {
            scanner.value()?;
        }
        Ok(fields)
    }

    fn members(
        &mut self,
        scanner: &mut Scanner<'a>,
        within: Within,
        counts: &mut Counts,
    ) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            let kind = scanner.kind()?;
            let start = scanner.at();
            match (within, &*name, kind) {
                (Within::Top, "usage", Kind::Object) => counts.read(scanner)?,
                (Within::Top, "contentBlockIndex", Kind::Number) => {
                    let span = scanner.value()?;
                    self.index = json::count(scanner.raw(span)).unwrap_or(0);
                }
                (Within::Call, "input", _) => {
                    let span = scanner.value()?;
                    self.call.input = Some((kind, scanner.raw(span)));
                }
                (_, _, Kind::Object) => match inner(within, &name) {
                    Some(within) => self.members(scanner, within, counts)?,
                    None => {
                        scanner.value()?;
                    }
                },
                (Within::Citation, "sourceContent", Kind::Array) => self.excerpt(scanner)?,
                (_, _, Kind::Array) => {
                    scanner.value()?;
                    match (within, &*name) {
                        (Within::Top, "content") => self.content = Some(start),
                        (Within::Cited, "content") => self.cited.0 = Some(start),
                        (Within::Cited, "citations") => self.cited.1 = Some(start),
                        _ => {}
                    }
                }
                (_, _, Kind::String) => {
                    let text = scanner.string()?;
                    if let Some(field) = self.field(within, &name) {
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

    fn field(&mut self, within: Within, name: &str) -> Option<&mut Option<Str<'a>>> {
        Some(match (within, name) {
            (Within::Top, "text") => &mut self.text,
            (Within::Top, "stopReason") => &mut self.stop_reason,
            (Within::Top, "stop_sequence") => &mut self.stop_sequence,
            (Within::Thought, "text") => &mut self.thought,
            (Within::Thought, "signature") => &mut self.signature,
            (Within::Thought, "redactedContent") => &mut self.redacted,
            (Within::Call, "toolUseId") => &mut self.call.id,
            (Within::Call, "name") => &mut self.call.name,
            (Within::Call, "type") => &mut self.call.kind,
            (Within::Citation, "url") => &mut self.citation.url,
            (Within::Citation, "title") => &mut self.citation.title,
            (Within::Citation, "source") => &mut self.citation.source,
            (Within::Image, "format") => &mut self.image.0,
            (Within::Image, "bytes") => &mut self.image.1,
            _ => return None,
        })
    }

    /// `[{"text":"…"}]`: the first of it.
    fn excerpt(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        scanner.begin_array()?;
        while scanner.element()? {
            let piece = Self::object(scanner, &mut Counts::default())?;
            self.citation.content = self.citation.content.or(piece.text);
        }
        Ok(())
    }
}

/// The objects inside objects that are looked into.
fn inner(within: Within, name: &str) -> Option<Within> {
    Some(match (within, name) {
        // An event's piece, a whole answer, the model's own fields.
        (
            Within::Top,
            "start" | "delta" | "output" | "message" | "additionalModelResponseFields",
        ) => Within::Top,
        (Within::Top, "toolUse") => Within::Call,
        (Within::Top, "image") | (Within::Image, "source") => Within::Image,
        (Within::Top, "reasoningContent") | (Within::Thought, "reasoningText") => Within::Thought,
        (Within::Top, "citation") | (Within::Citation, "location" | "web") => Within::Citation,
        (Within::Top, "citationsContent") => Within::Cited,
        _ => return None,
    })
}
