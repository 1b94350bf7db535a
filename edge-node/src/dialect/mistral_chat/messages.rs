//! Writes the messages. Ids of calls are nine letters and digits here: others become such, calls and
//! results alike. What the model shall go on from is marked as a prefix.

use crate::dialect::write::{List, nine_letters, put, refuse};
use crate::failure::Failure;
use crate::message::{Part, Role, Source, Turn};
use crate::wire::json::Str;

/// Appends the member `messages`. `thinks` tells that the model takes its thoughts back.
///
/// # Errors
/// A part can't be carried, or nothing is left to say.
pub(super) fn write(turns: &[Turn<'_>], thinks: bool, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut list = List::default();
    let both = |one: &Turn<'_>, next: &Turn<'_>| {
        one.role == Role::Assistant && next.role == Role::Assistant
    };
    let last = turns.last().map(|turn| turn.place);
    for these in turns.chunk_by(both) {
        let Some(turn) = these.first() else {
            continue;
        };
        match turn.role {
            Role::Assistant => {
                let is_last = these.last().map(|turn| turn.place) == last;
                assistant(these, (thinks, is_last), list.item());
            }
            Role::Tool => {
                let item = list.item();
                put(item, &["{\"role\":\"tool\",\"tool_call_id\":\""]);
                put(item, &[&id(turn.call_id.unwrap_or(Str::EMPTY)), "\""]);
                if let Some(name) = turn.name.or_else(|| name_of(turn.call_id, turns)) {
                    put(item, &[",\"name\":", name.raw()]);
                }
                content(turn, item)?;
            }
            Role::System | Role::Developer | Role::User => {
                let role = if turn.role == Role::User {
                    "user"
                } else {
                    "system"
                };
                let item = list.item();
                put(item, &["{\"role\":\"", role, "\""]);
                content(turn, item)?;
            }
        }
    }
    if list.is_empty() {
        return Err(refuse("messages", "needs a message"));
    }
    put(out, &[",\"messages\":["]);
    out.extend_from_slice(list.as_bytes());
    out.push(b']');
    Ok(())
}

/// The tool that was called by this id.
fn name_of<'a>(id: Option<Str<'_>>, turns: &[Turn<'a>]) -> Option<Str<'a>> {
    let id = id?.decode();
    let mut parts = turns.iter().flat_map(|turn| &turn.parts);
    parts.find_map(|part| match part {
        Part::Call {
            id: known, name, ..
        } if known.decode() == id => Some(*name),
        _ => None,
    })
}

fn id(id: Str<'_>) -> String {
    nine_letters(&id.decode())
}

/// Appends the member `content` and the message's end.
fn content(turn: &Turn<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    put(out, &[",\"content\":"]);
    match &*turn.parts {
        [] => put(out, &["\"\""]),
        [Part::Text { text, .. }] => put(out, &[text.raw()]),
        parts => {
            let mut list = List::default();
            for (index, one) in parts.iter().enumerate() {
                part(one, list.item())
                    .map_err(|why| refuse(&format!("{}.content[{index}]", turn.place), why))?;
            }
            out.push(b'[');
            out.extend_from_slice(list.as_bytes());
            out.push(b']');
        }
    }
    out.push(b'}');
    Ok(())
}

/// A part of a message. What can't be carried is said in words.
fn part(part: &Part<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => {
            put(out, &["{\"type\":\"text\",\"text\":", text.raw()]);
        }
        Part::Image { source, detail, .. } => {
            put(out, &["{\"type\":\"image_url\",\"image_url\":{\"url\":"]);
            if !source.write_url(out) {
                return Err("takes pictures by URL or inline");
            }
            if let Some(detail) = detail {
                put(out, &[",\"detail\":", detail.raw()]);
            }
            out.push(b'}');
        }
        Part::Audio { data, .. } => {
            put(
                out,
                &["{\"type\":\"input_audio\",\"input_audio\":", data.raw()],
            );
        }
        Part::File {
            source: Source::Id(id),
            ..
        } => put(out, &["{\"type\":\"file\",\"file_id\":", id.raw()]),
        Part::File { source, name, .. } => {
            put(out, &["{\"type\":\"document_url\",\"document_url\":"]);
            // Only ids have no URL.
            source.write_url(out);
            if let Some(name) = name {
                put(out, &[",\"document_name\":", name.raw()]);
            }
        }
        Part::Video { .. } => return Err("takes no films"),
        Part::Spoken(_) | Part::Reasoning(_) | Part::Call { .. } => {
            return Err("does not take this from a user");
        }
    }
    out.push(b'}');
    Ok(())
}

fn assistant(turns: &[Turn<'_>], (thinks, is_last): (bool, bool), out: &mut Vec<u8>) {
    let mut calls = List::default();
    let (mut texts, mut thoughts) = (String::new(), String::new());
    for part in turns.iter().flat_map(|turn| &turn.parts) {
        match part {
            Part::Text { text, .. } | Part::Refusal(text) => texts.push_str(text.inner()),
            Part::Reasoning(thought) if thinks && thought.is_free() => {
                thoughts.extend(thought.texts.iter().map(|text| text.inner()));
            }
            Part::Call { .. } => call(part, calls.item()),
            // What the model can't be told of what it made itself.
            Part::Reasoning(_)
            | Part::Image { .. }
            | Part::Audio { .. }
            | Part::Spoken(_)
            | Part::Video { .. }
            | Part::File { .. } => {}
        }
    }
    put(out, &["{\"role\":\"assistant\",\"content\":"]);
    if thoughts.is_empty() {
        put(out, &["\"", &texts, "\""]);
    } else {
        let start = "[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"";
        put(out, &[start, &thoughts, "\"}]}"]);
        if !texts.is_empty() {
            put(out, &[",{\"type\":\"text\",\"text\":\"", &texts, "\"}"]);
        }
        out.push(b']');
    }
    if !calls.is_empty() {
        put(out, &[",\"tool_calls\":["]);
        out.extend_from_slice(calls.as_bytes());
        out.push(b']');
    } else if is_last {
        put(out, &[",\"prefix\":true"]);
    }
    out.push(b'}');
}

fn call(part: &Part<'_>, out: &mut Vec<u8>) {
    let Part::Call {
        id: call,
        name,
        arguments,
        ..
    } = part
    else {
        return;
    };
    put(out, &["{\"id\":\"", &id(*call), "\",\"type\":\"function\""]);
    put(out, &[",\"function\":{\"name\":", name.raw()]);
    put(out, &[",\"arguments\":"]);
    if arguments.text().trim().is_empty() {
        put(out, &["\"{}\""]);
    } else {
        arguments.write_quoted(out);
    }
    put(out, &["}}"]);
}
