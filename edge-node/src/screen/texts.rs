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
    /// The inside of the string, in the body.
    span: Span,
}

/// Every text of a call, in the body's order.
pub(super) fn of(call: &Call) -> Vec<Piece> {
    let mut pieces = Pieces(Vec::new());
    // What can't be read again, which the first pass has read, is not there.
    let _ = pieces.read(call);
    pieces.0
}

impl Piece {
    /// How long it is in the body.
    pub(super) const fn bytes(&self) -> usize {
        self.span.end - self.span.start
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

struct Pieces(Vec<Piece>);

impl Pieces {
    fn read(&mut self, call: &Call) -> Result<(), SyntaxError> {
        let text = call.text();
        let conversation = matches!(call.api, Api::Chat | Api::Messages | Api::Responses);
        for member in &call.members {
            let mut scanner = Scanner::starting(text, member.value.start);
            match (member.field, scanner.kind()?) {
                (Field::Turns, Kind::Array) if conversation => {
                    scanner.begin_array()?;
                    while scanner.element()? {
                        self.turn(&mut scanner)?;
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

    /// Consumes a message or an item. The role may stand anywhere in it.
    fn turn(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        if scanner.kind()? != Kind::Object {
            return self.content(scanner, true);
        }
        let first = self.0.len();
        let mut is_users = false;
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("role", Kind::String) => is_users |= scanner.string()?.decode() == "user",
                ("content", _) => self.content(scanner, true)?,
                // What a tool has said.
                ("output", _) => self.content(scanner, false)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        let of_turn = self.0.iter_mut().skip(first);
        of_turn.for_each(|piece| piece.is_users &= is_users);
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
            Kind::Number | Kind::Bool | Kind::Null => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    /// Consumes a part of a content, or a document.
    fn part(&mut self, scanner: &mut Scanner<'_>, is_users: bool) -> Result<(), SyntaxError> {
        let (first, mut is_results) = (self.0.len(), false);
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("type", Kind::String) => is_results |= scanner.string()?.decode() == "tool_result",
                ("text" | "title" | "context", Kind::String) => self.string(scanner, is_users)?,
                ("content", _) => self.content(scanner, is_users)?,
                ("source", Kind::Object) => self.source(scanner, is_users)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        let of_part = self.0.iter_mut().skip(first);
        of_part.for_each(|piece| piece.is_users &= !is_results);
        Ok(())
    }

    /// Consumes a document's source: its data when that is plain text, or its content.
    fn source(&mut self, scanner: &mut Scanner<'_>, is_users: bool) -> Result<(), SyntaxError> {
        let (mut is_text, mut data) = (false, None);
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("type", Kind::String) => is_text |= scanner.string()?.decode() == "text",
                ("data", Kind::String) => {
                    data = Some(scanner.clone());
                    scanner.value()?;
                }
                ("content", _) => self.content(scanner, is_users)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        match data {
            Some(mut data) if is_text => self.string(&mut data, is_users),
            _ => Ok(()),
        }
    }

    fn string(&mut self, scanner: &mut Scanner<'_>, is_users: bool) -> Result<(), SyntaxError> {
        let text = scanner.string()?;
        let end = scanner.at() - 1;
        let span = Span {
            start: end - text.inner().len(),
            end,
        };
        if span.start < span.end {
            self.0.push(Piece { is_users, span });
        }
        Ok(())
    }
}
