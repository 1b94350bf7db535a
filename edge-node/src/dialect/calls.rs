//! Which tool call a piece belongs to. Providers reuse indices for new calls, leave indices and ids
//! out, or send empty ids after the first piece; the client sees one steady index per call.

use crate::wire::json::{self, Kind};

/// How many tool calls an answer may hold.
pub(crate) const CALLS_MAX: usize = 512;
/// How many bytes of arguments are kept to check that they are JSON, over all calls; beyond that
/// they are not checked.
pub(crate) const CHECKED_BYTES_MAX: usize = 1 << 20;

/// The calls of one choice.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    list: Vec<Call>,
    kept: usize,
}

#[derive(Debug)]
struct Call {
    upstream_index: u64,
    id: String,
    /// Arguments as they stand inside JSON strings.
    arguments: String,
    length: usize,
    /// It takes text instead of arguments.
    is_text: bool,
}

/// Where a piece goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The client's index.
    pub(crate) index: usize,
    /// The piece opens the call.
    pub(crate) opens: bool,
}

impl Calls {
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// A call that is known to be new; returns its index.
    pub(crate) fn open(&mut self) -> usize {
        let index = self.list.len();
        self.list.push(Call {
            upstream_index: index as u64,
            id: String::new(),
            arguments: String::new(),
            length: 0,
            is_text: false,
        });
        index
    }

    /// The call of a piece with this index (none when it has none) and id. None when there are too
    /// many calls.
    pub(crate) fn place(&mut self, index: Option<u64>, id: &str, has_name: bool) -> Option<Place> {
        let last = self.list.len().wrapping_sub(1);
        let found = match index {
            Some(index) => self.list.iter().rposition(|c| c.upstream_index == index),
            None if id.is_empty() && !has_name => (!self.list.is_empty()).then_some(last),
            None => self
                .list
                .iter()
                .rposition(|call| call.id == id && !id.is_empty()),
        };
        let same = found.filter(|at| {
            let known = self.list.get(*at).map_or("", |call| &call.id);
            id.is_empty() || known.is_empty() || known == id
        });
        if let Some(index) = same {
            if let Some(call) = self.list.get_mut(index)
                && call.id.is_empty()
            {
                id.clone_into(&mut call.id);
            }
            let opens = false;
            return Some(Place { index, opens });
        }
        if self.list.len() == CALLS_MAX {
            return None;
        }
        let place = Place {
            index: self.list.len(),
            opens: true,
        };
        self.list.push(Call {
            upstream_index: index.unwrap_or(place.index as u64),
            id: id.to_owned(),
            arguments: String::new(),
            length: 0,
            is_text: false,
        });
        Some(place)
    }

    /// Adds a piece of arguments, given as it stands inside a JSON string.
    pub(crate) fn argue(&mut self, index: usize, inner: &str) {
        let Some(call) = self.list.get_mut(index) else {
            return;
        };
        call.length += inner.len();
        self.kept += inner.len();
        if self.kept <= CHECKED_BYTES_MAX {
            call.arguments.push_str(inner);
        }
    }

    /// The call takes text, which needs not be there and needs not be JSON.
    pub(crate) fn takes_text(&mut self, index: usize) {
        if let Some(call) = self.list.get_mut(index) {
            call.is_text = true;
        }
    }

    /// True when no byte of arguments has come for the call.
    pub(crate) fn is_bare(&self, index: usize) -> bool {
        self.list.get(index).is_none_or(Call::is_bare)
    }

    /// The calls for which no byte of arguments has come.
    pub(crate) fn bare(&self) -> impl Iterator<Item = usize> {
        let all = self.list.iter().enumerate();
        all.filter(|(_, call)| call.is_bare())
            .map(|(index, _)| index)
    }

    /// True when every call's arguments are a JSON object, or too long to tell.
    pub(crate) fn are_sound(&self) -> bool {
        self.kept > CHECKED_BYTES_MAX
            || self.list.iter().all(|call| {
                let raw = format!("\"{}\"", call.arguments);
                let text = json::Scanner::new(&raw).string().map(json::Str::decode);
                call.is_text
                    || call.length == 0
                    || text.is_ok_and(|text| json::check(&text) == Ok(Kind::Object))
            })
    }
}

impl Call {
    const fn is_bare(&self) -> bool {
        self.length == 0 && !self.is_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_finds_its_call() {
        let check = |pieces: &[(Option<u64>, &str, bool)], expected: &[(usize, bool)]| {
            let mut calls = Calls::default();
            let places: Vec<_> = pieces
                .iter()
                .map(|(index, id, name)| calls.place(*index, id, *name).unwrap())
                .map(|place| (place.index, place.opens))
                .collect();
            assert_eq!(places, expected, "{pieces:?}");
        };
        // OpenAI; pieces of two calls interleaved.
        check(
            &[
                (Some(0), "a", true),
                (Some(1), "b", true),
                (Some(0), "", false),
                (Some(1), "", false),
            ],
            &[(0, true), (1, true), (0, false), (1, false)],
        );
        // Ollama: index 0 again, with a new id.
        check(
            &[
                (Some(0), "a", true),
                (Some(0), "b", true),
                (Some(0), "", false),
            ],
            &[(0, true), (1, true), (1, false)],
        );
        // The same id on every piece.
        check(
            &[(Some(0), "a", true), (Some(0), "a", false)],
            &[(0, true), (0, false)],
        );
        // No index at all.
        check(
            &[
                (None, "a", true),
                (None, "", false),
                (None, "b", true),
                (None, "a", false),
            ],
            &[(0, true), (0, false), (1, true), (0, false)],
        );
        // Indices that do not start at 0.
        check(
            &[(Some(3), "a", true), (Some(5), "b", true)],
            &[(0, true), (1, true)],
        );
    }

    #[test]
    fn arguments_are_checked_as_a_whole() {
        let check = |pieces: &[&str], sound: bool| {
            let mut calls = Calls::default();
            calls.place(Some(0), "a", true);
            for piece in pieces {
                calls.argue(0, piece);
            }
            assert_eq!(calls.are_sound(), sound, "{pieces:?}");
        };
        check(&[r#"{\"a\":"#, r#" \"\\\"\"}"#], true);
        check(&[], true);
        check(&[r#"{\"a\":"#], false);
        check(&["7"], false);
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = Calls::default();
        for index in 0..CALLS_MAX {
            assert!(calls.place(Some(index as u64), "", true).is_some());
        }
        assert_eq!(calls.place(Some(9999), "", true), None);
    }
}
