//! Reads an answer, streamed or whole, as canonical events. What the provider's own tools did is
//! told as that ([`super::runs`]): it is no call to the client.

mod blocks;

use crate::dialect::anthropic_messages::counts::Counts;
use crate::dialect::anthropic_messages::fields::{Fields, Outline};
use crate::dialect::anthropic_messages::runs::Runs;
use crate::dialect::calls::{CALLS_MAX, Calls};
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::{Target, classify, finish};
use crate::failure::Failure;
use crate::message::{Escaped, Event, Finish};
use crate::wire::json::{Scanner, Str, SyntaxError};
use blocks::Block;

/// How many blocks may be open at once.
const OPEN_BLOCKS_MAX: usize = 256;
/// How reasoning details of this dialect are marked.
pub(super) const REASONING_FORMAT: Escaped<'_> = Escaped("anthropic-claude-v1");

/// State over one answer.
#[derive(Debug)]
pub(super) struct Answer {
    notes: Notes,
    counts: Counts,
    blocks: Vec<(u64, Block)>,
    calls: Calls,
    /// Details of reasoning so far.
    thoughts: usize,
    runs: Runs,
    /// Characters of text so far.
    characters: usize,
    /// The stop sequence that was met, as the inside of a JSON string.
    stop: String,
    /// The provider's word for its end is that it failed.
    gave_up: Option<Failure>,
    /// What ids of calls begin with that came without one.
    call_id: String,
}

impl Answer {
    pub(super) fn new(target: &Target<'_>) -> Self {
        let generation = target.generation.as_str().trim_start_matches("gen-");
        Self {
            notes: Notes::new(&target.provider.name),
            counts: Counts::default(),
            blocks: Vec::new(),
            calls: Calls::default(),
            thoughts: 0,
            runs: Runs::default(),
            characters: 0,
            stop: String::new(),
            gave_up: None,
            call_id: format!("call_{generation}_"),
        }
    }
}

impl Answer {
    /// The blocks that have begun and not ended, by their index.
    pub(super) fn open_blocks(&self) -> Vec<u64> {
        let mut open: Vec<u64> = self.blocks.iter().map(|(index, _)| *index).collect();
        open.sort_unstable();
        open
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let data = frame.data;
        if data == "[DONE]" {
            return Ok(());
        }
        let outline = Outline::read(data).map_err(|error| self.garbage(error))?;
        let kind = outline.kind.map_or_else(|| frame.name.into(), Str::decode);
        if frame.is_error || kind == "error" || outline.has_error {
            return Err(classify::in_band(&self.notes.name, data));
        }
        let read = match &*kind {
            // Vertex, where the body did not ask for a stream too.
            "message" if outline.content.is_some() => return self.message(data, &outline, sink),
            "message_start" => self.start(data, &outline, sink),
            "content_block_start" => self.block_start(data, &outline, sink),
            "content_block_delta" => self.block_delta(data, &outline, sink),
            "content_block_stop" => {
                self.block_stop(outline.index, sink);
                Ok(())
            }
            "message_delta" => self.message_delta(data, &outline, sink),
            "message_stop" => {
                self.stop(sink);
                Ok(())
            }
            // Pings, and whatever is new.
            _ => Ok(()),
        };
        read.map_err(|error| self.garbage(error))?;
        let calls = self.calls.len().max(self.runs.len());
        if self.blocks.len() > OPEN_BLOCKS_MAX || calls > CALLS_MAX {
            let limit = "256 open blocks or 512 tool calls";
            return Err(classify::too_large(&self.notes.name, limit));
        }
        self.count();
        self.gave_up.take().map_or(Ok(()), Err)
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        let outline = Outline::read(text).map_err(|error| self.garbage(error))?;
        self.message(text, &outline, sink)
    }

    fn broke(&mut self, sink: &mut dyn Sink) {
        for (_, block) in std::mem::take(&mut self.blocks) {
            if matches!(block, Block::Text { .. }) {
                self.shut(block, sink);
            }
        }
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }
}

impl Answer {
    /// A whole answer, of which is known where its members stand.
    fn message(
        &mut self,
        text: &str,
        outline: &Outline<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let Some(content) = outline.content.filter(|_| !outline.has_error) else {
            return Err(classify::in_band(&self.notes.name, text));
        };
        self.note_id(outline.id);
        self.notes.give(Event::Start, sink);
        let read = self.content(text, content, sink);
        read.map_err(|error| self.garbage(error))?;
        if let Some(usage) = outline.usage {
            let mut scanner = Scanner::starting(text, usage.start);
            let read = self.counts.read(&mut scanner, true);
            read.map_err(|error| self.garbage(error))?;
        }
        let Some(word) = outline.stop_reason else {
            return Err(classify::truncated(&self.notes.name));
        };
        self.note_stop(outline.stop_sequence);
        self.finish(word, sink);
        self.count();
        if let Some(failure) = self.gave_up.take() {
            return Err(failure);
        }
        self.notes.progress.done = true;
        Ok(())
    }

    fn count(&mut self) {
        let progress = &mut self.notes.progress;
        progress.usage = self.counts.usage(progress.output_bytes);
        progress.served = self.counts.served();
    }

    fn note_stop(&mut self, sequence: Option<Str<'_>>) {
        if let Some(sequence) = sequence {
            sequence.inner().clone_into(&mut self.stop);
        }
    }

    fn garbage(&self, error: SyntaxError) -> Failure {
        classify::garbage(&self.notes.name, error.reason)
    }

    fn note_id(&mut self, id: Option<Str<'_>>) {
        if let Some(id) = id {
            self.notes.progress.upstream_id = id.decode().into_owned();
        }
    }

    fn start(
        &mut self,
        data: &str,
        outline: &Outline<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if let Some(message) = outline.message {
            let inner = Outline::starting(data, message.start)?;
            self.note_id(inner.id);
            if let Some(usage) = inner.usage {
                let mut scanner = Scanner::starting(data, usage.start);
                self.counts.read(&mut scanner, false)?;
            }
        }
        self.notes.give(Event::Start, sink);
        Ok(())
    }

    fn message_delta(
        &mut self,
        data: &str,
        outline: &Outline<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if let Some(usage) = outline.usage {
            let mut scanner = Scanner::starting(data, usage.start);
            self.counts.read(&mut scanner, true)?;
        }
        if let Some(delta) = outline.delta {
            let fields = Fields::starting(data, delta.start)?;
            self.note_stop(fields.stop_sequence);
            if let Some(word) = fields.stop_reason {
                self.finish(word, sink);
            }
        }
        Ok(())
    }

    /// The answer is complete, even if the provider did not say why.
    fn stop(&mut self, sink: &mut dyn Sink) {
        self.shut_calls(sink);
        let progress = &mut self.notes.progress;
        progress.done = progress.owed;
        if progress.owed && progress.finish_reason.is_none() {
            let finish = if self.calls.is_empty() {
                Finish::Stop
            } else {
                Finish::ToolCalls
            };
            let event = Event::Finish {
                finish,
                native: Escaped(""),
                stop: Escaped(""),
            };
            self.notes.give(event, sink);
        }
        self.notes.has_begun = self.notes.progress.owed;
    }

    fn finish(&mut self, word: Str<'_>, sink: &mut dyn Sink) {
        self.shut_calls(sink);
        let has_output = self.notes.progress.said;
        let said = word.decode();
        let finish = finish::finish_or_guess(&said, has_output);
        if finish == Finish::Error {
            let message = format!("{} gave up: {said}", self.notes.name);
            let failure = Failure::provider(502, "finish_error", message);
            self.gave_up = Some(failure.with_provider_code(said));
            return;
        }
        self.give_uses(sink);
        let complete = matches!(finish, Finish::Stop | Finish::ToolCalls);
        self.notes.progress.tool_error |= complete && !self.calls.are_sound();
        let event = Event::Finish {
            finish,
            native: word.into(),
            stop: Escaped(&self.stop),
        };
        self.notes.give(event, sink);
    }
}
