//! What readers of answers with one choice share: text, thoughts and calls on their way to the
//! client, what was used so far, and how the answer ends.

use crate::dialect::calls::Calls;
use crate::dialect::reader::{Notes, Sink};
use crate::dialect::{Target, classify, finish};
use crate::failure::Failure;
use crate::message::{Detail, Escaped, Event, Finish};
use crate::wire::json::{self, Str, SyntaxError};

/// An answer with one choice.
#[derive(Debug)]
pub(crate) struct Single {
    pub(crate) notes: Notes,
    pub(crate) calls: Calls,
    /// What ids of calls are made of that come without.
    generation: String,
    /// Characters of text so far.
    pub(crate) characters: usize,
}

impl Single {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        let generation = target.generation.as_str();
        Self {
            notes: Notes::new(&target.provider.name),
            calls: Calls::default(),
            generation: generation.trim_start_matches("gen-").to_owned(),
            characters: 0,
        }
    }

    pub(crate) fn garbage(&self, error: SyntaxError) -> Failure {
        classify::garbage(&self.notes.name, error.reason)
    }

    pub(crate) fn too_large(&self, limit: &str) -> Failure {
        classify::too_large(&self.notes.name, limit)
    }

    /// Notes the provider's own id; the first one stays.
    pub(crate) fn identify(&mut self, id: Option<Str<'_>>) {
        let known = &mut self.notes.progress.upstream_id;
        if let Some(id) = id.filter(|_| known.is_empty()) {
            *known = id.decode().into_owned();
        }
    }

    pub(crate) fn say(&mut self, text: Option<Str<'_>>, sink: &mut dyn Sink) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.characters += text.decode().chars().count();
            self.notes.give(Event::Text(text.into()), sink);
        }
    }

    pub(crate) fn think(&mut self, detail: Detail<'_>, text: Option<Str<'_>>, sink: &mut dyn Sink) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let text = text.into();
            self.notes.give(Event::Reasoning { detail, text }, sink);
        }
    }

    /// The call of a piece with this index and id, the client being told of a new one; its index.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn call(
        &mut self,
        index: Option<u64>,
        (id, name): (Option<Str<'_>>, Option<Str<'_>>),
        sink: &mut dyn Sink,
    ) -> Result<usize, Failure> {
        let known = id.map(Str::decode).unwrap_or_default();
        let place = self.calls.place(index, &known, name.is_some());
        let place = place.ok_or_else(|| self.too_large("512 tool calls"))?;
        let index = place.index;
        if place.opens {
            let made = format!("call_{}_{index}", self.generation);
            let id = id.filter(|id| !id.is_empty());
            let id = Escaped(id.map_or(&made, Str::inner));
            let name = escaped(name);
            self.notes.give(Event::Call { index, id, name }, sink);
        }
        Ok(index)
    }

    /// A piece of a call's arguments, as it stands inside a JSON string.
    pub(crate) fn argue(&mut self, index: usize, piece: &str, sink: &mut dyn Sink) {
        if !piece.is_empty() {
            self.calls.argue(index, piece);
            let text = Escaped(piece);
            self.notes.give(Event::Arguments { index, text }, sink);
        }
    }

    /// A call's arguments, whole, as a JSON text.
    pub(crate) fn argue_with(&mut self, index: usize, raw: &str, sink: &mut dyn Sink) {
        let mut piece = Vec::with_capacity(raw.len());
        json::write_escaped(&mut piece, raw);
        self.argue(index, std::str::from_utf8(&piece).unwrap_or(""), sink);
    }

    /// The answer ends, with the provider's word for why and the stop sequence that was met, as
    /// the inside of a JSON string. A plain end behind calls is a call; no word is a plain end.
    ///
    /// # Errors
    /// The word is that the provider gave up.
    pub(crate) fn finish(
        &mut self,
        word: Str<'_>,
        stop: &str,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let said = word.decode();
        let mut finish = if said.is_empty() {
            Finish::Stop
        } else {
            finish::finish_or_guess(&said, self.notes.progress.owed)
        };
        if finish == Finish::Error {
            let message = format!("{} gave up: {said}", self.notes.name);
            let failure = Failure::provider(502, "finish_error", message);
            return Err(failure.with_provider_code(said));
        }
        if finish == Finish::Stop && !self.calls.is_empty() {
            finish = Finish::ToolCalls;
        }
        let bare: Vec<usize> = self.calls.bare().collect();
        for index in bare {
            self.argue(index, "{}", sink);
        }
        let complete = matches!(finish, Finish::Stop | Finish::ToolCalls);
        self.notes.progress.tool_error |= complete && !self.calls.are_sound();
        let event = Event::Finish {
            finish,
            native: word.into(),
            stop: Escaped(stop),
        };
        self.notes.give(event, sink);
        Ok(())
    }
}

/// The inside of a string; empty for none.
pub(crate) fn escaped(text: Option<Str<'_>>) -> Escaped<'_> {
    text.map(Escaped::from).unwrap_or_default()
}
