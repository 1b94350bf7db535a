//! The scanner itself: one pass, forwards, without a tree.

use super::{DEPTH_MAX, Key, Kind, Span, Str, SyntaxError, run};
use memchr::memchr2;

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
    /// Long strings are looked at with wide vectors.
    wide: bool,
}

impl<'a> Scanner<'a> {
    /// At the start of a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self::starting(text, 0)
    }

    /// At a place inside a text, before a value; spans count from the text's start.
    #[must_use]
    pub fn starting(text: &'a str, at: usize) -> Self {
        Self {
            text,
            at,
            depth: 0,
            fresh: false,
            wide: run::is_wide(),
        }
    }

    /// As on a machine without wide vectors: for tests and measurements of what it does there.
    #[must_use]
    pub const fn narrow(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            fresh: false,
            wide: false,
        }
    }

    /// The text of a span.
    #[must_use]
    #[inline]
    pub fn raw(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// Where the scanner stands.
    #[must_use]
    #[inline]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// What the next value is; consumes only white space.
    ///
    /// # Errors
    /// No value starts here.
    #[inline]
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
    #[inline]
    pub fn begin_object(&mut self) -> Result<(), SyntaxError> {
        self.begin(b'{', "expected an object")
    }

    /// Enters an array.
    ///
    /// # Errors
    /// Something else is here, or the nesting is too deep.
    #[inline]
    pub fn begin_array(&mut self) -> Result<(), SyntaxError> {
        self.begin(b'[', "expected an array")
    }

    /// The next member's name, the colon behind it consumed; none at the object's end.
    ///
    /// # Errors
    /// The object is malformed.
    #[inline]
    pub fn key(&mut self) -> Result<Option<Key<'a>>, SyntaxError> {
        if self.ended(b'}', "expected a comma or the end of the object")? {
            return Ok(None);
        }
        let start = self.at;
        if self.byte() != Some(b'"') {
            return Err(self.error("expected a member name in quotes"));
        }
        let name = self.quoted()?;
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
    #[inline]
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
                self.quoted()?;
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
    #[inline]
    pub fn string(&mut self) -> Result<Str<'a>, SyntaxError> {
        self.skip_space();
        if self.byte() != Some(b'"') {
            return Err(self.error("expected a string"));
        }
        self.quoted()
    }

    /// Consumes the string whose quote is here.
    fn quoted(&mut self) -> Result<Str<'a>, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        let escaped = match run::short(rest) {
            Some(length) => {
                self.at += length;
                false
            }
            None => self.long()?,
        };
        self.at += 1;
        self.fresh = false;
        let raw = self.text.get(start..self.at).unwrap_or("\"\"");
        Ok(Str { raw, escaped })
    }

    /// Goes to the quote at the end of a string; true when there are escapes in it.
    fn long(&mut self) -> Result<bool, SyntaxError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        if self.wide
            && let Some((length, escaped)) = run::length(rest)
        {
            self.at += length;
            return Ok(escaped);
        }
        // Something is wrong, and is looked for piece by piece; or the machine is another one.
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return Err(self.error("a string does not end"));
            };
            let piece = rest.get(..length).unwrap_or(rest);
            if run::has_controls(piece) {
                self.at += piece.iter().position(|byte| *byte < 0x20).unwrap_or(0);
                return Err(self.error("a control character inside a string"));
            }
            self.at += length;
            if rest.get(length) == Some(&b'"') {
                return Ok(escaped);
            }
            escaped = true;
            self.escape()?;
        }
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

    #[inline]
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
    #[inline]
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

    #[inline]
    fn skip_space(&mut self) {
        // One comparison where there is none, as in what machines write.
        while self.byte().is_some_and(|byte| byte <= b' ')
            && matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t'))
        {
            self.at += 1;
        }
    }

    #[inline]
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
