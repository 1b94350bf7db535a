//! An answer that is not streamed: collected, walked once, spliced, and given out when its cost is
//! known.

use crate::dialect::openai_chat::read::Answer;
use crate::dialect::openai_chat::walk::Walker;
use crate::dialect::translate::Spare;
use crate::dialect::{ANSWER_BYTES_MAX, Bill, Translator, classify, shape};
use crate::egress::usage;
use crate::failure::Failure;
use crate::message::Progress;
use crate::wire::splice::Tail;
use bytes::BytesMut;

/// The translator of a whole answer.
pub(crate) struct Whole {
    walker: Walker,
    body: Vec<u8>,
    tail: Tail,
    spare: Spare<Answer>,
}

impl Whole {
    pub(crate) fn new(walker: Walker, spare: Spare<Answer>) -> Self {
        Self {
            walker,
            body: Vec::new(),
            tail: Tail::default(),
            spare,
        }
    }
}

impl Translator for Whole {
    fn feed(&mut self, chunk: &[u8], _out: &mut BytesMut) -> Result<(), Failure> {
        if self.body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(classify::too_large(&self.walker.name, "64 MiB"));
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

    fn end(&mut self, _out: &mut BytesMut) -> Result<(), Failure> {
        let name = &self.walker.name;
        if self.body.is_empty() {
            return Err(classify::empty(name));
        }
        let length = self.body.trim_ascii_end().len();
        self.body.truncate(length);
        let text = std::str::from_utf8(&self.body)
            .map_err(|_| classify::garbage(name, "text that is not UTF-8"))?;
        let seen = self.walker.walk(text)?;
        if seen.choices == 0 {
            return Err(classify::empty(&self.walker.name));
        }
        self.tail = seen.tail;
        self.walker.progress.owed = true;
        self.walker.progress.done = true;
        Ok(())
    }

    fn progress(&self) -> &Progress {
        let spare = self.spare.get().map(Translator::progress);
        spare.unwrap_or(&self.walker.progress)
    }

    fn concede(&mut self, failure: &Failure) -> bool {
        self.spare.concede(&self.body, failure)
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        if let Some(spare) = self.spare.get_mut() {
            return spare.close(bill, out);
        }
        // What the provider says itself stands already.
        let served = bill.served.filter(|_| !self.walker.names_tier);
        let bill = &Bill { served, ..*bill };
        let splices = &mut self.walker.splices;
        self.tail
            .add_with(splices, |text| usage::end_answer(bill, false, text));
        out.reserve(self.body.len() + 1024);
        splices.pieces(&self.body, |piece| out.extend_from_slice(piece));
    }
}
