//! One choice of an answer: what its delta or message says, in the order in which clients expect
//! it, and how it ends.

use super::Answer;
use super::fields::{Body, ChoiceFields, Small};
use super::parts::{Fault, each, escaped};
use super::sources;
use crate::dialect::calls::Calls;
use crate::dialect::openai_chat::content::{self, Thoughts};
use crate::dialect::reader::Sink;
use crate::dialect::{classify, finish};
use crate::failure::Failure;
use crate::message::{Detail, Escaped, Event, Finish};
use crate::wire::json::{self, Scanner, Str};

/// What is being read, and where it belongs.
#[derive(Clone, Copy)]
pub(super) struct Spot<'t> {
    /// The chunk or answer.
    pub(super) text: &'t str,
    /// The choice.
    pub(super) at: usize,
    /// It is an answer, not a chunk.
    pub(super) whole: bool,
    /// Nothing follows in this choice.
    pub(super) last: bool,
}

/// State of one choice.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) calls: Calls,
    /// The id of each call, until the client was told of it.
    pub(super) unannounced: Vec<Option<String>>,
    thoughts: Thoughts,
    has_begun: bool,
    finish: Option<Finish>,
}

impl Choice {
    /// True when it has begun and not ended.
    pub(super) const fn is_open(&self) -> bool {
        self.has_begun && self.finish.is_none()
    }

    /// True when it has ended.
    pub(super) const fn is_ended(&self) -> bool {
        self.finish.is_some()
    }
}

impl Answer {
    /// Gives what a choice of a chunk, or of a whole answer, says.
    pub(super) fn speak(
        &mut self,
        spot: Spot<'_>,
        fields: &ChoiceFields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        if let Some(choice) = self.choices.get_mut(spot.at) {
            choice.has_begun = true;
        }
        let nothing = Body::default();
        let body = fields.body.as_ref().unwrap_or(&nothing);
        let said = self
            .body(spot, body, sink)
            .and_then(|()| self.logprobs(spot.text, fields.logprobs, sink));
        said.map_err(|fault| match fault {
            Fault::Syntax(error) => self.garbage(error),
            Fault::Limit(limit) => classify::too_large(&self.notes.name, limit),
        })?;
        self.finish(spot, fields, sink)
    }

    fn body(&mut self, spot: Spot<'_>, body: &Body<'_>, sink: &mut dyn Sink) -> Result<(), Fault> {
        let starting = |start: usize| Scanner::starting(spot.text, start);
        let mut is_told = false;
        if let Some(start) = body.details {
            is_told = self.details(starting(start), sink)?;
        }
        if let Some(reasoning) = body.reasoning.filter(|_| !is_told) {
            is_told = true;
            self.think(reasoning.into(), sink);
        }
        self.content(spot, body, is_told, sink)?;
        if let Some(refusal) = body.refusal {
            self.notes.give(Event::Refusal(refusal.into()), sink);
        }
        if let Some(start) = body.images {
            each(starting(start), |small| {
                if let Some(url) = small.url {
                    self.notes.give(Event::Image { url: url.into() }, sink);
                }
                Ok(())
            })?;
        }
        if let Some(start) = body.audio {
            let small = Small::read(&mut starting(start))?;
            let event = Event::Audio {
                id: escaped(small.id),
                data: escaped(small.text),
                transcript: escaped(small.transcript),
                expires_at: small.expires_at,
            };
            self.notes.give(event, sink);
        }
        if let Some(start) = body.calls {
            each(starting(start), |small| self.call(spot, &small, sink))?;
        }
        if let Some(start) = body.function_call {
            let mut small = Small::read(&mut starting(start))?;
            small.index = Some(0);
            self.call(spot, &small, sink)?;
        }
        if let Some(start) = body.annotations {
            each(starting(start), |small| {
                self.cited.is_news(small.url);
                if let Some(event) = sources::citation(&small) {
                    self.notes.give(event, sink);
                }
                Ok(())
            })?;
        }
        if let Some(list) = body.executed {
            self.executed.read(list)?;
            self.counts.searched(self.executed.searches());
        }
        Ok(())
    }

    fn think(&mut self, text: Escaped<'_>, sink: &mut dyn Sink) {
        if !text.is_empty() {
            let detail = Detail::plain();
            self.notes.give(Event::Reasoning { detail, text }, sink);
        }
    }

    fn say(&mut self, text: Escaped<'_>, sink: &mut dyn Sink) {
        if !text.is_empty() {
            self.notes.give(Event::Text(text), sink);
        }
    }

    /// Content in any form: a string, parts, with thoughts between tags. Thoughts are left out where
    /// reasoning of its own has told them.
    fn content(
        &mut self,
        spot: Spot<'_>,
        body: &Body<'_>,
        is_told: bool,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        if let Some(start) = body.parts {
            let flat = content::flatten(&mut Scanner::starting(spot.text, start))?;
            if !is_told {
                self.think(Escaped(&flat.reasoning), sink);
            }
            self.say(Escaped(&flat.text), sink);
            if !flat.refusal.is_empty() {
                self.notes
                    .give(Event::Refusal(Escaped(&flat.refusal)), sink);
            }
            for url in &flat.images {
                let url = Escaped(url);
                self.notes.give(Event::Image { url }, sink);
            }
            return Ok(());
        }
        if !self.think_tags {
            self.say(escaped(body.content), sink);
            return Ok(());
        }
        let Some(choice) = self.choices.get_mut(spot.at) else {
            return Ok(());
        };
        let piece = body.content.map(Str::decode).unwrap_or_default();
        let split = choice.thoughts.split(&piece, spot.last);
        self.think(Escaped(&escape(&split.reasoning)), sink);
        self.say(Escaped(&escape(&split.text)), sink);
        Ok(())
    }

    /// Ends the choice if the provider says so; a whole answer is always at its end.
    fn finish(
        &mut self,
        spot: Spot<'_>,
        fields: &ChoiceFields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let at = spot.at;
        let Some(choice) = self.choices.get(at) else {
            return Ok(());
        };
        let Some(word) = fields.finish else {
            if spot.whole {
                self.finish_silently(at, sink);
            }
            return Ok(());
        };
        if choice.finish.is_some() {
            // Said again, with usage.
            return Ok(());
        }
        let word = word.decode();
        let finish = finish::finish_or_guess(&word, self.notes.progress.owed);
        if finish == Finish::Error {
            let failure = gave_up(&self.notes.name, &word, fields.error);
            if !spot.whole {
                return Err(failure);
            }
            // The other choices may be sound.
            self.gave_up.get_or_insert(failure);
        }
        let native = escaped(fields.native.or(fields.finish));
        let is_ours = |stop: &Str<'_>| self.stops.iter().any(|known| *known == stop.decode());
        let stop = escaped(fields.stop.filter(is_ours));
        self.give_finish(at, (finish, native, stop), sink);
        Ok(())
    }

    /// Ends a choice whose provider does not say why.
    pub(super) fn finish_silently(&mut self, at: usize, sink: &mut dyn Sink) {
        let has_calls = |choice: &Choice| !choice.calls.is_empty();
        let finish = if self.choices.get(at).is_some_and(has_calls) {
            Finish::ToolCalls
        } else {
            Finish::Stop
        };
        self.notes.progress.unexplained = true;
        self.give_finish(at, (finish, Escaped(""), Escaped("")), sink);
    }

    fn give_finish(
        &mut self,
        at: usize,
        (finish, native, stop): (Finish, Escaped<'_>, Escaped<'_>),
        sink: &mut dyn Sink,
    ) {
        let Some(choice) = self.choices.get_mut(at) else {
            return;
        };
        choice.finish = Some(finish);
        if matches!(finish, Finish::Stop | Finish::ToolCalls) {
            self.notes.progress.tool_error |= !choice.calls.are_sound();
        }
        let bare: Vec<usize> = choice.calls.bare().collect();
        for index in bare {
            choice.calls.argue(index, "{}");
            let pending = choice.unannounced.get_mut(index);
            if let Some(id) = pending.and_then(Option::take) {
                let (id, name) = (Escaped(&id), Escaped(""));
                self.notes.give(Event::Call { index, id, name }, sink);
            }
            let text = Escaped("{}");
            self.notes.give(Event::Arguments { index, text }, sink);
        }
        if at == 0 {
            self.cite_sources(sink);
        }
        let event = Event::Finish {
            finish,
            native,
            stop,
        };
        self.notes.give(event, sink);
    }
}

/// A choice ends in an error; `told` is the provider's error object, where it gives one.
pub(in crate::dialect::openai_chat) fn gave_up(
    provider: &str,
    word: &str,
    told: Option<&str>,
) -> Failure {
    if let Some(told) = told {
        return classify::in_band(provider, told);
    }
    let message = format!("{provider} gave up: {word}");
    Failure::provider(502, "finish_error", message).with_provider_code(word)
}

/// A text as the inside of a JSON string.
fn escape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    json::write_escaped(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}
