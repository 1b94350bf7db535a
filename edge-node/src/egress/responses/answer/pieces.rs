//! The pieces of a response: which item each belongs to, and the events that tell of it.

use super::Response;
use crate::egress::responses::items::{Call, Item, Part, join};
use crate::egress::responses::reasoning::Reasoning;
use crate::egress::responses::stream::Spot;
use crate::egress::responses::{OWN_IDS, TOOL_IDS, put};
use crate::egress::seal;
use crate::message::{Detail, DetailKind, Escaped, Event};
use bytes::BytesMut;

impl Response {
    /// The message that grows and its last part, which is of the wanted kind.
    fn speak(&mut self, refuses: bool, out: &mut BytesMut) -> usize {
        let is_message = |item: &Item| matches!(item, Item::Message { .. });
        let open = self
            .open
            .filter(|at| self.items.get(*at).is_some_and(is_message));
        let place = open.unwrap_or_else(|| {
            self.close_open("completed", out);
            let id = self.next_id("msg_");
            let parts = Vec::new();
            self.push(Item::Message { id, parts }, out)
        });
        self.open = Some(place);
        if let Some(Item::Message { id, parts }) = self.items.get_mut(place) {
            let is_fit = |part: &Part| matches!(part, Part::Refusal(_)) == refuses;
            if !parts.last().is_some_and(is_fit) {
                if let Some(part) = parts.last() {
                    let spot = Spot::new(id, place, parts.len() - 1);
                    self.stream.part_done(&spot, part, out);
                    if let Part::Text { text, .. } = part {
                        self.characters += Escaped(text).decode().chars().count();
                    }
                }
                let part = if refuses {
                    Part::Refusal(String::new())
                } else {
                    Part::text()
                };
                let spot = Spot::new(id, place, parts.len());
                self.stream.part_added(&spot, &part, out);
                parts.push(part);
            }
        }
        place
    }

    pub(super) fn say(&mut self, piece: &str, refuses: bool, out: &mut BytesMut) {
        let place = self.speak(refuses, out);
        let Some(Item::Message { id, parts }) = self.items.get_mut(place) else {
            return;
        };
        let index = parts.len() - 1;
        let spot = Spot::new(id, place, index);
        match parts.last_mut() {
            Some(Part::Text { text, .. }) => {
                text.push_str(piece);
                self.stream.event("output_text.delta", out, |out| {
                    spot.write("content_index", out);
                    put(out, &[",\"delta\":\"", piece, "\",\"logprobs\":[]"]);
                });
            }
            Some(Part::Refusal(text)) => {
                text.push_str(piece);
                self.stream.event("refusal.delta", out, |out| {
                    spot.write("content_index", out);
                    put(out, &[",\"delta\":\"", piece, "\""]);
                });
            }
            None => {}
        }
    }

    /// Probabilities follow their text in a delta of their own.
    pub(super) fn probable(&mut self, tokens: &str, out: &mut BytesMut) {
        let Some(place) = self.open else {
            return;
        };
        if let Some(Item::Message { id, parts }) = self.items.get_mut(place) {
            let index = parts.len().saturating_sub(1);
            if let Some(Part::Text { logprobs, .. }) = parts.last_mut() {
                join(logprobs, tokens);
                let spot = Spot::new(id, place, index);
                self.stream.event("output_text.delta", out, |out| {
                    spot.write("content_index", out);
                    put(out, &[",\"delta\":\"\",\"logprobs\":[", tokens, "]"]);
                });
            }
        }
    }

    /// A source belongs to the last text, also when that has ended.
    pub(super) fn cite(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        let Event::Citation {
            url,
            name,
            title,
            content,
            start,
            end,
        } = event
        else {
            return;
        };
        let mut all = self.items.iter_mut().enumerate().rev();
        let message = all.find(|(_, item)| matches!(item, Item::Message { .. }));
        let Some((place, Item::Message { id, parts })) = message else {
            return;
        };
        let is_open = self.open == Some(place);
        let before = if is_open { self.characters } else { 0 };
        let index = parts.len().saturating_sub(1);
        let Some(Part::Text {
            annotations, count, ..
        }) = parts.last_mut()
        else {
            return;
        };
        let at = |at: &Option<usize>| at.unwrap_or(0).saturating_sub(before);
        let written = if url.is_empty() {
            let title = if title.is_empty() { name } else { title };
            file_citation((name.0, title.0), *count)
        } else {
            url_citation((url.0, title.0, content.0), (at(start), at(end)))
        };
        join(annotations, &written);
        let number = count.to_string();
        *count += 1;
        if is_open {
            let spot = Spot::new(id, place, index);
            self.stream
                .event("output_text.annotation.added", out, |out| {
                    spot.write("content_index", out);
                    put(out, &[",\"annotation_index\":", &number]);
                    put(out, &[",\"annotation\":", &written]);
                });
        }
    }

    /// The item of reasoning that a detail belongs to.
    fn reasoning(&mut self, detail: &Detail<'_>, out: &mut BytesMut) -> usize {
        if let Some(place) = self.open
            && let Some(Item::Reasoning(reasoning)) = self.items.get(place)
            && reasoning.takes(detail)
        {
            return place;
        }
        self.close_open("completed", out);
        let id = self.next_id(OWN_IDS);
        let item = Item::Reasoning(Reasoning::new(detail, id));
        let place = self.push(item, out);
        self.open = Some(place);
        place
    }

    pub(super) fn think(&mut self, detail: &Detail<'_>, text: &str, out: &mut BytesMut) {
        let place = self.reasoning(detail, out);
        if let Some(Item::Reasoning(reasoning)) = self.items.get_mut(place) {
            let (part, is_new) = reasoning.part(detail);
            let id = reasoning.id.clone();
            let spot = Spot::new(&id, place, part);
            if is_new {
                self.stream.thought_added(&spot, detail.kind, out);
            }
            reasoning.add(detail.kind, part, text);
            self.stream.thought(&spot, (detail.kind, text), out);
        }
    }

    /// What proves a text waits for what follows it: its item would end the text's, whose sources
    /// may still come.
    pub(super) fn seal(&mut self, detail: &Detail<'_>, sealed: &str, out: &mut BytesMut) {
        let item = self.open.and_then(|at| self.items.get(at));
        if matches!(item, Some(Item::Message { .. })) {
            self.waiting.push(Waiting {
                index: detail.index,
                kind: detail.kind,
                id: detail.id.0.to_owned(),
                format: detail.format.0.to_owned(),
                sealed: sealed.to_owned(),
            });
        } else {
            self.seal_now(detail, sealed, out);
        }
    }

    /// Gives what waits.
    pub(super) fn settle(&mut self, out: &mut BytesMut) {
        for it in std::mem::take(&mut self.waiting) {
            let detail = Detail {
                index: it.index,
                kind: it.kind,
                id: Escaped(&it.id),
                format: Escaped(&it.format),
            };
            self.seal_now(&detail, &it.sealed, out);
        }
    }

    /// What proves reasoning or hides it has no event of its own: it comes with the item's end.
    fn seal_now(&mut self, detail: &Detail<'_>, sealed: &str, out: &mut BytesMut) {
        let place = self.reasoning(detail, out);
        if let Some(Item::Reasoning(reasoning)) = self.items.get_mut(place) {
            let field = match detail.kind {
                DetailKind::Encrypted => &mut reasoning.encrypted,
                DetailKind::Text | DetailKind::Summary | DetailKind::Tool => {
                    &mut reasoning.signature
                }
            };
            sealed.clone_into(field);
        }
    }

    /// What a provider's own tool did: as its maker wrote it where this API has the word, else
    /// in an item of reasoning, which clients give back unread.
    pub(super) fn ran(&mut self, detail: &Detail<'_>, blocks: Escaped<'_>, out: &mut BytesMut) {
        self.close_open("completed", out);
        let text = blocks.decode();
        let is_native = detail.format.0.ends_with("-responses-v1");
        match seal::blocks(&text).filter(|_| is_native) {
            Some(own) => {
                for raw in own {
                    let item = Item::Raw(raw.replace(['\n', '\r'], " "));
                    self.open = Some(self.push(item, out));
                    self.close_open("completed", out);
                }
            }
            None => {
                let nobodys = Detail {
                    id: Escaped(""),
                    ..*detail
                };
                let mut reasoning = Reasoning::new(&nobodys, self.next_id(TOOL_IDS));
                blocks.0.clone_into(&mut reasoning.encrypted);
                self.open = Some(self.push(Item::Reasoning(reasoning), out));
                self.close_open("completed", out);
            }
        }
    }

    pub(super) fn call(
        &mut self,
        (call_id, name): (&str, &str),
        is_text: bool,
        out: &mut BytesMut,
    ) {
        self.close_open("completed", out);
        let call = Call {
            id: self.next_id(if is_text { "ctc_" } else { "fc_" }),
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
            is_text,
        };
        let place = self.push(Item::Call(call), out);
        self.calls.push(place);
    }

    pub(super) fn argue(&mut self, index: usize, piece: &str, out: &mut BytesMut) {
        let Some(place) = self.calls.get(index).copied() else {
            return;
        };
        if let Some(Item::Call(call)) = self.items.get_mut(place) {
            call.arguments.push_str(piece);
            let spot = Spot::new(&call.id, place, 0);
            let event = if call.is_text {
                "custom_tool_call_input.delta"
            } else {
                "function_call_arguments.delta"
            };
            self.stream.event(event, out, |out| {
                spot.begin(out);
                put(out, &[",\"delta\":\"", piece, "\""]);
            });
        }
    }

    pub(super) fn picture(&mut self, url: Escaped<'_>, out: &mut BytesMut) {
        self.close_open("completed", out);
        let data = url.0.split_once(";base64,").map_or(url.0, |(_, data)| data);
        let item = Item::Image {
            id: self.next_id("ig_"),
            data: data.to_owned(),
        };
        self.open = Some(self.push(item, out));
        self.close_open("completed", out);
    }
}

/// A seal that waits for the end of the text before it.
#[derive(Debug)]
pub(super) struct Waiting {
    index: usize,
    kind: DetailKind,
    id: String,
    format: String,
    sealed: String,
}

fn url_citation((url, title, content): (&str, &str, &str), (start, end): (usize, usize)) -> String {
    let content = if content.is_empty() {
        String::new()
    } else {
        format!(",\"content\":\"{content}\"")
    };
    format!(
        "{{\"type\":\"url_citation\",\"url\":\"{url}\",\"title\":\"{title}\",\"start_index\":{start},\"end_index\":{end}{content}}}"
    )
}

/// A source that has a name and no address.
fn file_citation((name, title): (&str, &str), index: usize) -> String {
    format!(
        "{{\"type\":\"file_citation\",\"file_id\":\"{name}\",\"filename\":\"{title}\",\"index\":{index}}}"
    )
}
