//! Answers on their way to a client of the same dialect: events pass as they came, but for the
//! message's id and model, its provider and the cost in its usage. What is new to us passes, too; what was seen
//! is told by the same reader that serves the other APIs.

#[cfg(test)]
mod tests;
mod whole;

pub(super) use whole::Whole;

use crate::dialect::anthropic_messages::fields::{Fields, Outline};
use crate::dialect::anthropic_messages::reader::Answer;
use crate::dialect::reader::{Frame, Mute, Reader};
use crate::dialect::shape::{Shape, Stop};
use crate::dialect::translate::{Out, cut_to_length};
use crate::dialect::{Bill, Target, Translator, classify};
use crate::egress::messages::{end, used};
use crate::egress::{self, Envelope, Writer, usage};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Finish, Progress};
use crate::wire::json::{Kind, Scanner, Span, Str, SyntaxError};
use crate::wire::splice::Splices;
use crate::wire::sse;
use bytes::BytesMut;

/// The translator of a stream.
pub(super) struct Stream {
    parser: sse::Parser,
    shape: Shape,
    body: Body,
}

struct Body {
    reader: Answer,
    envelope: Envelope,
    /// The last `message_delta`: the cost is added when it is known.
    held: String,
    /// For an answer that comes whole although a stream was asked for.
    writer: Box<dyn Writer>,
    /// True once there was such an answer.
    is_whole: bool,
}

impl Stream {
    pub(super) fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            parser: sse::Parser::default(),
            shape: Shape::Unknown,
            body: Body {
                reader: Answer::new(target),
                envelope: Envelope::new(call, target),
                held: String::new(),
                writer: egress::writer(call, target),
                is_whole: false,
            },
        }
    }
}

impl Translator for Stream {
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if !self.shape.take(chunk, &body.reader.notes().name)? {
            return Ok(());
        }
        let fed = self.parser.feed(chunk, |event| body.event(event, out));
        fed.or_else(|Stop(failure)| body.cut(*failure, out))
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if let Shape::Whole(collected) = &self.shape {
            let name = &body.reader.notes().name;
            let text = std::str::from_utf8(collected.trim_ascii())
                .map_err(|_| classify::garbage(name, "text that is not UTF-8"))?;
            body.is_whole = true;
            let writer = &mut *body.writer;
            return body.reader.whole(text, &mut Out { writer, out });
        }
        // The piece of an event at a cut can't be read, and is no news.
        let flushed = self.parser.finish(|event| body.event(event, out));
        let notes = body.reader.notes_mut();
        if notes.progress.finish_reason.is_some() {
            notes.progress.done = true;
            return Ok(());
        }
        match flushed {
            Err(Stop(failure)) if failure.reason != "garbage" => Err(*failure),
            _ if notes.has_begun => Err(classify::truncated(&notes.name)),
            _ => Err(classify::empty(&notes.name)),
        }
    }

    fn progress(&self) -> &Progress {
        &self.body.reader.notes().progress
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        if self.body.is_whole {
            self.body.writer.close(bill, out);
        } else {
            self.body.close(bill, out);
        }
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
            ..event.into()
        };
        let named = if event.name.is_empty() {
            Spots::read(data).kind
        } else {
            event.name.to_owned()
        };
        // Vertex may answer a stream by one event with everything in it.
        if named == "message" && !self.reader.notes().has_begun {
            self.is_whole = true;
            let writer = &mut *self.writer;
            self.reader.frame(frame, &mut Out { writer, out })?;
            return Ok(());
        }
        self.reader.frame(frame, &mut Mute)?;
        match &*named {
            "message_start" => self.start(data, out),
            "message_delta" => {
                self.flush(out);
                data.clone_into(&mut self.held);
            }
            "message_stop" => {}
            name => {
                self.reader.notes_mut().progress.owed |=
                    name == "content_block_start" && is_beyond(data);
                write(name, |out| out.extend_from_slice(data.as_bytes()), out);
            }
        }
        Ok(())
    }

    fn start(&mut self, data: &str, out: &mut BytesMut) {
        let spots = Spots::read(data);
        let inner = spots.message.map(|span| Spots::starting(data, span.start));
        let mut splices = Splices::default();
        let inner = inner.unwrap_or_default();
        inner.mark(&self.envelope, &mut splices);
        inner.complete(&mut splices);
        let give = |out: &mut BytesMut| {
            splices.pieces(data.as_bytes(), |piece| out.extend_from_slice(piece));
        };
        write("message_start", give, out);
    }

    /// A `message_delta` that is not the last.
    fn flush(&mut self, out: &mut BytesMut) {
        if !self.held.is_empty() {
            let held = &self.held;
            write(
                "message_delta",
                |out| out.extend_from_slice(held.as_bytes()),
                out,
            );
        }
    }

    /// A context that is full ends an answer that has begun; any other failure stands.
    fn cut(&mut self, failure: Failure, out: &mut BytesMut) -> Result<(), Failure> {
        let open = self.reader.open_blocks();
        cut_to_length(&mut self.reader, failure, &mut Mute)?;
        for index in open {
            let stop = format!("{{\"type\":\"content_block_stop\",\"index\":{index}}}");
            let give = |out: &mut BytesMut| out.extend_from_slice(stop.as_bytes());
            write("content_block_stop", give, out);
        }
        self.held.clear();
        Ok(())
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        if self.held.is_empty() {
            // The provider stopped without a reason, or there was no room for more.
            let reason = match self.reader.notes().progress.finish_reason {
                Some(Finish::ToolCalls) => "tool_use",
                Some(Finish::Length) => "max_tokens",
                _ => "end_turn",
            };
            self.held = format!(
                concat!(
                    "{{\"type\":\"message_delta\",\"delta\":",
                    "{{\"stop_reason\":\"{}\",\"stop_sequence\":null}}}}",
                ),
                reason
            );
        }
        let held = std::mem::take(&mut self.held);
        let mut splices = Splices::default();
        Spots::read(&held).charge(&held, bill, &mut splices);
        let give = |out: &mut BytesMut| {
            splices.pieces(held.as_bytes(), |piece| out.extend_from_slice(piece));
        };
        write("message_delta", give, out);
        end(bill, out);
    }
}

/// The start of a block that the reader skips: of the provider's own tools, or new. This client is
/// owed it, too; the others are when they say something.
fn is_beyond(data: &str) -> bool {
    let outline = Outline::read(data).ok();
    let block = outline.and_then(|outline| outline.block);
    let fields = block.and_then(|span| Fields::starting(data, span.start).ok());
    let kind = fields.and_then(|fields| fields.kind).map(Str::decode);
    let read = ["text", "thinking", "redacted_thinking", "tool_use"];
    kind.is_some_and(|kind| !read.contains(&&*kind))
}

/// Appends an event; line ends between members would end it.
fn write(name: &str, data: impl FnOnce(&mut BytesMut), out: &mut BytesMut) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let start = out.len();
    data(out);
    let written = out.get_mut(start..).unwrap_or_default();
    if memchr::memchr(b'\n', written).is_some() {
        for byte in written.iter_mut().filter(|byte| **byte == b'\n') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\n\n");
}

/// Where the members stand that are spliced.
#[derive(Debug, Default)]
struct Spots {
    kind: String,
    id: Option<Span>,
    model: Option<Span>,
    provider: Option<Span>,
    usage: Option<Span>,
    /// Where the count of fetched pages is missing beside that of searches: clients demand both.
    fetches: Option<usize>,
    message: Option<Span>,
    /// The object's closing brace.
    end: usize,
}

impl Spots {
    /// Those of a text that is known to be an object.
    fn read(text: &str) -> Self {
        Self::starting(text, 0)
    }

    fn starting(text: &str, at: usize) -> Self {
        let mut spots = Self::default();
        // The reader has checked the text: no error can come.
        let _ = spots.object(&mut Scanner::starting(text, at));
        spots
    }

    fn object(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let name = key.name.decode();
            if name == "type" && kind == Kind::String {
                self.kind = scanner.string()?.decode().into_owned();
                continue;
            }
            if name == "usage" && kind == Kind::Object {
                self.usage(scanner)?;
                continue;
            }
            let value = Some(scanner.value()?);
            match (&*name, kind) {
                ("id", Kind::String) => self.id = value,
                ("model", Kind::String) => self.model = value,
                ("provider", _) => self.provider = value,
                ("message", Kind::Object) => self.message = value,
                _ => {}
            }
        }
        self.end = scanner.at().saturating_sub(1);
        Ok(())
    }

    fn usage(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        let start = scanner.at();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            if key.name.decode() != "server_tool_use" || kind != Kind::Object {
                scanner.value()?;
                continue;
            }
            let mut names = Vec::new();
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                names.push(key.name);
                scanner.value()?;
            }
            let lacks = !names
                .iter()
                .any(|name| name.decode() == "web_fetch_requests");
            if lacks && !names.is_empty() {
                self.fetches = Some(scanner.at().saturating_sub(1));
            }
        }
        self.usage = Some(Span {
            start,
            end: scanner.at(),
        });
        Ok(())
    }

    /// Adds what clients demand and the provider left out.
    fn complete(&self, splices: &mut Splices) {
        if let Some(place) = self.fetches {
            splices.insert(place, ",\"web_fetch_requests\":0");
        }
    }

    /// The message is ours, and says who served it.
    fn mark(&self, envelope: &Envelope, splices: &mut Splices) {
        let marks = [
            (self.id, &envelope.id),
            (self.model, &envelope.model),
            (self.provider, &envelope.provider),
        ];
        for (span, text) in marks {
            if let Some(span) = span {
                splices.replace(span, text);
            }
        }
        if self.provider.is_none() {
            splices.insert(self.end, format!(",\"provider\":{}", envelope.provider));
        }
    }

    /// Puts the cost into the usage; without one all of it.
    fn charge(&self, text: &str, bill: &Bill<'_>, splices: &mut Splices) {
        let Some(usage) = self.usage else {
            splices.insert(self.end, format!(",\"usage\":{}", used(bill)));
            return;
        };
        self.complete(splices);
        let end = usage.end.saturating_sub(1);
        let inner = text.get(usage.start + 1..end).unwrap_or("");
        let comma = if inner.trim().is_empty() { "" } else { "," };
        splices.insert(end, format!("{comma}{}", usage::cost(bill)));
    }
}
