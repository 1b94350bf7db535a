//! The items of an answer: messages with their parts, reasoning, calls. Keeps what of each was
//! given already, so that its end adds only what is missing.

mod give;
mod made;

use crate::message::{Detail, DetailKind, Escaped};

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
    /// A call with free text, by its index among calls.
    Freeform {
        call: usize,
        /// Some of its text was given.
        is_given: bool,
    },
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

    /// The number of a detail that comes whole.
    const fn next_detail(&mut self) -> usize {
        self.details += 1;
        self.parts += 1;
        self.details - 1
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
