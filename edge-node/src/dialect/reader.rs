//! What a dialect is to those who read answers: frames or a whole body in, canonical events out.
//! Framing, the shape of the body and the client's API are not known here.

use crate::dialect::shape::Stop;
use crate::failure::Failure;
use crate::message::{Event, Progress};
use crate::wire::{eventstream, json, lines, sse};

/// Takes the steps of an answer, in order.
pub(crate) trait Sink {
    fn take(&mut self, event: Event<'_>);
}

/// Nobody listens: the client gets the provider's bytes.
pub(crate) struct Mute;

impl Sink for Mute {
    fn take(&mut self, _event: Event<'_>) {}
}

/// What every reader keeps of its answer.
#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) progress: Progress,
    /// The provider's name, for messages.
    pub(crate) name: String,
    /// True once anything of an answer has come: what ends now was cut off, not empty.
    pub(crate) has_begun: bool,
}

impl Notes {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            progress: Progress::default(),
            name: name.to_owned(),
            has_begun: false,
        }
    }

    /// Notes a step and passes it on.
    pub(crate) fn give(&mut self, event: Event<'_>, sink: &mut dyn Sink) {
        self.has_begun = true;
        self.progress.note(&event);
        // The one step that is JSON as its provider wrote it: line ends would end our events.
        if let Event::Logprobs { of, tokens } = event
            && tokens.contains(['\n', '\r'])
        {
            let tokens = &tokens.replace(['\n', '\r'], " ");
            return sink.take(Event::Logprobs { of, tokens });
        }
        sink.take(event);
    }
}

/// Reads one answer of a dialect.
pub(crate) trait Reader: Send {
    /// Reads one frame of a stream; its data is not blank.
    ///
    /// # Errors
    /// The provider says that it failed, what it sends is not the dialect, or a limit is exceeded.
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure>;

    /// Reads a whole answer, also where a stream was asked for. Afterwards the progress is done.
    ///
    /// # Errors
    /// As [`Reader::frame`], or the answer is cut off.
    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure>;

    /// The stream has ended, in order or not: gives what was kept for its end. Only with a finish
    /// the answer counts as complete.
    fn end(&mut self, _sink: &mut dyn Sink) {}

    /// The stream has broken off: gives what was kept of what was said already.
    fn broke(&mut self, _sink: &mut dyn Sink) {}

    fn notes(&self) -> &Notes;

    fn notes_mut(&mut self) -> &mut Notes;
}

/// One frame of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// What the framing calls it: `event:` of SSE, `:event-type` or `:exception-type` of AWS;
    /// empty when it has no name.
    pub(crate) name: &'a str,
    /// Its text.
    pub(crate) data: &'a str,
    /// The framing itself says that this is an error.
    pub(crate) is_error: bool,
}

/// Cuts a body into frames, wherever the network cut it.
pub(crate) trait Framing: Default + Send {
    /// True where a body that begins with `{` or `[` is no stream but one JSON text.
    const IS_TEXT: bool;

    fn feed(&mut self, piece: &[u8], give: &mut Give<'_>) -> Result<(), Stop>;

    /// The body has ended: gives a frame that lacks only its end.
    fn finish(&mut self, give: &mut Give<'_>) -> Result<(), Stop>;
}

/// Where frames go.
pub(crate) type Give<'g> = dyn FnMut(Frame<'_>) -> Result<(), Stop> + 'g;

impl<'a> From<sse::Event<'a>> for Frame<'a> {
    fn from(event: sse::Event<'a>) -> Self {
        Self {
            name: event.name,
            data: event.data,
            is_error: event.name == "error",
        }
    }
}

impl Framing for sse::Parser {
    const IS_TEXT: bool = true;

    fn feed(&mut self, piece: &[u8], give: &mut Give<'_>) -> Result<(), Stop> {
        Self::feed(self, piece, |event| give(event.into()))
    }

    fn finish(&mut self, give: &mut Give<'_>) -> Result<(), Stop> {
        Self::finish(self, |event| give(event.into()))
    }
}

impl Framing for lines::Parser {
    const IS_TEXT: bool = false;

    fn feed(&mut self, piece: &[u8], give: &mut Give<'_>) -> Result<(), Stop> {
        Self::feed(self, piece, |line| give(plain(line)))
    }

    fn finish(&mut self, give: &mut Give<'_>) -> Result<(), Stop> {
        Self::finish(self, |line| give(plain(line)))
    }
}

impl Framing for eventstream::Parser {
    // No message is so long that its length begins with one of these.
    const IS_TEXT: bool = true;

    fn feed(&mut self, piece: &[u8], give: &mut Give<'_>) -> Result<(), Stop> {
        Self::feed(self, piece, |message| {
            let data = std::str::from_utf8(message.payload);
            let data = data.map_err(|_| eventstream::Error::Utf8)?;
            let is_error = !matches!(message.kind, "" | "event");
            // Not every error has a body.
            let mut told = Vec::new();
            if is_error && data.is_empty() {
                told.extend_from_slice(b"{\"message\":");
                json::write_string(&mut told, message.error);
                told.push(b'}');
            }
            give(Frame {
                name: message.name,
                data: if told.is_empty() {
                    data
                } else {
                    std::str::from_utf8(&told).unwrap_or("{}")
                },
                is_error,
            })
        })
    }

    fn finish(&mut self, _give: &mut Give<'_>) -> Result<(), Stop> {
        Ok(())
    }
}

const fn plain(data: &str) -> Frame<'_> {
    Frame {
        name: "",
        data,
        is_error: false,
    }
}
