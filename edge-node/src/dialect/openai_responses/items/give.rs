//! What the pieces of an item say, and what its end adds to them.

use super::{ITEMS_MAX, Item, Kind};
use crate::dialect::openai_responses::fields::{Fields, each, inside};
use crate::dialect::openai_responses::reader::Answer;
use crate::dialect::reader::Sink;
use crate::message::{DetailKind, Escaped, Event, Spoken};
use crate::wire::json::{Span, Str, SyntaxError};

impl Answer {
    pub(in crate::dialect::openai_responses) fn text(
        &mut self,
        data: &str,
        event: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let (index, part) = (event.output_index, event.content_index);
        self.say(index, part, event.delta, sink);
        self.probable(data, event.logprobs, sink);
        Ok(())
    }

    fn say(&mut self, index: u64, part: u64, text: Option<Str<'_>>, sink: &mut dyn Sink) {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return;
        };
        if let Some(part) = self.items.part(index, part) {
            part.is_given = true;
        }
        self.items.characters += text.decode().chars().count();
        self.notes.give(Event::Text(text.into()), sink);
    }

    fn probable(&mut self, data: &str, list: Option<Span>, sink: &mut dyn Sink) {
        let tokens = inside(data, list);
        if !tokens.is_empty() {
            let of = Spoken::Content;
            self.notes.give(Event::Logprobs { of, tokens }, sink);
        }
    }

    pub(in crate::dialect::openai_responses) fn refusal(
        &mut self,
        event: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        self.refuse((event.output_index, event.content_index), event.delta, sink);
        Ok(())
    }

    fn refuse(&mut self, place: (u64, u64), text: Option<Str<'_>>, sink: &mut dyn Sink) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            if let Some(part) = self.items.part(place.0, place.1) {
                part.is_given = true;
            }
            self.notes.give(Event::Refusal(text.into()), sink);
        }
    }

    pub(in crate::dialect::openai_responses) fn thought(
        &mut self,
        event: &Fields<'_>,
        is_text: bool,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let (kind, place) = if is_text {
            (DetailKind::Text, event.content_index)
        } else {
            (DetailKind::Summary, event.summary_index)
        };
        let index = event.output_index;
        if let Some(text) = event.delta.filter(|text| !text.is_empty())
            && let Some((number, _)) = self.items.detail(index, kind, place)
        {
            let detail = self.items.named(index, number, kind);
            let text = text.into();
            self.notes.give(Event::Reasoning { detail, text }, sink);
        }
        Ok(())
    }

    pub(in crate::dialect::openai_responses) fn argument(
        &mut self,
        event: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if let Some(Item {
            kind: Kind::Call(index),
            ..
        }) = self.items.find(event.output_index)
        {
            let index = *index;
            self.argue(index, event.delta.map_or("", Str::inner), sink);
        }
        Ok(())
    }

    fn argue(&mut self, index: usize, piece: &str, sink: &mut dyn Sink) {
        if !piece.is_empty() {
            self.calls.argue(index, piece);
            let text = Escaped(piece);
            self.notes.give(Event::Arguments { index, text }, sink);
        }
    }

    /// Calls that have got no arguments have none to get.
    pub(in crate::dialect::openai_responses) fn close_calls(&mut self, sink: &mut dyn Sink) {
        let bare: Vec<usize> = self.calls.bare().collect();
        for index in bare {
            self.argue(index, "{}", sink);
        }
    }

    pub(in crate::dialect::openai_responses) fn annotation(
        &mut self,
        data: &str,
        event: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if let Some(span) = event.annotation {
            let source = Fields::at(data, span)?;
            self.cite((event.output_index, event.content_index), &source, sink);
        }
        Ok(())
    }

    /// A source: a page has a URL, a file of the client's an id.
    fn cite(&mut self, place: (u64, u64), source: &Fields<'_>, sink: &mut dyn Sink) {
        let mut before = 0;
        if let Some(part) = self.items.part(place.0, place.1) {
            part.citations += 1;
            before = part.start;
        }
        if source.url.is_none() && source.file_id.is_none() {
            return;
        }
        let title = source.title.or(source.filename);
        let shifted = |at: Option<u64>| {
            let at = usize::try_from(at?).ok()?;
            Some(before.saturating_add(at))
        };
        let event = Event::Citation {
            url: source.url.map(Escaped::from).unwrap_or_default(),
            name: source.file_id.map(Escaped::from).unwrap_or_default(),
            title: title.map(Escaped::from).unwrap_or_default(),
            content: Escaped(""),
            start: shifted(source.start),
            end: shifted(source.end),
        };
        self.notes.give(event, sink);
    }

    pub(in crate::dialect::openai_responses) fn item_added(
        &mut self,
        data: &str,
        event: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if let Some(span) = event.item {
            let item = Fields::at(data, span)?;
            self.open(event.output_index, &item, sink);
        }
        Ok(())
    }

    pub(in crate::dialect::openai_responses) fn item_done(
        &mut self,
        data: &str,
        event: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        match event.item {
            Some(span) => {
                let item = Fields::at(data, span)?;
                self.whole_item(data, event.output_index, &item, sink)
            }
            None => Ok(()),
        }
    }

    fn open(&mut self, index: u64, item: &Fields<'_>, sink: &mut dyn Sink) {
        let kind = match item.kind.map(Str::decode).as_deref() {
            Some("message") => Kind::Message(Vec::new()),
            Some("reasoning") => Kind::Reasoning {
                id: item.id.map_or("", Str::inner).to_owned(),
                details: Vec::new(),
            },
            Some("function_call") => Kind::Call(self.open_call(item, false, sink)),
            Some("custom_tool_call") => Kind::Freeform {
                call: self.open_call(item, true, sink),
                is_given: false,
            },
            _ => Kind::Other,
        };
        self.items.open(index, kind);
    }

    /// A call is known to tools by its `call_id`; its `id` only names the item.
    fn open_call(&mut self, item: &Fields<'_>, is_freeform: bool, sink: &mut dyn Sink) -> usize {
        let index = self.calls.open();
        let given = item.call_id.filter(|id| !id.is_empty()).or(item.id);
        let made = match given {
            Some(_) => String::new(),
            None => format!("call_{}_{index}", self.generation),
        };
        let id = given.map_or(Escaped(&made), Escaped::from);
        let name = item.name.map(Escaped::from).unwrap_or_default();
        let event = if is_freeform {
            self.calls.takes_text(index);
            Event::Freeform { index, id, name }
        } else {
            Event::Call { index, id, name }
        };
        self.notes.give(event, sink);
        index
    }

    /// Gives what of an item has not come yet, and ends it.
    pub(in crate::dialect::openai_responses) fn whole_item(
        &mut self,
        text: &str,
        index: u64,
        item: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if self.items.is_done(index) {
            return Ok(());
        }
        if self.items.find(index).is_none() {
            self.open(index, item, sink);
        }
        match item.kind.map(Str::decode).as_deref() {
            Some("message") => self.whole_message(text, index, item, sink)?,
            Some("reasoning") => self.whole_reasoning(text, index, item, sink)?,
            Some("image_generation_call") => self.picture(item, sink),
            Some("custom_tool_call") => {
                let is_new = matches!(
                    self.items.find(index),
                    Some(Item {
                        kind: Kind::Freeform {
                            is_given: false,
                            ..
                        },
                        ..
                    })
                );
                self.type_in(index, item.input.filter(|_| is_new), sink);
            }
            Some("function_call") => {
                if let Some(Item {
                    kind: Kind::Call(call),
                    ..
                }) = self.items.find(index)
                {
                    let call = *call;
                    if self.calls.is_bare(call) {
                        let all = item.arguments.map_or("", Str::inner);
                        self.argue(call, if all.is_empty() { "{}" } else { all }, sink);
                    }
                }
            }
            Some(kind) => self.ran(text, kind, item, sink),
            None => {}
        }
        if let Some(item) = self.items.find(index) {
            item.is_done = true;
        }
        Ok(())
    }

    fn whole_message(
        &mut self,
        text: &str,
        index: u64,
        item: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        each(text, item.content, |place, part| {
            let Some(known) = self.items.part(index, place) else {
                return Ok(());
            };
            let (is_given, cited) = (known.is_given, known.citations);
            let is_refusal = part.kind.is_some_and(|kind| kind.decode() == "refusal");
            if !is_given && is_refusal {
                self.refuse((index, place), part.text, sink);
            } else if !is_given {
                self.say(index, place, part.text, sink);
                self.probable(text, part.logprobs, sink);
            }
            each(text, part.annotations, |number, source| {
                if number >= cited && number < ITEMS_MAX as u64 {
                    self.cite((index, place), &source, sink);
                }
                Ok(())
            })
        })
    }

    fn whole_reasoning(
        &mut self,
        text: &str,
        index: u64,
        item: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        let lists = [
            (DetailKind::Summary, item.summary),
            (DetailKind::Text, item.content),
        ];
        for (kind, list) in lists {
            each(text, list, |place, part| {
                let Some(piece) = part.text.filter(|piece| !piece.is_empty()) else {
                    return Ok(());
                };
                if let Some((number, true)) = self.items.detail(index, kind, place) {
                    let detail = self.items.named(index, number, kind);
                    let text = piece.into();
                    self.notes.give(Event::Reasoning { detail, text }, sink);
                }
                Ok(())
            })?;
        }
        let kind = DetailKind::Encrypted;
        if let Some(data) = item.encrypted.filter(|data| !data.is_empty())
            && let Some((number, true)) = self.items.detail(index, kind, 0)
        {
            let detail = self.items.named(index, number, kind);
            let data = data.into();
            self.notes.give(Event::Encrypted { detail, data }, sink);
        }
        Ok(())
    }
}
