//! A streamed answer: each event is read, and written as the client's chunk at once.

use crate::dialect::anthropic_messages::events::{Reader, Sink};
use crate::dialect::shape::{Shape, Stop};
use crate::dialect::{Bill, Target, Translator, classify};
use crate::egress::chat::Chunks;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Event, Progress};
use crate::wire::sse;
use bytes::BytesMut;

/// The translator of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    parser: sse::Parser,
    reader: Reader,
    chunks: Chunks,
    shape: Shape,
}

/// Writes chunks.
struct Out<'a> {
    chunks: &'a mut Chunks,
    out: &'a mut BytesMut,
}

impl Sink for Out<'_> {
    fn take(&mut self, event: Event<'_>) {
        self.chunks.write(&event, self.out);
    }
}

impl Stream {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            parser: sse::Parser::default(),
            reader: Reader::new(&target.provider.name),
            chunks: Chunks::new(call, target),
            shape: Shape::Unknown,
        }
    }
}

fn event(reader: &mut Reader, event: sse::Event<'_>, sink: &mut Out<'_>) -> Result<(), Stop> {
    let data = event.data.trim_ascii();
    if data.is_empty() || data == "[DONE]" || reader.progress.done {
        return Ok(());
    }
    reader.event(data, sink).map_err(Stop::from)
}

impl Translator for Stream {
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let Self { reader, chunks, .. } = self;
        if !self.shape.take(chunk, &reader.name)? {
            return Ok(());
        }
        let mut sink = Out { chunks, out };
        let fed = self.parser.feed(chunk, |sse| event(reader, sse, &mut sink));
        fed.map_err(|Stop(failure)| *failure)
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        let Self { reader, chunks, .. } = self;
        let mut sink = Out { chunks, out };
        if let Shape::Whole(body) = &self.shape {
            let text = std::str::from_utf8(body)
                .map_err(|_| classify::garbage(&reader.name, "text that is not UTF-8"))?;
            return reader.whole(text, &mut sink);
        }
        // The piece of an event at a cut is no JSON, and no news.
        let flushed = self.parser.finish(|sse| event(reader, sse, &mut sink));
        if reader.progress.finish_reason.is_some() {
            reader.progress.done = true;
            return Ok(());
        }
        match flushed {
            Err(Stop(failure)) if failure.reason != "garbage" => Err(*failure),
            _ if reader.has_begun() => Err(classify::truncated(&reader.name)),
            _ => Err(classify::empty(&reader.name)),
        }
    }

    fn progress(&self) -> &Progress {
        &self.reader.progress
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.chunks.close(bill, out);
    }

    fn fail(&mut self, failure: &Failure, out: &mut BytesMut) {
        self.chunks.fail(failure, out);
    }
}
