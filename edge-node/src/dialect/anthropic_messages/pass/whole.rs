//! A whole message: collected, read, and spliced when its cost is known.

use super::Spots;
use crate::dialect::anthropic_messages::reader::Answer;
use crate::dialect::reader::{Mute, Reader};
use crate::dialect::translate::Spare;
use crate::dialect::{ANSWER_BYTES_MAX, Bill, Target, Translator, classify, shape};
use crate::egress::Envelope;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::Progress;
use crate::wire::splice::Splices;
use bytes::BytesMut;

/// The translator of a whole message.
pub(in crate::dialect::anthropic_messages) struct Whole {
    reader: Answer,
    envelope: Envelope,
    body: Vec<u8>,
    spare: Spare<Answer>,
}

impl Whole {
    pub(in crate::dialect::anthropic_messages) fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            reader: Answer::new(target),
            envelope: Envelope::new(call, target),
            body: Vec::new(),
            spare: Spare::new(Answer::new(target), call, target),
        }
    }
}

impl Translator for Whole {
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

    fn end(&mut self, _out: &mut BytesMut) -> Result<(), Failure> {
        let name = &self.reader.notes().name;
        let length = self.body.trim_ascii_end().len();
        self.body.truncate(length);
        if self.body.is_empty() {
            return Err(classify::empty(name));
        }
        let text = std::str::from_utf8(&self.body)
            .map_err(|_| classify::garbage(name, "text that is not UTF-8"))?;
        self.reader.whole(text, &mut Mute)
    }

    fn progress(&self) -> &Progress {
        let spare = self.spare.get().map(Translator::progress);
        spare.unwrap_or_else(|| &self.reader.notes().progress)
    }

    fn concede(&mut self, failure: &Failure) -> bool {
        self.spare.concede(&self.body, failure)
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        if let Some(spare) = self.spare.get_mut() {
            return spare.close(bill, out);
        }
        let text = std::str::from_utf8(&self.body).unwrap_or("{}");
        let spots = Spots::read(text);
        let mut splices = Splices::default();
        spots.mark(&self.envelope, &mut splices);
        spots.charge(text, bill, &mut splices);
        splices.insert(spots.end, bill.told);
        out.reserve(self.body.len() + 512);
        splices.pieces(text.as_bytes(), |piece| out.extend_from_slice(piece));
    }
}
