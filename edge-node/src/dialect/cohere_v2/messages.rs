//! Writes the messages. Neighbouring turns of the model become one message, because its calls must
//! stand in one; what it thought before a call goes back as its plan.

use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::message::{Part, Role, Turn};
use crate::wire::json::Str;

/// Appends the member `messages`.
///
/// # Errors
/// A part can't be carried, or nothing is left to say.
pub(super) fn write(turns: &[Turn<'_>], out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut list = List::default();
    for these in
        turns.chunk_by(|one, next| one.role == Role::Assistant && next.role == Role::Assistant)
    {
        let Some(turn) = these.first() else {
            continue;
        };
        match turn.role {
            Role::Assistant => assistant(these, list.item()),
            Role::Tool => result(turn, list.item())?,
            Role::System | Role::Developer | Role::User => plain(turn, list.item())?,
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

fn plain(turn: &Turn<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let role = if turn.role.is_system() {
        "system"
    } else {
        "user"
    };
    put(out, &["{\"role\":\"", role, "\",\"content\":"]);
    if let [Part::Text { text, .. }] = &*turn.parts {
        put(out, &[text.raw(), "}"]);
        return Ok(());
    }
    let mut list = List::default();
    for (index, part) in turn.parts.iter().enumerate() {
        let item = list.item();
        let carried = match part {
            Part::Text { text, .. } | Part::Refusal(text) => {
                put(item, &["{\"type\":\"text\",\"text\":", text.raw(), "}"]);
                true
            }
            Part::Image { source, detail, .. } => {
                put(item, &["{\"type\":\"image_url\",\"image_url\":{\"url\":"]);
                let written = source.write_url(item);
                if let Some(detail) = detail {
                    put(item, &[",\"detail\":", detail.raw()]);
                }
                put(item, &["}}"]);
                written
            }
            _ => false,
        };
        if !carried {
            let place = format!("{}.content[{index}]", turn.place);
            return Err(refuse(&place, "takes texts, and pictures by URL or inline"));
        }
    }
    out.push(b'[');
    out.extend_from_slice(list.as_bytes());
    put(out, &["]}"]);
    Ok(())
}

/// A result is a text; a failure has no word of its own here.
fn result(turn: &Turn<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let id = turn.call_id.unwrap_or(Str::EMPTY);
    put(out, &["{\"role\":\"tool\",\"tool_call_id\":", id.raw()]);
    put(out, &[",\"content\":\""]);
    for (index, part) in turn.parts.iter().enumerate() {
        let (Part::Text { text, .. } | Part::Refusal(text)) = part else {
            let place = format!("{}.content[{index}]", turn.place);
            return Err(refuse(&place, "takes results of tools as text"));
        };
        put(out, &[text.inner()]);
    }
    put(out, &["\"}"]);
    Ok(())
}

fn assistant(turns: &[Turn<'_>], out: &mut Vec<u8>) {
    let parts = || turns.iter().flat_map(|turn| &turn.parts);
    let mut calls = List::default();
    let (mut texts, mut plan) = (String::new(), String::new());
    for part in parts() {
        match part {
            Part::Text { text, .. } | Part::Refusal(text) => texts.push_str(text.inner()),
            Part::Reasoning(thought) if thought.is_free() => {
                plan.extend(thought.texts.iter().map(|text| text.inner()));
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
    put(out, &["{\"role\":\"assistant\""]);
    if !texts.is_empty() || calls.is_empty() {
        put(out, &[",\"content\":\"", &texts, "\""]);
    }
    if !calls.is_empty() {
        if !plan.is_empty() {
            put(out, &[",\"tool_plan\":\"", &plan, "\""]);
        }
        put(out, &[",\"tool_calls\":["]);
        out.extend_from_slice(calls.as_bytes());
        out.push(b']');
    }
    out.push(b'}');
}

fn call(part: &Part<'_>, out: &mut Vec<u8>) {
    let Part::Call {
        id,
        name,
        arguments,
        ..
    } = part
    else {
        return;
    };
    put(out, &["{\"id\":", id.raw(), ",\"type\":\"function\""]);
    put(out, &[",\"function\":{\"name\":", name.raw()]);
    put(out, &[",\"arguments\":"]);
    if arguments.text().trim().is_empty() {
        put(out, &["\"{}\""]);
    } else {
        arguments.write_quoted(out);
    }
    put(out, &["}}"]);
}
