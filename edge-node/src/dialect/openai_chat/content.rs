//! Content that is not a plain string: lists of text and thinking parts, objects under a JSON
//! schema, and reasoning between `<think>` tags.

use crate::wire::json::{self, Kind, Scanner, SyntaxError};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Content brought into one string, as the insides of JSON strings.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) refusal: String,
    /// Links to pictures.
    pub(crate) images: Vec<String>,
}

/// Consumes an array of parts, or an object, which becomes its own text.
pub(crate) fn flatten(scanner: &mut Scanner<'_>) -> Result<Flat, SyntaxError> {
    let mut flat = Flat::default();
    if scanner.kind()? == Kind::Object {
        let span = scanner.value()?;
        let mut inner = Vec::new();
        json::write_escaped(&mut inner, scanner.raw(span));
        flat.text = String::from_utf8_lossy(&inner).into_owned();
        return Ok(flat);
    }
    scanner.begin_array()?;
    while scanner.element()? {
        match scanner.kind()? {
            Kind::String => flat.text.push_str(scanner.string()?.inner()),
            Kind::Object => part(scanner, &mut flat)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(flat)
}

/// `{type:text,text}`, `{type:thinking,thinking:[{type:text,text}]}`,
/// `{type:reasoning,summary:[{text}]}`, `{type:refusal,refusal}`, `{type:image_url,image_url:{url}}`.
fn part(scanner: &mut Scanner<'_>, flat: &mut Flat) -> Result<(), SyntaxError> {
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        match (&*name, scanner.kind()?) {
            ("text", Kind::String) => flat.text.push_str(scanner.string()?.inner()),
            ("refusal", Kind::String) => flat.refusal.push_str(scanner.string()?.inner()),
            ("image_url", Kind::String | Kind::Object) => flat.images.extend(link(scanner)?),
            ("thinking" | "summary" | "reasoning", _) => {
                let inner = texts(scanner)?;
                flat.reasoning.push_str(&inner);
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(())
}

/// A link, or an object with one.
fn link(scanner: &mut Scanner<'_>) -> Result<Option<String>, SyntaxError> {
    if scanner.kind()? == Kind::String {
        return Ok(Some(scanner.string()?.inner().to_owned()));
    }
    let mut found = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if key.name.decode() == "url" && scanner.kind()? == Kind::String {
            found = Some(scanner.string()?.inner().to_owned());
        } else {
            scanner.value()?;
        }
    }
    Ok(found)
}

/// A string, or the texts of a list of parts.
fn texts(scanner: &mut Scanner<'_>) -> Result<String, SyntaxError> {
    match scanner.kind()? {
        Kind::String => Ok(scanner.string()?.inner().to_owned()),
        Kind::Array => Ok(flatten(scanner)?.text),
        _ => {
            scanner.value()?;
            Ok(String::new())
        }
    }
}

/// Where an answer stands that may begin with reasoning between tags.
#[derive(Debug, Default)]
pub(crate) struct Thoughts {
    phase: Phase,
    /// What may be the beginning of a tag.
    held: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// Nothing but blanks has come.
    #[default]
    Start,
    Thinking,
    /// The closing tag was the last that came; blanks behind it are dropped.
    Thought,
    Text,
}

/// A piece of content, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) reasoning: String,
    pub(crate) text: String,
}

impl Thoughts {
    /// Takes a piece of content; with `last` nothing is held back.
    pub(crate) fn split(&mut self, piece: &str, last: bool) -> Split {
        let mut split = Split::default();
        self.held.push_str(piece);
        loop {
            let held = std::mem::take(&mut self.held);
            match self.phase {
                Phase::Start => {
                    let begun = held.trim_start();
                    if let Some(rest) = begun.strip_prefix(OPEN) {
                        self.phase = Phase::Thinking;
                        rest.trim_start().clone_into(&mut self.held);
                        continue;
                    }
                    if OPEN.starts_with(begun) && !last {
                        self.held = held;
                    } else {
                        self.phase = Phase::Text;
                        split.text.push_str(&held);
                    }
                }
                Phase::Thinking => {
                    if let Some((thought, rest)) = held.split_once(CLOSE) {
                        split.reasoning.push_str(thought);
                        self.phase = Phase::Thought;
                        rest.clone_into(&mut self.held);
                        continue;
                    }
                    let keep = if last { 0 } else { tag_start(&held) };
                    let (thought, rest) = held.split_at(held.len() - keep);
                    split.reasoning.push_str(thought);
                    rest.clone_into(&mut self.held);
                }
                Phase::Thought => {
                    let text = held.trim_start();
                    if !text.is_empty() {
                        self.phase = Phase::Text;
                        split.text.push_str(text);
                    }
                }
                Phase::Text => split.text.push_str(&held),
            }
            return split;
        }
    }
}

/// How many bytes at the end may be the beginning of the closing tag.
fn tag_start(text: &str) -> usize {
    let longest = (1..CLOSE.len()).rev();
    longest
        .into_iter()
        .find(|length| {
            CLOSE
                .get(..*length)
                .is_some_and(|start| text.ends_with(start))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Split {
        Thoughts::default().split(text, true)
    }

    #[test]
    fn tags_are_taken_apart() {
        let check = |text: &str, reasoning: &str, rest: &str| {
            let split = whole(text);
            assert_eq!(
                (&*split.reasoning, &*split.text),
                (reasoning, rest),
                "{text}"
            );
        };
        check("<think>a</think>\n\nb", "a", "b");
        check(" \n<think>\na b\n</think>c", "a b\n", "c");
        check("plain <think>x</think>", "", "plain <think>x</think>");
        check("<think>cut off", "cut off", "");
        check("<thin", "", "<thin");
        check("<think></think>b", "", "b");
        check("", "", "");
    }

    #[test]
    fn parts_are_brought_together() {
        let check = |text: &str, expected: &str, reasoning: &str| {
            let flat = flatten(&mut Scanner::new(text)).unwrap();
            assert_eq!(
                (&*flat.text, &*flat.reasoning),
                (expected, reasoning),
                "{text}"
            );
        };
        check(
            r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a\"b"}]"#,
            "a\\\"b",
            "hm",
        );
        check(
            r#"[{"type":"reasoning","summary":[{"text":"s"}]},"x"]"#,
            "x",
            "s",
        );
        check(r#"{"a": 1}"#, r#"{\"a\": 1}"#, "");
        check("[]", "", "");
        let parts = r#"[{"type":"image_url","image_url":{"url":"data:a"}},
            {"type":"image_url","image_url":"https://b"},{"type":"refusal","refusal":"no"}]"#;
        let flat = flatten(&mut Scanner::new(parts)).unwrap();
        assert_eq!(flat.images, ["data:a", "https://b"]);
        assert_eq!(flat.refusal, "no");
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            parts in prop::collection::vec(
                prop_oneof![Just("<think>"), Just("</think>"), Just("a"), Just("</th"), Just("\n"), Just("<")],
                0..12,
            ),
            size in 1_usize..5,
        ) {
            let text = parts.concat();
            let mut thoughts = Thoughts::default();
            let mut split = Split::default();
            let characters: Vec<char> = text.chars().collect();
            for piece in characters.chunks(size) {
                let piece = thoughts.split(&piece.iter().collect::<String>(), false);
                split.reasoning += &piece.reasoning;
                split.text += &piece.text;
            }
            let end = thoughts.split("", true);
            split.reasoning += &end.reasoning;
            split.text += &end.text;
            let whole = whole(&text);
            prop_assert_eq!(split.reasoning.trim_start(), whole.reasoning.trim_start());
            prop_assert_eq!(split.text, whole.text);
        }
    }
}
