//! One message of a chat body.

use crate::ingress::chat::{GRAMMAR, thoughts};
use crate::ingress::peek::Refused;
use crate::ingress::read::{foreign, raw_of, text_of, wrong};
use crate::message::{Json, Part, Place, Role, Source, Thought, Turn};
use crate::wire::json::{Kind, Scanner, Str};

/// Consumes the messages.
pub(super) fn turns<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<Turn<'a>>, Refused> {
    let mut turns = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        let place = turns.len();
        turns.push(turn(scanner, place)?);
    }
    Ok(turns)
}

fn turn<'a>(scanner: &mut Scanner<'a>, index: usize) -> Result<Turn<'a>, Refused> {
    let place = Place {
        list: GRAMMAR.turns,
        index,
    };
    let mut turn = Turn::new(Role::User, place);
    let (mut content, mut calls) = (Vec::new(), Vec::new());
    let (mut thoughts, mut plain) = (Vec::new(), None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let inner = || format!("{place}.{name}");
        match (&*name, scanner.kind()?) {
            ("role", Kind::String) => turn.role = role(&scanner.string()?.decode(), place)?,
            ("content", Kind::String) => content.push(Part::plain(scanner.string()?)),
            ("content", Kind::Array) => parts(scanner, place, &mut content)?,
            ("refusal", Kind::String) => {
                let said = scanner.string()?;
                content.extend(
                    Some(said)
                        .filter(|text| !text.is_empty())
                        .map(Part::Refusal),
                );
            }
            ("audio", Kind::Object) => content.extend(spoken(scanner)?),
            ("images", Kind::Array) => parts(scanner, place, &mut content)?,
            ("name", Kind::String) => turn.name = Some(scanner.string()?),
            ("tool_call_id", _) => turn.call_id = text_of(scanner, &inner)?,
            ("tool_calls", Kind::Array) => tool_calls(scanner, index, &mut calls)?,
            ("function_call", Kind::Object) => {
                return Err(foreign(&inner(), "has only tool_calls"));
            }
            ("reasoning_details", Kind::Array) => thoughts::read(scanner, &mut thoughts)?,
            ("reasoning" | "reasoning_content", Kind::String) => plain = Some(scanner.string()?),
            _ => {
                scanner.value()?;
            }
        }
    }
    if turn.role == Role::Tool && turn.call_id.is_none_or(Str::is_empty) {
        return Err(wrong(&format!("{place}.tool_call_id"), "is missing"));
    }
    if thoughts.is_empty()
        && let Some(text) = plain.filter(|text| !text.is_empty())
    {
        thoughts.push(Part::Reasoning(Thought::plain(text)));
    }
    turn.parts = thoughts;
    turn.parts.append(&mut content);
    turn.parts.append(&mut calls);
    Ok(turn)
}

fn role(name: &str, place: Place) -> Result<Role, Refused> {
    Ok(match name {
        "system" => Role::System,
        "developer" => Role::Developer,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => {
            return Err(foreign(&format!("{place}.role"), "has only the role tool"));
        }
        _ => Role::User,
    })
}

/// Consumes the speech of an earlier answer: its id is enough.
fn spoken<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Part<'a>>, Refused> {
    let mut id = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("id", Kind::String) => id = Some(scanner.string()?),
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(id.map(Part::Spoken))
}

pub(in crate::ingress) fn parts<'a>(
    scanner: &mut Scanner<'a>,
    turn: Place,
    all: &mut Vec<Part<'a>>,
) -> Result<(), Refused> {
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = || format!("{turn}.content[{index}]");
        all.push(part(scanner, &place)?);
        index += 1;
    }
    Ok(())
}

/// The members of a part, of all kinds.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Str<'a>>,
    text: Option<Str<'a>>,
    cache: Option<&'a str>,
    url: Option<Str<'a>>,
    detail: Option<Str<'a>>,
    data: Option<Str<'a>>,
    format: Option<Str<'a>>,
    name: Option<Str<'a>>,
    id: Option<Str<'a>>,
}

impl<'a> Members<'a> {
    fn read(scanner: &mut Scanner<'a>, place: &dyn Fn() -> String) -> Result<Self, Refused> {
        let mut members = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let member = key.name.decode();
            let inner = || format!("{}.{member}", place());
            match (&*member, scanner.kind()?) {
                ("type", _) => members.kind = text_of(scanner, &inner)?,
                ("text" | "refusal", _) => members.text = text_of(scanner, &inner)?,
                ("cache_control", _) => members.cache = raw_of(scanner)?,
                ("image_url" | "video_url" | "file" | "input_audio", Kind::Object) => {
                    members.object(scanner, &inner)?;
                }
                ("image_url" | "video_url", _) => members.url = text_of(scanner, &inner)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(members)
    }

    fn object(
        &mut self,
        scanner: &mut Scanner<'a>,
        place: &dyn Fn() -> String,
    ) -> Result<(), Refused> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let member = key.name.decode();
            let inner = || format!("{}.{member}", place());
            let field = match &*member {
                "url" => &mut self.url,
                "detail" => &mut self.detail,
                "data" | "file_data" => &mut self.data,
                "format" => &mut self.format,
                "filename" => &mut self.name,
                "file_id" => &mut self.id,
                _ => {
                    scanner.value()?;
                    continue;
                }
            };
            *field = text_of(scanner, &inner)?;
        }
        Ok(())
    }
}

fn part<'a>(scanner: &mut Scanner<'a>, place: &dyn Fn() -> String) -> Result<Part<'a>, Refused> {
    let members = Members::read(scanner, place)?;
    let Members {
        text,
        cache,
        url,
        detail,
        data,
        format,
        name,
        id,
        ..
    } = members;
    let kind = members.kind.map(Str::decode).unwrap_or_default();
    let missing = |member: &str| wrong(&format!("{}.{member}", place()), "is missing");
    match &*kind {
        "text" => {
            let text = text.ok_or_else(|| missing("text"))?;
            Ok(Part::Text { text, cache })
        }
        "refusal" => Ok(Part::Refusal(text.ok_or_else(|| missing("refusal"))?)),
        "image_url" => Ok(Part::Image {
            source: Source::Url(url.ok_or_else(|| missing("image_url.url"))?),
            detail,
            cache,
        }),
        "video_url" => Ok(Part::Video {
            source: Source::Url(url.ok_or_else(|| missing("video_url.url"))?),
            cache,
        }),
        "input_audio" => Ok(Part::Audio {
            data: data.ok_or_else(|| missing("input_audio.data"))?,
            format: format.ok_or_else(|| missing("input_audio.format"))?,
            cache,
        }),
        "file" => {
            let source = data.map(Source::Url).or_else(|| id.map(Source::Id));
            Ok(Part::File {
                source: source.ok_or_else(|| missing("file.file_data"))?,
                name,
                cache,
            })
        }
        _ => Err(foreign(&place(), "does not take this kind of content")),
    }
}

fn tool_calls<'a>(
    scanner: &mut Scanner<'a>,
    message: usize,
    all: &mut Vec<Part<'a>>,
) -> Result<(), Refused> {
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = |member: &str| format!("messages[{message}].tool_calls[{index}]{member}");
        if scanner.kind()? != Kind::Object {
            return Err(wrong(&place(""), "must be an object"));
        }
        let (mut id, mut name, mut arguments) = (None, None, None);
        let mut input = None;
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("id", _) => id = text_of(scanner, &|| place(".id"))?,
                (of @ ("function" | "custom"), Kind::Object) => {
                    scanner.begin_object()?;
                    while let Some(key) = scanner.key()? {
                        let member = key.name.decode();
                        let place = || place(&format!(".{of}.{member}"));
                        match (of, &*member) {
                            (_, "name") => name = text_of(scanner, &place)?,
                            ("function", "arguments") => arguments = text_of(scanner, &place)?,
                            ("custom", "input") => input = text_of(scanner, &place)?,
                            _ => {
                                scanner.value()?;
                            }
                        }
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        let Some(name) = name else {
            return Err(foreign(
                &place(".function"),
                "takes only calls of functions and of custom tools",
            ));
        };
        let Some(id) = id else {
            return Err(wrong(&place(".id"), "is missing"));
        };
        all.push(Part::Call {
            id,
            name,
            arguments: match input {
                Some(input) => Json::Freeform(input),
                None => Json::Quoted(arguments.unwrap_or(Str::EMPTY)),
            },
            cache: None,
        });
        index += 1;
    }
    Ok(())
}
