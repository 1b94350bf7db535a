//! Writes the messages: content is a text, pictures stand beside it, and a result names its tool.
//! Neighbouring turns of the model become one message, because its calls must stand in one.

use crate::dialect::write::{List, member, put, refuse};
use crate::failure::Failure;
use crate::message::{Json, Media, Part, Place, Role, Turn};
use crate::wire::json::{self, Kind, Str};

/// Appends the member `messages`.
///
/// # Errors
/// A part can't be carried, or nothing is left to say.
pub(super) fn write(turns: &[Turn<'_>], out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut list = List::default();
    let both = |one: &Turn<'_>, next: &Turn<'_>| {
        one.role == Role::Assistant && next.role == Role::Assistant
    };
    for these in turns.chunk_by(both) {
        let Some(turn) = these.first() else {
            continue;
        };
        match turn.role {
            Role::Assistant => assistant(these, list.item())?,
            Role::Tool => {
                let name = name_of(turn.call_id, turns);
                spoken(turn, ("tool", name), list.item())?;
            }
            Role::System | Role::Developer => spoken(turn, ("system", None), list.item())?,
            Role::User => spoken(turn, ("user", None), list.item())?,
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

fn spoken(
    turn: &Turn<'_>,
    (role, tool): (&str, Option<Str<'_>>),
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    put(out, &["{\"role\":\"", role, "\",\"content\":\""]);
    let mut images = List::default();
    let mut is_first = true;
    for (index, part) in turn.parts.iter().enumerate() {
        let at = || format!("{}.content[{index}]", turn.place);
        match part {
            Part::Text { text, .. } | Part::Refusal(text) => {
                let between = if is_first { "" } else { "\\n" };
                put(out, &[between, text.inner()]);
                is_first = false;
            }
            Part::Image { source, .. } => {
                let Media::Inline { data, .. } = source.resolve() else {
                    let why = "needs a picture itself, as base64 in a data URL";
                    return Err(refuse(&at(), why));
                };
                json::write_string(images.item(), &data);
            }
            _ => return Err(refuse(&at(), "takes texts and pictures only")),
        }
    }
    out.push(b'"');
    member(out, "images", &images);
    if let Some(name) = tool {
        put(out, &[",\"tool_name\":", name.raw()]);
    }
    if let Some(id) = turn.call_id {
        put(out, &[",\"tool_call_id\":", id.raw()]);
    }
    out.push(b'}');
    Ok(())
}

fn assistant(turns: &[Turn<'_>], out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut calls = List::default();
    let (mut texts, mut thoughts) = (String::new(), String::new());
    for turn in turns {
        for part in &turn.parts {
            match part {
                Part::Text { text, .. } | Part::Refusal(text) => texts.push_str(text.inner()),
                Part::Reasoning(thought) if thought.is_free() => {
                    thoughts.extend(thought.texts.iter().map(|text| text.inner()));
                }
                Part::Call {
                    id,
                    name,
                    arguments,
                    ..
                } => {
                    let arguments = object(*arguments, turn.place)?;
                    let item = calls.item();
                    put(item, &["{\"id\":", id.raw(), ",\"function\":{\"name\":"]);
                    put(item, &[name.raw(), ",\"arguments\":", &arguments, "}}"]);
                }
                // What the model can't be told of what it made itself.
                Part::Reasoning(_)
                | Part::Image { .. }
                | Part::Audio { .. }
                | Part::Spoken(_)
                | Part::Video { .. }
                | Part::File { .. } => {}
            }
        }
    }
    put(
        out,
        &["{\"role\":\"assistant\",\"content\":\"", &texts, "\""],
    );
    if !thoughts.is_empty() {
        put(out, &[",\"thinking\":\"", &thoughts, "\""]);
    }
    member(out, "tool_calls", &calls);
    out.push(b'}');
    Ok(())
}

/// Arguments as an object, digit for digit as the client has them.
fn object(arguments: Json<'_>, place: Place) -> Result<String, Failure> {
    let text = arguments.text();
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    if json::check(&text) == Ok(Kind::Object) {
        return Ok(text.into_owned());
    }
    let place = format!("{place}.tool_calls");
    Err(refuse(
        &place,
        "takes only arguments that are a JSON object",
    ))
}
