//! What the body of a streamed answer turns out to be: decided by its first byte that means
//! something, because content types lie.

use crate::dialect::{ANSWER_BYTES_MAX, classify};
use crate::failure::Failure;
use crate::wire::{eventstream, sse};

/// What a body is.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Nothing but white space has come.
    Unknown,
    /// An event stream, as was asked for.
    Events,
    /// JSON, collected.
    Whole(Vec<u8>),
}

/// A failure on its way through the event parser.
#[derive(Debug)]
pub(crate) struct Stop(pub(crate) Box<Failure>);

impl From<sse::Error> for Stop {
    fn from(error: sse::Error) -> Self {
        let message = format!("the provider's stream can't be read: {error}");
        Self(Box::new(Failure::provider(502, "unreadable", message)))
    }
}

impl From<eventstream::Error> for Stop {
    fn from(error: eventstream::Error) -> Self {
        let message = format!("the provider's stream can't be read: {error}");
        Self(Box::new(Failure::provider(502, "unreadable", message)))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}

/// A body's first piece without what means nothing: white space and a byte order mark.
pub(crate) fn beginning(piece: &[u8]) -> &[u8] {
    let piece = piece.trim_ascii_start();
    piece.strip_prefix(b"\xef\xbb\xbf").unwrap_or(piece)
}

impl Shape {
    /// Takes a piece of the body; true when it belongs to an event stream and is not taken.
    ///
    /// # Errors
    /// Markup, or JSON beyond [`ANSWER_BYTES_MAX`].
    pub(crate) fn take(&mut self, piece: &[u8], provider: &str) -> Result<bool, Failure> {
        let mut piece = piece;
        if matches!(self, Self::Unknown) {
            let said = beginning(piece);
            match said.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => {}
                Some(b'{' | b'[') => {
                    *self = Self::Whole(Vec::new());
                    piece = said;
                }
                Some(b'<') => return Err(classify::garbage(provider, "markup")),
                Some(_) => *self = Self::Events,
            }
        }
        let Self::Whole(body) = self else {
            return Ok(true);
        };
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(classify::too_large(provider, "64 MiB"));
        }
        body.extend_from_slice(piece);
        Ok(false)
    }
}
