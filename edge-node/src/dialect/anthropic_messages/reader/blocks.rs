//! Content blocks: each is given as it comes, and what must wait for its end is kept until then.

use super::{Answer, REASONING_FORMAT};
use crate::dialect::anthropic_messages::fields::{Citation, Fields, Outline};
use crate::dialect::anthropic_messages::runs::{self, Use};
use crate::dialect::reader::Sink;
use crate::message::{Detail, DetailKind, Escaped, Event};
use crate::wire::json::{self, Scanner, Span, Str, SyntaxError};

/// An open content block.
#[derive(Debug)]
pub(super) enum Block {
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
    pub(super) fn block_start(
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

    pub(super) fn block_delta(
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

    pub(super) fn block_stop(&mut self, index: u64, sink: &mut dyn Sink) {
        let mut blocks = self.blocks.iter();
        if let Some(place) = blocks.position(|(known, _)| *known == index) {
            let (_, block) = self.blocks.swap_remove(place);
            self.shut(block, sink);
        }
    }

    pub(super) fn content(
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

    /// The answer ends: calls that nobody ended have what they have.
    pub(super) fn shut_calls(&mut self, sink: &mut dyn Sink) {
        let blocks = std::mem::take(&mut self.blocks);
        let is_call =
            |(_, block): &(u64, Block)| matches!(block, Block::Call { .. } | Block::Use(_));
        let (calls, others): (Vec<_>, Vec<_>) = blocks.into_iter().partition(is_call);
        self.blocks = others;
        for (_, call) in calls {
            self.shut(call, sink);
        }
    }

    /// Uses without a result: the provider paused before it, and goes on from them.
    pub(super) fn give_uses(&mut self, sink: &mut dyn Sink) {
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

    /// A block ends: gives what was kept for its end.
    pub(super) fn shut(&mut self, block: Block, sink: &mut dyn Sink) {
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

    fn arguments(&mut self, index: usize, piece: &str, sink: &mut dyn Sink) {
        if !piece.is_empty() {
            self.calls.argue(index, piece);
            let text = Escaped(piece);
            self.notes.give(Event::Arguments { index, text }, sink);
        }
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
