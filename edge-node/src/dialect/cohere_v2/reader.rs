//! Reads an answer, streamed or whole, as canonical events. The plan that the model makes before it
//! calls tools is reasoning; a source that is no page is named by its id.

use crate::dialect::Target;
use crate::dialect::classify;
use crate::dialect::cohere_v2::counts::Counts;
use crate::dialect::cohere_v2::fields::{Message, Outline, Small, each};
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::single::{Single, escaped};
use crate::failure::Failure;
use crate::message::{Detail, Event, Spoken};
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};

/// How many sources of one answer are given.
const SOURCES_MAX: usize = 512;

/// State over one answer.
#[derive(Debug)]
pub(super) struct Answer {
    single: Single,
    counts: Counts,
    sources: usize,
}

/// Why an answer can't be read on.
#[derive(Debug)]
enum Fault {
    Syntax(SyntaxError),
    Failed(Box<Failure>),
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl Answer {
    pub(super) fn new(target: &Target<'_>) -> Self {
        Self {
            single: Single::new(target),
            counts: Counts::default(),
            sources: 0,
        }
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        if frame.data == "[DONE]" {
            return Ok(());
        }
        let event = self.event(frame, sink);
        event.map_err(|fault| self.failure(fault))?;
        self.single.notes.progress.usage = self.counts.usage();
        Ok(())
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        let answer = self.answer(text, sink);
        self.single.notes.progress.usage = self.counts.usage();
        answer.map_err(|fault| self.failure(fault))?;
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
    fn failure(&self, fault: Fault) -> Failure {
        match fault {
            Fault::Syntax(error) => self.single.garbage(error),
            Fault::Failed(failure) => *failure,
        }
    }

    fn event(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Fault> {
        let text = frame.data;
        let outline = Outline::read(text, &mut self.counts)?;
        let kind = outline.kind.map_or_else(|| frame.name.into(), Str::decode);
        if frame.is_error || outline.has_error || kind == "error" {
            return Err(classify::in_band(&self.single.notes.name, text).into());
        }
        let delta = match outline.delta {
            Some(start) => Outline::object(&mut Scanner::starting(text, start), &mut self.counts)?,
            None => Outline::default(),
        };
        if delta.has_error {
            return Err(classify::in_band(&self.single.notes.name, text).into());
        }
        if kind == "message-start" {
            self.single.identify(outline.id);
            self.single.notes.give(Event::Start, sink);
        }
        if let Some(start) = delta.message {
            let message = Message::read(&mut Scanner::starting(text, start))?;
            self.message(text, (&message, outline.index), sink)?;
        }
        self.logprobs(text, outline.logprobs.or(delta.logprobs), sink)?;
        if let Some(word) = delta.finish {
            self.single.finish(word, "", sink)?;
            self.single.notes.progress.done = true;
        }
        Ok(())
    }

    fn answer(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Fault> {
        let outline = Outline::read(text, &mut self.counts)?;
        let Some(start) = outline.message.filter(|_| !outline.has_error) else {
            return Err(classify::in_band(&self.single.notes.name, text).into());
        };
        self.single.identify(outline.id);
        self.single.notes.give(Event::Start, sink);
        let message = Message::read(&mut Scanner::starting(text, start))?;
        self.message(text, (&message, None), sink)?;
        self.logprobs(text, outline.logprobs, sink)?;
        let Some(word) = outline.finish else {
            return Err(classify::truncated(&self.single.notes.name).into());
        };
        self.single.finish(word, "", sink)?;
        Ok(())
    }

    /// A message or a piece of one; `index` counts the content or the calls of a stream.
    fn message(
        &mut self,
        text: &str,
        (message, index): (&Message<'_>, Option<u64>),
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        let single = &mut self.single;
        each::<SyntaxError>(text, message.content, |small| {
            single.think(Detail::plain(), small.thinking, sink);
            single.say(small.text, sink);
            Ok(())
        })?;
        single.say(message.text, sink);
        single.think(Detail::plain(), message.plan, sink);
        each::<Fault>(text, message.calls, |small| {
            let call = single.call(index, (small.id, small.name), sink)?;
            single.argue(call, small.arguments.map_or("", Str::inner), sink);
            Ok(())
        })?;
        each::<Fault>(text, message.citations, |small| {
            self.cite(text, &small, sink)
        })
    }

    /// One place of the text and all that it rests on.
    fn cite(&mut self, text: &str, place: &Small<'_>, sink: &mut dyn Sink) -> Result<(), Fault> {
        // Places in a plan are not places in the text.
        let is_of_text = place
            .kind
            .is_none_or(|kind| kind.decode() == "TEXT_CONTENT");
        let at = |count: Option<u64>| {
            let count = count.filter(|_| is_of_text);
            count.and_then(|count| usize::try_from(count).ok())
        };
        each::<Fault>(text, place.sources, |source| {
            if self.sources == SOURCES_MAX {
                return Ok(());
            }
            self.sources += 1;
            let event = Event::Citation {
                url: escaped(source.url),
                name: escaped(source.id.filter(|_| source.url.is_none())),
                title: escaped(source.title),
                content: escaped(source.text),
                start: at(place.start),
                end: at(place.end),
            };
            self.single.notes.give(event, sink);
            Ok(())
        })
    }

    /// Probabilities: a text stands for all tokens of a piece, here for the first of them.
    fn logprobs(
        &mut self,
        text: &str,
        start: Option<usize>,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        each::<Fault>(text, start, |piece| {
            let Some(start) = piece.logprobs else {
                return Ok(());
            };
            let mut scanner = Scanner::starting(text, start);
            let mut token = piece.text.unwrap_or(Str::EMPTY);
            let mut tokens = String::new();
            scanner.begin_array()?;
            while scanner.element()? {
                let is_number = scanner.kind()? == Kind::Number;
                let span = scanner.value()?;
                if !is_number {
                    continue;
                }
                if !tokens.is_empty() {
                    tokens.push(',');
                }
                for piece in [
                    "{\"token\":",
                    token.raw(),
                    ",\"logprob\":",
                    scanner.raw(span),
                ] {
                    tokens.push_str(piece);
                }
                tokens.push_str(",\"bytes\":null,\"top_logprobs\":[]}");
                token = Str::EMPTY;
            }
            if !tokens.is_empty() {
                let (of, tokens) = (Spoken::Content, &*tokens);
                self.single.notes.give(Event::Logprobs { of, tokens }, sink);
            }
            Ok(())
        })
    }
}
