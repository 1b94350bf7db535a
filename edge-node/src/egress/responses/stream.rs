//! The events of a stream, numbered. For one whole answer the same steps write nothing.

use crate::egress::responses::items::{Call, Item, Part};
use crate::egress::responses::put;
use crate::egress::responses::reasoning::Reasoning;
use crate::message::DetailKind;
use bytes::BytesMut;

/// Writes events.
#[derive(Debug)]
pub(super) struct Stream {
    /// False for a whole answer.
    is_on: bool,
    /// The number of the next event.
    number: u64,
}

impl Stream {
    pub(super) const fn new(is_on: bool) -> Self {
        Self { is_on, number: 0 }
    }

    /// Appends an event; `write` appends its own members, each with a comma before it.
    pub(super) fn event(
        &mut self,
        name: &str,
        out: &mut BytesMut,
        write: impl FnOnce(&mut BytesMut),
    ) {
        if !self.is_on {
            return;
        }
        let number = self.number.to_string();
        self.number += 1;
        put(
            out,
            &["event: response.", name, "\ndata: {\"type\":\"response."],
        );
        put(out, &[name, "\",\"sequence_number\":", &number]);
        write(out);
        put(out, &["}\n\n"]);
    }

    pub(super) fn item_added(&mut self, place: usize, item: &Item, out: &mut BytesMut) {
        self.event("output_item.added", out, |out| {
            put(
                out,
                &[",\"output_index\":", &place.to_string(), ",\"item\":"],
            );
            item.write("in_progress", true, out);
        });
    }

    pub(super) fn item_done(
        &mut self,
        place: usize,
        (item, status): (&Item, &str),
        out: &mut BytesMut,
    ) {
        self.event("output_item.done", out, |out| {
            put(
                out,
                &[",\"output_index\":", &place.to_string(), ",\"item\":"],
            );
            item.write(status, false, out);
        });
    }

    pub(super) fn part_added(&mut self, spot: &Spot<'_>, part: &Part, out: &mut BytesMut) {
        self.event("content_part.added", out, |out| {
            spot.write("content_index", out);
            put(out, &[",\"part\":"]);
            part.write(out);
        });
    }

    pub(super) fn part_done(&mut self, spot: &Spot<'_>, part: &Part, out: &mut BytesMut) {
        match part {
            Part::Text { text, logprobs, .. } => {
                self.event("output_text.done", out, |out| {
                    spot.write("content_index", out);
                    put(out, &[",\"text\":\"", text]);
                    put(out, &["\",\"logprobs\":[", logprobs, "]"]);
                });
            }
            Part::Refusal(text) => self.event("refusal.done", out, |out| {
                spot.write("content_index", out);
                put(out, &[",\"refusal\":\"", text, "\""]);
            }),
        }
        self.event("content_part.done", out, |out| {
            spot.write("content_index", out);
            put(out, &[",\"part\":"]);
            part.write(out);
        });
    }

    pub(super) fn call_done(&mut self, place: usize, call: &Call, out: &mut BytesMut) {
        let (_, member, event) = call.words();
        self.event(&format!("{event}.done"), out, |out| {
            let spot = Spot::new(&call.id, place, 0);
            spot.begin(out);
            if !call.is_text {
                put(out, &[",\"name\":\"", &call.name, "\""]);
            }
            put(out, &[",\"", member, "\":\"", &call.arguments, "\""]);
        });
    }

    /// A new part of reasoning.
    pub(super) fn thought_added(&mut self, spot: &Spot<'_>, kind: DetailKind, out: &mut BytesMut) {
        let words = Words::of(kind);
        self.event(words.added, out, |out| {
            spot.write(words.index, out);
            put(out, &[",\"part\":{\"type\":\"", words.part]);
            put(out, &["\",\"text\":\"\"}"]);
        });
    }

    pub(super) fn thought(
        &mut self,
        spot: &Spot<'_>,
        (kind, text): (DetailKind, &str),
        out: &mut BytesMut,
    ) {
        let words = Words::of(kind);
        self.event(words.delta, out, |out| {
            spot.write(words.index, out);
            put(out, &[",\"delta\":\"", text, "\""]);
        });
    }

    pub(super) fn reasoning_done(
        &mut self,
        place: usize,
        reasoning: &Reasoning,
        out: &mut BytesMut,
    ) {
        let lists = [
            (DetailKind::Summary, &reasoning.summary),
            (DetailKind::Text, &reasoning.content),
        ];
        for (kind, parts) in lists {
            let words = Words::of(kind);
            for (index, (_, text)) in parts.iter().enumerate() {
                let spot = Spot::new(&reasoning.id, place, index);
                self.event(words.text_done, out, |out| {
                    spot.write(words.index, out);
                    put(out, &[",\"text\":\"", text, "\""]);
                });
                self.event(words.part_done, out, |out| {
                    spot.write(words.index, out);
                    put(out, &[",\"part\":{\"type\":\"", words.part]);
                    put(out, &["\",\"text\":\"", text, "\"}"]);
                });
            }
        }
    }
}

/// Where a piece belongs.
pub(super) struct Spot<'a> {
    id: &'a str,
    item: usize,
    part: usize,
}

impl<'a> Spot<'a> {
    pub(super) const fn new(id: &'a str, item: usize, part: usize) -> Self {
        Self { id, item, part }
    }

    /// Appends the item's id and place.
    pub(super) fn begin(&self, out: &mut BytesMut) {
        put(out, &[",\"item_id\":\"", self.id, "\",\"output_index\":"]);
        put(out, &[&self.item.to_string()]);
    }

    /// As [`Spot::begin`], and the part's place by its name.
    pub(super) fn write(&self, name: &str, out: &mut BytesMut) {
        self.begin(out);
        put(out, &[",\"", name, "\":", &self.part.to_string()]);
    }
}

/// What the events of a kind of reasoning are called.
struct Words {
    index: &'static str,
    part: &'static str,
    added: &'static str,
    delta: &'static str,
    text_done: &'static str,
    part_done: &'static str,
}

impl Words {
    const fn of(kind: DetailKind) -> &'static Self {
        match kind {
            DetailKind::Summary => &Self {
                index: "summary_index",
                part: "summary_text",
                added: "reasoning_summary_part.added",
                delta: "reasoning_summary_text.delta",
                text_done: "reasoning_summary_text.done",
                part_done: "reasoning_summary_part.done",
            },
            DetailKind::Text | DetailKind::Encrypted | DetailKind::Tool => &Self {
                index: "content_index",
                part: "reasoning_text",
                added: "content_part.added",
                delta: "reasoning_text.delta",
                text_done: "reasoning_text.done",
                part_done: "content_part.done",
            },
        }
    }
}
