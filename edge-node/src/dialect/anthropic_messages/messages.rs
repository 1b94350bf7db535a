//! Writes the messages: user and assistant in turn, neighbours merged, results of tools first, no
//! empty blocks.

use crate::failure::{Failure, Retry};
use crate::message::{Part, Role, Turn};
use crate::wire::json::{self, Kind, Str};

/// Items of a JSON list or object, with commas between them.
#[derive(Debug, Default)]
pub(super) struct List(Vec<u8>);

impl List {
    /// Where the next item is written.
    pub(super) fn item(&mut self) -> &mut Vec<u8> {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        &mut self.0
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

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
    let spoken = || turns.iter().filter(|turn| turn.role != Role::System);
    let last = spoken().next_back().map(|turn| turn.place);
    for turn in spoken() {
        let role = match turn.role {
            Role::Assistant => Role::Assistant,
            Role::System | Role::User | Role::Tool => Role::User,
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

pub(super) fn is_blank(text: Str<'_>) -> bool {
    // Most texts tell by their first byte.
    let may_be_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\\' || *byte >= 0x80;
    text.inner().as_bytes().first().is_none_or(may_be_blank) && text.decode().trim().is_empty()
}

fn put(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

fn refuse(place: &str, why: &str) -> Failure {
    let message = format!("{place}: the chosen provider {why}");
    Failure::invalid(place, message).with_retry(Retry::OtherEndpoint)
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
                part => block(part, turn.place, &mut self.rest)?,
            }
        }
        Ok(())
    }

    /// The result of a tool; it may be empty, its texts may not.
    fn result(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let mut content = List::default();
        let mut mark = None;
        for part in &turn.parts {
            let (plain, own_mark) = unmarked(part);
            block(&plain, turn.place, &mut content)?;
            mark = own_mark.or(mark);
        }
        let out = self.results.item();
        put(out, &["{\"type\":\"tool_result\",\"tool_use_id\":"]);
        id(turn.call_id.unwrap_or(Str::EMPTY), out);
        if !content.is_empty() {
            put(out, &[",\"content\":["]);
            out.extend_from_slice(content.as_bytes());
            out.push(b']');
        }
        cache(mark, out);
        out.push(b'}');
        Ok(())
    }
}

/// Inside a result only the result itself may carry a cache mark.
fn unmarked<'a>(part: &Part<'a>) -> (Part<'a>, Option<&'a str>) {
    let mut part = part.clone();
    let mark = match &mut part {
        Part::Text { cache, .. } | Part::Image { cache, .. } | Part::File { cache, .. } => {
            cache.take()
        }
        Part::Thinking { .. } | Part::Encrypted { .. } | Part::Call { .. } => None,
    };
    (part, mark)
}

fn block(part: &Part<'_>, message: usize, list: &mut List) -> Result<(), Failure> {
    match part {
        Part::Text { .. } => text(part, list),
        Part::Image { url, cache: mark } => {
            let source = source(*url, message)?;
            let out = list.item();
            put(out, &["{\"type\":\"image\",\"source\":", &source]);
            cache(*mark, out);
            out.push(b'}');
        }
        Part::File {
            data,
            name,
            cache: mark,
        } => {
            let source = source(*data, message)?;
            let out = list.item();
            put(out, &["{\"type\":\"document\",\"source\":", &source]);
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                put(out, &[",\"title\":", name.raw()]);
            }
            cache(*mark, out);
            out.push(b'}');
        }
        Part::Thinking { texts, signature } => {
            let out = list.item();
            put(out, &["{\"type\":\"thinking\",\"thinking\":\""]);
            for text in texts {
                put(out, &[text.inner()]);
            }
            put(out, &["\",\"signature\":", signature.raw(), "}"]);
        }
        Part::Encrypted { data } => {
            let out = list.item();
            put(
                out,
                &["{\"type\":\"redacted_thinking\",\"data\":", data.raw(), "}"],
            );
        }
        Part::Call {
            id: call,
            name,
            arguments,
        } => {
            let input = input(*arguments, message)?;
            let out = list.item();
            put(out, &["{\"type\":\"tool_use\",\"id\":"]);
            id(*call, out);
            put(out, &[",\"name\":", name.raw(), ",\"input\":", &input, "}"]);
        }
    }
    Ok(())
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
fn input(arguments: Str<'_>, message: usize) -> Result<String, Failure> {
    let text = arguments.decode();
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    if json::check(&text) == Ok(Kind::Object) {
        return Ok(text.into_owned());
    }
    let place = format!("messages[{message}].tool_calls");
    Err(refuse(
        &place,
        "takes only arguments that are a JSON object",
    ))
}

/// Where a picture or document comes from.
fn source(url: Str<'_>, message: usize) -> Result<String, Failure> {
    let text = url.decode();
    let mut out = Vec::with_capacity(text.len() + 64);
    if text.starts_with("https://") || text.starts_with("http://") {
        put(&mut out, &["{\"type\":\"url\",\"url\":"]);
        json::write_string(&mut out, &text);
    } else {
        let Some((media, data)) = inline(&text) else {
            let place = format!("messages[{message}].content");
            let why = "needs an http(s) URL or base64 in a data URL";
            return Err(refuse(&place, why));
        };
        put(&mut out, &["{\"type\":\"base64\",\"media_type\":"]);
        json::write_string(&mut out, media);
        put(&mut out, &[",\"data\":"]);
        json::write_string(&mut out, data);
    }
    out.push(b'}');
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// Media type and base64 of a data URL.
fn inline(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media = head.strip_suffix(";base64")?;
    Some((media.split(';').next().unwrap_or(media), data))
}
