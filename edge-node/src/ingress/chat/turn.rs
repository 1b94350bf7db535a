//! One message of a chat body.

use crate::ingress::chat::{foreign, raw_of, text_of, wrong};
use crate::ingress::peek::Refused;
use crate::message::{Part, Role, Turn};
use crate::wire::json::{Kind, Scanner, Str};

/// Reasoning of other makers carries signatures that this dialect's providers refuse.
const OWN_FORMAT: &str = "anthropic";

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

fn turn<'a>(scanner: &mut Scanner<'a>, place: usize) -> Result<Turn<'a>, Refused> {
    let mut role = Role::User;
    let (mut content, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let mut call_id = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        match (&*name, scanner.kind()?) {
            ("role", Kind::String) => {
                role = match &*scanner.string()?.decode() {
                    "system" | "developer" => Role::System,
                    "assistant" => Role::Assistant,
                    "tool" => Role::Tool,
                    "function" => {
                        let place = format!("messages[{place}].role");
                        return Err(foreign(&place, "has only the role tool"));
                    }
                    _ => Role::User,
                };
            }
            ("content", Kind::String) => {
                let text = scanner.string()?;
                content.push(Part::Text { text, cache: None });
            }
            ("content", Kind::Array) => parts(scanner, place, &mut content)?,
            ("tool_call_id", _) => {
                let place = || format!("messages[{place}].tool_call_id");
                call_id = text_of(scanner, &place)?;
            }
            ("tool_calls", Kind::Array) => tool_calls(scanner, place, &mut calls)?,
            ("function_call", Kind::Object) => {
                let place = format!("messages[{place}].function_call");
                return Err(foreign(&place, "has only tool_calls"));
            }
            ("reasoning_details", Kind::Array) => reasoning(scanner, &mut thoughts)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    if role == Role::Tool && call_id.is_none_or(Str::is_empty) {
        let place = format!("messages[{place}].tool_call_id");
        return Err(wrong(&place, "is missing"));
    }
    let mut all = thoughts;
    all.append(&mut content);
    all.append(&mut calls);
    Ok(Turn {
        role,
        parts: all,
        call_id,
        place,
    })
}

fn parts<'a>(
    scanner: &mut Scanner<'a>,
    message: usize,
    all: &mut Vec<Part<'a>>,
) -> Result<(), Refused> {
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = || format!("messages[{message}].content[{index}]");
        all.push(part(scanner, &place)?);
        index += 1;
    }
    Ok(())
}

fn part<'a>(scanner: &mut Scanner<'a>, place: &dyn Fn() -> String) -> Result<Part<'a>, Refused> {
    let (mut kind, mut text, mut cache) = (None, None, None);
    let (mut url, mut data, mut name) = (None, None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let member = key.name.decode();
        let inner = || format!("{}.{member}", place());
        match (&*member, scanner.kind()?) {
            ("type", _) => kind = text_of(scanner, &inner)?,
            ("text" | "refusal", _) => text = text_of(scanner, &inner)?,
            ("cache_control", _) => cache = raw_of(scanner)?,
            ("image_url", Kind::Object) => {
                scanner.begin_object()?;
                while let Some(key) = scanner.key()? {
                    if key.name.decode() == "url" {
                        url = text_of(scanner, &inner)?;
                    } else {
                        scanner.value()?;
                    }
                }
            }
            ("image_url", _) => url = text_of(scanner, &inner)?,
            ("file", Kind::Object) => {
                scanner.begin_object()?;
                while let Some(key) = scanner.key()? {
                    match &*key.name.decode() {
                        "file_data" => data = text_of(scanner, &inner)?,
                        "filename" => name = text_of(scanner, &inner)?,
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
    let kind = kind.map(Str::decode).unwrap_or_default();
    match (&*kind, text, url, data) {
        ("text" | "refusal", Some(text), _, _) => Ok(Part::Text { text, cache }),
        ("image_url", _, Some(url), _) => Ok(Part::Image { url, cache }),
        ("file", _, _, Some(data)) => Ok(Part::File { data, name, cache }),
        ("text", ..) => Err(wrong(&format!("{}.text", place()), "is missing")),
        ("image_url", ..) => Err(wrong(&format!("{}.image_url.url", place()), "is missing")),
        ("file", ..) => {
            let place = format!("{}.file.file_data", place());
            Err(foreign(&place, "needs the file's data"))
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
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("id", _) => id = text_of(scanner, &|| place(".id"))?,
                ("function", Kind::Object) => {
                    scanner.begin_object()?;
                    while let Some(key) = scanner.key()? {
                        match &*key.name.decode() {
                            "name" => name = text_of(scanner, &|| place(".function.name"))?,
                            "arguments" => {
                                let place = || place(".function.arguments");
                                arguments = text_of(scanner, &place)?;
                            }
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
                "takes only calls of functions",
            ));
        };
        let Some(id) = id else {
            return Err(wrong(&place(".id"), "is missing"));
        };
        let arguments = arguments.unwrap_or(Str::EMPTY);
        all.push(Part::Call {
            id,
            name,
            arguments,
        });
        index += 1;
    }
    Ok(())
}

/// Details come whole, or in the pieces in which they were streamed: a text is complete with its
/// signature. What has none can't be given back.
fn reasoning<'a>(scanner: &mut Scanner<'a>, all: &mut Vec<Part<'a>>) -> Result<(), Refused> {
    let mut texts = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            continue;
        }
        let (mut text, mut signature, mut data) = (None, None, None);
        let mut own = true;
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("text", Kind::String) => text = Some(scanner.string()?),
                ("signature", Kind::String) => signature = Some(scanner.string()?),
                ("data", Kind::String) => data = Some(scanner.string()?),
                ("format", Kind::String) => {
                    own = scanner.string()?.decode().starts_with(OWN_FORMAT);
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        if !own {
            continue;
        }
        texts.extend(text.filter(|text| !text.is_empty()));
        if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
            let texts = std::mem::take(&mut texts);
            all.push(Part::Thinking { texts, signature });
        }
        all.extend(data.map(|data| Part::Encrypted { data }));
    }
    Ok(())
}
