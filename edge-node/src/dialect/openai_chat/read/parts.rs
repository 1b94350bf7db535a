//! The lists and objects inside a delta or message: details of reasoning, tool calls, and the
//! probabilities beside it.

use super::Answer;
use super::choice::Spot;
use super::fields::Small;
use super::probabilities;
use crate::dialect::reader::Sink;
use crate::message::{Detail, DetailKind, Escaped, Event, Spoken};
use crate::wire::json::{self, Kind, Scanner, Str, SyntaxError};

/// How many details of reasoning a choice may have.
const DETAILS_MAX: u64 = 512;

/// Why a choice can't be read on.
pub(super) enum Fault {
    Syntax(SyntaxError),
    /// One of our limits, in words.
    Limit(&'static str),
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl Answer {
    /// Gives the details of reasoning; true when readable text was among them.
    pub(super) fn details(
        &mut self,
        scanner: Scanner<'_>,
        sink: &mut dyn Sink,
    ) -> Result<bool, Fault> {
        let (mut place, mut is_told) = (0, false);
        each(scanner, |small| {
            let index = small.index.unwrap_or(place);
            place += 1;
            let Some(index) = usize::try_from(index).ok().filter(|_| index < DETAILS_MAX) else {
                return Err(Fault::Limit("512 details of reasoning"));
            };
            let kind = match small.kind.map(Str::decode).as_deref() {
                Some("reasoning.encrypted") => DetailKind::Encrypted,
                Some("reasoning.summary") => DetailKind::Summary,
                _ => DetailKind::Text,
            };
            let detail = Detail {
                index,
                kind,
                id: escaped(small.id),
                format: escaped(small.format),
            };
            let text = escaped(small.text);
            if kind == DetailKind::Encrypted {
                self.notes
                    .give(Event::Encrypted { detail, data: text }, sink);
                return Ok(());
            }
            if !text.is_empty() {
                is_told = true;
                self.notes.give(Event::Reasoning { detail, text }, sink);
            }
            if let Some(signature) = small.signature {
                let signature = signature.into();
                self.notes
                    .give(Event::Signature { detail, signature }, sink);
            }
            Ok(())
        })?;
        Ok(is_told)
    }

    /// A piece of a tool call. The client is told of a call when its name has come.
    pub(super) fn call(
        &mut self,
        spot: Spot<'_>,
        small: &Small<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        let Some(choice) = self.choices.get_mut(spot.at) else {
            return Ok(());
        };
        let id = small.id.map(Str::decode).unwrap_or_default();
        let place = choice.calls.place(small.index, &id, small.name.is_some());
        let place = place.ok_or(Fault::Limit("512 tool calls"))?;
        let index = place.index;
        if place.opens {
            let own = if id.is_empty() {
                format!("call_{}_{index}", self.generation)
            } else {
                small.id.map_or("", Str::inner).to_owned()
            };
            choice.unannounced.push(Some(own));
        }
        if small.input.is_some() || small.kind.is_some_and(|kind| kind.decode() == "custom") {
            choice.calls.takes_text(index);
            let pending = choice.unannounced.get_mut(index);
            if let Some(id) = pending.and_then(Option::take) {
                let (id, name) = (Escaped(&id), escaped(small.name));
                self.notes.give(Event::Freeform { index, id, name }, sink);
            }
            if let Some(text) = small.input {
                let text = text.into();
                self.notes.give(Event::Input { index, text }, sink);
            }
            return Ok(());
        }
        let raw = small
            .arguments
            .map(|(kind, span)| (kind, spot.text.get(span.start..span.end)));
        let mut written = Vec::new();
        let piece = match raw {
            Some((Kind::String, Some(raw))) => raw.get(1..raw.len() - 1).unwrap_or(""),
            Some((Kind::Object | Kind::Array, Some(raw))) => {
                json::write_escaped(&mut written, raw);
                std::str::from_utf8(&written).unwrap_or("")
            }
            _ => "",
        };
        choice.calls.argue(index, piece);
        let pending = choice.unannounced.get_mut(index);
        if (small.name.is_some() || !piece.is_empty())
            && let Some(id) = pending.and_then(Option::take)
        {
            let name = escaped(small.name);
            let id = Escaped(&id);
            self.notes.give(Event::Call { index, id, name }, sink);
        }
        if !piece.is_empty() {
            let text = Escaped(piece);
            self.notes.give(Event::Arguments { index, text }, sink);
        }
        Ok(())
    }

    pub(super) fn logprobs(
        &mut self,
        text: &str,
        start: Option<usize>,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        let Some(start) = start else {
            return Ok(());
        };
        let mut scanner = Scanner::starting(text, start);
        let span = scanner.clone().value()?;
        if let Some(tokens) = probabilities::entries(scanner.raw(span)) {
            let (of, tokens) = (Spoken::Content, tokens.as_str());
            self.notes.give(Event::Logprobs { of, tokens }, sink);
            return Ok(());
        }
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let span = scanner.value()?;
            let of = match &*key.name.decode() {
                "content" => Spoken::Content,
                "refusal" => Spoken::Refusal,
                _ => continue,
            };
            let raw = scanner.raw(span);
            let tokens = raw.get(1..raw.len() - 1).unwrap_or("").trim_ascii();
            if kind == Kind::Array && !tokens.is_empty() {
                self.notes.give(Event::Logprobs { of, tokens }, sink);
            }
        }
        Ok(())
    }
}

/// The inside of a string; empty for none.
pub(super) fn escaped(text: Option<Str<'_>>) -> Escaped<'_> {
    text.map(Escaped::from).unwrap_or_default()
}

/// Reads the objects of a list.
pub(super) fn each<'a>(
    mut scanner: Scanner<'a>,
    mut give: impl FnMut(Small<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    scanner.begin_array()?;
    while scanner.element()? {
        give(Small::read(&mut scanner)?)?;
    }
    Ok(())
}
