//! What all writers of upstream bodies share: lists of JSON texts, pieces put together, and the
//! refusal of what a dialect has no word for.

use crate::egress::seal;
use crate::failure::{Failure, Retry};
use crate::message::{Request, Thought};
use ring::digest;
use std::fmt::Write;

/// Items of a JSON list or object, with commas between them.
#[derive(Debug, Default)]
pub(crate) struct List(Vec<u8>);

impl List {
    /// Where the next item is written.
    pub(crate) fn item(&mut self) -> &mut Vec<u8> {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        &mut self.0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Appends texts.
pub(crate) fn put(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends a list as a further member, unless it is empty.
pub(crate) fn member(out: &mut Vec<u8>, name: &str, list: &List) {
    if !list.is_empty() {
        put(out, &[",\"", name, "\":["]);
        out.extend_from_slice(list.as_bytes());
        out.push(b']');
    }
}

/// A name as one segment of a path: some have colons or slashes.
pub(crate) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// How long the ids of calls are that Mistral takes.
const ID_LENGTH: usize = 9;
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// An id of nine letters and digits, the same for the same id; such ids are their own.
pub(crate) fn nine_letters(id: &str) -> String {
    if id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    let letter = |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).copied();
    let letters = hash.as_ref().iter().filter_map(letter);
    letters.take(ID_LENGTH).map(char::from).collect()
}

/// A 400: what stands at `place` can't be said to this provider. Another endpoint may take it.
pub(crate) fn refuse(place: &str, why: &str) -> Failure {
    let message = format!("{place}: the chosen provider {why}");
    Failure::invalid(place, message).with_retry(Retry::OtherEndpoint)
}

/// A number as written, or the bound that it is beyond.
pub(crate) fn clamped<'a>(raw: &'a str, (low, high): (&'a str, &'a str)) -> &'a str {
    let number = |raw: &str| raw.parse::<f64>().unwrap_or(f64::NAN);
    let value = number(raw);
    if value < number(low) {
        low
    } else if value > number(high) {
        high
    } else {
        raw
    }
}

/// Appends the blocks of what the provider's own tool did, as they came.
pub(crate) fn run(thought: &Thought<'_>, list: &mut List) {
    if let Some(raw) = thought.raw {
        return put(list.item(), &[raw]);
    }
    let text: String = thought.texts.iter().map(|text| text.decode()).collect();
    for block in seal::blocks(&text).unwrap_or_default() {
        put(list.item(), &[block]);
    }
}

/// For dialects that give text and nothing else.
///
/// # Errors
/// Pictures or sound are asked for.
pub(crate) fn only_text(request: &Request<'_>) -> Result<(), Failure> {
    let others = ["\"audio\"", "\"image\""];
    let asks = |raw: &str| others.iter().any(|other| raw.contains(other));
    if request.modalities.is_some_and(asks) {
        return Err(refuse("modalities", "gives only text"));
    }
    Ok(())
}

/// For dialects that give one choice only.
///
/// # Errors
/// More are asked for.
pub(crate) fn one_choice(request: &Request<'_>) -> Result<(), Failure> {
    if request.n > 1 {
        return Err(refuse("n", "gives one choice"));
    }
    Ok(())
}
