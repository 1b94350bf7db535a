//! A pull scanner over JSON text: it checks the whole grammar (RFC 8259), hands out spans and raw
//! strings, and builds no tree. Nesting is bounded by [`DEPTH_MAX`], so that input can't exhaust
//! the stack; numbers stay text, so that no digit is lost.

mod run;
mod scanner;
#[cfg(test)]
mod tests;
mod text;

pub use scanner::Scanner;
pub use text::{unescape_noting, write_escaped, write_string};

use std::borrow::Cow;
use std::fmt;

/// How deep objects and arrays may nest.
pub const DEPTH_MAX: usize = 128;

/// A piece of the scanned text, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

impl Kind {
    /// With its article, for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        }
    }
}

/// Why and where a text is not JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct SyntaxError {
    /// Offset in bytes.
    pub at: usize,
    /// In a few words.
    pub reason: &'static str,
}

/// A JSON string as it stands in the text: quotes and escapes included, checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Str<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Str<'a> {
    /// `""`
    pub const EMPTY: Str<'static> = Str {
        raw: "\"\"",
        escaped: false,
    };

    /// The string with its quotes.
    #[must_use]
    #[inline]
    pub const fn raw(self) -> &'a str {
        self.raw
    }

    /// The string without its quotes, escapes as they stand.
    #[must_use]
    #[inline]
    pub fn inner(self) -> &'a str {
        self.raw
            .get(1..self.raw.len().saturating_sub(1))
            .unwrap_or("")
    }

    /// True for `""`.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.raw.len() <= 2
    }

    /// The beginning of what the string says, from at most so many bytes of it as it stands; whole
    /// characters and escapes.
    #[must_use]
    pub fn decode_start(self, most: usize) -> Cow<'a, str> {
        let inner = self.inner();
        let mut end = inner.floor_char_boundary(most);
        let mut at = 0;
        while self.escaped
            && let Some(next) = memchr::memchr(b'\\', inner.as_bytes().get(at..end).unwrap_or(&[]))
        {
            let start = at + next;
            let long = inner.as_bytes().get(start + 1) == Some(&b'u');
            at = start + if long { 6 } else { 2 };
            if at > end {
                end = start;
            }
        }
        let text = inner.get(..end).unwrap_or("");
        if self.escaped {
            Cow::Owned(text::unescape(text))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// What the string says. A lone surrogate becomes U+FFFD.
    #[must_use]
    #[inline]
    pub fn decode(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(text::unescape(self.inner()))
        } else {
            Cow::Borrowed(self.inner())
        }
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

/// A member's name, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The name.
    pub name: Str<'a>,
    /// Offset of its opening quote.
    pub start: usize,
}

impl Key<'_> {
    /// The name with its quotes.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span {
            start: self.start,
            end: self.start + self.name.raw.len(),
        }
    }
}

/// Checks that a text is one JSON value; returns what kind.
///
/// # Errors
/// Where and why it is not.
pub fn check(text: &str) -> Result<Kind, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let kind = scanner.kind()?;
    scanner.value()?;
    scanner.end()?;
    Ok(kind)
}

/// A number as a count: an integer, or a whole number with a fraction or exponent. None for
/// anything that is negative, not whole or beyond `u64`.
#[must_use]
pub fn count(raw: &str) -> Option<u64> {
    if let Ok(count) = raw.parse() {
        return Some(count);
    }
    let float: f64 = raw.parse().ok()?;
    let whole = float.is_finite() && float >= 0.0 && float.fract() == 0.0 && float < 1.8e19;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range"
    )]
    whole.then_some(float as u64)
}
