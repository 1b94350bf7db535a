//! Connects any dialect's reader with any client API's writer: the one place that knows how a body
//! is fed, how it ends, and when it was cut off or empty. What the client's answer looks like is
//! the writer's; a stream may be read for a client that wants one answer, and the other way round.

#[cfg(test)]
mod tests;

use crate::dialect::reader::{Frame, Framing, Reader, Sink};
use crate::dialect::shape::{self, Shape, Stop};
use crate::dialect::{ANSWER_BYTES_MAX, Bill, Target, Translator, classify};
use crate::egress::{self, Writer, quoted};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Escaped, Event, Finish, Progress};
use bytes::BytesMut;

/// The translator of an answer of `target` to `call`, which is streamed by the framing `F` when the
/// client wants a stream.
pub(crate) fn translator<F, R>(reader: R, call: &Call, target: &Target<'_>) -> Box<dyn Translator>
where
    F: Framing + 'static,
    R: Reader + 'static,
{
    let writer = egress::writer(call, target);
    if call.stream {
        Box::new(Stream::<F, R>::new(reader, writer))
    } else {
        Box::new(Whole::new(reader, writer))
    }
}

/// Writes what a reader gives.
pub(super) struct Out<'a> {
    pub(super) writer: &'a mut dyn Writer,
    pub(super) out: &'a mut BytesMut,
}

impl Sink for Out<'_> {
    fn take(&mut self, event: Event<'_>) {
        self.writer.write(&event, self.out);
    }
}

/// A streamed answer: each frame is read, and written at once.
pub(crate) struct Stream<F, R> {
    framing: F,
    reader: R,
    writer: Box<dyn Writer>,
    shape: Shape,
    /// The context was full in the middle of the answer.
    is_cut: bool,
}

impl<F: Framing, R: Reader> Stream<F, R> {
    pub(crate) fn new(reader: R, writer: Box<dyn Writer>) -> Self {
        Self {
            framing: F::default(),
            reader,
            writer,
            shape: if F::IS_TEXT {
                Shape::Unknown
            } else {
                Shape::Events
            },
            is_cut: false,
        }
    }
}

fn read(reader: &mut impl Reader, frame: Frame<'_>, sink: &mut Out<'_>) -> Result<(), Stop> {
    let data = frame.data.trim_ascii();
    if data.is_empty() || reader.notes().progress.done {
        return Ok(());
    }
    let frame = Frame { data, ..frame };
    reader.frame(frame, sink).map_err(Stop::from)
}

impl<F: Framing, R: Reader> Translator for Stream<F, R> {
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let Self { reader, writer, .. } = self;
        if !self.shape.take(chunk, &reader.notes().name)? {
            return Ok(());
        }
        let writer = &mut **writer;
        let mut sink = Out { writer, out };
        let mut give = |frame: Frame<'_>| read(reader, frame, &mut sink);
        let fed = self.framing.feed(chunk, &mut give);
        fed.or_else(|Stop(failure)| {
            cut_to_length(reader, *failure, &mut sink).inspect_err(|_| broke(reader, &mut sink))?;
            self.is_cut = true;
            Ok(())
        })
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        if self.is_cut {
            return Ok(());
        }
        let Self { reader, writer, .. } = self;
        let writer = &mut **writer;
        let mut sink = Out { writer, out };
        if let Shape::Whole(body) = &self.shape {
            return whole(reader, body, &mut sink);
        }
        // The piece of a frame at a cut can't be read, and is no news.
        let mut give = |frame: Frame<'_>| read(reader, frame, &mut sink);
        let flushed = self.framing.finish(&mut give);
        if let Err(Stop(failure)) = flushed
            && reader.notes().progress.finish_reason.is_none()
            && failure.reason != "garbage"
        {
            broke(reader, &mut sink);
            return Err(*failure);
        }
        reader.end(&mut sink);
        if reader.notes().progress.finish_reason.is_none() {
            broke(reader, &mut sink);
        }
        let notes = reader.notes_mut();
        if notes.progress.finish_reason.is_some() {
            notes.progress.done = true;
            Ok(())
        } else if notes.has_begun {
            Err(classify::truncated(&notes.name))
        } else {
            Err(classify::empty(&notes.name))
        }
    }

    fn progress(&self) -> &Progress {
        &self.reader.notes().progress
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.writer.close(bill, out);
    }
}

/// Only what belongs to something that the client has is worth giving.
fn broke(reader: &mut impl Reader, sink: &mut Out<'_>) {
    if reader.notes().progress.owed {
        reader.broke(sink);
    }
}

/// A context that is full ends an answer that has begun; any other failure stands.
pub(super) fn cut_to_length(
    reader: &mut impl Reader,
    failure: Failure,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let notes = reader.notes_mut();
    let progress = &notes.progress;
    if !failure.is_full() || !progress.owed || progress.finish_reason.is_some() {
        return Err(failure);
    }
    let native = failure.provider_code.unwrap_or_default();
    let event = Event::Finish {
        finish: Finish::Length,
        native: Escaped(&native),
        stop: Escaped(""),
    };
    notes.give(event, sink);
    notes.progress.done = true;
    Ok(())
}

/// An answer that is not streamed: collected, then read.
pub(crate) struct Whole<R> {
    reader: R,
    writer: Box<dyn Writer>,
    body: Vec<u8>,
}

impl<R: Reader> Whole<R> {
    pub(crate) fn new(reader: R, writer: Box<dyn Writer>) -> Self {
        Self {
            reader,
            writer,
            body: Vec::new(),
        }
    }
}

impl<R: Reader> Translator for Whole<R> {
    fn feed(&mut self, chunk: &[u8], _out: &mut BytesMut) -> Result<(), Failure> {
        if self.body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(classify::too_large(&self.reader.notes().name, "64 MiB"));
        }
        // Blank lines keep the connection alive.
        let chunk = if self.body.is_empty() {
            shape::beginning(chunk)
        } else {
            chunk
        };
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        let writer = &mut *self.writer;
        let mut sink = Out { writer, out };
        whole(&mut self.reader, &self.body, &mut sink)?;
        self.body = Vec::new();
        Ok(())
    }

    fn progress(&self) -> &Progress {
        &self.reader.notes().progress
    }

    fn concede(&mut self, failure: &Failure) -> bool {
        let notes = self.reader.notes_mut();
        if !notes.progress.said {
            return false;
        }
        // The reader may have said which of several choices failed.
        if notes.progress.finish_reason != Some(Finish::Error) {
            let native = failure.provider_code.as_deref().map(quoted);
            let native = native.as_deref().unwrap_or("\"\"");
            let event = Event::Finish {
                finish: Finish::Error,
                native: Escaped(native.get(1..native.len() - 1).unwrap_or("")),
                stop: Escaped(""),
            };
            notes.progress.note(&event);
            // A whole answer is written at its end.
            self.writer.write(&event, &mut BytesMut::new());
        }
        self.writer.fail(failure);
        notes.progress.done = true;
        true
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.writer.close(bill, out);
    }
}

/// For answers that pass as they came: what becomes of one whose provider gave up. It is read and
/// written anew, because it must say so in the client's words.
pub(crate) struct Spare<R> {
    whole: Whole<R>,
    is_used: bool,
}

impl<R: Reader> Spare<R> {
    pub(crate) fn new(reader: R, call: &Call, target: &Target<'_>) -> Self {
        Self {
            whole: Whole::new(reader, egress::writer(call, target)),
            is_used: false,
        }
    }

    /// As [`Translator::concede`], of this body.
    pub(crate) fn concede(&mut self, body: &[u8], failure: &Failure) -> bool {
        let out = &mut BytesMut::new();
        let read = self
            .whole
            .feed(body, out)
            .and_then(|()| self.whole.end(out));
        // What it says of itself is more than that it can't be read.
        let failure = read.as_ref().err().unwrap_or(failure);
        self.is_used = self.whole.concede(failure);
        self.is_used
    }

    /// The answer, once it is used.
    pub(crate) fn get(&self) -> Option<&Whole<R>> {
        self.is_used.then_some(&self.whole)
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut Whole<R>> {
        self.is_used.then_some(&mut self.whole)
    }
}

fn whole(reader: &mut impl Reader, body: &[u8], sink: &mut Out<'_>) -> Result<(), Failure> {
    let name = &reader.notes().name;
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(classify::empty(name));
    }
    let text =
        std::str::from_utf8(body).map_err(|_| classify::garbage(name, "text that is not UTF-8"))?;
    reader.whole(text, sink)
}
