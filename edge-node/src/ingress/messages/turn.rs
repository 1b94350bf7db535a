//! Messages and their blocks. A message with results of tools becomes several turns.

use super::survey::Place as At;
use crate::egress::seal::{self, Sealed};
use crate::ingress::Call;
use crate::ingress::messages::GRAMMAR;
use crate::ingress::peek::{Refused, expect};
use crate::ingress::read::{flag_of, foreign, raw_of, text_of, wrong};
use crate::message::{DetailKind, Json, Part, Place, Role, Source, Thought, Turn};
use crate::wire::json::{Kind, Scanner, Str};

/// Consumes the messages.
pub(super) fn turns<'a>(
    call: &'a Call,
    scanner: &mut Scanner<'a>,
) -> Result<Vec<Turn<'a>>, Refused> {
    let (mut turns, mut index) = (Vec::new(), 0);
    scanner.begin_array()?;
    while scanner.element()? {
        let place = Place {
            list: GRAMMAR.turns,
            index,
        };
        message(call, scanner, place, &mut turns)?;
        index += 1;
    }
    Ok(turns)
}

fn message<'a>(
    call: &'a Call,
    scanner: &mut Scanner<'a>,
    place: Place,
    turns: &mut Vec<Turn<'a>>,
) -> Result<(), Refused> {
    let (mut role, mut parts, mut results) = (Role::User, Vec::new(), Vec::new());
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("role", Kind::String) => {
                role = match &*scanner.string()?.decode() {
                    "assistant" => Role::Assistant,
                    "system" => Role::System,
                    _ => Role::User,
                };
            }
            ("content", Kind::String) => parts.push(Part::plain(scanner.string()?)),
            ("content", Kind::Array) => {
                let mut index = 0;
                scanner.begin_array()?;
                while scanner.element()? {
                    let at = || format!("{place}.content[{index}]");
                    if let Some(run) = ran(scanner)? {
                        parts.push(Part::Reasoning(run));
                        index += 1;
                        continue;
                    }
                    let block = Block::read(call, scanner, &at)?;
                    if block.is("tool_result") {
                        results.push(block.result(place, &at)?);
                    } else {
                        block.parts(&at, &mut parts)?;
                    }
                    index += 1;
                }
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    // Results stand before what the user says besides.
    turns.append(&mut results);
    if !parts.is_empty() {
        let mut turn = Turn::new(role, place);
        turn.parts = parts;
        turns.push(turn);
    }
    Ok(())
}

/// Consumes a text or a list of blocks other than results of tools.
pub(super) fn content<'a>(
    call: &'a Call,
    scanner: &mut Scanner<'a>,
    place: At<'_>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Refused> {
    if scanner.kind()? == Kind::String {
        parts.push(Part::plain(scanner.string()?));
        return Ok(());
    }
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let at = || format!("{}[{index}]", place());
        Block::read(call, scanner, &at)?.parts(&at, parts)?;
        index += 1;
    }
    Ok(())
}

/// The members of a block, of all kinds.
#[derive(Default)]
struct Block<'a> {
    kind: Option<Str<'a>>,
    text: Option<Str<'a>>,
    thinking: Option<Str<'a>>,
    signature: Option<Str<'a>>,
    data: Option<Str<'a>>,
    /// What was sealed in the signature or the data.
    sealed: Option<Sealed<'a>>,
    id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    title: Option<Str<'a>>,
    call_id: Option<Str<'a>>,
    input: Option<&'a str>,
    cache: Option<&'a str>,
    is_error: bool,
    source: Vec<Part<'a>>,
    content: Vec<Part<'a>>,
}

impl<'a> Block<'a> {
    fn read(call: &'a Call, scanner: &mut Scanner<'a>, place: At<'_>) -> Result<Self, Refused> {
        let mut block = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let member = key.name.decode();
            let inner = || format!("{}.{member}", place());
            let kind = scanner.kind()?;
            let start = scanner.at();
            match &*member {
                "source" if kind == Kind::Object => {
                    source(call, scanner, &inner, &mut block.source)?;
                }
                "content" if matches!(kind, Kind::String | Kind::Array) => {
                    content(call, scanner, &inner, &mut block.content)?;
                }
                "input" => {
                    expect(&inner(), &[Kind::Object], kind)?;
                    block.input = raw_of(scanner)?;
                }
                "cache_control" => block.cache = raw_of(scanner)?,
                "is_error" => block.is_error = flag_of(scanner)? == Some(true),
                "citations" if kind == Kind::Object => {
                    // A document that is to be cited; on texts they are a list, and told before.
                    let wish = raw_of(scanner)?.unwrap_or_default();
                    if wish.contains("true") {
                        return Err(foreign(&inner(), "gives no citations of documents"));
                    }
                }
                name => {
                    let Some(field) = block.text_field(name) else {
                        scanner.value()?;
                        continue;
                    };
                    *field = text_of(scanner, &inner)?;
                    if matches!(name, "signature" | "data") {
                        block.sealed = seal::find(&call.sealed, start).or(block.sealed);
                    }
                }
            }
        }
        Ok(block)
    }

    fn text_field(&mut self, name: &str) -> Option<&mut Option<Str<'a>>> {
        Some(match name {
            "type" => &mut self.kind,
            "text" => &mut self.text,
            "thinking" => &mut self.thinking,
            "signature" => &mut self.signature,
            "data" => &mut self.data,
            "id" => &mut self.id,
            "name" => &mut self.name,
            "title" => &mut self.title,
            "tool_use_id" => &mut self.call_id,
            _ => return None,
        })
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.is_some_and(|own| own.decode() == kind)
    }

    /// What a tool answered.
    fn result(self, place: Place, at: At<'_>) -> Result<Turn<'a>, Refused> {
        let mut turn = Turn::new(Role::Tool, place);
        let missing = || wrong(&format!("{}.tool_use_id", at()), "is missing");
        turn.call_id = Some(self.call_id.ok_or_else(missing)?);
        turn.parts = self.content;
        turn.is_error = self.is_error;
        turn.cache = self.cache;
        Ok(turn)
    }

    /// Anything but the result of a tool.
    fn parts(self, at: At<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Refused> {
        let kind = self.kind.map(Str::decode).unwrap_or_default();
        let missing = |member: &str| wrong(&format!("{}.{member}", at()), "is missing");
        let cache = self.cache;
        match &*kind {
            "text" => {
                let text = self.text.ok_or_else(|| missing("text"))?;
                parts.push(Part::Text { text, cache });
            }
            "image" | "document" => {
                if self.source.is_empty() {
                    return Err(missing("source"));
                }
                let is_image = kind == "image";
                parts.extend(self.source.into_iter().map(|part| match part {
                    Part::File { source, .. } if is_image => Part::Image {
                        source,
                        detail: None,
                        cache,
                    },
                    Part::File { source, .. } => Part::File {
                        source,
                        name: self.title,
                        cache,
                    },
                    Part::Text { text, .. } => Part::Text { text, cache },
                    other => other,
                }));
            }
            "thinking" => {
                let text = self.thinking.unwrap_or(Str::EMPTY);
                let signature = self.signature.filter(|text| !text.is_empty());
                parts.push(Part::Reasoning(match self.sealed {
                    Some(sealed) => sealed.thought(Some(text)),
                    None => own_thought(DetailKind::Text, text, signature),
                }));
            }
            "redacted_thinking" => {
                let data = self.data.ok_or_else(|| missing("data"))?;
                parts.push(Part::Reasoning(match self.sealed {
                    Some(sealed) => sealed.thought(None),
                    None => own_thought(DetailKind::Encrypted, data, None),
                }));
            }
            "tool_use" => parts.push(Part::Call {
                id: self.id.ok_or_else(|| missing("id"))?,
                name: self.name.ok_or_else(|| missing("name"))?,
                arguments: Json::Plain(self.input.unwrap_or("{}")),
                cache,
            }),
            _ => return Err(foreign(&at(), "does not take this kind of block")),
        }
        Ok(())
    }
}

/// A thought with Anthropic's own signature; without one it is nobody's.
fn own_thought<'a>(kind: DetailKind, text: Str<'a>, signature: Option<Str<'a>>) -> Thought<'a> {
    let is_signed = kind == DetailKind::Encrypted || signature.is_some();
    Thought {
        kind,
        texts: vec![text],
        signature,
        id: None,
        format: is_signed.then(seal::anthropic),
        raw: None,
    }
}

/// Consumes a block of a tool that the provider ran; none for any other.
fn ran<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Thought<'a>>, Refused> {
    let mut ahead = scanner.clone();
    let mut is_run = false;
    ahead.begin_object()?;
    while let Some(key) = ahead.key()? {
        if key.name.decode() != "type" {
            ahead.value()?;
            continue;
        }
        let kind = text_of(&mut ahead, &String::new)?.map(Str::decode);
        let ends = ["_tool_use", "_tool_result"];
        is_run = kind.is_some_and(|kind| {
            kind == "container_upload" || ends.iter().any(|end| kind.ends_with(end))
        });
        break;
    }
    if !is_run {
        return Ok(None);
    }
    let span = scanner.value()?;
    let raw = Some(scanner.raw(span));
    let own = own_thought(DetailKind::Tool, Str::EMPTY, Some(seal::anthropic()));
    Ok(Some(Thought { raw, ..own }))
}

/// Consumes a source. Texts are parts as they stand; anything else is a file, its name unknown.
fn source<'a>(
    call: &'a Call,
    scanner: &mut Scanner<'a>,
    place: At<'_>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Refused> {
    let (mut kind, mut media, mut data) = (None, None, None);
    let (mut url, mut id) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let member = key.name.decode();
        let inner = || format!("{}.{member}", place());
        let field = match &*member {
            "type" => &mut kind,
            "media_type" => &mut media,
            "data" => &mut data,
            "url" => &mut url,
            "file_id" => &mut id,
            "content" => {
                content(call, scanner, &inner, parts)?;
                continue;
            }
            _ => {
                scanner.value()?;
                continue;
            }
        };
        *field = text_of(scanner, &inner)?;
    }
    let missing = |member: &str| wrong(&format!("{}.{member}", place()), "is missing");
    let source = match kind.map(Str::decode).as_deref() {
        Some("content") => return Ok(()),
        Some("text") => {
            parts.push(Part::plain(data.ok_or_else(|| missing("data"))?));
            return Ok(());
        }
        Some("base64") => Source::Inline {
            media: media.ok_or_else(|| missing("media_type"))?,
            data: data.ok_or_else(|| missing("data"))?,
        },
        Some("url") => Source::Url(url.ok_or_else(|| missing("url"))?),
        Some("file") => Source::Id(id.ok_or_else(|| missing("file_id"))?),
        _ => {
            let known = "must be one of base64, url, file, text, content";
            return Err(wrong(&format!("{}.type", place()), known));
        }
    };
    parts.push(Part::File {
        source,
        name: None,
        cache: None,
    });
    Ok(())
}
