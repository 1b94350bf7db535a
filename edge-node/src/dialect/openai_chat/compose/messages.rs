//! The messages of a composed body. Neighbouring turns of the model become one message, because its
//! calls must stand in one; what a tool shows besides text follows as a message of the user, because
//! results are text here.

use crate::dialect::Target;
use crate::dialect::openai_chat::compose::parts::part;
use crate::dialect::write::{List, nine_letters, put, refuse};
use crate::failure::Failure;
use crate::message::{DetailKind, Part, Role, Thought, Turn};
use crate::wire::json::Str;
use shared::catalog::Quirk;
use std::borrow::Cow;

/// Appends the member `messages`; `has_tools` is true when the request declares some.
///
/// # Errors
/// A part can't be carried, or nothing is left to say.
pub(super) fn write(
    turns: &[Turn<'_>],
    has_tools: bool,
    target: &Target<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut messages = Messages {
        target,
        has_tools,
        list: List::default(),
        shown: List::default(),
    };
    let mut rest = turns;
    while let Some(turn) = rest.first() {
        let length = match turn.role {
            Role::Assistant => rest
                .iter()
                .take_while(|turn| turn.role == Role::Assistant)
                .count(),
            _ => 1,
        };
        let (these, others) = rest.split_at(length.min(rest.len()));
        rest = others;
        if turn.role != Role::Tool {
            messages.show();
        }
        match turn.role {
            Role::Assistant => messages.assistant(these)?,
            Role::Tool => messages.result(turn)?,
            Role::System | Role::Developer | Role::User => messages.plain(turn)?,
        }
    }
    messages.show();
    if messages.list.is_empty() {
        return Err(refuse("messages", "needs a message"));
    }
    put(out, &[",\"messages\":["]);
    out.extend_from_slice(messages.list.as_bytes());
    out.push(b']');
    Ok(())
}

struct Messages<'a> {
    target: &'a Target<'a>,
    has_tools: bool,
    list: List,
    /// Pictures and files that tools have shown since the last message.
    shown: List,
}

impl Messages<'_> {
    fn has(&self, quirk: Quirk) -> bool {
        self.target.has(quirk)
    }

    /// Gives what tools have shown.
    fn show(&mut self) {
        let shown = std::mem::take(&mut self.shown);
        if !shown.is_empty() {
            let out = self.list.item();
            put(out, &["{\"role\":\"user\",\"content\":["]);
            out.extend_from_slice(shown.as_bytes());
            put(out, &["]}"]);
        }
    }

    fn plain(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let role = match turn.role {
            Role::Developer if !self.has(Quirk::NoDeveloperRole) => "developer",
            Role::System | Role::Developer => "system",
            Role::User | Role::Assistant | Role::Tool => "user",
        };
        let marks = self.has(Quirk::CacheControl);
        let names = !self.has(Quirk::NoNames);
        let out = self.list.item();
        put(out, &["{\"role\":\"", role, "\",\"content\":"]);
        match &*turn.parts {
            [one @ Part::Text { text, .. }] if mark(one, marks).is_none() => {
                put(out, &[text.raw()]);
            }
            parts => {
                let mut list = List::default();
                for (index, one) in parts.iter().enumerate() {
                    part(one, mark(one, marks), &mut list)
                        .map_err(|why| refuse(&format!("{}.content[{index}]", turn.place), why))?;
                }
                out.push(b'[');
                out.extend_from_slice(list.as_bytes());
                out.push(b']');
            }
        }
        if names {
            name(turn, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// A result is a text; marks and failures have no word here.
    fn result(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let id = call_id(
            turn.call_id.unwrap_or(Str::EMPTY),
            self.has(Quirk::NineLetterIds),
        );
        let names = !self.has(Quirk::NoNames);
        let out = self.list.item();
        put(out, &["{\"role\":\"tool\",\"tool_call_id\":", &id]);
        put(out, &[",\"content\":\""]);
        for (index, one) in turn.parts.iter().enumerate() {
            if let Part::Text { text, .. } | Part::Refusal(text) = one {
                put(out, &[text.inner()]);
            } else {
                part(one, None, &mut self.shown)
                    .map_err(|why| refuse(&format!("{}.content[{index}]", turn.place), why))?;
            }
        }
        out.push(b'"');
        if names {
            name(turn, out);
        }
        out.push(b'}');
        Ok(())
    }

    fn assistant(&mut self, turns: &[Turn<'_>]) -> Result<(), Failure> {
        let gives_back = self.has(Quirk::ReasoningContentBack);
        let lost = lost(self.target);
        let gives_details = self.has(Quirk::ReasoningDetails);
        let takes_back = self.has(Quirk::ReasoningBack);
        let names = !self.has(Quirk::NoNames);
        let (marks, short) = (
            self.has(Quirk::CacheControl),
            self.has(Quirk::NineLetterIds),
        );
        let parts = || turns.iter().flat_map(|turn| &turn.parts);
        let out = self.list.item();
        put(out, &["{\"role\":\"assistant\",\"content\":"]);
        let text = text(turns, marks);
        if text.is_empty() {
            put(out, &["null"]);
        } else {
            out.extend_from_slice(&text);
        }
        let mut calls = List::default();
        let mut details = List::default();
        let (mut thoughts, mut count) = (String::new(), 0);
        for one in parts() {
            match one {
                Part::Text { .. } => {}
                Part::Refusal(said) => put(out, &[",\"refusal\":", said.raw()]),
                Part::Spoken(id) => put(out, &[",\"audio\":{\"id\":", id.raw(), "}"]),
                Part::Reasoning(thought) => {
                    if matches!(thought.kind, DetailKind::Text | DetailKind::Summary) {
                        thoughts.extend(thought.texts.iter().map(|text| text.inner()));
                    }
                    detail(thought, count, &mut details);
                    count += 1;
                }
                Part::Call { .. } => call(one, short, calls.item()),
                // Pictures of the model's own: no provider takes them back.
                Part::Image { .. }
                | Part::Audio { .. }
                | Part::Video { .. }
                | Part::File { .. } => {}
            }
        }
        if !calls.is_empty() {
            put(out, &[",\"tool_calls\":["]);
            out.extend_from_slice(calls.as_bytes());
            out.push(b']');
        }
        // What the model said without its reasoning is refused, with none of it is not.
        if gives_back && (self.has_tools || !calls.is_empty()) {
            let told = if thoughts.is_empty() { lost } else { &thoughts };
            put(out, &[",\"reasoning_content\":\"", told, "\""]);
        }
        if takes_back && !thoughts.is_empty() {
            put(out, &[",\"reasoning\":\"", &thoughts, "\""]);
        }
        if gives_details && !details.is_empty() {
            put(out, &[",\"reasoning_details\":["]);
            out.extend_from_slice(details.as_bytes());
            out.push(b']');
        }
        if let Some(turn) = turns.first().filter(|_| names) {
            name(turn, out);
        }
        out.push(b'}');
        Ok(())
    }
}

/// What is said of reasoning that is lost.
pub(in crate::dialect::openai_chat) fn lost(target: &Target<'_>) -> &'static str {
    if target.has(Quirk::ReasoningContentFilled) {
        " "
    } else {
        ""
    }
}

fn name(turn: &Turn<'_>, out: &mut Vec<u8>) {
    if let Some(name) = turn.name.filter(|name| !name.is_empty()) {
        put(out, &[",\"name\":", name.raw()]);
    }
}

/// A part's cache mark, where the provider knows marks: others refuse what they don't know.
fn mark<'p>(part: &Part<'p>, marks: bool) -> Option<&'p str> {
    part.cache().filter(|_| marks)
}

/// What the model said, as one string, or in parts where a cache mark stands on one; empty for
/// nothing.
fn text(turns: &[Turn<'_>], marks: bool) -> Vec<u8> {
    let parts = || turns.iter().flat_map(|turn| &turn.parts);
    let texts = || parts().filter(|part| matches!(part, Part::Text { .. }));
    let mut out = Vec::new();
    if texts().any(|part| mark(part, marks).is_some()) {
        let mut list = List::default();
        for one in texts() {
            // Texts can always be carried.
            let _ = part(one, mark(one, marks), &mut list);
        }
        out.push(b'[');
        out.extend_from_slice(list.as_bytes());
        out.push(b']');
    } else if texts().next().is_some() {
        out.push(b'"');
        for one in texts() {
            if let Part::Text { text, .. } = one {
                put(&mut out, &[text.inner()]);
            }
        }
        out.push(b'"');
    }
    out
}

/// An id of a call, with its quotes.
fn call_id(id: Str<'_>, short: bool) -> Cow<'_, str> {
    if short {
        Cow::Owned(format!("\"{}\"", nine_letters(&id.decode())))
    } else {
        Cow::Borrowed(id.raw())
    }
}

fn call(part: &Part<'_>, short: bool, out: &mut Vec<u8>) {
    let Part::Call {
        id,
        name,
        arguments,
        ..
    } = part
    else {
        return;
    };
    let id = call_id(*id, short);
    put(out, &["{\"id\":", &id, ",\"type\":\"function\""]);
    put(
        out,
        &[",\"function\":{\"name\":", name.raw(), ",\"arguments\":"],
    );
    if arguments.text().trim().is_empty() {
        put(out, &["\"{}\""]);
    } else {
        arguments.write_quoted(out);
    }
    put(out, &["}}"]);
}

/// A detail of reasoning as its maker gave it.
fn detail(thought: &Thought<'_>, index: usize, list: &mut List) {
    let Some(format) = thought.format else {
        return;
    };
    let member = match thought.kind {
        DetailKind::Text => "text",
        DetailKind::Summary => "summary",
        DetailKind::Encrypted => "data",
        // Refused before.
        DetailKind::Tool => return,
    };
    let out = list.item();
    put(
        out,
        &[
            "{\"type\":\"",
            thought.kind.as_str(),
            "\",\"",
            member,
            "\":\"",
        ],
    );
    for text in &thought.texts {
        put(out, &[text.inner()]);
    }
    out.push(b'"');
    for (name, text) in [("signature", thought.signature), ("id", thought.id)] {
        if let Some(text) = text {
            put(out, &[",\"", name, "\":", text.raw()]);
        }
    }
    put(
        out,
        &[
            ",\"format\":",
            format.raw(),
            ",\"index\":",
            &index.to_string(),
            "}",
        ],
    );
}
