//! Answers for clients of the same API: the provider's bytes, but for the response's id, its model
//! and what it cost. The reader follows silently, so that what is metered and how an answer fails
//! are the same for every client.

use crate::dialect::openai_responses::fields::Fields;
use crate::dialect::openai_responses::maker;
use crate::dialect::openai_responses::reader::Answer;
use crate::dialect::reader::{Frame, Reader, Sink};
use crate::dialect::shape::{Shape, Stop};
use crate::dialect::{ANSWER_BYTES_MAX, Bill, Target, Translator, classify};
use crate::egress::Envelope;
use crate::egress::responses::usage;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Event, Progress};
use crate::wire::json::{Kind, Scanner, Span, SyntaxError};
use crate::wire::splice::{Members, Splices};
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
        last: String::new(),
    };
    if call.stream {
        Box::new(Stream {
            parser: sse::Parser::default(),
            shape: Shape::Unknown,
            body,
        })
    } else {
        let collected = Vec::new();
        Box::new(Whole { body, collected })
    }
}

/// Nobody listens.
struct Silence;

impl Sink for Silence {
    fn take(&mut self, _event: Event<'_>) {}
}

/// What passes, without its framing.
struct Body {
    reader: Answer,
    envelope: Envelope,
    /// How items of reasoning are marked.
    maker: Option<&'static str>,
    splices: Splices,
    /// The last event or the whole answer: it waits for its cost.
    last: String,
}

/// A streamed answer.
struct Stream {
    parser: sse::Parser,
    shape: Shape,
    body: Body,
}

impl Translator for Stream {
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if !self.shape.take(chunk, &body.reader.notes().name)? {
            return Ok(());
        }
        let fed = self.parser.feed(chunk, |event| body.event(event, out));
        fed.map_err(|Stop(failure)| *failure)
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if let Shape::Whole(collected) = &self.shape {
            body.whole(collected)?;
            let answer = std::mem::take(&mut body.last);
            let event = "{\"type\":\"response.completed\",\"sequence_number\":0,\"response\":";
            body.last = format!("{event}{answer}}}");
            return Ok(());
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
        self.collected.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<(), Failure> {
        self.body.whole(&std::mem::take(&mut self.collected))
    }

    fn progress(&self) -> &Progress {
        &self.body.reader.notes().progress
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
        self.reader.frame(frame, &mut Silence)?;
        if self.reader.notes().progress.done {
            data.clone_into(&mut self.last);
            return Ok(());
        }
        self.splices.clear();
        let has = |word: &[u8]| memchr::memmem::find(data.as_bytes(), word).is_some();
        if has(b"\"response\"") || self.maker.is_some() && has(b"\"reasoning\"") {
            // The reader has read it.
            let _ = self.mark(data, None);
        }
        self.write(event.name, data, out);
        Ok(())
    }

    /// Keeps a whole answer; a whole error is an error.
    fn whole(&mut self, collected: &[u8]) -> Result<(), Failure> {
        let name = &self.reader.notes().name;
        let body = collected.trim_ascii();
        if body.is_empty() {
            return Err(classify::empty(name));
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| classify::garbage(name, "text that is not UTF-8"))?;
        self.reader.whole(text, &mut Silence)?;
        text.clone_into(&mut self.last);
        Ok(())
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

    /// Notes the edits of an event.
    fn mark(&mut self, data: &str, bill: Option<&Bill<'_>>) -> Result<(), SyntaxError> {
        self.splices.clear();
        let event = Fields::whole(data)?;
        if let Some(item) = event.item {
            self.mark_item(&mut Scanner::starting(data, item.start))?;
        }
        match event.response {
            Some(response) => self.mark_response(data, response, bill),
            None => Ok(()),
        }
    }

    /// Notes the edits of a response object; with a bill it gets its cost.
    fn mark_response(
        &mut self,
        data: &str,
        response: Span,
        bill: Option<&Bill<'_>>,
    ) -> Result<(), SyntaxError> {
        let mut scanner = Scanner::starting(data, response.start);
        let mut has_usage = false;
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            let mut value = scanner.clone();
            let span = scanner.value()?;
            members.keep(&mut self.splices, key.start, span.end);
            match (&*key.name.decode(), bill) {
                ("id", _) => self.splices.replace(span, &self.envelope.id),
                ("model", _) => self.splices.replace(span, &self.envelope.model),
                ("output", _) if kind == Kind::Array && self.maker.is_some() => {
                    value.begin_array()?;
                    while value.element()? {
                        self.mark_item(&mut value)?;
                    }
                }
                ("usage", Some(bill)) => {
                    has_usage = true;
                    self.price(&mut value, (kind, span), bill)?;
                }
                _ => {}
            }
        }
        let mut tail = members.finish(&mut self.splices);
        if let Some(bill) = bill {
            if !has_usage {
                let usage = format!("\"usage\":{}", usage::object(bill));
                tail.add(&mut self.splices, usage);
            }
            if let Some(explain) = bill.explain {
                tail.add(&mut self.splices, format!("\"godwit_explain\":{explain}"));
            }
        }
        Ok(())
    }

    /// The provider's own counts, and what they cost; ours where it gives none.
    fn price(
        &mut self,
        scanner: &mut Scanner<'_>,
        (kind, span): (Kind, Span),
        bill: &Bill<'_>,
    ) -> Result<(), SyntaxError> {
        if kind != Kind::Object {
            self.splices.replace(span, usage::object(bill));
            return Ok(());
        }
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let end = scanner.value()?.end;
            let name = key.name.decode();
            if matches!(&*name, "cost" | "is_byok" | "cost_details") {
                members.remove(&mut self.splices, key.start, end);
            } else {
                members.keep(&mut self.splices, key.start, end);
            }
        }
        let mut tail = members.finish(&mut self.splices);
        tail.add(&mut self.splices, usage::cost(bill));
        Ok(())
    }

    /// Consumes an item. Reasoning is marked with its maker, so that it goes back to no other.
    fn mark_item(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        let Some(maker) = self.maker.filter(|_| scanner.kind() == Ok(Kind::Object)) else {
            scanner.value()?;
            return Ok(());
        };
        let mut is_reasoning = false;
        scanner.begin_object()?;
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key()? {
            let value = scanner.value()?;
            members.keep(&mut self.splices, key.start, value.end);
            is_reasoning |= key.name.decode() == "type" && scanner.raw(value) == "\"reasoning\"";
        }
        if is_reasoning {
            let mut tail = members.finish(&mut self.splices);
            tail.add(&mut self.splices, format!("\"format\":\"{maker}\""));
        }
        Ok(())
    }
}
