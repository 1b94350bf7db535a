//! Probabilities of tokens: two lists side by side here, one list with alternatives at the client.

use crate::dialect::gemini::fields::each_of;
use crate::dialect::write::put;
use crate::message::{Escaped, Event, Spoken};
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};

/// A token and its probability, as written.
type Token<'a> = (Str<'a>, &'a str);

/// Reads the object at a place and gives its tokens, if there are any.
pub(super) fn read(
    text: &str,
    at: usize,
    mut give: impl FnMut(Event<'_>),
) -> Result<(), SyntaxError> {
    let (mut chosen, mut tops) = (Vec::new(), Vec::new());
    each_of(text, at, "chosenCandidates", |scanner| {
        chosen.push(token(scanner)?);
        Ok(())
    })?;
    each_of(text, at, "topCandidates", |scanner| {
        let mut top = Vec::new();
        let start = scanner.at();
        each_of(text, start, "candidates", |scanner| {
            top.push(token(scanner)?);
            Ok(())
        })?;
        tops.push(top);
        scanner.value()?;
        Ok(())
    })?;
    let mut out = Vec::new();
    for (place, token) in chosen.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(*token, &mut out);
        put(&mut out, &[",\"top_logprobs\":["]);
        let top = tops.get(place).map_or(&[][..], Vec::as_slice);
        for (place, token) in top.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write(*token, &mut out);
            out.push(b'}');
        }
        put(&mut out, &["]}"]);
    }
    if !out.is_empty() {
        give(Event::Logprobs {
            of: Spoken::Content,
            tokens: &String::from_utf8(out).unwrap_or_default(),
        });
    }
    Ok(())
}

/// Consumes `{"token":"a","logProbability":-1.5}`.
fn token<'a>(scanner: &mut Scanner<'a>) -> Result<Token<'a>, SyntaxError> {
    // A probability of 1 is left out.
    let (mut text, mut logprob) = (Str::EMPTY, "0");
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("token", Kind::String) => text = scanner.string()?,
            ("logProbability", Kind::Number) => {
                let span = scanner.value()?;
                logprob = scanner.raw(span);
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok((text, logprob))
}

/// Appends a token without its closing brace.
fn write((text, logprob): Token<'_>, out: &mut Vec<u8>) {
    put(out, &["{\"token\":", text.raw(), ",\"logprob\":", logprob]);
    put(out, &[",\"bytes\":["]);
    let bytes = Escaped::from(text);
    for (place, byte) in bytes.decode().bytes().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        put(out, &[comma, &byte.to_string()]);
    }
    out.push(b']');
}
