//! One item of reasoning: what belongs into it, and how it is written, so that what comes back is
//! what its maker gave.

use crate::egress::responses::put;
use crate::message::{Detail, DetailKind};
use bytes::BytesMut;

/// An item of reasoning; texts are the insides of JSON strings.
#[derive(Debug)]
pub(super) struct Reasoning {
    pub(super) id: String,
    /// The maker's id; empty when it gave none.
    made: String,
    format: String,
    /// Number and text of each part.
    pub(super) summary: Vec<(usize, String)>,
    pub(super) content: Vec<(usize, String)>,
    pub(super) signature: String,
    pub(super) encrypted: String,
}

impl Reasoning {
    /// An empty one that begins with a detail; `id` is its name if its maker gives none.
    pub(super) fn new(detail: &Detail<'_>, id: String) -> Self {
        let made = detail.id.0.to_owned();
        Self {
            id: if made.is_empty() { id } else { made.clone() },
            made,
            format: detail.format.0.to_owned(),
            summary: Vec::new(),
            content: Vec::new(),
            signature: String::new(),
            encrypted: String::new(),
        }
    }

    /// True when the detail goes on with this item.
    pub(super) fn takes(&self, detail: &Detail<'_>) -> bool {
        if self.made != detail.id.0
            || self.format != detail.format.0
            || !self.signature.is_empty()
            || !self.encrypted.is_empty()
        {
            return false;
        }
        let mut parts = self.summary.iter().chain(&self.content);
        !self.made.is_empty() || parts.any(|(number, _)| *number == detail.index)
    }

    /// The part of a detail: its place among those of its kind, and whether it is new.
    pub(super) fn part(&mut self, detail: &Detail<'_>) -> (usize, bool) {
        let parts = self.parts(detail.kind);
        let mut known = parts.iter();
        if let Some(place) = known.position(|(number, _)| *number == detail.index) {
            return (place, false);
        }
        parts.push((detail.index, String::new()));
        (parts.len() - 1, true)
    }

    pub(super) fn add(&mut self, kind: DetailKind, place: usize, text: &str) {
        if let Some((_, known)) = self.parts(kind).get_mut(place) {
            known.push_str(text);
        }
    }

    const fn parts(&mut self, kind: DetailKind) -> &mut Vec<(usize, String)> {
        match kind {
            DetailKind::Summary => &mut self.summary,
            DetailKind::Text | DetailKind::Encrypted | DetailKind::Tool => &mut self.content,
        }
    }

    /// Appends the item; `bare` leaves out what comes in pieces.
    pub(super) fn write(&self, bare: bool, out: &mut BytesMut) {
        put(out, &["{\"type\":\"reasoning\",\"id\":\"", &self.id]);
        put(out, &["\",\"summary\":["]);
        if !bare {
            list(&self.summary, "summary_text", out);
        }
        put(out, &["]"]);
        if !bare && !self.content.is_empty() {
            put(out, &[",\"content\":["]);
            list(&self.content, "reasoning_text", out);
            put(out, &["]"]);
        }
        let format = if self.format.is_empty() {
            "unknown"
        } else {
            &self.format
        };
        let last = [
            ("encrypted_content", self.encrypted.as_str()),
            ("signature", self.signature.as_str()),
            ("format", format),
        ];
        for (name, value) in last {
            if !value.is_empty() && (!bare || name == "format") {
                put(out, &[",\"", name, "\":\"", value, "\""]);
            }
        }
        put(out, &["}"]);
    }
}

fn list(parts: &[(usize, String)], kind: &str, out: &mut BytesMut) {
    for (place, (_, text)) in parts.iter().enumerate() {
        put(out, &[if place == 0 { "" } else { "," }]);
        put(out, &["{\"type\":\"", kind, "\",\"text\":\"", text, "\"}"]);
    }
}
