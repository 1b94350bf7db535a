//! Writes the items of the conversation: messages, calls and their results, and reasoning of the
//! provider's own making, which goes back as it came.

use crate::dialect::Target;
use crate::dialect::openai_responses::maker;
use crate::dialect::write::{List, put, refuse, run};
use crate::failure::Failure;
use crate::message::{DetailKind, Json, Media, Part, Place, Role, Source, Thought, Turn};
use crate::wire::json::{self, Str};
use shared::catalog::Quirk;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest id of a call that the provider takes, in bytes.
const CALL_ID_MAX: usize = 64;

/// Appends the member `input`; true when reasoning is among it.
///
/// # Errors
/// A part can't be carried, or nothing is left to say.
pub(super) fn write(
    turns: &[Turn<'_>],
    target: &Target<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, Failure> {
    let mut items = Items {
        list: List::default(),
        maker: maker(target),
        no_developer: target.has(Quirk::NoDeveloperRole),
        has_thoughts: false,
        freeform: freeform(turns),
    };
    for turn in turns {
        match turn.role {
            Role::Tool => items.result(turn)?,
            Role::Assistant => items.assistant(turn)?,
            Role::System | Role::Developer | Role::User => items.message(turn)?,
        }
    }
    if items.list.is_empty() {
        return Err(refuse("messages", "needs a message"));
    }
    put(out, &[",\"input\":["]);
    out.extend_from_slice(items.list.as_bytes());
    out.push(b']');
    Ok(items.has_thoughts)
}

/// The ids of calls with free text: their results are called otherwise than those of functions.
fn freeform<'a>(turns: &[Turn<'a>]) -> Vec<Str<'a>> {
    let parts = turns.iter().flat_map(|turn| &turn.parts);
    let calls = parts.filter_map(|part| match part {
        Part::Call {
            id,
            arguments: Json::Freeform(_),
            ..
        } => Some(*id),
        _ => None,
    });
    calls.collect()
}

struct Items<'a> {
    list: List,
    /// Whose reasoning goes back.
    maker: &'static str,
    no_developer: bool,
    has_thoughts: bool,
    /// The calls with free text.
    freeform: Vec<Str<'a>>,
}

impl Items<'_> {
    fn message(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let role = match turn.role {
            Role::Developer if !self.no_developer => "developer",
            Role::System | Role::Developer => "system",
            Role::User | Role::Assistant | Role::Tool => "user",
        };
        let content = content(&turn.parts, turn.place)?;
        let out = self.list.item();
        put(out, &["{\"role\":\"", role, "\",\"content\":"]);
        out.extend_from_slice(&content);
        out.push(b'}');
        Ok(())
    }

    /// A result is one text, or parts where there is more than text in it.
    fn result(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let is_text = |part: &Part<'_>| matches!(part, Part::Text { .. } | Part::Refusal(_));
        let output = if turn.parts.iter().all(is_text) {
            let mut text = b"\"".to_vec();
            for part in &turn.parts {
                if let Part::Text { text: said, .. } | Part::Refusal(said) = part {
                    put(&mut text, &[said.inner()]);
                }
            }
            text.push(b'"');
            text
        } else {
            content(&turn.parts, turn.place)?
        };
        let id = turn.call_id.unwrap_or(Str::EMPTY);
        let mut freeform = self.freeform.iter();
        let kind = match freeform.any(|known| known.decode() == id.decode()) {
            true => "custom_tool_call_output",
            false => "function_call_output",
        };
        let out = self.list.item();
        put(out, &["{\"type\":\"", kind, "\",\"call_id\":"]);
        call_id(id, out);
        put(out, &[",\"output\":"]);
        out.extend_from_slice(&output);
        out.push(b'}');
        Ok(())
    }

    fn assistant(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let mut said = List::default();
        let mut thoughts: Vec<&Thought<'_>> = Vec::new();
        for (index, part) in turn.parts.iter().enumerate() {
            if let Part::Reasoning(thought) = part {
                self.say(&mut said);
                if thought.kind == DetailKind::Tool {
                    self.think(&mut thoughts);
                    run(thought, &mut self.list);
                    continue;
                }
                if thoughts.last().is_some_and(|last| !belongs(last, thought)) {
                    self.think(&mut thoughts);
                }
                thoughts.push(thought);
                continue;
            }
            self.think(&mut thoughts);
            match part {
                Part::Text { text, .. } => {
                    let out = said.item();
                    put(
                        out,
                        &["{\"type\":\"output_text\",\"text\":", text.raw(), "}"],
                    );
                }
                Part::Refusal(text) => {
                    let out = said.item();
                    put(
                        out,
                        &["{\"type\":\"refusal\",\"refusal\":", text.raw(), "}"],
                    );
                }
                Part::Call {
                    id,
                    name,
                    arguments,
                    ..
                } => {
                    self.say(&mut said);
                    call((*id, *name), arguments, self.list.item());
                }
                Part::Spoken(_) => {
                    let place = format!("{}.content[{index}]", turn.place);
                    return Err(refuse(&place, "does not know what was said aloud"));
                }
                // Pictures of the model's own: the provider takes none back.
                Part::Image { .. }
                | Part::Audio { .. }
                | Part::Video { .. }
                | Part::File { .. }
                | Part::Reasoning(_) => {}
            }
        }
        self.think(&mut thoughts);
        self.say(&mut said);
        Ok(())
    }

    fn say(&mut self, said: &mut List) {
        let said = std::mem::take(said);
        if !said.is_empty() {
            let out = self.list.item();
            put(out, &["{\"role\":\"assistant\",\"content\":["]);
            out.extend_from_slice(said.as_bytes());
            put(out, &["]}"]);
        }
    }

    /// Writes an item of reasoning. Without its encrypted form the provider would look for it among
    /// what it stored, and refuse.
    fn think(&mut self, thoughts: &mut Vec<&Thought<'_>>) {
        let thoughts = std::mem::take(thoughts);
        let is_own = |thought: &&&Thought<'_>| {
            let own = |format: Str<'_>| format.decode() == self.maker;
            thought.format.is_none_or(own)
        };
        let own: Vec<&Thought<'_>> = thoughts.iter().filter(is_own).copied().collect();
        let of = |kind| own.iter().filter(move |thought| thought.kind == kind);
        let Some(encrypted) = of(DetailKind::Encrypted).next() else {
            return;
        };
        self.has_thoughts = true;
        let out = self.list.item();
        put(out, &["{\"type\":\"reasoning\""]);
        let id = own.iter().find_map(|thought| thought.id);
        if let Some(id) = id.filter(|id| id.inner().starts_with("rs_")) {
            put(out, &[",\"id\":", id.raw()]);
        }
        put(out, &[",\"summary\":["]);
        list(of(DetailKind::Summary), "summary_text", out);
        out.push(b']');
        if of(DetailKind::Text).next().is_some() {
            put(out, &[",\"content\":["]);
            list(of(DetailKind::Text), "reasoning_text", out);
            out.push(b']');
        }
        put(out, &[",\"encrypted_content\":"]);
        text(encrypted, out);
        out.push(b'}');
    }
}

fn call((id, name): (Str<'_>, Str<'_>), arguments: &Json<'_>, out: &mut Vec<u8>) {
    let (kind, member) = match arguments {
        Json::Freeform(_) => ("custom_tool_call", "input"),
        Json::Quoted(_) | Json::Plain(_) => ("function_call", "arguments"),
    };
    put(out, &["{\"type\":\"", kind, "\",\"call_id\":"]);
    call_id(id, out);
    put(out, &[",\"name\":", name.raw(), ",\"", member, "\":"]);
    match arguments {
        Json::Freeform(input) => put(out, &[input.raw()]),
        other if other.text().trim().is_empty() => put(out, &["\"{}\""]),
        other => other.write_quoted(out),
    }
    out.push(b'}');
}

/// True when a thought is of the same item as the one before it.
fn belongs(last: &Thought<'_>, thought: &Thought<'_>) -> bool {
    let id = |of: &Thought<'_>| of.id.map(|id| id.inner().to_owned());
    last.kind != DetailKind::Encrypted && id(last) == id(thought)
}

fn list<'t>(thoughts: impl Iterator<Item = &'t &'t Thought<'t>>, kind: &str, out: &mut Vec<u8>) {
    let mut parts = List::default();
    for thought in thoughts {
        let item = parts.item();
        put(item, &["{\"type\":\"", kind, "\",\"text\":"]);
        text(thought, item);
        item.push(b'}');
    }
    out.extend_from_slice(parts.as_bytes());
}

fn text(thought: &Thought<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    for piece in &thought.texts {
        put(out, &[piece.inner()]);
    }
    out.push(b'"');
}

/// A call's id. Other makers' may be longer than this one takes; calls and results are changed
/// alike.
fn call_id(id: Str<'_>, out: &mut Vec<u8>) {
    let text = id.decode();
    if text.len() <= CALL_ID_MAX {
        return put(out, &[id.raw()]);
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let kept: String = text.chars().filter(char::is_ascii).take(40).collect();
    json::write_string(out, &format!("{kept}_{:016x}", hasher.finish()));
}

/// The content of a message that is not the model's.
fn content(parts: &[Part<'_>], place: Place) -> Result<Vec<u8>, Failure> {
    if let [Part::Text { text, .. }] = parts {
        return Ok(text.raw().as_bytes().to_vec());
    }
    let mut list = List::default();
    for (index, one) in parts.iter().enumerate() {
        part(one, list.item()).map_err(|why| refuse(&format!("{place}.content[{index}]"), why))?;
    }
    let mut out = b"[".to_vec();
    out.extend_from_slice(list.as_bytes());
    out.push(b']');
    Ok(out)
}

/// A part. What can't be carried is said in words.
fn part(part: &Part<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => {
            put(out, &["{\"type\":\"input_text\",\"text\":", text.raw()]);
        }
        Part::Image { source, detail, .. } => {
            put(out, &["{\"type\":\"input_image\""]);
            match source {
                Source::Id(id) => put(out, &[",\"file_id\":", id.raw()]),
                Source::Url(_) | Source::Inline { .. } => {
                    put(out, &[",\"image_url\":"]);
                    source.write_url(out);
                }
            }
            if let Some(detail) = detail {
                put(out, &[",\"detail\":", detail.raw()]);
            }
        }
        Part::Audio { data, format, .. } => {
            let start = "{\"type\":\"input_audio\",\"input_audio\":{\"data\":";
            put(out, &[start, data.raw(), ",\"format\":", format.raw(), "}"]);
        }
        Part::File { source, name, .. } => {
            put(out, &["{\"type\":\"input_file\""]);
            match source.resolve() {
                Media::Id(id) => {
                    put(out, &[",\"file_id\":"]);
                    json::write_string(out, &id);
                }
                Media::Url(url) => {
                    put(out, &[",\"file_url\":"]);
                    json::write_string(out, &url);
                }
                Media::Inline { .. } => {
                    let name = name.map_or("\"file\"", Str::raw);
                    put(out, &[",\"filename\":", name, ",\"file_data\":"]);
                    source.write_url(out);
                }
            }
        }
        Part::Video { .. } => return Err("takes no film"),
        Part::Spoken(_) | Part::Reasoning(_) | Part::Call { .. } => {
            return Err("does not take this from a user");
        }
    }
    out.push(b'}');
    Ok(())
}
