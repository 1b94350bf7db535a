//! Reads an answer, streamed or whole, as canonical events. Uses of Bedrock's own tools are not
//! calls to the client; usage comes behind the end.

use crate::dialect::bedrock_converse::counts::Counts;
use crate::dialect::bedrock_converse::family::Family;
use crate::dialect::bedrock_converse::fields::{Citation, Fields};
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::single::{Single, escaped};
use crate::dialect::{Target, classify};
use crate::failure::Failure;
use crate::message::{Detail, DetailKind, Escaped, Event};
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};

/// How many blocks may be open at once.
const OPEN_BLOCKS_MAX: usize = 256;
/// How reasoning that goes back to Anthropic's models is marked.
const CLAUDE: Escaped<'_> = Escaped("anthropic-claude-v1");

/// State over one answer.
#[derive(Debug)]
pub(super) struct Answer {
    single: Single,
    counts: Counts,
    blocks: Vec<(u64, Block)>,
    /// Details of reasoning so far.
    thoughts: usize,
    /// The format of the picture that was announced last.
    picture: String,
    /// The form of reasoning.
    format: Escaped<'static>,
}

/// An open content block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Block {
    /// With its first character.
    Text(usize),
    /// With its detail.
    Thought(usize),
    /// With its call.
    Call(usize),
    /// Nothing that the client gets.
    Other,
}

impl Answer {
    pub(super) fn new(target: &Target<'_>) -> Self {
        Self {
            single: Single::new(target),
            counts: Counts::default(),
            blocks: Vec::new(),
            thoughts: 0,
            picture: "png".to_owned(),
            format: if Family::of(target) == Family::Claude {
                CLAUDE
            } else {
                Escaped("")
            },
        }
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let Frame { name, data, .. } = frame;
        if frame.is_error || name.ends_with("Exception") {
            return Err(classify::in_frame(&self.single.notes.name, name, data));
        }
        let fields = Fields::read(data, &mut self.counts);
        let fields = fields.map_err(|error| self.single.garbage(error))?;
        match name {
            "messageStart" => self.single.notes.give(Event::Start, sink),
            "contentBlockStart" | "contentBlockDelta" => self.piece(&fields, sink)?,
            "contentBlockStop" => self.shut(fields.index, sink),
            "messageStop" => {
                if let Some(word) = fields.stop_reason {
                    self.finish(word, &fields, sink)?;
                }
            }
            "metadata" => {
                let progress = &mut self.single.notes.progress;
                progress.usage = self.counts.usage();
                progress.done = progress.finish_reason.is_some();
            }
            // Whatever is new.
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        let fields = Fields::read(text, &mut self.counts);
        let fields = fields.map_err(|error| self.single.garbage(error))?;
        let Some(start) = fields.content else {
            return Err(classify::in_band(&self.single.notes.name, text));
        };
        self.single.notes.give(Event::Start, sink);
        self.content(text, start, sink)?;
        let Some(word) = fields.stop_reason else {
            return Err(classify::truncated(&self.single.notes.name));
        };
        self.single.notes.progress.usage = self.counts.usage();
        self.finish(word, &fields, sink)?;
        self.single.notes.progress.done = true;
        Ok(())
    }

    fn notes(&self) -> &Notes {
        &self.single.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.single.notes
    }
}

impl Answer {
    fn finish(
        &mut self,
        word: Str<'_>,
        fields: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let stop = fields.stop_sequence.map_or("", Str::inner);
        self.single.finish(word, stop, sink)
    }

    fn block(&self, index: u64) -> Option<Block> {
        let mut blocks = self.blocks.iter();
        let found = blocks.find(|(known, _)| *known == index);
        found.map(|(_, block)| *block)
    }

    fn set(&mut self, index: u64, block: Block) -> Result<Block, Failure> {
        self.blocks.retain(|(known, _)| *known != index);
        if self.blocks.len() == OPEN_BLOCKS_MAX {
            return Err(self.single.too_large("256 open blocks"));
        }
        self.blocks.push((index, block));
        Ok(block)
    }

    /// The start of a block or a piece of it. Only uses of tools have a start of their own.
    fn piece(&mut self, fields: &Fields<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let index = fields.index;
        let known = self.block(index);
        if fields.call.name.is_some() || fields.call.id.is_some() {
            let block = self.open_call(fields, sink)?;
            self.set(index, block)?;
        } else if fields.thought.is_some() || fields.signature.is_some() {
            let block = match known {
                Some(block @ Block::Thought(_)) => block,
                _ => {
                    let thought = self.next_thought();
                    self.set(index, Block::Thought(thought))?
                }
            };
            if let Block::Thought(thought) = block {
                self.think(thought, fields, sink);
            }
        } else if (fields.text.is_some() || fields.citation.is_there())
            && !matches!(known, Some(Block::Text(_) | Block::Other))
        {
            self.set(index, Block::Text(self.single.characters))?;
        }
        self.redacted(fields.redacted, sink);
        self.picture(fields.image, sink);
        match self.block(index) {
            Some(Block::Call(call)) => self.argue(call, fields, sink),
            Some(Block::Text(start)) => {
                self.single.say(fields.text, sink);
                self.cite(&fields.citation, start, sink);
            }
            Some(Block::Thought(_) | Block::Other) | None => {}
        }
        Ok(())
    }

    fn open_call(&mut self, fields: &Fields<'_>, sink: &mut dyn Sink) -> Result<Block, Failure> {
        let call = &fields.call;
        if call
            .kind
            .is_some_and(|kind| kind.decode() == "server_tool_use")
        {
            return Ok(Block::Other);
        }
        let place = Some(fields.index);
        let index = self.single.call(place, (call.id, call.name), sink)?;
        Ok(Block::Call(index))
    }

    /// Input comes in pieces of a text, or as an object; `{}` is given at the end.
    fn argue(&mut self, call: usize, fields: &Fields<'_>, sink: &mut dyn Sink) {
        match fields.call.input {
            Some((Kind::String, raw)) => {
                let piece = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
                self.single.argue(call, piece, sink);
            }
            Some((Kind::Object, raw)) if raw != "{}" => self.single.argue_with(call, raw, sink),
            _ => {}
        }
    }

    fn shut(&mut self, index: u64, sink: &mut dyn Sink) {
        if let Some(Block::Call(call)) = self.block(index)
            && self.single.calls.is_bare(call)
        {
            self.single.argue(call, "{}", sink);
        }
        self.blocks.retain(|(known, _)| *known != index);
    }

    const fn next_thought(&mut self) -> usize {
        self.thoughts += 1;
        self.thoughts - 1
    }

    fn detail(&self, index: usize, kind: DetailKind) -> Detail<'static> {
        Detail {
            index,
            kind,
            id: Escaped(""),
            format: self.format,
        }
    }

    fn think(&mut self, thought: usize, fields: &Fields<'_>, sink: &mut dyn Sink) {
        let detail = self.detail(thought, DetailKind::Text);
        self.single.think(detail, fields.thought, sink);
        if let Some(signature) = fields.signature.filter(|text| !text.is_empty()) {
            let signature = signature.into();
            let event = Event::Signature { detail, signature };
            self.single.notes.give(event, sink);
        }
    }

    fn redacted(&mut self, data: Option<Str<'_>>, sink: &mut dyn Sink) {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let thought = self.next_thought();
            let detail = self.detail(thought, DetailKind::Encrypted);
            let data = data.into();
            let event = Event::Encrypted { detail, data };
            self.single.notes.give(event, sink);
        }
    }

    /// A picture, whole. In a stream its format stands in the block's start.
    fn picture(&mut self, image: (Option<Str<'_>>, Option<Str<'_>>), sink: &mut dyn Sink) {
        if let Some(format) = image.0 {
            format.inner().clone_into(&mut self.picture);
        }
        if let Some(data) = image.1.filter(|data| !data.is_empty()) {
            let url = format!("data:image/{};base64,{}", self.picture, data.inner());
            let event = Event::Image { url: Escaped(&url) };
            self.single.notes.give(event, sink);
        }
    }

    /// A source with an address or a name, for the text since `start`.
    fn cite(&mut self, citation: &Citation<'_>, start: usize, sink: &mut dyn Sink) {
        let name = citation.source.or(citation.title);
        let name = name.filter(|_| citation.url.is_none());
        if citation.url.is_some() || name.is_some() {
            let event = Event::Citation {
                url: escaped(citation.url),
                name: escaped(name),
                title: escaped(citation.title),
                content: escaped(citation.content),
                start: Some(start),
                end: Some(self.single.characters),
            };
            self.single.notes.give(event, sink);
        }
    }

    /// The blocks of a whole answer.
    fn content(&mut self, text: &str, start: usize, sink: &mut dyn Sink) -> Result<(), Failure> {
        let mut scanner = Scanner::starting(text, start);
        let mut index = 0;
        let garbage = |answer: &Self, error: SyntaxError| answer.single.garbage(error);
        scanner
            .begin_array()
            .map_err(|error| garbage(self, error))?;
        while scanner.element().map_err(|error| garbage(self, error))? {
            let fields = Fields::object(&mut scanner, &mut self.counts);
            let mut fields = fields.map_err(|error| garbage(self, error))?;
            fields.index = index;
            index += 1;
            self.piece(&fields, sink)?;
            self.shut(fields.index, sink);
            let cited = self.cited(text, fields.cited, sink);
            cited.map_err(|error| garbage(self, error))?;
        }
        Ok(())
    }

    /// A block of text with what it rests on.
    fn cited(
        &mut self,
        text: &str,
        (content, citations): (Option<usize>, Option<usize>),
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let first = self.single.characters;
        if let Some(start) = content {
            let mut scanner = Scanner::starting(text, start);
            scanner.begin_array()?;
            while scanner.element()? {
                let fields = Fields::object(&mut scanner, &mut self.counts)?;
                self.single.say(fields.text, sink);
            }
        }
        if let Some(start) = citations {
            let mut scanner = Scanner::starting(text, start);
            scanner.begin_array()?;
            while scanner.element()? {
                let fields = Fields::cited(&mut scanner)?;
                self.cite(&fields.citation, first, sink);
            }
        }
        Ok(())
    }
}
