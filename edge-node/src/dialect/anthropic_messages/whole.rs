//! An answer that is not streamed: collected, read as events, and given out as one when its cost is
//! known.

use crate::dialect::anthropic_messages::events::{Reader, Sink};
use crate::dialect::{ANSWER_BYTES_MAX, Bill, Target, Translator, classify};
use crate::egress::answer::Answer;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::{Event, Progress};
use bytes::BytesMut;

/// The translator of a whole answer.
#[derive(Debug)]
pub(crate) struct Whole {
    reader: Reader,
    answer: Answer,
    body: Vec<u8>,
}

impl Sink for Answer {
    fn take(&mut self, event: Event<'_>) {
        self.add(&event);
    }
}

impl Whole {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            reader: Reader::new(&target.provider.name),
            answer: Answer::new(call, target),
            body: Vec::new(),
        }
    }
}

impl Translator for Whole {
    fn feed(&mut self, chunk: &[u8], _out: &mut BytesMut) -> Result<(), Failure> {
        if self.body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(classify::too_large(&self.reader.name, "64 MiB"));
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<(), Failure> {
        let name = &self.reader.name;
        if self.body.trim_ascii().is_empty() {
            return Err(classify::empty(name));
        }
        let text = std::str::from_utf8(&self.body)
            .map_err(|_| classify::garbage(name, "text that is not UTF-8"))?;
        self.reader.whole(text, &mut self.answer)?;
        self.body = Vec::new();
        Ok(())
    }

    fn progress(&self) -> &Progress {
        &self.reader.progress
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.answer.close(bill, out);
    }

    fn fail(&mut self, failure: &Failure, out: &mut BytesMut) {
        out.extend_from_slice(failure.body().to_string().as_bytes());
    }
}
