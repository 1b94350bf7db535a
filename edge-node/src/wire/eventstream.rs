//! Cuts a byte stream of `application/vnd.amazon.eventstream` into messages, wherever the network
//! cut it. Both checksums of a message are checked; its length is bounded before it is awaited. What
//! a message means is not known here.

/// The longest message.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The longest headers of a message, as AWS bounds them.
pub const HEADERS_BYTES_MAX: usize = 128 << 10;

/// Two lengths and their checksum.
const PRELUDE: usize = 12;
/// The prelude and the checksum behind the payload.
const FRAME: usize = PRELUDE + 4;

/// One message. Texts that it lacks are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Message<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub kind: &'a str,
    /// `:event-type`, `:exception-type` or `:error-code`.
    pub name: &'a str,
    /// `:error-message`.
    pub error: &'a str,
    /// The payload.
    pub payload: &'a [u8],
}

/// Why a stream can't be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// See [`MESSAGE_BYTES_MAX`] and [`HEADERS_BYTES_MAX`].
    #[error("a message is longer than {MESSAGE_BYTES_MAX} bytes, or its headers are too long")]
    TooLong,
    /// The lengths contradict each other, or headers do not end.
    #[error("a message is malformed")]
    Malformed,
    /// The bytes are not those that were sent.
    #[error("a message has a wrong checksum")]
    Checksum,
    /// A name or payload is not text.
    #[error("a message is not UTF-8")]
    Utf8,
}

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub struct Parser {
    /// The start of a message whose end has not come.
    held: Vec<u8>,
}

impl Parser {
    /// Takes a piece and gives every message that it completes.
    ///
    /// # Errors
    /// The stream's fault, or whatever `give` says; the parser is of no use afterwards.
    pub fn feed<E: From<Error>>(
        &mut self,
        piece: &[u8],
        mut give: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while !rest.is_empty() {
            if self.held.is_empty() {
                // Most pieces begin with a message and hold it whole.
                if let Some(length) = length(rest)?
                    && let Some((message, after)) = rest.split_at_checked(length)
                {
                    give(parse(message)?)?;
                    rest = after;
                    continue;
                }
            }
            let wanted = length(&self.held)?.unwrap_or(PRELUDE);
            let missing = wanted.saturating_sub(self.held.len()).min(rest.len());
            let (head, after) = rest.split_at(missing);
            self.held.extend_from_slice(head);
            rest = after;
            if length(&self.held)? == Some(self.held.len()) {
                give(parse(&self.held)?)?;
                self.held.clear();
            }
        }
        Ok(())
    }
}

/// The length of the message that begins here; none while its prelude is not complete.
fn length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let Some(prelude) = bytes.get(..PRELUDE) else {
        return Ok(None);
    };
    let total = number(prelude, 0);
    let headers = number(prelude, 4);
    if total > MESSAGE_BYTES_MAX || headers > HEADERS_BYTES_MAX {
        return Err(Error::TooLong);
    }
    if total < FRAME + headers {
        return Err(Error::Malformed);
    }
    let checked = crc32fast::hash(prelude.get(..8).unwrap_or_default());
    if number(prelude, 8) != checked as usize {
        return Err(Error::Checksum);
    }
    Ok(Some(total))
}

/// A whole message.
fn parse(bytes: &[u8]) -> Result<Message<'_>, Error> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(Error::Malformed)?;
    if u32::from_be_bytes(*checksum) != crc32fast::hash(body) {
        return Err(Error::Checksum);
    }
    let end = PRELUDE + number(bytes, 4);
    let (head, payload) = body.split_at_checked(end).ok_or(Error::Malformed)?;
    let mut message = Message {
        payload,
        ..Message::default()
    };
    let mut rest = head.get(PRELUDE..).unwrap_or_default();
    while !rest.is_empty() {
        rest = header(rest, &mut message)?;
    }
    Ok(message)
}

/// Reads a header; returns what follows it.
fn header<'a>(bytes: &'a [u8], message: &mut Message<'a>) -> Result<&'a [u8], Error> {
    let (length, rest) = bytes.split_first().ok_or(Error::Malformed)?;
    let (name, rest) = take(rest, usize::from(*length))?;
    let (kind, rest) = rest.split_first().ok_or(Error::Malformed)?;
    // True and false; byte, short, integer, long; bytes and string; time; UUID.
    let (value, rest) = match kind {
        0 | 1 => take(rest, 0)?,
        2 => take(rest, 1)?,
        3 => take(rest, 2)?,
        4 => take(rest, 4)?,
        5 | 8 => take(rest, 8)?,
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(Error::Malformed)?;
            take(rest, usize::from(u16::from_be_bytes(*length)))?
        }
        9 => take(rest, 16)?,
        _ => return Err(Error::Malformed),
    };
    let field = match name {
        b":message-type" => &mut message.kind,
        b":event-type" | b":exception-type" | b":error-code" => &mut message.name,
        b":error-message" => &mut message.error,
        _ => return Ok(rest),
    };
    if *kind == 7 {
        *field = std::str::from_utf8(value).map_err(|_| Error::Utf8)?;
    }
    Ok(rest)
}

fn take(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8]), Error> {
    bytes.split_at_checked(length).ok_or(Error::Malformed)
}

/// Four bytes, the highest first.
fn number(bytes: &[u8], at: usize) -> usize {
    let digits = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    digits.map_or(0, |digits| u32::from_be_bytes(*digits) as usize)
}

/// Writes a message with text headers, for tests.
#[cfg(test)]
pub(crate) fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let long = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    let mut out = Vec::new();
    out.extend_from_slice(&long(FRAME + head.len() + payload.len()));
    out.extend_from_slice(&long(head.len()));
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_message_is_gathered_once() {
        let payload: Vec<u8> = (b'a'..=b'w').cycle().take(3 << 20).collect();
        let bytes = event("e", &payload);
        let mut parser = Parser::default();
        let (mut given, mut fed, mut moves) = (0, 0, 0);
        for piece in bytes.chunks(1024) {
            let before = parser.held.capacity();
            let read = parser.feed(piece, |message| {
                assert!(message.payload == payload);
                given += 1;
                Ok::<_, Error>(())
            });
            read.unwrap();
            fed += piece.len();
            if fed < bytes.len() {
                assert_eq!(parser.held.len(), fed);
            }
            moves += usize::from(parser.held.capacity() != before);
        }
        assert_eq!((given, parser.held.len()), (1, 0));
        // What is held grows by doubling: it is moved a few times, not with each piece.
        assert!(moves <= 16, "moved {moves} times");
    }

    fn event(name: &str, payload: &[u8]) -> Vec<u8> {
        let headers = [
            (":event-type", name),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        message(&headers, payload)
    }

    type Owned = (String, String, String, Vec<u8>);

    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Owned>, Error> {
        let mut parser = Parser::default();
        let mut all = Vec::new();
        for piece in pieces {
            parser.feed(piece, |message| {
                let Message {
                    kind,
                    name,
                    error,
                    payload,
                } = message;
                all.push((kind.into(), name.into(), error.into(), payload.into()));
                Ok::<(), Error>(())
            })?;
        }
        Ok(all)
    }

    #[test]
    fn messages_are_those_of_the_published_examples() {
        // From AWS's test vectors: an empty message, and one with a header and a payload.
        let empty = b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
        assert_eq!(message(&[], b""), empty);
        assert_eq!(read([empty.as_slice()].into_iter()).unwrap().len(), 1);
        let json = message(&[("content-type", "application/json")], b"{'foo':'bar'}");
        assert_eq!(
            json[..12],
            *b"\x00\x00\x00\x3d\x00\x00\x00\x20\x07\xfd\x83\x96"
        );
        assert_eq!(json[json.len() - 4..], *b"\x8d\x9c\x08\xb1");
    }

    #[test]
    fn headers_of_every_kind_are_passed_over() {
        let mut head = Vec::new();
        for (kind, value) in [
            (0u8, &b""[..]),
            (2, b"x"),
            (3, b"xx"),
            (4, b"xxxx"),
            (5, b"xxxxxxxx"),
            (6, b"\x00\x02ab"),
            (8, b"xxxxxxxx"),
            (9, b"xxxxxxxxxxxxxxxx"),
            (7, b"\x00\x05event"),
        ] {
            let name = if kind == 7 { ":message-type" } else { "a" };
            head.push(u8::try_from(name.len()).unwrap());
            head.extend_from_slice(name.as_bytes());
            head.push(kind);
            head.extend_from_slice(value);
        }
        let total = u32::try_from(FRAME + head.len()).unwrap();
        let mut out = total.to_be_bytes().to_vec();
        out.extend_from_slice(&(total - 16).to_be_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        assert_eq!(read([&*out].into_iter()).unwrap()[0].0, "event");
    }

    #[test]
    fn what_is_broken_or_too_long_is_refused() {
        let check = |bytes: &[u8], error| assert_eq!(read([bytes].into_iter()), Err(error));
        let good = event("x", b"{}");
        for at in [0, 4, 9, 20, good.len() - 5, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(read([&*bad, &good].into_iter()).is_err(), "{at}");
        }
        check(b"{\"message\":\"no\"}", Error::TooLong);
        check(&[0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0], Error::Malformed);
        check(&[0, 0x40, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], Error::TooLong);
        check(&[0, 0x30, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0], Error::TooLong);
        check(&[0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0], Error::Checksum);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference_and_nothing_panics(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
            size in 1usize..50,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut all: Vec<u8> = payloads.iter().flat_map(|it| event("e", it)).collect();
            let whole = read([&*all].into_iter()).unwrap();
            let given: Vec<&Vec<u8>> = whole.iter().map(|message| &message.3).collect();
            prop_assert_eq!(given, payloads.iter().collect::<Vec<_>>());
            prop_assert_eq!(&read(all.chunks(size)).unwrap(), &whole);
            let at = at.index(all.len());
            all[at] = byte;
            let _ = read(all.chunks(size));
        }
    }
}
