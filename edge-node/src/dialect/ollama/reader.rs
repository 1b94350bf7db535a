//! Reads an answer, streamed or whole, as canonical events: a whole answer is a stream of one line.
//! Calls come whole, each new, whatever index stands on them.

use crate::dialect::ollama::fields::{Call, Line};
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::single::Single;
use crate::dialect::{Target, classify};
use crate::failure::Failure;
use crate::message::{Detail, Event, Spoken};
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};
use shared::usage::Usage;

/// State over one answer.
#[derive(Debug)]
pub(super) struct Answer {
    single: Single,
}

impl Answer {
    pub(super) fn new(target: &Target<'_>) -> Self {
        Self {
            single: Single::new(target),
        }
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let line = Line::read(frame.data);
        let line = line.map_err(|error| self.single.garbage(error))?;
        if line.has_error {
            return Err(classify::in_band(&self.single.notes.name, frame.data));
        }
        if line.has_message && !self.single.notes.has_begun {
            self.single.notes.give(Event::Start, sink);
        }
        let single = &mut self.single;
        single.think(Detail::plain(), line.thinking, sink);
        single.say(line.text, sink);
        if !line.logprobs.is_empty() {
            let (of, tokens) = (Spoken::Content, line.logprobs);
            single.notes.give(Event::Logprobs { of, tokens }, sink);
        }
        if let Some(start) = line.calls {
            self.calls(frame.data, start, sink)?;
        }
        if line.done {
            self.end_with(&line, sink)?;
        }
        Ok(())
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        let frame = Frame {
            name: "",
            data: text,
            is_error: false,
        };
        self.frame(frame, sink)?;
        let notes = &self.single.notes;
        if notes.progress.done {
            Ok(())
        } else if notes.has_begun {
            Err(classify::truncated(&notes.name))
        } else {
            Err(classify::empty(&notes.name))
        }
    }

    fn notes(&self) -> &Notes {
        &self.single.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.single.notes
    }
}

impl Answer {
    fn calls(&mut self, text: &str, start: usize, sink: &mut dyn Sink) -> Result<(), Failure> {
        let single = &mut self.single;
        let garbage = |single: &Single, error: SyntaxError| single.garbage(error);
        let mut scanner = Scanner::starting(text, start);
        scanner
            .begin_array()
            .map_err(|error| garbage(single, error))?;
        while scanner.element().map_err(|error| garbage(single, error))? {
            let call = Call::read(&mut scanner).map_err(|error| garbage(single, error))?;
            let name = call.name.unwrap_or(Str::EMPTY);
            let index = single.call(None, (call.id, Some(name)), sink)?;
            match call.arguments {
                Some((Kind::Object, raw)) => single.argue_with(index, raw, sink),
                Some((Kind::String, raw)) => {
                    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
                    single.argue(index, inner, sink);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The last line. The prompt's count is missing where all of it was in the server's cache.
    fn end_with(&mut self, line: &Line<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let word = line.done_reason.unwrap_or(Str::EMPTY);
        if let Some(completion) = line.completion {
            self.single.notes.progress.usage = Some(Usage {
                prompt: line.prompt.unwrap_or(0),
                completion,
                estimated: line.prompt.is_none(),
                ..Usage::default()
            });
        }
        self.single.finish(word, "", sink)?;
        self.single.notes.progress.done = true;
        Ok(())
    }
}
