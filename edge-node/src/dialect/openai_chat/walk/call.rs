//! The tool calls of a choice: one steady index and id per call, arguments as a string.

use super::choice::Part;
use super::{Form, Walker};
use crate::dialect::classify;
use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};
use crate::wire::splice::{Members, Tail};
use std::borrow::Cow;

/// One piece of one call.
#[derive(Debug, Default)]
struct Piece<'a> {
    index: Option<(Span, u64)>,
    id: Option<Str<'a>>,
    has_type: bool,
    has_function: bool,
    /// It is of a tool that takes text.
    is_text: bool,
    /// How much of it.
    text: usize,
    name: Option<Str<'a>>,
    arguments: Option<(Span, Kind, &'a str)>,
    function_tail: Tail,
}

impl Walker {
    /// Consumes the choice's array of tool calls; false when there is none in it.
    pub(super) fn calls<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        part: &Part<'_>,
    ) -> Result<bool, SyntaxError> {
        let mut any = false;
        scanner.begin_array()?;
        while scanner.element()? {
            if scanner.kind()? != Kind::Object {
                scanner.value()?;
                continue;
            }
            let mut piece = Piece::default();
            scanner.begin_object()?;
            let mut members = Members::new(scanner.at());
            while let Some(key) = scanner.key()? {
                let name = key.name.decode();
                if self.call_member(scanner, &name, &mut piece)? {
                    members.keep(&mut self.splices, key.start, scanner.at());
                } else {
                    members.remove(&mut self.splices, key.start, scanner.at());
                }
            }
            let tail = members.finish(&mut self.splices);
            self.settle_call(part, &mut piece, tail);
            any = true;
        }
        Ok(any)
    }

    /// Consumes one value of a call; false takes the member out.
    fn call_member<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        name: &str,
        piece: &mut Piece<'a>,
    ) -> Result<bool, SyntaxError> {
        let kind = scanner.kind()?;
        match name {
            "id" if kind == Kind::String => {
                let id = scanner.string()?;
                piece.id = Some(id).filter(|id| !id.is_empty());
                return Ok(piece.id.is_some());
            }
            "type" if kind == Kind::String => {
                let kind = scanner.string()?;
                piece.has_type = !kind.is_empty();
                piece.is_text |= kind.decode() == "custom";
                return Ok(piece.has_type);
            }
            "id" | "type" => {
                scanner.value()?;
                return Ok(false);
            }
            "index" => {
                let span = scanner.value()?;
                piece.index = json::count(scanner.raw(span)).map(|index| (span, index));
                return Ok(piece.index.is_some());
            }
            "function" if kind == Kind::Object => {
                piece.has_function = true;
                scanner.begin_object()?;
                let mut members = Members::new(scanner.at());
                while let Some(key) = scanner.key()? {
                    function_member(scanner, &key.name.decode(), piece)?;
                    members.keep(&mut self.splices, key.start, scanner.at());
                }
                piece.function_tail = members.finish(&mut self.splices);
            }
            "custom" if kind == Kind::Object => {
                piece.is_text = true;
                scanner.begin_object()?;
                while let Some(key) = scanner.key()? {
                    match (&*key.name.decode(), scanner.kind()?) {
                        ("name", Kind::String) => piece.name = Some(scanner.string()?),
                        ("input", Kind::String) => piece.text = scanner.string()?.inner().len(),
                        _ => {
                            scanner.value()?;
                        }
                    }
                }
            }
            _ => {
                scanner.value()?;
            }
        }
        Ok(true)
    }

    fn settle_call(&mut self, part: &Part<'_>, piece: &mut Piece<'_>, mut tail: Tail) {
        let Some(state) = self.choices.get_mut(part.at) else {
            return;
        };
        let id = piece.id.map(Str::decode).unwrap_or_default();
        let upstream = piece.index.map(|(_, index)| index);
        let has_name = piece.name.is_some_and(|name| !name.is_empty());
        let Some(place) = state.calls.place(upstream, &id, has_name) else {
            self.fault = Some(classify::too_large(&self.name, "512 tool calls"));
            return;
        };
        if piece.is_text {
            state.calls.takes_text(place.index);
        }
        match piece.index {
            Some((_, index)) if index == place.index as u64 => {}
            Some((span, _)) => self.splices.replace(span, place.index.to_string()),
            None if self.form == Form::Chunk => {
                let member = format!("\"index\":{}", place.index);
                tail.add(&mut self.splices, member);
            }
            None => {}
        }
        if place.opens && piece.id.is_none() {
            let member = format!("\"id\":{}", self.call_id(place.index));
            tail.add(&mut self.splices, member);
        }
        self.progress.output_bytes += piece.text as u64;
        if place.opens && !piece.has_type && piece.has_function {
            tail.add(&mut self.splices, "\"type\":\"function\"");
        }
        let name = piece.name.map_or(0, |name| name.inner().len());
        self.progress.output_bytes += name as u64;
        self.arguments(part, place.index, piece);
    }

    /// Arguments become a string; a call that is complete without any gets an empty object.
    fn arguments(&mut self, part: &Part<'_>, call: usize, piece: &mut Piece<'_>) {
        let last = self.form == Form::Answer || part.finish.is_some();
        let Some(state) = self.choices.get_mut(part.at) else {
            return;
        };
        let (inner, span) = match piece.arguments {
            Some((span, Kind::String, raw)) => {
                let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
                (Cow::Borrowed(inner), Some(span))
            }
            Some((span, Kind::Object | Kind::Array, raw)) => {
                let mut inner = Vec::new();
                json::write_escaped(&mut inner, raw);
                let inner = String::from_utf8_lossy(&inner).into_owned();
                self.splices.replace(span, format!("\"{inner}\""));
                (Cow::Owned(inner), None)
            }
            Some((span, _, _)) => (Cow::Borrowed(""), Some(span)),
            None => (Cow::Borrowed(""), None),
        };
        self.progress.output_bytes += inner.len() as u64;
        state.calls.argue(call, &inner);
        if !last || !piece.has_function || !state.calls.is_bare(call) {
            return;
        }
        state.calls.argue(call, "{}");
        match span {
            Some(span) => self.splices.replace(span, "\"{}\""),
            None => {
                let member = "\"arguments\":\"{}\"";
                piece.function_tail.add(&mut self.splices, member);
            }
        }
    }
}

fn function_member<'a>(
    scanner: &mut Scanner<'a>,
    name: &str,
    piece: &mut Piece<'a>,
) -> Result<(), SyntaxError> {
    let kind = scanner.kind()?;
    match name {
        "name" if kind == Kind::String => piece.name = Some(scanner.string()?),
        "arguments" => {
            let span = scanner.value()?;
            piece.arguments = Some((span, kind, scanner.raw(span)));
        }
        _ => {
            scanner.value()?;
        }
    }
    Ok(())
}
