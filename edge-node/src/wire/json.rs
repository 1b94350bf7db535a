//! A pull scanner over JSON text: it checks the whole grammar (RFC 8259), hands out spans and raw
//! strings, and builds no tree. Nesting is bounded by [`DEPTH_MAX`], so that input can't exhaust
//! the stack; numbers stay text, so that no digit is lost.

use memchr::memchr2;
use std::borrow::Cow;
use std::fmt;

fn has_controls(bytes: &[u8]) -> bool {
    // The fold has no exit, so that it becomes vector instructions.
    let fold = |found, byte: &u8| found | (*byte < 0x20);
    bytes.iter().fold(false, fold)
}

#[cfg(test)]
mod tests;

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
    pub const fn raw(self) -> &'a str {
        self.raw
    }

    /// The string without its quotes, escapes as they stand.
    #[must_use]
    pub fn inner(self) -> &'a str {
        self.raw
            .get(1..self.raw.len().saturating_sub(1))
            .unwrap_or("")
    }

    /// True for `""`.
    #[must_use]
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
            Cow::Owned(unescape(text))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// What the string says. A lone surrogate becomes U+FFFD.
    #[must_use]
    pub fn decode(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.inner()))
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

/// A position in a JSON text. Containers are walked with
/// `begin_object(); while let Some(key) = key()? { value() }` and
/// `begin_array(); while element()? { value() }`; each value must be consumed.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// True between the opening of a container and its first member.
    fresh: bool,
    /// True when no string can have a control character in it.
    clean: bool,
}

impl<'a> Scanner<'a> {
    /// At the start of a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            fresh: false,
            // Once over everything is far quicker than string by string; few bodies have even a
            // line end.
            clean: !has_controls(text.as_bytes()),
        }
    }

    /// At a place inside a text, before a value; spans count from the text's start. The text must
    /// have been scanned before: its strings are not checked again.
    #[must_use]
    pub const fn starting(text: &'a str, at: usize) -> Self {
        Self {
            text,
            at,
            depth: 0,
            fresh: false,
            clean: true,
        }
    }

    /// The text of a span.
    #[must_use]
    pub fn raw(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// Where the scanner stands.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// What the next value is; consumes only white space.
    ///
    /// # Errors
    /// No value starts here.
    pub fn kind(&mut self) -> Result<Kind, SyntaxError> {
        self.skip_space();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("unexpected end, expected a value")),
        }
    }

    /// Enters an object.
    ///
    /// # Errors
    /// Something else is here, or the nesting is too deep.
    pub fn begin_object(&mut self) -> Result<(), SyntaxError> {
        self.begin(b'{', "expected an object")
    }

    /// Enters an array.
    ///
    /// # Errors
    /// Something else is here, or the nesting is too deep.
    pub fn begin_array(&mut self) -> Result<(), SyntaxError> {
        self.begin(b'[', "expected an array")
    }

    /// The next member's name, the colon behind it consumed; none at the object's end.
    ///
    /// # Errors
    /// The object is malformed.
    pub fn key(&mut self) -> Result<Option<Key<'a>>, SyntaxError> {
        if self.ended(b'}', "expected a comma or the end of the object")? {
            return Ok(None);
        }
        let start = self.at;
        if self.byte() != Some(b'"') {
            return Err(self.error("expected a member name in quotes"));
        }
        let name = self.string()?;
        self.skip_space();
        if self.byte() != Some(b':') {
            return Err(self.error("expected a colon"));
        }
        self.at += 1;
        self.skip_space();
        Ok(Some(Key { name, start }))
    }

    /// True before the next element, false at the array's end.
    ///
    /// # Errors
    /// The array is malformed.
    pub fn element(&mut self) -> Result<bool, SyntaxError> {
        let ended = self.ended(b']', "expected a comma or the end of the array")?;
        Ok(!ended)
    }

    /// Consumes a value of any kind.
    ///
    /// # Errors
    /// It is malformed or nests too deep.
    pub fn value(&mut self) -> Result<Span, SyntaxError> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Object => {
                self.begin_object()?;
                while self.key()?.is_some() {
                    self.value()?;
                }
            }
            Kind::Array => {
                self.begin_array()?;
                while self.element()? {
                    self.value()?;
                }
            }
            Kind::String => {
                self.string()?;
            }
            Kind::Number => self.number()?,
            Kind::Bool if self.byte() == Some(b't') => self.word("true")?,
            Kind::Bool => self.word("false")?,
            Kind::Null => self.word("null")?,
        }
        let end = self.at;
        Ok(Span { start, end })
    }

    /// Consumes a string.
    ///
    /// # Errors
    /// Something else is here, or the string is malformed.
    pub fn string(&mut self) -> Result<Str<'a>, SyntaxError> {
        self.skip_space();
        let start = self.at;
        if self.byte() != Some(b'"') {
            return Err(self.error("expected a string"));
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return Err(self.error("a string does not end"));
            };
            let piece = rest.get(..length).unwrap_or(rest);
            if !self.clean && has_controls(piece) {
                self.at += piece.iter().position(|byte| *byte < 0x20).unwrap_or(0);
                return Err(self.error("a control character inside a string"));
            }
            self.at += length;
            if rest.get(length) == Some(&b'"') {
                break;
            }
            escaped = true;
            self.escape()?;
        }
        self.at += 1;
        self.fresh = false;
        let raw = self.text.get(start..self.at).unwrap_or("\"\"");
        Ok(Str { raw, escaped })
    }

    /// The text must have nothing more.
    ///
    /// # Errors
    /// It has.
    pub fn end(&mut self) -> Result<(), SyntaxError> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.error("something follows the value"));
        }
        Ok(())
    }

    fn begin(&mut self, open: u8, expected: &'static str) -> Result<(), SyntaxError> {
        self.skip_space();
        if self.byte() != Some(open) {
            return Err(self.error(expected));
        }
        if self.depth == DEPTH_MAX {
            return Err(self.error("nested deeper than 128 levels"));
        }
        self.at += 1;
        self.depth += 1;
        self.fresh = true;
        Ok(())
    }

    /// Consumes the end of a container, or the comma before its next member.
    fn ended(&mut self, close: u8, expected: &'static str) -> Result<bool, SyntaxError> {
        self.skip_space();
        match self.byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth = self.depth.saturating_sub(1);
                self.fresh = false;
                Ok(true)
            }
            Some(_) if self.fresh => {
                self.fresh = false;
                Ok(false)
            }
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(false)
            }
            Some(_) => Err(self.error(expected)),
            None => Err(self.error("unexpected end")),
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.error("\\u needs four hexadecimal digits"));
                }
                self.at += 6;
            }
            _ => return Err(self.error("unknown escape in a string")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
            if matches!(self.byte(), Some(b'0'..=b'9')) {
                return Err(self.error("a number starts with 0"));
            }
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.fresh = false;
        Ok(())
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.error("expected a digit"));
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at = end;
        self.fresh = false;
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn error(&self, reason: &'static str) -> SyntaxError {
        SyntaxError {
            at: self.at,
            reason,
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

/// Appends a text as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Appends a text as the inside of a JSON string.
pub fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or(&[]));
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |nibble: u8| {
                    if nibble < 10 {
                        b'0' + nibble
                    } else {
                        b'a' + nibble - 10
                    }
                };
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or(&[]));
}

fn unescape(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(rest.get(..at).unwrap_or(""));
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut length = 2;
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (character, consumed) = unicode(rest.get(at..).unwrap_or(""));
                text.push(character);
                length = consumed;
            }
            other => text.push(char::from(other)),
        }
        rest = rest.get(at + length..).unwrap_or("");
    }
    text.push_str(rest);
    text
}

/// The character of `\uXXXX` at the start, with the second half of a pair, and the bytes it takes.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |from: usize| {
        let digits = escape.get(from..from + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(high) = unit(0) else {
        return (char::REPLACEMENT_CHARACTER, 6);
    };
    if let 0xd800..=0xdbff = high
        && let Some(low @ 0xdc00..=0xdfff) = unit(6)
    {
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        let pair = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        return (pair, 12);
    }
    let single = char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER);
    (single, 6)
}
