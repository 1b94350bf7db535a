//! Writes the messages: user and assistant in turn, neighbours merged, results of tools first, no
//! empty texts, and a cache point behind what is marked.

use crate::dialect::anthropic_messages::{is_blank, is_own};
use crate::dialect::bedrock_converse::family::Family;
use crate::dialect::bedrock_converse::media::{document, image, video};
use crate::dialect::redacted;
use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::message::{DetailKind, Json, Part, Place, Role, Thought, Turn};
use crate::wire::json::{self, Kind, Str};
use ring::digest;
use std::fmt::Write;

/// What stands for the result of a tool that gave nothing: an empty one is refused.
const NO_RESULT: &str = "{\"text\":\"(no result)\"}";
/// The longest id of a call.
const ID_CHARS_MAX: usize = 64;

/// A message that is being put together.
#[derive(Debug, Default)]
struct Message {
    /// Results of tools: they come first.
    results: List,
    rest: List,
}

/// What all messages share.
pub(super) struct Writer {
    pub(super) family: Family,
    /// Documents so far: each needs a name of its own.
    documents: usize,
}

impl Writer {
    pub(super) const fn new(family: Family) -> Self {
        Self {
            family,
            documents: 0,
        }
    }

    /// Appends the member `messages`; `cache` is a mark on the whole prompt.
    ///
    /// # Errors
    /// A part can't be carried, or the user does not begin.
    pub(super) fn write(
        &mut self,
        turns: &[Turn<'_>],
        cache: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
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
            if list.is_empty() && role == Role::Assistant {
                let place = turn.place.to_string();
                return Err(refuse(&place, "needs the user to speak first"));
            }
            // What the model shall go on from may not end in a blank.
            let prefill = role == Role::Assistant && last == Some(turn.place);
            self.add(turn, prefill, &mut message)?;
        }
        if speaker == Role::User && !message.is_empty() {
            self.point(cache, &mut message.rest);
        }
        message.end(speaker, &mut list);
        if list.is_empty() {
            return Err(refuse("messages", "needs a message of the user"));
        }
        put(out, &[",\"messages\":["]);
        out.extend_from_slice(list.as_bytes());
        out.push(b']');
        Ok(())
    }

    /// Appends a text block; blank texts are refused by the provider and left out.
    pub(super) fn text(&self, part: &Part<'_>, list: &mut List) {
        if let Part::Text { text, cache } = part
            && !is_blank(*text)
        {
            put(list.item(), &["{\"text\":", text.raw(), "}"]);
            self.point(*cache, list);
        }
    }

    /// Appends a cache point where the mark asks for one and the model knows them.
    pub(super) fn point(&self, mark: Option<&str>, list: &mut List) {
        let Some(mark) = mark.filter(|_| self.family.caches()) else {
            return;
        };
        let is_long = self.family == Family::Claude && mark.contains("\"1h\"");
        let life = if is_long { ",\"ttl\":\"1h\"" } else { "" };
        let item = list.item();
        put(item, &["{\"cachePoint\":{\"type\":\"default\"", life, "}}"]);
    }

    fn add(
        &mut self,
        turn: &Turn<'_>,
        prefill: bool,
        message: &mut Message,
    ) -> Result<(), Failure> {
        if turn.role == Role::Tool {
            return self.result(turn, &mut message.results);
        }
        let last = turn.parts.len().wrapping_sub(1);
        for (index, part) in turn.parts.iter().enumerate() {
            match part {
                Part::Text { text, .. } if prefill && index == last => {
                    let text = text.decode();
                    let kept = text.trim_end();
                    if !kept.is_empty() {
                        let out = message.rest.item();
                        put(out, &["{\"text\":"]);
                        json::write_string(out, kept);
                        out.push(b'}');
                    }
                }
                part => self.block(part, (turn.place, index), &mut message.rest)?,
            }
        }
        Ok(())
    }

    fn result(&mut self, turn: &Turn<'_>, results: &mut List) -> Result<(), Failure> {
        let mut content = List::default();
        let mut mark = turn.cache;
        for (index, part) in turn.parts.iter().enumerate() {
            mark = mark.or_else(|| part.cache());
            if let Part::Text { text, .. } = part {
                // A point may not stand inside a result.
                self.text(&Part::plain(*text), &mut content);
            } else {
                self.block(part, (turn.place, index), &mut content)?;
            }
        }
        if content.is_empty() {
            put(content.item(), &[NO_RESULT]);
        }
        let out = results.item();
        put(out, &["{\"toolResult\":{\"toolUseId\":"]);
        id(turn.call_id.unwrap_or(Str::EMPTY), out);
        put(out, &[",\"content\":["]);
        out.extend_from_slice(content.as_bytes());
        out.push(b']');
        if turn.is_error {
            put(out, &[",\"status\":\"error\""]);
        }
        put(out, &["}}"]);
        self.point(mark, results);
        Ok(())
    }

    fn block(
        &mut self,
        part: &Part<'_>,
        (place, index): (Place, usize),
        list: &mut List,
    ) -> Result<(), Failure> {
        let at = || format!("{place}.content[{index}]");
        match part {
            Part::Text { .. } => self.text(part, list),
            Part::Refusal(said) => self.text(&Part::plain(*said), list),
            Part::Image { source, .. } => image(source, &at(), list.item())?,
            Part::Video { source, .. } => video(source, &at(), list.item())?,
            Part::File { source, name, .. } => {
                self.documents += 1;
                document(source, (*name, self.documents), &at(), list.item())?;
            }
            Part::Reasoning(thought) => self.thought(thought, list),
            Part::Call {
                id: call,
                name,
                arguments,
                ..
            } => {
                let input = input(*arguments, place)?;
                let out = list.item();
                put(out, &["{\"toolUse\":{\"toolUseId\":"]);
                id(*call, out);
                put(
                    out,
                    &[",\"name\":", name.raw(), ",\"input\":", &input, "}}"],
                );
            }
            Part::Audio { .. } | Part::Spoken(_) => {
                return Err(refuse(&at(), "takes no sound"));
            }
        }
        if !matches!(part, Part::Text { .. }) {
            self.point(part.cache(), list);
        }
        Ok(())
    }

    /// Thoughts go back as they came, to the maker that signed them; others refuse them.
    fn thought(&self, thought: &Thought<'_>, list: &mut List) {
        if self.family != Family::Claude || !is_own(thought) {
            return;
        }
        let out = list.item();
        if thought.kind == DetailKind::Encrypted {
            let data: String = thought.texts.iter().map(|text| text.decode()).collect();
            put(out, &["{\"reasoningContent\":{\"redactedContent\":"]);
            json::write_string(out, &redacted::wrapped(&data));
            put(out, &["}}"]);
            return;
        }
        put(
            out,
            &["{\"reasoningContent\":{\"reasoningText\":{\"text\":\""],
        );
        for text in &thought.texts {
            put(out, &[text.inner()]);
        }
        out.push(b'"');
        if let Some(signature) = thought.signature {
            put(out, &[",\"signature\":", signature.raw()]);
        }
        put(out, &["}}}"]);
    }
}

impl Message {
    const fn is_empty(&self) -> bool {
        self.results.is_empty() && self.rest.is_empty()
    }

    fn end(self, role: Role, list: &mut List) {
        if self.is_empty() {
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
}

/// The provider takes few characters, and few of them: a long id becomes its beginning and its
/// hash. Calls and results are changed alike.
fn id(id: Str<'_>, out: &mut Vec<u8>) {
    let text = id.decode();
    let safe = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    let mut changed: String = text
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    if changed.len() > ID_CHARS_MAX {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        changed.truncate(ID_CHARS_MAX / 2);
        for byte in hash.as_ref().iter().take(ID_CHARS_MAX / 4) {
            // Writing to a string can't fail.
            let _ = write!(changed, "{byte:02x}");
        }
    }
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
