//! Reads an answer of this dialect, streamed or whole, as canonical events, for clients of another
//! API. What the splice leaves in place for clients of the same API is read here in all the forms
//! that providers give it.

mod choice;
mod fields;
mod parts;
pub(super) mod probabilities;
pub(super) mod sources;

#[cfg(test)]
mod tests;

use crate::dialect::openai_chat::counts::Counts;
use crate::dialect::openai_chat::executed::Executed;
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::{Target, classify};
use crate::failure::Failure;
use crate::ingress::peek::CHOICES_MAX;
use crate::message::{Event, Finish, Served};
use crate::wire::json::{Scanner, Str, SyntaxError};
pub(super) use choice::gave_up;
use choice::{Choice, Spot};
pub(super) use fields::REASONING;
use fields::{ChoiceFields, Outline};
use shared::catalog::Quirk;

/// State over one answer.
#[derive(Debug)]
pub(crate) struct Answer {
    notes: Notes,
    counts: Counts,
    choices: Vec<Choice>,
    /// The choice that events belong to.
    current: usize,
    /// Sources that stand beside the choices, the last list of them, as written.
    sources: String,
    /// Length of the list that was told last.
    told: usize,
    /// The links that were told.
    cited: sources::Told,
    /// Tools that the provider ran.
    executed: Executed,
    /// What ids of calls are made of that come without.
    generation: String,
    reasoning_outside: bool,
    think_tags: bool,
    /// `[DONE]` has come.
    is_done: bool,
    /// What a choice of a whole answer says that it failed with.
    gave_up: Option<Failure>,
    /// The client's stop sequences.
    stops: Vec<String>,
}

impl Answer {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        let generation = target.generation.as_str();
        Self {
            notes: Notes::new(&target.provider.name),
            counts: Counts::default(),
            choices: Vec::new(),
            current: 0,
            sources: String::new(),
            told: 0,
            cited: sources::Told::default(),
            executed: Executed::default(),
            generation: generation.trim_start_matches("gen-").to_owned(),
            reasoning_outside: target.has(Quirk::ReasoningOutsideCompletion),
            think_tags: target.has(Quirk::ThinkTags),
            is_done: false,
            gave_up: None,
            stops: Vec::new(),
        }
    }

    /// Only these are told as what stopped it: what hosts name there has other meanings, too.
    pub(crate) fn stopping_at(mut self, stops: &[Str<'_>]) -> Self {
        let stops = stops.iter().map(|stop| stop.decode().into_owned());
        self.stops = stops.collect();
        self
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        if frame.is_error {
            return Err(classify::in_band(&self.notes.name, frame.data));
        }
        if frame.data == "[DONE]" {
            self.is_done = true;
            self.end(sink);
            let notes = &mut self.notes;
            notes.progress.done = notes.progress.owed;
            notes.has_begun = notes.progress.owed;
            return Ok(());
        }
        self.object(frame.data, false, sink)?;
        Ok(())
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        if self.object(text, true, sink)? == 0 {
            return Err(classify::empty(&self.notes.name));
        }
        let progress = &mut self.notes.progress;
        if let Some(failure) = self.gave_up.take() {
            progress.finish_reason = Some(Finish::Error);
            return Err(failure);
        }
        progress.owed = true;
        progress.done = true;
        Ok(())
    }

    /// With `[DONE]`, or when one choice is complete, the others are.
    fn end(&mut self, sink: &mut dyn Sink) {
        let progress = &self.notes.progress;
        if !progress.owed || progress.finish_reason.is_none() && !self.is_done {
            return;
        }
        for at in 0..self.choices.len() {
            if self.choices.get(at).is_some_and(Choice::is_open) {
                self.turn_to(at, sink);
                self.finish_silently(at, sink);
            }
        }
    }

    fn broke(&mut self, sink: &mut dyn Sink) {
        self.cite_sources(sink);
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }
}

impl Answer {
    /// Reads a chunk or an answer; returns how many choices stood in it.
    fn object(&mut self, text: &str, whole: bool, sink: &mut dyn Sink) -> Result<usize, Failure> {
        let outline = Outline::read(text, &mut self.counts);
        let outline = outline.map_err(|error| self.garbage(error))?;
        self.notes.progress.usage = self.counts.usage(self.reasoning_outside);
        if let Some(error) = outline.error {
            return Err(classify::in_band(&self.notes.name, error));
        }
        let served = outline
            .service_tier
            .and_then(|word| Served::parse(&word.decode()));
        self.notes.progress.served = served.or(self.notes.progress.served);
        if let Some(id) = outline.id.filter(|id| !id.is_empty()) {
            self.notes.has_begun = true;
            if self.notes.progress.upstream_id.is_empty() {
                self.notes.progress.upstream_id = id.decode().into_owned();
            }
        }
        if let Some(sources) = outline
            .sources
            .filter(|raw| raw.len() != self.sources.len() && raw.len() != self.told)
        {
            sources.clone_into(&mut self.sources);
        }
        if self.choices.first().is_some_and(Choice::is_ended) {
            // They come late.
            self.turn_to(0, sink);
            self.cite_sources(sink);
        }
        let Some(start) = outline.choices else {
            return classify::bare(&self.notes.name, text).map_or(Ok(0), Err);
        };
        let mut scanner = Scanner::starting(text, start);
        let mut count = 0;
        scanner.begin_array().map_err(|error| self.garbage(error))?;
        while scanner.element().map_err(|error| self.garbage(error))? {
            let fields = ChoiceFields::read(&mut scanner, whole, &mut self.counts);
            let fields = fields.map_err(|error| self.garbage(error))?;
            self.choice(text, &fields, (count, whole), sink)?;
            count += 1;
        }
        self.notes.progress.usage = self.counts.usage(self.reasoning_outside);
        Ok(count)
    }

    fn choice(
        &mut self,
        text: &str,
        fields: &ChoiceFields<'_>,
        (place, whole): (usize, bool),
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let index = fields.index.unwrap_or(place as u64);
        let Some(at) = usize::try_from(index).ok().filter(|_| index < CHOICES_MAX) else {
            return Err(classify::too_large(&self.notes.name, "128 choices"));
        };
        if whole && fields.body.is_none() && fields.finish.is_none() {
            return Err(classify::garbage(
                &self.notes.name,
                "a choice has no message",
            ));
        }
        if self.choices.is_empty() {
            self.notes.give(Event::Start, sink);
        }
        if self.choices.len() <= at {
            self.choices.resize_with(at + 1, Choice::default);
        }
        self.turn_to(at, sink);
        let spot = Spot {
            text,
            at,
            whole,
            last: whole || fields.finish.is_some(),
        };
        self.speak(spot, fields, sink)
    }

    fn turn_to(&mut self, at: usize, sink: &mut dyn Sink) {
        if self.current != at {
            self.current = at;
            self.notes.give(Event::Choice(at), sink);
        }
    }

    fn garbage(&self, error: SyntaxError) -> Failure {
        classify::garbage(&self.notes.name, error.reason)
    }

    /// The sources beside the choices that the text's own annotations don't name.
    fn cite_sources(&mut self, sink: &mut dyn Sink) {
        let list = std::mem::take(&mut self.sources);
        if !list.is_empty() {
            self.told = list.len();
        }
        for list in [list, self.executed.found()] {
            if list.is_empty() {
                continue;
            }
            let notes = &mut self.notes;
            let give = |event: Event<'_>| notes.give(event, sink);
            // The text was checked when it came in.
            let _ = sources::each(&list, &mut self.cited, give);
        }
    }
}
