//! Cuts a byte stream into server-sent events, wherever the network cut it. Lines end in LF, CRLF
//! or CR; comments and unknown fields are skipped; text is decoded only when an event is whole.

use memchr::memchr2;

/// The longest event, its name and data together: pictures come whole in one.
pub const EVENT_BYTES_MAX: usize = 32 << 20;

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The `event` field; empty when there was none.
    pub name: &'a str,
    /// The `data` lines, joined with LF.
    pub data: &'a str,
}

/// Why a stream can't be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// See [`EVENT_BYTES_MAX`].
    #[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// An event is not text.
    #[error("an event is not UTF-8")]
    Utf8,
}

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub struct Parser {
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a CR that ended a line: an LF behind it belongs to it.
    after_cr: bool,
    /// The first line, which may have a byte order mark, has been seen.
    begun: bool,
}

impl Parser {
    /// Takes a piece and gives every event that it completes.
    ///
    /// # Errors
    /// The stream's fault, or whatever `give` says; the parser is of no use afterwards.
    pub fn feed<E: From<Error>>(
        &mut self,
        piece: &[u8],
        mut give: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(length) = memchr2(b'\n', b'\r', rest) {
            let (head, tail) = rest.split_at(length);
            let behind = tail.strip_prefix(b"\r").unwrap_or(tail);
            let behind = behind.strip_prefix(b"\n").unwrap_or(behind);
            if let Some((data, after)) = self.alone(head, behind) {
                let outcome = self.give(data, &mut give);
                self.name.clear();
                outcome?;
                rest = after;
                continue;
            }
            if self.line.is_empty() {
                self.line(head, &mut give)?;
            } else {
                self.hold(head)?;
                let line = std::mem::take(&mut self.line);
                let outcome = self.line(&line, &mut give);
                // Keeps the allocation.
                self.line = line;
                self.line.clear();
                outcome?;
            }
            self.after_cr = tail == b"\r";
            rest = behind;
        }
        self.hold(rest)?;
        Ok(())
    }

    /// The stream has ended: gives an event that lacks only its blank line.
    ///
    /// # Errors
    /// As [`Parser::feed`].
    pub fn finish<E: From<Error>>(
        &mut self,
        mut give: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.line(&line, &mut give)?;
        }
        self.line(b"", &mut give)
    }

    /// The data of an event that has one line, which has come whole and with the blank line `behind`
    /// it, as nearly all have: it is read where it stands. And what follows.
    fn alone<'p>(&self, line: &'p [u8], behind: &'p [u8]) -> Option<(&'p [u8], &'p [u8])> {
        if self.has_data || !self.begun || !self.line.is_empty() {
            return None;
        }
        let after = match behind {
            [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => after,
            _ => return None,
        };
        let data = field(line, b"data").filter(|data| data.len() <= EVENT_BYTES_MAX)?;
        Some((data, after))
    }

    fn hold(&mut self, piece: &[u8]) -> Result<(), Error> {
        if self.line.len() + piece.len() > EVENT_BYTES_MAX {
            return Err(Error::TooLong);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn line<E: From<Error>>(
        &mut self,
        line: &[u8],
        give: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut line = line;
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(give);
        }
        if let Some(value) = field(line, b"data") {
            if self.has_data && are_two(&self.data, value) {
                // The blank line between them is missing.
                self.dispatch(give)?;
            }
            if self.data.len() + value.len() > EVENT_BYTES_MAX {
                return Err(Error::TooLong.into());
            }
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value);
        } else if let Some(value) = field(line, b"event") {
            self.name.clear();
            self.name.extend_from_slice(value);
        }
        Ok(())
    }

    fn dispatch<E: From<Error>>(
        &mut self,
        give: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let outcome = if self.has_data {
            self.give(&self.data, give)
        } else {
            Ok(())
        };
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        outcome
    }

    fn give<E: From<Error>>(
        &self,
        data: &[u8],
        give: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let name = std::str::from_utf8(&self.name).map_err(|_| Error::Utf8)?;
        let data = simdutf8::basic::from_utf8(data).map_err(|_| Error::Utf8)?;
        give(Event { name, data })
    }
}

/// True for two JSON objects, or one and the mark of the end: no text has one behind the other.
fn are_two(data: &[u8], next: &[u8]) -> bool {
    let (data, next) = (data.trim_ascii(), next.trim_ascii());
    let is_object = data.first() == Some(&b'{') && data.last() == Some(&b'}');
    is_object && (next.first() == Some(&b'{') || next == b"[DONE]")
}

/// The value of the line's field when it has that name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        [] => Some(&[]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, Error> {
        let mut parser = Parser::default();
        let mut seen = Vec::new();
        let mut give = |event: Event<'_>| -> Result<(), Error> {
            seen.push((event.name.to_owned(), event.data.to_owned()));
            Ok(())
        };
        for piece in pieces {
            parser.feed(piece, &mut give)?;
        }
        parser.finish(&mut give)?;
        Ok(seen)
    }

    #[test]
    fn reads_what_the_specification_says() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let seen = events(&[text.as_bytes()]).unwrap();
            let seen: Vec<_> = seen.iter().map(|(n, d)| (n.as_str(), d.as_str())).collect();
            assert_eq!(seen, expected, "{text:?}");
        };
        check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]);
        check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
        check("data:a\n\n", &[("", "a")]);
        check("data:  a\n\n", &[("", " a")]);
        check("data: a\ndata: b\n\n", &[("", "a\nb")]);
        check("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("", "b")]);
        check(": hi\n\n: there\n\ndata: a\n\n", &[("", "a")]);
        check("id: 1\nretry: 5\nfoo\ndata: a\n\n", &[("", "a")]);
        check("event: x\n\ndata: a\n\n", &[("", "a")]);
        check("data\n\n", &[("", "")]);
        check("database: a\n\n", &[]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check("data: a", &[("", "a")]);
        check("data: a\n", &[("", "a")]);
        check("\n\n\n", &[]);
        check("", &[]);
    }

    #[test]
    fn an_event_is_bounded() {
        let long = vec![b'x'; EVENT_BYTES_MAX];
        assert_eq!(events(&[b"data: ", &long]), Err(Error::TooLong));
        let line = [b"data: ".as_slice(), &long[..EVENT_BYTES_MAX / 2], b"\n"].concat();
        assert_eq!(events(&[&line, &line, &line]), Err(Error::TooLong));
        assert_eq!(events(&[b"data: \xff\n\n"]), Err(Error::Utf8));
    }

    #[test]
    fn objects_without_a_line_between_them_are_two_events() {
        let seen =
            events(&[b"event: x\ndata: {\"a\":1}\ndata: {\"b\":2}\ndata: [DONE]\n\n"]).unwrap();
        let data: Vec<&str> = seen.iter().map(|(_, data)| data.as_str()).collect();
        assert_eq!(data, ["{\"a\":1}", "{\"b\":2}", "[DONE]"]);
        let seen = events(&[b"data: {\ndata: \"a\":[{}\ndata: ,{}]\ndata: }\n\n"]).unwrap();
        assert_eq!(seen[0].1, "{\n\"a\":[{}\n,{}]\n}");
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            parts in prop::collection::vec(prop_oneof![
                Just("data: "), Just("data:"), Just("event: e"), Just(": c"), Just("\n"), Just("\r\n"),
                Just("\r"), Just("\n\n"), Just("{\"ü\":\"😀\"}"), Just("x"), Just("\u{feff}"),
            ], 0..40),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let text = parts.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let singles: Vec<&[u8]> = text.chunks(1).collect();
            let whole = events(&[&text]).unwrap();
            prop_assert_eq!(&events(&pieces).unwrap(), &whole);
            prop_assert_eq!(&events(&singles).unwrap(), &whole);
        }
    }
}
