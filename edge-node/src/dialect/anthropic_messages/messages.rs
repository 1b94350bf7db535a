//! Writes the messages: user and assistant in turn, neighbours merged, results of tools first, no
//! empty blocks.

use crate::dialect::anthropic_messages::media;
use crate::dialect::redacted;
use crate::dialect::write::{List, put, refuse, run};
use crate::failure::Failure;
use crate::message::{DetailKind, Json, Part, Place, Role, Thought, Turn};
use crate::wire::json::{self, Kind, Str};

/// Reasoning of other makers carries signatures that this dialect's providers refuse.
const MAKER: &str = "anthropic";

/// A message that is being put together.
#[derive(Debug, Default)]
struct Message {
    /// Results of tools: they come first.
    results: List,
    rest: List,
}

/// Appends the member `messages`.
///
/// # Errors
/// A part can't be carried, or nothing is left to say.
pub(super) fn write(turns: &[Turn<'_>], out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut list = List::default();
    let mut message = Message::default();
    let mut speaker = Role::User;
    let spoken = || turns.iter().filter(|turn| !turn.role.is_system());
    let last = spoken().next_back().map(|turn| turn.place);
    for turn in spoken() {
        let role = match turn.role {
            Role::Assistant => Role::Assistant,
            Role::System | Role::Developer | Role::User | Role::Tool => Role::User,
        };
        if role != speaker {
            std::mem::take(&mut message).end(speaker, &mut list);
            speaker = role;
        }
        // What the model shall go on from may not end in a blank.
        let prefill = role == Role::Assistant && last == Some(turn.place);
        message.add(turn, prefill)?;
    }
    message.end(speaker, &mut list);
    if list.is_empty() {
        return Err(refuse("messages", "needs a message of the user"));
    }
    out.extend_from_slice(b",\"messages\":[");
    out.extend_from_slice(list.as_bytes());
    out.push(b']');
    Ok(())
}

/// Appends a text block; blank texts are refused by the provider and left out.
pub(super) fn text(part: &Part<'_>, list: &mut List) {
    if let Part::Text { text, cache: mark } = part
        && !is_blank(*text)
    {
        let out = list.item();
        put(out, &["{\"type\":\"text\",\"text\":", text.raw()]);
        cache(*mark, out);
        out.push(b'}');
    }
}

/// Appends a cache mark as a further member.
pub(super) fn cache(mark: Option<&str>, out: &mut Vec<u8>) {
    if let Some(mark) = mark {
        put(out, &[",\"cache_control\":", mark]);
    }
}

pub(crate) fn is_blank(text: Str<'_>) -> bool {
    // Most texts tell by their first byte.
    let may_be_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\\' || *byte >= 0x80;
    text.inner().as_bytes().first().is_none_or(may_be_blank) && text.decode().trim().is_empty()
}

impl Message {
    fn end(self, role: Role, list: &mut List) {
        if self.results.is_empty() && self.rest.is_empty() {
            return;
        }
        let out = list.item();
        let role = if role == Role::Assistant {
            "assistant"
        } else {
            "user"
        };
        put(out, &["{\"role\":\"", role, "\",\"content\":["]);
        out.extend_from_slice(self.results.as_bytes());
        if !self.results.is_empty() && !self.rest.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(self.rest.as_bytes());
        out.extend_from_slice(b"]}");
    }

    fn add(&mut self, turn: &Turn<'_>, prefill: bool) -> Result<(), Failure> {
        if turn.role == Role::Tool {
            return self.result(turn);
        }
        let last = turn.parts.len().wrapping_sub(1);
        for (index, part) in turn.parts.iter().enumerate() {
            match part {
                Part::Text { text, .. } if prefill && index == last => {
                    let text = text.decode();
                    let kept = text.trim_end();
                    if !kept.is_empty() {
                        let out = self.rest.item();
                        put(out, &["{\"type\":\"text\",\"text\":"]);
                        json::write_string(out, kept);
                        out.push(b'}');
                    }
                }
                part => block(part, (turn.place, index), &mut self.rest)?,
            }
        }
        Ok(())
    }

    /// The result of a tool; it may be empty, its texts may not.
    fn result(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let mut content = List::default();
        let mut mark = None;
        for (index, part) in turn.parts.iter().enumerate() {
            block(&unmarked(part), (turn.place, index), &mut content)?;
            mark = part.cache().or(mark);
        }
        let mark = turn.cache.or(mark);
        let out = self.results.item();
        put(out, &["{\"type\":\"tool_result\",\"tool_use_id\":"]);
        id(turn.call_id.unwrap_or(Str::EMPTY), out);
        if !content.is_empty() {
            put(out, &[",\"content\":["]);
            out.extend_from_slice(content.as_bytes());
            out.push(b']');
        }
        if turn.is_error {
            put(out, &[",\"is_error\":true"]);
        }
        cache(mark, out);
        out.push(b'}');
        Ok(())
    }
}

/// Inside a result only the result itself may carry a cache mark.
fn unmarked<'a>(part: &Part<'a>) -> Part<'a> {
    let mut part = part.clone();
    if let Part::Text { cache, .. } | Part::Image { cache, .. } | Part::File { cache, .. } =
        &mut part
    {
        *cache = None;
    }
    part
}

fn block(part: &Part<'_>, (place, index): (Place, usize), list: &mut List) -> Result<(), Failure> {
    match part {
        Part::Text { .. } => text(part, list),
        Part::Refusal(said) => text(&Part::plain(*said), list),
        Part::Image { source, .. } => media::picture(source, part.cache(), place, list)?,
        Part::File { source, name, .. } => {
            media::document(source, (*name, part.cache()), place, list)?;
        }
        Part::Reasoning(thought) => thinking(thought, list),
        Part::Call {
            id: call,
            name,
            arguments,
            cache: mark,
        } => {
            let input = input(*arguments, place)?;
            let out = list.item();
            put(out, &["{\"type\":\"tool_use\",\"id\":"]);
            id(*call, out);
            put(out, &[",\"name\":", name.raw(), ",\"input\":", &input]);
            cache(*mark, out);
            out.push(b'}');
        }
        Part::Audio { .. } | Part::Spoken(_) | Part::Video { .. } => {
            let place = format!("{place}.content[{index}]");
            return Err(refuse(&place, "takes neither sound nor film"));
        }
    }
    Ok(())
}

/// Thoughts go back as they came; what has no signature can't.
fn thinking(thought: &Thought<'_>, list: &mut List) {
    if thought.kind == DetailKind::Tool {
        return run(thought, list);
    }
    if !is_own(thought) {
        return;
    }
    let out = list.item();
    if thought.kind == DetailKind::Encrypted {
        let data: String = thought.texts.iter().map(|text| text.decode()).collect();
        put(out, &["{\"type\":\"redacted_thinking\",\"data\":"]);
        json::write_string(out, &redacted::bare(&data));
        out.push(b'}');
        return;
    }
    put(out, &["{\"type\":\"thinking\",\"thinking\":\""]);
    for text in &thought.texts {
        put(out, &[text.inner()]);
    }
    out.push(b'"');
    if let Some(signature) = thought.signature {
        put(out, &[",\"signature\":", signature.raw()]);
    }
    out.push(b'}');
}

/// True for a thought that this dialect's providers take back.
pub(crate) fn is_own(thought: &Thought<'_>) -> bool {
    let whole = match thought.kind {
        DetailKind::Text => thought.signature.is_some(),
        DetailKind::Encrypted => true,
        DetailKind::Summary | DetailKind::Tool => false,
    };
    whole && thought.is_of(MAKER)
}

/// The provider takes letters, digits, `_` and `-` only. Calls and results are changed alike.
fn id(id: Str<'_>, out: &mut Vec<u8>) {
    let text = id.decode();
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let changed: String = text
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    json::write_string(out, &changed);
}

/// Arguments as an object, digit for digit as the client has them.
fn input(arguments: Json<'_>, place: Place) -> Result<String, Failure> {
    let text = arguments.text();
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    if json::check(&text) == Ok(Kind::Object) {
        return Ok(text.into_owned());
    }
    let place = format!("{place}.tool_calls");
    let why = "takes only arguments that are a JSON object";
    Err(refuse(&place, why))
}
