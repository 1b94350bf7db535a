//! Reads an answer, streamed or whole, as canonical events. Pieces are given as they come; what
//! came only with the end of its item, or of the answer, is given then.

use crate::dialect::calls::{CALLS_MAX, Calls};
use crate::dialect::openai_responses::counts::Counts;
use crate::dialect::openai_responses::fields::{Fields, each};
use crate::dialect::openai_responses::items::{ITEMS_MAX, Items};
use crate::dialect::openai_responses::maker;
use crate::dialect::reader::{Frame, Notes, Reader, Sink};
use crate::dialect::{Target, classify, finish};
use crate::failure::Failure;
use crate::message::{Escaped, Event, Finish, Served};
use crate::wire::json::{Scanner, Span, Str, SyntaxError};

/// State over one answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) notes: Notes,
    pub(super) items: Items,
    pub(super) calls: Calls,
    counts: Counts,
    /// What ids of calls are made of that come without.
    pub(super) generation: String,
}

impl Answer {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        let generation = target.generation.as_str();
        Self {
            notes: Notes::new(&target.provider.name),
            items: Items::new(maker(target)),
            calls: Calls::default(),
            counts: Counts::default(),
            generation: generation.trim_start_matches("gen-").to_owned(),
        }
    }
}

impl Reader for Answer {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let data = frame.data;
        if data == "[DONE]" {
            return Ok(());
        }
        let event = Fields::whole(data).map_err(|error| self.garbage(error))?;
        let kind = event.kind.map_or_else(|| frame.name.into(), Str::decode);
        if frame.is_error || kind == "error" || event.error.is_some() {
            return Err(classify::in_band(&self.notes.name, data));
        }
        let read = match &*kind {
            "response.output_text.delta" => self.text(data, &event, sink),
            "response.refusal.delta" => self.refusal(&event, sink),
            "response.function_call_arguments.delta" => self.argument(&event, sink),
            "response.custom_tool_call_input.delta" => self.input(&event, sink),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.thought(&event, kind == "response.reasoning_text.delta", sink)
            }
            "response.output_text.annotation.added" => self.annotation(data, &event, sink),
            "response.output_item.added" => self.item_added(data, &event, sink),
            "response.output_item.done" => self.item_done(data, &event, sink),
            "response.created" | "response.queued" | "response.in_progress" => {
                self.begin(data, event.response, sink)
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => {
                return self.last(data, &event, sink);
            }
            // Repetitions of what the pieces said, and whatever is new.
            _ => Ok(()),
        };
        read.map_err(|error| self.garbage(error))?;
        self.check_limits()
    }

    fn whole(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        let answer = Fields::whole(text).map_err(|error| self.garbage(error))?;
        if answer.output.is_none() {
            return Err(classify::in_band(&self.notes.name, text));
        }
        self.notes.give(Event::Start, sink);
        self.end_of((text, true), &answer, sink)
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }
}

impl Answer {
    fn garbage(&self, error: SyntaxError) -> Failure {
        classify::garbage(&self.notes.name, error.reason)
    }

    fn check_limits(&self) -> Result<(), Failure> {
        if self.items.is_full() || self.calls.len() > CALLS_MAX {
            let limit = format!("{ITEMS_MAX} items or parts, or {CALLS_MAX} tool calls");
            return Err(classify::too_large(&self.notes.name, &limit));
        }
        Ok(())
    }

    fn note_id(&mut self, id: Option<Str<'_>>) {
        if let Some(id) = id
            && self.notes.progress.upstream_id.is_empty()
        {
            self.notes.progress.upstream_id = id.decode().into_owned();
        }
    }

    fn begin(
        &mut self,
        data: &str,
        response: Option<Span>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if let Some(span) = response {
            self.note_id(Fields::at(data, span)?.id);
        }
        if !self.notes.has_begun {
            self.notes.give(Event::Start, sink);
        }
        Ok(())
    }

    /// The event that ends a stream.
    fn last(&mut self, data: &str, event: &Fields<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let Some(span) = event.response else {
            return Err(classify::garbage(
                &self.notes.name,
                "no response in its end",
            ));
        };
        let answer = Fields::at(data, span).map_err(|error| self.garbage(error))?;
        self.end_of((data, false), &answer, sink)
    }

    /// An answer as a whole: gives what of it has not come in pieces, and its end.
    fn end_of(
        &mut self,
        (text, is_whole): (&str, bool),
        answer: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        self.note_id(answer.id);
        self.count(text, answer)
            .map_err(|error| self.garbage(error))?;
        if let Some(failure) = self.failed(text, answer) {
            if is_whole {
                // A whole answer that failed may be better than none.
                let _ = self.items_of(text, answer, sink);
            }
            return Err(failure);
        }
        self.items_of(text, answer, sink)?;
        self.finish(text, answer, sink)
            .map_err(|error| self.garbage(error))?;
        self.notes.progress.done = true;
        Ok(())
    }

    /// What the answer says that it failed with.
    fn failed(&self, text: &str, answer: &Fields<'_>) -> Option<Failure> {
        if let Some(error) = answer.error {
            let error = text.get(error.start..error.end).unwrap_or("");
            return Some(classify::in_band(&self.notes.name, error));
        }
        let status = answer.status.map(Str::decode).unwrap_or_default();
        match &*status {
            "failed" | "cancelled" => {
                let message = format!("{} gave up: {status}", self.notes.name);
                let failure = Failure::provider(502, "finish_error", message);
                Some(failure.with_provider_code(status))
            }
            "in_progress" | "queued" => Some(classify::truncated(&self.notes.name)),
            _ => None,
        }
    }

    /// Gives the items that have not come in pieces.
    fn items_of(
        &mut self,
        text: &str,
        answer: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let mut given = Ok(());
        each(text, answer.output, |place, item| {
            if given.is_ok() && !self.items.is_done(place) {
                self.whole_item(text, place, &item, sink)?;
                given = self.check_limits();
            }
            Ok(())
        })
        .map_err(|error| self.garbage(error))?;
        given
    }

    fn count(&mut self, text: &str, answer: &Fields<'_>) -> Result<(), SyntaxError> {
        for span in [answer.usage, answer.tool_usage].into_iter().flatten() {
            let mut scanner = Scanner::starting(text, span.start);
            self.counts.read(&mut scanner)?;
        }
        if answer.tool_usage.is_none() {
            self.counts.searched(searches(text, answer.output)?);
            let count = |kind| items(text, answer.output, kind);
            self.counts
                .ran(count("file_search_call")?, count("code_interpreter_call")?);
        }
        self.notes.progress.usage = self.counts.usage();
        let served = answer
            .service_tier
            .and_then(|word| Served::parse(&word.decode()));
        self.notes.progress.served = served;
        Ok(())
    }

    fn finish(
        &mut self,
        text: &str,
        answer: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let reason = match answer.incomplete {
            Some(span) => Fields::at(text, span)?.reason,
            None => None,
        };
        let complete = if self.calls.is_empty() {
            Finish::Stop
        } else {
            Finish::ToolCalls
        };
        let finish = match reason {
            Some(reason) => finish::finish_or_guess(&reason.decode(), true),
            None if answer
                .status
                .is_some_and(|word| word.decode() == "incomplete") =>
            {
                Finish::Length
            }
            None => complete,
        };
        self.close_calls(sink);
        self.notes.progress.tool_error |= finish == complete && !self.calls.are_sound();
        let native = reason.or(answer.status);
        let event = Event::Finish {
            finish,
            native: native.map(Escaped::from).unwrap_or_default(),
            stop: Escaped(""),
        };
        self.notes.give(event, sink);
        Ok(())
    }
}

/// How many searches of the web stand in a list of items; pages that were only opened are none.
fn searches(text: &str, output: Option<Span>) -> Result<u64, SyntaxError> {
    let mut count = 0;
    each(text, output, |_, item| {
        if item.kind.map(Str::inner) == Some("web_search_call") {
            let action = match item.action {
                Some(span) => Fields::at(text, span)?.kind,
                None => None,
            };
            count += u64::from(action.is_none_or(|kind| kind.decode() == "search"));
        }
        Ok(())
    })?;
    Ok(count)
}

/// How many items of a kind stand in a list.
fn items(text: &str, output: Option<Span>, kind: &str) -> Result<u64, SyntaxError> {
    let mut count = 0;
    each(text, output, |_, item| {
        count += u64::from(item.kind.map(Str::inner) == Some(kind));
        Ok(())
    })?;
    Ok(count)
}
