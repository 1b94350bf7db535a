//! The items of an answer: messages with their parts, reasoning, calls. Keeps what of each was
//! given already, so that its end adds only what is missing.

use crate::dialect::openai_responses::fields::{Fields, each, inside};
use crate::dialect::openai_responses::reader::Answer;
use crate::dialect::reader::Sink;
use crate::message::{Detail, DetailKind, Escaped, Event, Spoken};
use crate::wire::json::{Span, Str, SyntaxError};

/// How many items, and how many parts of items, an answer may have.
pub(super) const ITEMS_MAX: usize = 1024;

/// What has been seen of an answer's items.
#[derive(Debug)]
pub(super) struct Items {
    list: Vec<Item>,
    /// Parts and details of all items.
    parts: usize,
    /// Details of reasoning so far.
    details: usize,
    /// Characters of text so far.
    characters: usize,
    /// Whose form reasoning has.
    maker: &'static str,
}

#[derive(Debug)]
struct Item {
    /// Its place in the answer.
    index: u64,
    kind: Kind,
    is_done: bool,
}

#[derive(Debug)]
enum Kind {
    Message(Vec<Part>),
    Reasoning {
        id: String,
        /// Kind, place and number of each detail.
        details: Vec<(DetailKind, u64, usize)>,
    },
    /// A call, by its index among calls.
    Call(usize),
    /// Nothing that comes in pieces.
    Other,
}

/// A part of a message.
#[derive(Clone, Copy, Debug)]
struct Part {
    index: u64,
    /// Characters before it.
    start: usize,
    /// Some of it was given.
    is_given: bool,
    citations: u64,
}

impl Items {
    pub(super) const fn new(maker: &'static str) -> Self {
        Self {
            list: Vec::new(),
            parts: 0,
            details: 0,
            characters: 0,
            maker,
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.list.len() > ITEMS_MAX || self.parts > ITEMS_MAX
    }

    /// True when the item was given to its end.
    pub(super) fn is_done(&self, index: u64) -> bool {
        let mut all = self.list.iter();
        all.any(|item| item.index == index && item.is_done)
    }

    fn find(&mut self, index: u64) -> Option<&mut Item> {
        self.list.iter_mut().rev().find(|item| item.index == index)
    }

    fn open(&mut self, index: u64, kind: Kind) {
        self.list.push(Item {
            index,
            kind,
            is_done: false,
        });
    }

    /// The part of a message; a message that was not announced begins with it.
    fn part(&mut self, index: u64, part: u64) -> Option<&mut Part> {
        if self.find(index).is_none() {
            self.open(index, Kind::Message(Vec::new()));
        }
        let start = self.characters;
        let mut all = self.list.iter_mut().rev();
        let item = all.find(|item| item.index == index)?;
        let Kind::Message(parts) = &mut item.kind else {
            return None;
        };
        let place = parts.iter().position(|known| known.index == part);
        let place = place.unwrap_or_else(|| {
            self.parts += 1;
            parts.push(Part {
                index: part,
                start,
                is_given: false,
                citations: 0,
            });
            parts.len() - 1
        });
        parts.get_mut(place)
    }

    /// The number of a detail of reasoning; true when it is new.
    fn detail(&mut self, index: u64, kind: DetailKind, place: u64) -> Option<(usize, bool)> {
        if self.find(index).is_none() {
            let id = String::new();
            let details = Vec::new();
            self.open(index, Kind::Reasoning { id, details });
        }
        let next = self.details;
        let mut all = self.list.iter_mut().rev();
        let item = all.find(|item| item.index == index)?;
        let Kind::Reasoning { details, .. } = &mut item.kind else {
            return None;
        };
        let mut known = details.iter();
        if let Some((_, _, number)) = known.find(|known| known.0 == kind && known.1 == place) {
            return Some((*number, false));
        }
        details.push((kind, place, next));
        self.details += 1;
        self.parts += 1;
        Some((next, true))
    }

    /// The detail with this number, as events name it.
    fn named(&self, index: u64, number: usize, kind: DetailKind) -> Detail<'_> {
        let mut all = self.list.iter().rev();
        let id = match all.find(|item| item.index == index) {
            Some(Item {
                kind: Kind::Reasoning { id, .. },
                ..
            }) => id.as_str(),
            _ => "",
        };
        Detail {
            index: number,
            kind,
            id: Escaped(id),
            format: Escaped(self.maker),
        }
    }
}

impl Answer {
    pub(super) fn text(
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

    pub(super) fn refusal(
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

    pub(super) fn thought(
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

    pub(super) fn argument(
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
    pub(super) fn close_calls(&mut self, sink: &mut dyn Sink) {
        let bare: Vec<usize> = self.calls.bare().collect();
        for index in bare {
            self.argue(index, "{}", sink);
        }
    }

    pub(super) fn annotation(
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

    /// Sources with a URL; places in the client's own files have no word in the other APIs.
    fn cite(&mut self, place: (u64, u64), source: &Fields<'_>, sink: &mut dyn Sink) {
        let mut before = 0;
        if let Some(part) = self.items.part(place.0, place.1) {
            part.citations += 1;
            before = part.start;
        }
        let Some(url) = source.url else {
            return;
        };
        let shifted = |at: Option<u64>| {
            let at = usize::try_from(at?).ok()?;
            Some(before.saturating_add(at))
        };
        let event = Event::Citation {
            url: url.into(),
            title: source.title.map(Escaped::from).unwrap_or_default(),
            content: Escaped(""),
            start: shifted(source.start),
            end: shifted(source.end),
        };
        self.notes.give(event, sink);
    }

    pub(super) fn item_added(
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

    pub(super) fn item_done(
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
            Some("function_call") => Kind::Call(self.open_call(item, sink)),
            _ => Kind::Other,
        };
        self.items.open(index, kind);
    }

    /// A call is known to tools by its `call_id`; its `id` only names the item.
    fn open_call(&mut self, item: &Fields<'_>, sink: &mut dyn Sink) -> usize {
        let index = self.calls.open();
        let given = item.call_id.filter(|id| !id.is_empty()).or(item.id);
        let made = match given {
            Some(_) => String::new(),
            None => format!("call_{}_{index}", self.generation),
        };
        let id = given.map_or(Escaped(&made), Escaped::from);
        let name = item.name.map(Escaped::from).unwrap_or_default();
        self.notes.give(Event::Call { index, id, name }, sink);
        index
    }

    /// Gives what of an item has not come yet, and ends it.
    pub(super) fn whole_item(
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
            _ => {}
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

    fn picture(&mut self, item: &Fields<'_>, sink: &mut dyn Sink) {
        if let Some(data) = item.result.filter(|data| !data.is_empty()) {
            let format = item.output_format.map_or("png", Str::inner);
            let url = format!("data:image/{format};base64,{}", data.inner());
            self.notes.give(Event::Image { url: Escaped(&url) }, sink);
        }
    }
}
