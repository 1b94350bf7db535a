//! Reads an answer, streamed or whole, as canonical events. Every frame is a whole response; the
//! end of a choice is told at the end of the body, because older models say STOP on every frame.

use crate::dialect::gemini::counts::Counts;
use crate::dialect::gemini::fields::{Candidate, Piece, each_of};
use crate::dialect::gemini::model::Model;
use crate::dialect::gemini::sources::{self, Grounding};
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::{Target, classify, finish};
use crate::failure::Failure;
use crate::ingress::peek::CHOICES_MAX;
use crate::message::{Escaped, Event, Finish};
use crate::wire::json::{Kind, Scanner, SyntaxError};
use cite::citation;
use parts::Choice;

mod cite;
mod parts;
mod probabilities;

/// State over one answer.
#[derive(Debug)]
pub(super) struct Answer {
    notes: Notes,
    counts: Counts,
    choices: Vec<Choice>,
    /// The index of the choice that was spoken of last.
    spoken: usize,
    /// Why the prompt was refused.
    blocked: Option<String>,
    /// What ids of calls that came without one begin with.
    call_id: String,
    model: Model,
    /// A candidate ended in an error: told behind the rest of its frame, where the usage stands.
    gave_up: Option<Failure>,
}

/// What goes wrong while a frame is read.
enum Wrong {
    Syntax(SyntaxError),
    Failed(Box<Failure>),
}

impl From<SyntaxError> for Wrong {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl Answer {
    pub(super) fn new(target: &Target<'_>, model: Model) -> Self {
        let generation = target.generation.as_str().trim_start_matches("gen-");
        Self {
            notes: Notes::new(&target.provider.name),
            counts: Counts::default(),
            choices: Vec::new(),
            spoken: 0,
            blocked: None,
            call_id: format!("call_{generation}_"),
            model,
            gave_up: None,
        }
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        if frame.data == "[DONE]" {
            return Ok(());
        }
        if frame.is_error {
            return Err(classify::in_band(&self.notes.name, frame.data));
        }
        self.read(frame.data, sink)
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        if let Err(failure) = self.read(text, sink) {
            if failure.reason == "finish_error" {
                self.end(sink);
                self.notes.progress.finish_reason = Some(Finish::Error);
            }
            return Err(failure);
        }
        self.end(sink);
        let name = &self.notes.name;
        if self.notes.progress.finish_reason.is_some() {
            self.notes.progress.done = true;
            Ok(())
        } else if self.notes.progress.owed {
            Err(classify::truncated(name))
        } else {
            Err(classify::empty(name))
        }
    }

    fn end(&mut self, sink: &mut dyn Sink) {
        if let Some(reason) = self.blocked.take() {
            let place = self.choice(0);
            if let Some(choice) = place.and_then(|place| self.choices.get_mut(place)) {
                let refused = (Finish::ContentFilter, reason);
                choice.finish.get_or_insert(refused);
            }
        }
        for at in 0..self.choices.len() {
            self.finish(at, sink);
        }
    }

    fn broke(&mut self, sink: &mut dyn Sink) {
        for at in 0..self.choices.len() {
            self.cite_held(at, sink);
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
    fn read(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        self.responses(text, sink).map_err(|wrong| match wrong {
            Wrong::Syntax(error) => {
                // An end that stands in a piece of a frame is none: its usage has not come.
                for choice in &mut self.choices {
                    choice.finish = None;
                }
                classify::garbage(&self.notes.name, error.reason)
            }
            Wrong::Failed(failure) => *failure,
        })
    }

    /// One response, or, where a stream was not asked for as events, a list of them.
    fn responses(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Wrong> {
        let mut scanner = Scanner::new(text);
        if scanner.kind()? != Kind::Array {
            return self.response(text, 0, sink);
        }
        scanner.begin_array()?;
        while scanner.element()? {
            let kind = scanner.kind()?;
            let span = scanner.value()?;
            if kind == Kind::Object {
                self.response(text, span.start, sink)?;
            }
        }
        Ok(scanner.end()?)
    }

    /// One response, read as it stands: candidates are spoken of before the rest is seen.
    fn response(&mut self, text: &str, at: usize, sink: &mut dyn Sink) -> Result<(), Wrong> {
        let mut scanner = if at == 0 {
            Scanner::new(text)
        } else {
            // Scanned before, as an element of a list.
            Scanner::starting(text, at)
        };
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            match (&*key.name.decode(), kind) {
                ("candidates", Kind::Array) => self.candidates(text, &mut scanner, sink)?,
                ("usageMetadata", Kind::Object) => self.counts.read(&mut scanner)?,
                ("promptFeedback", Kind::Object) => {
                    self.begin(sink);
                    self.feedback(&mut scanner)?;
                }
                ("responseId", Kind::String) => {
                    let id = scanner.string()?;
                    if self.notes.progress.upstream_id.is_empty() {
                        self.notes.progress.upstream_id = id.decode().into_owned();
                    }
                }
                ("error", kind) if kind != Kind::Null => return Err(self.failed(text, at)?),
                _ => {
                    scanner.value()?;
                }
            }
        }
        if at == 0 {
            scanner.end()?;
        }
        let progress = &mut self.notes.progress;
        progress.usage = self.counts.usage(progress.output_bytes);
        self.gave_up
            .take()
            .map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// What an object with an error in it says.
    fn failed(&self, text: &str, at: usize) -> Result<Wrong, SyntaxError> {
        let mut scanner = Scanner::new(text.get(at..).unwrap_or(""));
        let span = scanner.value()?;
        Ok(classify::in_band(&self.notes.name, scanner.raw(span)).into())
    }

    fn begin(&mut self, sink: &mut dyn Sink) {
        if !self.notes.has_begun {
            self.notes.give(Event::Start, sink);
        }
    }

    fn candidates<'a>(
        &mut self,
        text: &'a str,
        scanner: &mut Scanner<'a>,
        sink: &mut dyn Sink,
    ) -> Result<(), Wrong> {
        self.begin(sink);
        let mut position = 0;
        scanner.begin_array()?;
        while scanner.element()? {
            let candidate = Candidate::read(scanner)?;
            self.candidate(text, &candidate, position, sink)?;
            position += 1;
        }
        Ok(())
    }

    fn feedback(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let kind = scanner.kind()?;
            if key.name.decode() == "blockReason" && kind == Kind::String {
                self.blocked = Some(scanner.string()?.inner().to_owned());
            } else {
                scanner.value()?;
            }
        }
        Ok(())
    }

    /// The place of the choice with this index, made when it is new; none beyond the limit.
    fn choice(&mut self, index: u64) -> Option<usize> {
        let index = usize::try_from(index)
            .ok()
            .filter(|_| index < CHOICES_MAX)?;
        let known = self.choices.iter().position(|c| c.index == index);
        Some(known.unwrap_or_else(|| {
            self.choices.push(Choice::new(index));
            self.choices.len() - 1
        }))
    }

    fn candidate(
        &mut self,
        text: &str,
        candidate: &Candidate<'_>,
        position: u64,
        sink: &mut dyn Sink,
    ) -> Result<(), Wrong> {
        let index = candidate.index.unwrap_or(position);
        let Some(at) = self.choice(index) else {
            return Err(classify::too_large(&self.notes.name, "128 choices").into());
        };
        self.turn_to(at, sink);
        if let Some(choice) = self.choices.get_mut(at) {
            choice.text.parts.clear();
        }
        if let Some(content) = candidate.content {
            let mut failed = None;
            each_of(text, content.start, "parts", |scanner| {
                let piece = Piece::read(scanner)?;
                if failed.is_none() {
                    failed = self.part(at, &piece, sink).err();
                }
                Ok(())
            })?;
            if let Some(failure) = failed {
                return Err(failure.into());
            }
        }
        if let Some(span) = candidate.logprobs {
            probabilities::read(text, span.start, |event| self.notes.give(event, sink))?;
        }
        if let Some(span) = candidate.grounding {
            self.grounding(at, &Grounding::starting(text, span.start)?, sink);
        }
        if let Some(span) = candidate.citations {
            self.cite(at, &sources::recited(text, span.start)?, sink);
        }
        if let Some(word) = &candidate.finish {
            self.ended(at, word);
        }
        Ok(())
    }

    /// What follows is of the choice at this place.
    fn turn_to(&mut self, at: usize, sink: &mut dyn Sink) {
        if let Some(choice) = self.choices.get(at)
            && self.spoken != choice.index
        {
            self.spoken = choice.index;
            self.notes.give(Event::Choice(choice.index), sink);
        }
    }

    /// The provider says that a choice has ended; that may be said again.
    fn ended(&mut self, at: usize, word: &str) {
        let has_output = self.notes.progress.said;
        let finish = finish::finish_or_guess(word, has_output);
        if finish == Finish::Error {
            let message = format!("{} gave up: {word}", self.notes.name);
            let failure = Failure::provider(502, "finish_error", message);
            let failure = failure.with_provider_code(word);
            self.gave_up.get_or_insert(failure);
        }
        if let Some(choice) = self.choices.get_mut(at) {
            choice.finish = Some((finish, word.to_owned()));
        }
    }

    /// Gives the sources that waited for their text.
    fn cite_held(&mut self, at: usize, sink: &mut dyn Sink) {
        let Some(choice) = self.choices.get_mut(at) else {
            return;
        };
        let held = choice.text.release();
        if held.is_empty() {
            return;
        }
        let places: Vec<_> = held
            .iter()
            .map(|source| choice.text.characters(source.bytes))
            .collect();
        self.turn_to(at, sink);
        for (source, place) in held.iter().zip(places) {
            let (url, title) = (Escaped(&source.url), Escaped(&source.title));
            self.notes.give(citation(url, title, place), sink);
        }
    }

    /// Tells the end of a choice.
    fn finish(&mut self, at: usize, sink: &mut dyn Sink) {
        let Some(choice) = self.choices.get_mut(at) else {
            return;
        };
        let Some((finish, native)) = choice.finish.take() else {
            return;
        };
        let has_calls = !choice.calls.is_empty();
        let finish = match finish {
            Finish::Stop if has_calls => Finish::ToolCalls,
            other => other,
        };
        self.notes.progress.tool_error |= has_calls && !choice.calls.are_sound();
        self.cite_held(at, sink);
        self.turn_to(at, sink);
        if let Some(choice) = self.choices.get_mut(at) {
            choice.give_run(None, &mut self.notes, sink);
        }
        let event = Event::Finish {
            finish,
            native: Escaped(&native),
            stop: Escaped(""),
        };
        self.notes.give(event, sink);
    }
}
