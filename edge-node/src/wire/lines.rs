//! Cuts a byte stream into lines that each hold one JSON text (NDJSON), wherever the network cut
//! it. Lines end in LF or CRLF; empty lines are skipped; text is decoded only when a line is whole.

use crate::wire::sse::Error;
use memchr::memchr;

/// The longest line.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub struct Parser {
    /// The start of a line whose end has not come.
    line: Vec<u8>,
}

impl Parser {
    /// Takes a piece and gives every line that it completes.
    ///
    /// # Errors
    /// The stream's fault, or whatever `give` says; the parser is of no use afterwards.
    pub fn feed<E: From<Error>>(
        &mut self,
        piece: &[u8],
        mut give: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while let Some(length) = memchr(b'\n', rest) {
            let (head, tail) = rest.split_at(length);
            if self.line.is_empty() {
                line(head, &mut give)?;
            } else {
                self.hold(head)?;
                let whole = std::mem::take(&mut self.line);
                line(&whole, &mut give)?;
                // Keeps the allocation.
                self.line = whole;
                self.line.clear();
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        self.hold(rest)?;
        Ok(())
    }

    /// The stream has ended: gives a line that lacks only its end.
    ///
    /// # Errors
    /// As [`Parser::feed`].
    pub fn finish<E: From<Error>>(
        &mut self,
        mut give: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let last = std::mem::take(&mut self.line);
        line(&last, &mut give)
    }

    fn hold(&mut self, piece: &[u8]) -> Result<(), Error> {
        if self.line.len() + piece.len() > LINE_BYTES_MAX {
            return Err(Error::TooLong);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }
}

fn line<E: From<Error>>(
    line: &[u8],
    give: &mut impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    give(simdutf8::basic::from_utf8(line).map_err(|_| Error::Utf8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], size: usize) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        let mut give = |line: &str| {
            all.push(line.to_owned());
            Ok::<(), Error>(())
        };
        let mut parser = Parser::default();
        for piece in text.chunks(size) {
            parser.feed(piece, &mut give)?;
        }
        parser.finish(&mut give)?;
        Ok(all)
    }

    #[test]
    fn cuts_make_no_difference() {
        let text = "{\"a\":\"é\"}\r\n\n{}\n  {\"b\":1}".as_bytes();
        for size in 1..=text.len() {
            let expected = ["{\"a\":\"é\"}", "{}", "{\"b\":1}"];
            assert_eq!(lines(text, size).unwrap(), expected, "{size}");
        }
        assert_eq!(lines(b"\xff\n", 1), Err(Error::Utf8));
    }

    #[test]
    fn lines_are_bounded() {
        let long = vec![b' '; LINE_BYTES_MAX + 1];
        assert_eq!(lines(&long, 1 << 16), Err(Error::TooLong));
    }
}
