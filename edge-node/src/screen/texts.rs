//! Where a call's texts stand in its body, who says them, and how a place in a text is found again
//! in the body, escapes and all.

use crate::ingress::peek::Field;
use crate::ingress::{Api, Call};
use crate::wire::json::{Kind, Scanner, Span, SyntaxError, unescape_noting};
use std::borrow::Cow;

/// One text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// A user says it, not the system, the model or a tool.
    pub(super) is_users: bool,
    /// The message or the input that it is part of.
    group: u32,
    /// The inside of the string, in the body.
    span: Span,
}

/// What a call says.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Every text; those of a message stand together.
    pub(super) pieces: Vec<Piece>,
    /// Something is said in tokens, which nobody can read here.
    pub(super) has_tokens: bool,
}

/// Every text of a call. What a provider may read in one way or another is a text, and a user's, as
/// soon as one way makes it so: of members that stand twice some providers read the first and some the last.
pub(super) fn of(call: &Call) -> Texts {
    let mut pieces = Pieces::default();
    // What can't be read again, which the first pass has read, is not there.
    let _ = pieces.read(call);
    Texts {
        pieces: pieces.found,
        has_tokens: pieces.has_tokens,
    }
}

impl Piece {
    /// How long it is in the body.
    pub(super) const fn bytes(&self) -> usize {
        self.span.end - self.span.start
    }

    /// True for pieces that providers may put together: parts of one message, said by one side.
    pub(super) const fn joins(&self, other: &Self) -> bool {
        self.group == other.group && self.is_users == other.is_users
    }

    /// What the text says.
    pub(super) fn decode<'a>(&self, body: &'a str) -> Cow<'a, str> {
        let inner = self.inner(body);
        if inner.contains('\\') {
            Cow::Owned(unescape_noting(inner, |_, _| {}))
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// Where places in the text are in the body. They are ascending; found in one more walk, since
    /// most texts have none to be found.
    pub(super) fn places(&self, body: &str, wanted: &[usize]) -> Vec<usize> {
        let mut wanted = wanted.iter().copied().peekable();
        let mut places = Vec::new();
        // Behind the last escape: the place in the text, and in the string as it stands.
        let mut anchor = (0, self.span.start);
        let mut upto = |end: usize, anchor: (usize, usize)| {
            while let Some(at) = wanted.next_if(|at| *at < end) {
                places.push(anchor.1 + (at - anchor.0));
            }
        };
        let inner = self.inner(body);
        if inner.contains('\\') {
            unescape_noting(inner, |decoded, raw| {
                upto(decoded, anchor);
                anchor = (decoded, self.span.start + raw);
            });
        }
        upto(usize::MAX, anchor);
        places
    }

    fn inner<'a>(&self, body: &'a str) -> &'a str {
        body.get(self.span.start..self.span.end).unwrap_or("")
    }
}

#[derive(Default)]
struct Pieces {
    found: Vec<Piece>,
    group: u32,
    has_tokens: bool,
}

impl Pieces {
    fn read(&mut self, call: &Call) -> Result<(), SyntaxError> {
        let text = call.text();
        let conversation = matches!(call.api, Api::Chat | Api::Messages | Api::Responses);
        for member in &call.members {
            let mut scanner = Scanner::starting(text, member.value.start);
            self.group += 1;
            match (member.field, scanner.kind()?) {
                (Field::Turns, Kind::Array) => {
                    scanner.begin_array()?;
                    while scanner.element()? {
                        self.group += 1;
                        if conversation {
                            self.turn(&mut scanner)?;
                        } else {
                            self.content(&mut scanner, true)?;
                        }
                    }
                }
                (Field::Turns | Field::Special("query" | "suffix"), _) => {
                    self.content(&mut scanner, true)?;
                }
                (Field::Special("system" | "instructions"), _) => {
                    self.content(&mut scanner, false)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Consumes a message or an item. The role may stand anywhere in it; what nobody has said is a
    /// user's, but for a model's reasoning.
    fn turn(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        if scanner.kind()? != Kind::Object {
            return self.content(scanner, true);
        }
        let first = self.found.len();
        let (mut is_users, mut has_role, mut is_reasoning) = (false, false, None);
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("role", Kind::String) => {
                    has_role = true;
                    is_users |= scanner.string()?.decode() == "user";
                }
                ("type", Kind::String) => only(scanner, "reasoning", &mut is_reasoning)?,
                ("content", _) => self.content(scanner, true)?,
                // What a tool has said.
                ("output", _) => {
                    let before = self.found.len();
                    self.content(scanner, true)?;
                    self.not_users(before);
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        if !is_users && (has_role || is_reasoning == Some(true)) {
            self.not_users(first);
        }
        Ok(())
    }

    /// Consumes a text, or whatever holds texts.
    fn content(&mut self, scanner: &mut Scanner<'_>, is_users: bool) -> Result<(), SyntaxError> {
        match scanner.kind()? {
            Kind::String => self.string(scanner, is_users)?,
            Kind::Array => {
                scanner.begin_array()?;
                while scanner.element()? {
                    self.content(scanner, is_users)?;
                }
            }
            Kind::Object => self.part(scanner, is_users)?,
            kind @ (Kind::Number | Kind::Bool | Kind::Null) => {
                self.has_tokens |= kind == Kind::Number;
                scanner.value()?;
            }
        }
        Ok(())
    }

    /// Consumes a part of a content, or a document. Only the content of a tool's result is the tool's.
    fn part(&mut self, scanner: &mut Scanner<'_>, is_users: bool) -> Result<(), SyntaxError> {
        let (mut is_result, mut contents) = (None, Vec::new());
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("type", Kind::String) => only(scanner, "tool_result", &mut is_result)?,
                ("text" | "title" | "context", kind) if kind != Kind::Number => {
                    self.content(scanner, is_users)?;
                }
                ("content", _) => {
                    let before = self.found.len();
                    self.content(scanner, is_users)?;
                    contents.push(before..self.found.len());
                }
                ("source", Kind::Object) => self.source(scanner, is_users)?,
                // Text in some providers' parts, whatever else they hold.
                ("value", Kind::String) => self.string(scanner, is_users)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        if is_result == Some(true) {
            for range in contents {
                let of_tool = self.found.get_mut(range).into_iter().flatten();
                of_tool.for_each(|piece| piece.is_users = false);
            }
        }
        Ok(())
    }

    /// Consumes a document's source: its data when that is plain text, or its content.
    fn source(&mut self, scanner: &mut Scanner<'_>, is_users: bool) -> Result<(), SyntaxError> {
        let (mut is_text, mut data) = (false, Vec::new());
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("type", Kind::String) => is_text |= scanner.string()?.decode() == "text",
                ("data", Kind::String) => {
                    data.push(scanner.clone());
                    scanner.value()?;
                }
                ("content", _) => self.content(scanner, is_users)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        for mut data in data.into_iter().filter(|_| is_text) {
            self.string(&mut data, is_users)?;
        }
        Ok(())
    }

    fn not_users(&mut self, from: usize) {
        let pieces = self.found.iter_mut().skip(from);
        pieces.for_each(|piece| piece.is_users = false);
    }

    fn string(&mut self, scanner: &mut Scanner<'_>, is_users: bool) -> Result<(), SyntaxError> {
        let text = scanner.string()?;
        let end = scanner.at() - 1;
        let span = Span {
            start: end - text.inner().len(),
            end,
        };
        if span.start < span.end {
            self.found.push(Piece {
                is_users,
                group: self.group,
                span,
            });
        }
        Ok(())
    }
}

/// Consumes a string. `is` stays true while all such strings are `word`.
fn only(scanner: &mut Scanner<'_>, word: &str, is: &mut Option<bool>) -> Result<(), SyntaxError> {
    let said = scanner.string()?.decode() == word;
    *is = Some(is.unwrap_or(true) && said);
    Ok(())
}
