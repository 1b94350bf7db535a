//! Reads an answer, streamed or whole, as canonical events. What the provider's own tools did is
//! told as that ([`super::runs`]): it is no call to the client.

use crate::dialect::anthropic_messages::counts::Counts;
use crate::dialect::anthropic_messages::fields::{Citation, Fields, Outline};
use crate::dialect::anthropic_messages::runs::{self, Runs, Use};
use crate::dialect::calls::{CALLS_MAX, Calls};
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::{Target, classify, finish};
use crate::failure::Failure;
use crate::message::{Detail, DetailKind, Escaped, Event, Finish};
use crate::wire::json::{self, Scanner, Span, Str, SyntaxError};

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

/// An open content block.
#[derive(Debug)]
enum Block {
    Text {
        start: usize,
        citations: Vec<Citation>,
    },
    Thinking(usize),
    Call {
        index: usize,
        /// Arguments that came with the block's start, as the inside of a JSON string.
        input: String,
    },
    /// A tool that the provider runs.
    Use(Box<Use>),
    /// Nothing more that the client gets.
    Other,
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

    fn block_start(
        &mut self,
        data: &str,
        outline: &Outline<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let Some(span) = outline.block else {
            return Ok(());
        };
        let fields = Fields::starting(data, span.start)?;
        self.block_stop(outline.index, sink);
        let block = self.open(fields, sink);
        self.blocks.push((outline.index, block));
        Ok(())
    }

    /// A block begins: gives what stands in it already.
    fn open(&mut self, mut fields: Fields<'_>, sink: &mut dyn Sink) -> Block {
        let kind = fields.kind.map(Str::decode).unwrap_or_default();
        match &*kind {
            "text" => {
                let start = self.characters;
                self.text(fields.text, sink);
                let mut citations = Vec::new();
                fields.cited(&mut citations);
                Block::Text { start, citations }
            }
            "thinking" => {
                let index = self.next_thought();
                self.thinking(index, &fields, sink);
                Block::Thinking(index)
            }
            "redacted_thinking" => {
                let index = self.next_thought();
                let data = fields.data.map(Escaped::from).unwrap_or_default();
                let detail = detail(index, DetailKind::Encrypted);
                self.notes.give(Event::Encrypted { detail, data }, sink);
                Block::Other
            }
            "tool_use" => self.open_call(&fields, sink),
            kind if runs::is_use(kind) => Block::Use(Box::new(Use::new(&fields))),
            kind if runs::is_result(kind) => {
                let index = self.next_thought();
                self.runs.end(&fields, index, (&mut self.notes, sink));
                Block::Other
            }
            _ => Block::Other,
        }
    }

    fn open_call(&mut self, fields: &Fields<'_>, sink: &mut dyn Sink) -> Block {
        let name = fields.name.map(Escaped::from).unwrap_or_default();
        let index = self.calls.open();
        let made = format!("{}{index}", self.call_id);
        let given = fields.id.filter(|id| !id.is_empty());
        let id = given.map_or(Escaped(&made), Escaped::from);
        self.notes.give(Event::Call { index, id, name }, sink);
        let given = |raw: &&str| !matches!(*raw, "{}" | "null" | "\"\"");
        let mut input = Vec::new();
        json::write_escaped(&mut input, fields.input.filter(given).unwrap_or(""));
        let input = String::from_utf8(input).unwrap_or_default();
        Block::Call { index, input }
    }

    const fn next_thought(&mut self) -> usize {
        self.thoughts += 1;
        self.thoughts - 1
    }

    fn text(&mut self, text: Option<Str<'_>>, sink: &mut dyn Sink) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.characters += text.decode().chars().count();
            self.notes.give(Event::Text(text.into()), sink);
        }
    }

    fn thinking(&mut self, index: usize, fields: &Fields<'_>, sink: &mut dyn Sink) {
        let detail = detail(index, DetailKind::Text);
        if let Some(text) = fields.thinking.filter(|text| !text.is_empty()) {
            let text = text.into();
            self.notes.give(Event::Reasoning { detail, text }, sink);
        }
        if let Some(signature) = fields.signature.filter(|text| !text.is_empty()) {
            let signature = signature.into();
            self.notes
                .give(Event::Signature { detail, signature }, sink);
        }
    }

    fn block_delta(
        &mut self,
        data: &str,
        outline: &Outline<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let Some(span) = outline.delta else {
            return Ok(());
        };
        let mut fields = Fields::starting(data, span.start)?;
        let mut blocks = self.blocks.iter_mut();
        let block = blocks.find(|(index, _)| *index == outline.index);
        match block.map(|(_, block)| block) {
            Some(Block::Text { citations, .. }) => {
                fields.cited(citations);
                self.text(fields.text, sink);
            }
            Some(Block::Thinking(index)) => {
                let index = *index;
                self.thinking(index, &fields, sink);
            }
            Some(Block::Call { index, .. }) => {
                let index = *index;
                let piece = fields.partial_json.map_or("", Str::inner);
                self.arguments(index, piece, sink);
            }
            Some(Block::Use(used)) => used.ask(fields.partial_json.map_or("", Str::inner)),
            Some(Block::Other) => {}
            // A block that never began: its text is still text.
            None => self.text(fields.text, sink),
        }
        Ok(())
    }

    fn arguments(&mut self, index: usize, piece: &str, sink: &mut dyn Sink) {
        if !piece.is_empty() {
            self.calls.argue(index, piece);
            let text = Escaped(piece);
            self.notes.give(Event::Arguments { index, text }, sink);
        }
    }

    fn block_stop(&mut self, index: u64, sink: &mut dyn Sink) {
        let mut blocks = self.blocks.iter();
        if let Some(place) = blocks.position(|(known, _)| *known == index) {
            let (_, block) = self.blocks.swap_remove(place);
            self.shut(block, sink);
        }
    }

    /// The answer ends: calls that nobody ended have what they have.
    fn shut_calls(&mut self, sink: &mut dyn Sink) {
        let blocks = std::mem::take(&mut self.blocks);
        let is_call =
            |(_, block): &(u64, Block)| matches!(block, Block::Call { .. } | Block::Use(_));
        let (calls, others): (Vec<_>, Vec<_>) = blocks.into_iter().partition(is_call);
        self.blocks = others;
        for (_, call) in calls {
            self.shut(call, sink);
        }
    }

    /// A block ends: gives what was kept for its end.
    fn shut(&mut self, block: Block, sink: &mut dyn Sink) {
        match block {
            Block::Text { start, citations } => {
                for citation in &citations {
                    let event = Event::Citation {
                        url: Escaped(&citation.url),
                        name: Escaped(&citation.name),
                        title: Escaped(&citation.title),
                        content: Escaped(&citation.content),
                        start: Some(start),
                        end: Some(self.characters),
                    };
                    self.notes.give(event, sink);
                }
            }
            Block::Call { index, input } if self.calls.is_bare(index) => {
                let all = if input.is_empty() { "{}" } else { &input };
                self.arguments(index, all, sink);
            }
            Block::Use(used) => self.runs.wait(*used),
            Block::Call { .. } | Block::Thinking(_) | Block::Other => {}
        }
    }

    /// Uses without a result: the provider paused before it, and goes on from them.
    fn give_uses(&mut self, sink: &mut dyn Sink) {
        while let Some(used) = self.runs.next() {
            let index = self.next_thought();
            runs::give(
                Some(&used),
                ("", None),
                index,
                (&mut self.notes, &mut *sink),
            );
        }
    }

    fn content(
        &mut self,
        text: &str,
        content: Span,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let mut scanner = Scanner::starting(text, content.start);
        scanner.begin_array()?;
        while scanner.element()? {
            let fields = Fields::read(&mut scanner)?;
            let block = self.open(fields, sink);
            self.shut(block, sink);
        }
        Ok(())
    }
}

const fn detail(index: usize, kind: DetailKind) -> Detail<'static> {
    Detail {
        index,
        kind,
        id: Escaped(""),
        format: REASONING_FORMAT,
    }
}
