//! What else than messages, thoughts and calls of functions an answer holds: the text of calls that
//! take it, pictures, and what tools of the provider's own did.

use super::{Item, Kind};
use crate::dialect::openai_responses::fields::Fields;
use crate::dialect::openai_responses::reader::Answer;
use crate::dialect::reader::Sink;
use crate::message::{Detail, DetailKind, Escaped, Event};
use crate::wire::json::{self, Str, SyntaxError};

impl Answer {
    /// A piece of the text that a call gives.
    pub(in crate::dialect::openai_responses) fn input(
        &mut self,
        event: &Fields<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        self.type_in(event.output_index, event.delta, sink);
        Ok(())
    }

    pub(super) fn type_in(&mut self, place: u64, piece: Option<Str<'_>>, sink: &mut dyn Sink) {
        if let Some(piece) = piece.filter(|piece| !piece.is_empty())
            && let Some(Item {
                kind: Kind::Freeform { call, is_given },
                ..
            }) = self.items.find(place)
        {
            *is_given = true;
            let (index, text) = (*call, piece.into());
            self.notes.give(Event::Input { index, text }, sink);
        }
    }

    /// What a tool of the provider's own did: its item, as it came.
    pub(super) fn ran(&mut self, text: &str, kind: &str, item: &Fields<'_>, sink: &mut dyn Sink) {
        let asked = match (item.arguments, item.code, item.action) {
            (Some(arguments), _, _) => arguments.decode(),
            (None, Some(code), _) => format!("{{\"code\":{}}}", code.raw()).into(),
            (None, None, Some(action)) => text.get(action.start..action.end).unwrap_or("{}").into(),
            (None, None, None) => "{}".into(),
        };
        let escaped = |text: &str| {
            let mut out = Vec::with_capacity(text.len() + 16);
            json::write_escaped(&mut out, text);
            String::from_utf8(out).unwrap_or_default()
        };
        let (arguments, blocks) = (escaped(&asked), escaped(&format!("[{}]", item.raw)));
        let name = kind.strip_suffix("_call").unwrap_or(kind);
        let event = Event::Ran {
            detail: Detail {
                index: self.items.next_detail(),
                kind: DetailKind::Tool,
                id: item.id.map(Escaped::from).unwrap_or_default(),
                format: Escaped(self.items.maker),
            },
            name: Escaped(name),
            arguments: Escaped(&arguments),
            blocks: Escaped(&blocks),
        };
        self.notes.give(event, sink);
    }

    pub(super) fn picture(&mut self, item: &Fields<'_>, sink: &mut dyn Sink) {
        if let Some(data) = item.result.filter(|data| !data.is_empty()) {
            let format = item.output_format.map_or("png", Str::inner);
            let url = format!("data:image/{format};base64,{}", data.inner());
            self.notes.give(Event::Image { url: Escaped(&url) }, sink);
        }
    }
}
