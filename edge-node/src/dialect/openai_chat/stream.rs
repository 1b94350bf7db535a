//! A streamed answer: each chunk is walked, spliced and passed on at once. Usage is held for the
//! end; an answer that comes whole although a stream was asked for is sent as one chunk.

use crate::dialect::openai_chat::walk::Walker;
use crate::dialect::shape::{Shape, Stop};
use crate::dialect::{Bill, Translator, classify};
use crate::egress::usage;
use crate::failure::Failure;
use crate::message::{Finish, Progress};
use crate::wire::sse::{self, Event};
use bytes::BytesMut;
use serde_json::Value;

/// The translator of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    parser: sse::Parser,
    body: Body,
    shape: Shape,
}

/// The chunks, without the framing.
#[derive(Debug)]
struct Body {
    walker: Walker,
    /// The context was full in the middle of the answer.
    is_cut: bool,
}

impl Stream {
    pub(crate) fn new(walker: Walker) -> Self {
        Self {
            parser: sse::Parser::default(),
            body: Body {
                walker,
                is_cut: false,
            },
            shape: Shape::Unknown,
        }
    }
}

impl Translator for Stream {
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if !self.shape.take(chunk, &body.walker.name)? {
            return Ok(());
        }
        let fed = self.parser.feed(chunk, |event| body.event(event, out));
        fed.or_else(|Stop(failure)| body.cut_to_length(*failure))
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        let body = &mut self.body;
        if let Shape::Whole(collected) = &self.shape {
            return body.whole(collected, out);
        }
        let flushed = self.parser.finish(|event| body.event(event, out));
        let progress = &body.walker.progress;
        let complete = progress.finish_reason.is_some() || (progress.done && progress.owed);
        match flushed {
            // The piece of an event at a cut is no JSON.
            Err(Stop(failure)) if !complete && failure.reason != "garbage" => Err(*failure),
            _ if complete => {
                body.walker.progress.done = true;
                Ok(())
            }
            _ if progress.owed || !progress.upstream_id.is_empty() && !progress.done => {
                Err(classify::truncated(&body.walker.name))
            }
            _ => Err(classify::empty(&body.walker.name)),
        }
    }

    fn progress(&self) -> &Progress {
        &self.body.walker.progress
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.body.finish_open_choices(out);
        usage::end_stream(&self.body.walker.envelope, bill, out);
    }
}

impl Body {
    fn event(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<(), Stop> {
        let data = event.data.trim_ascii();
        if data.is_empty() || self.walker.progress.done {
            return Ok(());
        }
        if data == "[DONE]" {
            self.walker.progress.done = true;
            return Ok(());
        }
        if event.name == "error" {
            let failure = classify::in_band(&self.walker.name, data);
            return Err(failure.into());
        }
        self.chunk(data, out).map_err(Stop::from)
    }

    fn chunk(&mut self, data: &str, out: &mut BytesMut) -> Result<(), Failure> {
        let seen = self.walker.walk(data)?;
        if !seen.news {
            return Ok(());
        }
        out.extend_from_slice(self.walker.before.as_bytes());
        out.reserve(data.len() + 256);
        out.extend_from_slice(b"data: ");
        let start = out.len();
        self.walker
            .splices
            .pieces(data.as_bytes(), |piece| out.extend_from_slice(piece));
        // Line ends between members would end the event.
        if memchr::memchr(b'\n', data.as_bytes()).is_some() {
            let written = out.get_mut(start..).unwrap_or_default();
            for byte in written.iter_mut().filter(|byte| **byte == b'\n') {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"\n\n");
        Ok(())
    }

    /// A context that is full ends an answer that has begun; any other failure stands.
    fn cut_to_length(&mut self, failure: Failure) -> Result<(), Failure> {
        let progress = &mut self.walker.progress;
        if !failure.is_full() || !progress.owed || progress.finish_reason.is_some() {
            return Err(failure);
        }
        progress.finish_reason = Some(Finish::Length);
        progress.done = true;
        self.is_cut = true;
        Ok(())
    }

    /// A whole answer becomes one chunk; a whole error an error.
    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let name = &self.walker.name;
        let garbage = || classify::garbage(name, "JSON in place of a stream");
        let mut answer: Value = serde_json::from_slice(body).map_err(|_| garbage())?;
        let choices = answer.get_mut("choices").and_then(Value::as_array_mut);
        for choice in choices.into_iter().flatten() {
            if let Some(choice) = choice.as_object_mut()
                && let Some(message) = choice.remove("message")
            {
                choice.insert("delta".to_owned(), message);
            }
        }
        self.chunk(&answer.to_string(), out)?;
        if self.walker.progress.finish_reason.is_none() {
            return Err(classify::garbage(
                &self.walker.name,
                "JSON in place of a stream",
            ));
        }
        self.walker.progress.done = true;
        Ok(())
    }

    /// A provider that never says why it ended was done.
    fn finish_open_choices(&mut self, out: &mut BytesMut) {
        let finish = if self.is_cut {
            Finish::Length
        } else if self.walker.has_calls() {
            Finish::ToolCalls
        } else {
            Finish::Stop
        };
        let open: Vec<usize> = self.walker.open_choices().collect();
        for index in open {
            self.walker.envelope.begin_chunk(out);
            let choice = format!(
                "\"choices\":[{{\"index\":{index},\"delta\":{{}},\"finish_reason\":\"{}\",\"native_finish_reason\":null}}]}}\n\n",
                finish.as_str()
            );
            out.extend_from_slice(choice.as_bytes());
            self.walker.progress.finish_reason.get_or_insert(finish);
            self.walker.progress.unexplained = true;
        }
    }
}
