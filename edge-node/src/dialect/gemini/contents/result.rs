//! The results of tools: an object with the function's name, which is looked up by the call's id.

use crate::dialect::gemini::contents::{Writer, has_ids, same};
use crate::dialect::gemini::media;
use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::message::{Part, Turn};
use crate::wire::json::{self, Kind, Str};

impl Writer<'_> {
    /// Keeps a result for the end of the content. Media stand inside it since Gemini 3, and before
    /// that beside it.
    pub(super) fn result(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let id = turn.call_id.unwrap_or(Str::EMPTY);
        let place = self.calls.iter().rposition(|(of, _)| same(*of, id));
        let known = place.and_then(|place| self.calls.get(place));
        let Some(name) = known.map(|(_, name)| *name).or(turn.name) else {
            let place = format!("{}.tool_call_id", turn.place);
            return Err(refuse(&place, "needs the call that this is the result of"));
        };
        let mut text = String::new();
        let mut seen = List::default();
        for (index, part) in turn.parts.iter().enumerate() {
            match part {
                Part::Text { text: said, .. } | Part::Refusal(said) => {
                    text.push_str(&said.decode());
                }
                Part::Reasoning(_) => {}
                part => {
                    let place = format!("{}.content[{index}]", turn.place);
                    let mut whole = b"{".to_vec();
                    media::member(part, &place, &mut whole)?;
                    whole.push(b'}');
                    seen.item().extend_from_slice(&whole);
                }
            }
        }
        let mut out = b"{\"functionResponse\":{".to_vec();
        if has_ids(self.model) && !id.is_empty() {
            put(&mut out, &["\"id\":", id.raw(), ","]);
        }
        put(&mut out, &["\"name\":", name.raw(), ",\"response\":"]);
        response(&text, turn.is_error, &mut out);
        if self.model.is_third() && !seen.is_empty() {
            put(&mut out, &[",\"parts\":["]);
            out.extend_from_slice(seen.as_bytes());
            out.push(b']');
        } else if !seen.is_empty() {
            self.rest.item().extend_from_slice(seen.as_bytes());
        }
        put(&mut out, &["}}"]);
        // A result of a call that is not there comes last.
        self.results.push((place.unwrap_or(usize::MAX), out));
        Ok(())
    }
}

/// An object stays as it is; lists and texts get a name, by which failures are told from results.
fn response(text: &str, is_error: bool, out: &mut Vec<u8>) {
    let kind = json::check(text).ok();
    let name = if is_error { "error" } else { "output" };
    match kind {
        Some(Kind::Object) if !is_error => put(out, &[text]),
        Some(Kind::Object | Kind::Array) => put(out, &["{\"", name, "\":", text, "}"]),
        _ => {
            put(out, &["{\"", name, "\":"]);
            json::write_string(out, text);
            out.push(b'}');
        }
    }
}
