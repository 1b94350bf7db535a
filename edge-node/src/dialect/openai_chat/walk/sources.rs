//! Sources that stand beside the choices become annotations of the first choice, too: that is where
//! clients look for them. The provider's own lists stay where they are.

use super::{Form, Seen, Walker};
use crate::dialect::openai_chat::read::sources::{self, Told};
use crate::egress;
use bytes::BytesMut;

/// What is known of an answer's sources.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Lengths of the lists of links and of results that came last.
    lengths: (usize, usize),
    /// The list that is to be told, as written.
    fresh: String,
    /// The links that were told, here or by the provider's own annotations.
    pub(super) told: Told,
}

impl Sources {
    /// Takes a list; true when it is news. Most providers repeat it in each chunk, and of two the
    /// results say more than the links.
    pub(super) fn note(&mut self, name: &str, list: &str) -> bool {
        let is_rich = name == "search_results";
        let known = if is_rich {
            &mut self.lengths.1
        } else {
            &mut self.lengths.0
        };
        let is_news = list.len() > 2 && list.len() != *known;
        *known = list.len();
        if is_news && (is_rich || self.fresh.is_empty()) {
            list.clone_into(&mut self.fresh);
        }
        is_news
    }

    /// Takes what a tool has found.
    pub(super) fn add(&mut self, list: String) {
        if list.len() > 2 {
            self.fresh = list;
        }
    }
}

impl Walker {
    /// Tells of sources that are new.
    pub(super) fn annotate(&mut self, text: &str, seen: &mut Seen) {
        let Self {
            sources: known,
            splices,
            ..
        } = self;
        if known.fresh.is_empty() {
            return;
        }
        let list = std::mem::take(&mut known.fresh);
        let mut told = BytesMut::new();
        // The list was walked before.
        let _ = sources::each(&list, &mut known.told, |event| {
            if !told.is_empty() {
                told.extend_from_slice(b",");
            }
            egress::annotation(&event, &mut told);
        });
        if told.is_empty() {
            return;
        }
        let told = String::from_utf8_lossy(&told);
        match (&mut seen.body, seen.annotations) {
            (_, Some(span)) => {
                // Null, or a list.
                let inside = text.get(span.start + 1..span.end.saturating_sub(1));
                let inside = inside.filter(|_| text.as_bytes().get(span.start) == Some(&b'['));
                match inside.map(str::trim_ascii) {
                    Some("") | None => splices.replace(span, format!("[{told}]")),
                    Some(_) => splices.insert(span.end - 1, format!(",{told}")),
                }
            }
            (Some(body), None) => body.add(splices, format!("\"annotations\":[{told}]")),
            // A chunk without a choice: one of our own goes before it.
            (None, None) if self.form == Form::Chunk => {
                let mut chunk = BytesMut::new();
                self.envelope.begin_chunk(&mut chunk);
                let head = "\"choices\":[{\"index\":0,\"delta\":{\"annotations\":[";
                let end = "]},\"finish_reason\":null}]}\n\n";
                self.before.push_str(&String::from_utf8_lossy(&chunk));
                self.before.push_str(&[head, &told, end].concat());
            }
            (None, None) => {}
        }
    }
}
