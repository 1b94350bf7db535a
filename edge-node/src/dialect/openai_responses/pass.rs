//! Answers for clients of the same API: the provider's bytes, but for the response's id, its model
//! and what it cost. The reader follows silently, so that what is metered and how an answer fails
//! are the same for every client.

mod cut;
mod mark;

#[cfg(test)]
mod tests;

use crate::dialect::openai_responses::fields::Fields;
use crate::dialect::openai_responses::maker;
use crate::dialect::openai_responses::reader::Answer;
use crate::dialect::reader::{Frame, Mute, Reader, Sink};
use crate::dialect::shape::{self, Shape, Stop};
use crate::dialect::translate::Out;
use crate::dialect::{ANSWER_BYTES_MAX, Bill, Target, Translator, classify};
use crate::egress::{self, Envelope, Writer};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Finish, Progress};
use crate::wire::json::Span;
use crate::wire::splice::Splices;
use crate::wire::sse;
use bytes::BytesMut;

/// Whose reasoning needs no mark: it is what this API's clients expect.
const NATIVE: &str = "openai-responses-v1";

/// The translator for a client of this API.
pub(super) fn translator(call: &Call, target: &Target<'_>) -> Box<dyn Translator> {
    let body = Body {
        reader: Answer::new(target),
        envelope: Envelope::new(call, target),
        maker: Some(maker(target)).filter(|maker| *maker != NATIVE),
        splices: Splices::default(),
        calls: Vec::new(),
        number: 0,
        last: String::new(),
        kept: cut::Kept::default(),
    };
    if call.stream {
        Box::new(Stream {
            parser: sse::Parser::default(),
            shape: Shape::Unknown,
            body,
            writer: egress::writer(call, target),
        })
    } else {
        let collected = Vec::new();
        Box::new(Whole { body, collected })
    }
}

/// What passes, without its framing.
struct Body {
    reader: Answer,
    envelope: Envelope,
    /// How items of reasoning are marked.
    maker: Option<&'static str>,
    splices: Splices,
    /// Places and names (with quotes) of the calls whose arguments have not ended.
    calls: Vec<(u64, String)>,
    /// The number of the next event, where the provider does not number them.
    number: u64,
    /// The last event or the whole answer: it waits for its cost.
    last: String,
    /// What has passed, should there be no room for more.
    kept: cut::Kept,
}

/// A streamed answer.
struct Stream {
    parser: sse::Parser,
    shape: Shape,
    body: Body,
    /// For an answer that comes whole although a stream was asked for.
    writer: Box<dyn Writer>,
}

impl Translator for Stream {
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if !self.shape.take(chunk, &body.reader.notes().name)? {
            return Ok(());
        }
        let fed = self.parser.feed(chunk, |event| body.event(event, out));
        fed.or_else(|Stop(failure)| body.cut(*failure))
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if let Shape::Whole(collected) = &self.shape {
            let writer = &mut *self.writer;
            return body.whole(collected, &mut Out { writer, out });
        }
        let flushed = self.parser.finish(|event| body.event(event, out));
        let notes = body.reader.notes();
        match flushed {
            _ if notes.progress.finish_reason.is_some() => Ok(()),
            // The piece of an event at a cut is no JSON.
            Err(Stop(failure)) if failure.reason != "garbage" => Err(*failure),
            _ if notes.has_begun => Err(classify::truncated(&notes.name)),
            _ => Err(classify::empty(&notes.name)),
        }
    }

    fn progress(&self) -> &Progress {
        &self.body.reader.notes().progress
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        if matches!(self.shape, Shape::Whole(_)) {
            return self.writer.close(bill, out);
        }
        let last = std::mem::take(&mut self.body.last);
        // The text was read before.
        let _ = self.body.mark(&last, Some(bill));
        let kind = Fields::whole(&last).ok().and_then(|fields| fields.kind);
        let name = kind.map_or_else(|| "response.completed".into(), |kind| kind.decode());
        self.body.write(&name, &last, out);
    }
}

/// An answer that is not streamed.
struct Whole {
    body: Body,
    collected: Vec<u8>,
}

impl Translator for Whole {
    fn feed(&mut self, chunk: &[u8], _out: &mut BytesMut) -> Result<(), Failure> {
        if self.collected.len() + chunk.len() > ANSWER_BYTES_MAX {
            let name = &self.body.reader.notes().name;
            return Err(classify::too_large(name, "64 MiB"));
        }
        let chunk = if self.collected.is_empty() {
            shape::beginning(chunk)
        } else {
            chunk
        };
        self.collected.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<(), Failure> {
        self.body
            .whole(&std::mem::take(&mut self.collected), &mut Mute)
    }

    fn progress(&self) -> &Progress {
        &self.body.reader.notes().progress
    }

    /// It says so itself.
    fn concede(&mut self, failure: &Failure) -> bool {
        let progress = &mut self.body.reader.notes_mut().progress;
        let is_told = !matches!(failure.reason, "truncated" | "garbage" | "too_large");
        if !progress.said || !is_told {
            return false;
        }
        progress.finish_reason = Some(Finish::Error);
        progress.done = true;
        true
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        let last = std::mem::take(&mut self.body.last);
        // The text was read before.
        let _ = self
            .body
            .mark_response(&last, Span { start: 0, end: 0 }, Some(bill));
        let splices = &mut self.body.splices;
        splices.pieces(last.as_bytes(), |piece| out.extend_from_slice(piece));
    }
}

impl Body {
    fn event(&mut self, event: sse::Event<'_>, out: &mut BytesMut) -> Result<(), Stop> {
        let data = event.data.trim_ascii();
        if data.is_empty() || data == "[DONE]" || self.reader.notes().progress.done {
            return Ok(());
        }
        let frame = Frame {
            data,
            ..Frame::from(event)
        };
        self.reader.frame(frame, &mut self.kept)?;
        if self.reader.notes().progress.done {
            data.clone_into(&mut self.last);
            return Ok(());
        }
        // The reader has read it.
        let _ = self.mark(data, None);
        self.number += 1;
        self.write(event.name, data, out);
        Ok(())
    }

    /// Keeps a whole answer; a whole error is an error.
    fn whole(&mut self, collected: &[u8], sink: &mut dyn Sink) -> Result<(), Failure> {
        let name = &self.reader.notes().name;
        let body = collected.trim_ascii();
        if body.is_empty() {
            return Err(classify::empty(name));
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| classify::garbage(name, "text that is not UTF-8"))?;
        let read = self.reader.whole(text, sink);
        text.clone_into(&mut self.last);
        read
    }

    fn write(&mut self, name: &str, data: &str, out: &mut BytesMut) {
        if !name.is_empty() {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\n");
        }
        out.reserve(data.len() + 64);
        out.extend_from_slice(b"data: ");
        let start = out.len();
        self.splices
            .pieces(data.as_bytes(), |piece| out.extend_from_slice(piece));
        // Line ends between members would end the event.
        if data.contains('\n') {
            let written = out.get_mut(start..).unwrap_or_default();
            for byte in written.iter_mut().filter(|byte| **byte == b'\n') {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"\n\n");
    }
}
