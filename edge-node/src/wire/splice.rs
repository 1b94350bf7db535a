//! Edits of a JSON text at declared places: everything between them stays byte for byte, so that
//! key order, white space, escapes and long numbers survive.

use crate::wire::json::Span;

/// Edits of one text. Kept and cleared between texts, so that a stream allocates once.
#[derive(Clone, Debug, Default)]
pub struct Splices {
    edits: Vec<Edit>,
    /// The new texts, one after the other.
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    /// What goes away.
    span: Span,
    /// What comes, in `Splices::text`.
    new: Span,
}

impl Splices {
    /// Forgets all edits.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.text.clear();
    }

    /// True when the text stays as it is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Puts a text where the span was.
    pub fn replace(&mut self, span: Span, new: impl AsRef<[u8]>) {
        self.replace_with(span, |text| text.extend_from_slice(new.as_ref()));
    }

    /// Puts what `write` appends where the span was.
    pub fn replace_with(&mut self, span: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(&mut self.text);
        let end = self.text.len();
        self.edits.push(Edit {
            span,
            new: Span { start, end },
        });
    }

    /// Puts a text before the byte at `at`. Texts for the same place keep their order.
    pub fn insert(&mut self, at: usize, new: impl AsRef<[u8]>) {
        self.replace(Span { start: at, end: at }, new);
    }

    /// Takes a span out.
    pub fn remove(&mut self, span: Span) {
        self.replace(span, b"");
    }

    /// Gives the edited text piece by piece, in order. An edit inside another is left out.
    pub fn pieces<'a>(&'a mut self, source: &'a [u8], mut give: impl FnMut(&'a [u8])) {
        self.edits.sort_by_key(|edit| edit.span.start);
        let mut at = 0;
        for edit in &self.edits {
            if edit.span.start < at {
                continue;
            }
            give(source.get(at..edit.span.start).unwrap_or(&[]));
            give(self.text.get(edit.new.start..edit.new.end).unwrap_or(&[]));
            at = edit.span.end;
        }
        give(source.get(at..).unwrap_or(&[]));
    }
}

/// Which members of one object stay, while it is walked. Takes care of the commas.
#[derive(Clone, Copy, Debug)]
pub struct Members {
    /// End of the last member, or of the opening brace.
    last_end: usize,
    kept: bool,
    /// Start of removed members at the object's beginning.
    removed_from: Option<usize>,
}

impl Members {
    /// For an object whose members start at `at`, behind the brace.
    #[must_use]
    #[inline]
    pub const fn new(at: usize) -> Self {
        Self {
            last_end: at,
            kept: false,
            removed_from: None,
        }
    }

    /// The member from `start` (its name) to `end` (its value) stays.
    #[inline]
    pub fn keep(&mut self, splices: &mut Splices, start: usize, end: usize) {
        if let Some(from) = self.removed_from.take() {
            splices.remove(Span {
                start: from,
                end: start,
            });
        }
        self.kept = true;
        self.last_end = end;
    }

    /// The member goes, and a comma with it.
    pub fn remove(&mut self, splices: &mut Splices, start: usize, end: usize) {
        if self.kept {
            splices.remove(Span {
                start: self.last_end,
                end,
            });
        } else {
            self.removed_from.get_or_insert(start);
        }
        self.last_end = end;
    }

    /// The object has ended.
    #[inline]
    pub fn finish(self, splices: &mut Splices) -> Tail {
        if let Some(start) = self.removed_from {
            splices.remove(Span {
                start,
                end: self.last_end,
            });
        }
        Tail {
            at: self.last_end,
            comma: self.kept,
        }
    }
}

/// The end of an object, where members may be added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    at: usize,
    comma: bool,
}

impl Tail {
    /// Adds a member, given as `"name":value`.
    pub fn add(&mut self, splices: &mut Splices, member: impl AsRef<[u8]>) {
        self.add_with(splices, |text| text.extend_from_slice(member.as_ref()));
    }

    /// Adds the member that `write` appends.
    pub fn add_with(&mut self, splices: &mut Splices, write: impl FnOnce(&mut Vec<u8>)) {
        let place = Span {
            start: self.at,
            end: self.at,
        };
        let comma = std::mem::replace(&mut self.comma, true);
        splices.replace_with(place, |text| {
            if comma {
                text.push(b',');
            }
            write(text);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Scanner;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn edit(text: &str, gone: impl Fn(&str) -> bool, more: &[&str]) -> String {
        let mut splices = Splices::default();
        let mut scanner = Scanner::new(text);
        scanner.begin_object().unwrap();
        let mut members = Members::new(scanner.at());
        while let Some(key) = scanner.key().unwrap() {
            let value = scanner.value().unwrap();
            if gone(&key.name.decode()) {
                members.remove(&mut splices, key.start, value.end);
            } else {
                members.keep(&mut splices, key.start, value.end);
            }
        }
        let mut tail = members.finish(&mut splices);
        for name in more {
            tail.add(&mut splices, format!("\"{name}\":7"));
        }
        let mut out = Vec::new();
        splices.pieces(text.as_bytes(), |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn commas_follow_their_members() {
        let text = r#"{ "a" : 1 , "b":2,"c": [ 3 ] }"#;
        let check = |gone: &str, more: &[&str], expected: &str| {
            assert_eq!(
                edit(text, |name| gone.contains(name), more),
                expected,
                "{gone}"
            );
        };
        check("", &[], text);
        check("a", &[], r#"{ "b":2,"c": [ 3 ] }"#);
        check("b", &[], r#"{ "a" : 1,"c": [ 3 ] }"#);
        check("c", &[], r#"{ "a" : 1 , "b":2 }"#);
        check("ab", &[], r#"{ "c": [ 3 ] }"#);
        check("bc", &["x"], r#"{ "a" : 1,"x":7 }"#);
        check("ac", &["x", "y"], r#"{ "b":2,"x":7,"y":7 }"#);
        check("abc", &[], "{  }");
        check("abc", &["x"], r#"{ "x":7 }"#);
        assert_eq!(edit("{}", |_| false, &["x", "y"]), r#"{"x":7,"y":7}"#);
    }

    proptest! {
        #[test]
        fn a_splice_is_the_same_as_parse_edit_print(
            names in prop::collection::btree_map("[a-f]{1,2}", (any::<bool>(), any::<i32>()), 0..8),
            pretty in any::<bool>(),
            more in any::<bool>(),
        ) {
            let before: Map<String, Value> = names.iter().map(|(k, (_, v))| (k.clone(), json!(v))).collect();
            let text = if pretty {
                serde_json::to_string_pretty(&before).unwrap()
            } else {
                serde_json::to_string(&before).unwrap()
            };
            let mut expected = before;
            expected.retain(|name, _| !names[name].0);
            if more {
                expected.insert("new".into(), json!(7));
            }
            let edited = edit(&text, |name| names[name].0, if more { &["new"] } else { &[] });
            prop_assert_eq!(serde_json::from_str::<Map<String, Value>>(&edited).unwrap(), expected);
        }
    }
}
