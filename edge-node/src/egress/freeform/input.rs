//! The text inside `{"input":"…"}`, as pieces of that object come. Whatever else the model writes
//! in its place is given as it stands: a text that is not what was asked for is still a text.

use crate::message::Escaped;
use crate::wire::json;

/// How many bytes may stand before the text; an object that has more has other members.
const HEAD_MAX: usize = 256;

/// One call's arguments so far.
#[derive(Debug)]
pub(super) enum Input {
    /// The beginning of the object, decoded.
    Head(String),
    /// Inside the text; what is kept is an escape that is not complete.
    Text(String),
    /// It is no such object.
    Other,
    /// The text has ended.
    Done,
}

impl Default for Input {
    fn default() -> Self {
        Self::Head(String::new())
    }
}

/// What a beginning is.
enum Head {
    /// Of the text, which begins at this byte.
    Text(usize),
    /// Of nothing that could be one.
    Other,
    /// Too short to tell.
    Open,
}

impl Input {
    /// Takes a piece of the arguments; gives a piece of the text, as it stands inside a JSON
    /// string.
    pub(super) fn take(&mut self, piece: Escaped<'_>) -> String {
        let piece = piece.decode();
        let mut given = String::new();
        match self {
            Self::Done => {}
            Self::Other => escape(&piece, &mut given),
            Self::Text(kept) => {
                kept.push_str(&piece);
                let text = std::mem::take(kept);
                *self = inside(&text, &mut given);
            }
            Self::Head(head) => {
                head.push_str(&piece);
                let head = std::mem::take(head);
                *self = match begins(&head) {
                    Head::Open if is_empty(&head) => Self::Head(head),
                    Head::Open if head.len() <= HEAD_MAX => Self::Head(head),
                    Head::Open | Head::Other if is_empty(&head) => Self::Done,
                    Head::Open | Head::Other => {
                        escape(&head, &mut given);
                        Self::Other
                    }
                    Head::Text(start) => inside(head.get(start..).unwrap_or(""), &mut given),
                };
            }
        }
        given
    }
}

/// An object without members.
fn is_empty(head: &str) -> bool {
    let inner = head.trim().strip_prefix('{');
    inner.and_then(|inner| inner.strip_suffix('}')) == Some("")
}

fn begins(head: &str) -> Head {
    let mut rest = head;
    for token in ["{", "\"input\"", ":", "\""] {
        rest = rest.trim_ascii_start();
        match rest.strip_prefix(token) {
            Some(after) => rest = after,
            None if token.starts_with(rest) => return Head::Open,
            None => return Head::Other,
        }
    }
    Head::Text(head.len() - rest.len())
}

/// Gives the text up to its end or to an escape that is not complete.
fn inside(text: &str, given: &mut String) -> Input {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| matches!(c, '"' | '\\') || c < ' ') {
        let (before, from) = rest.split_at(at);
        given.push_str(before);
        let Some(after) = from.strip_prefix('\\') else {
            if from.starts_with('"') {
                return Input::Done;
            }
            // A line end that the model did not escape.
            let (raw, after) = from.split_at(1);
            escape(raw, given);
            rest = after;
            continue;
        };
        match escaped(after) {
            Some(0) => {
                // No escape at all: a backslash.
                given.push_str("\\\\");
                rest = after;
            }
            Some(length) => {
                let (sequence, after) = from.split_at(1 + length);
                given.push_str(sequence);
                rest = after;
            }
            None => return Input::Text(from.to_owned()),
        }
    }
    given.push_str(rest);
    Input::Text(String::new())
}

/// How many bytes behind a backslash belong to it; 0 for what is no escape, none where more must
/// come first.
fn escaped(after: &str) -> Option<usize> {
    let kind = after.chars().next()?;
    match kind {
        '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => Some(1),
        'u' => {
            let Some(unit) = unit(after)? else {
                return Some(0);
            };
            if !(0xd800..0xdc00).contains(&unit) {
                return Some(5);
            }
            // Half a character; the other half follows, or it stands alone.
            let rest = after.get(5..).unwrap_or("");
            match rest.strip_prefix('\\') {
                Some(low) if low.starts_with('u') => {
                    let low = unit_of_low(low)?;
                    Some(if low { 11 } else { 5 })
                }
                Some("") => None,
                None if rest.is_empty() => None,
                _ => Some(5),
            }
        }
        _ => Some(0),
    }
}

fn unit_of_low(text: &str) -> Option<bool> {
    let unit = unit(text)?;
    Some(unit.is_some_and(|unit| (0xdc00..0xe000).contains(&unit)))
}

/// The number in `uXXXX`: none where more must come first, the inner none where it is no number.
fn unit(text: &str) -> Option<Option<u32>> {
    let digits = text.get(1..).unwrap_or("");
    let known = digits.bytes().take(4).take_while(u8::is_ascii_hexdigit);
    let count = known.count();
    if count == 4 {
        let digits = digits.get(..4)?;
        return Some(u32::from_str_radix(digits, 16).ok());
    }
    (count < digits.len()).then_some(None)
}

fn escape(text: &str, given: &mut String) {
    let mut out = Vec::with_capacity(text.len());
    json::write_escaped(&mut out, text);
    given.push_str(&String::from_utf8_lossy(&out));
}
