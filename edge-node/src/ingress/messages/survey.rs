//! What a Messages body amounts to, and which of its thoughts were sealed by us. Roles and the
//! presence of types are checked, contents are not.

use crate::dialect::search;
use crate::egress::seal;
use crate::ingress::peek::{Refused, expect};
use crate::ingress::read::wrong;
use crate::ingress::survey::Survey;
use crate::wire::json::{Kind, Scanner, Span};
use shared::catalog::Modality;

/// Puts a place into words, when something is wrong there.
pub(super) type Place<'p> = &'p dyn Fn() -> String;

/// Consumes `messages`, an array.
pub(super) fn messages(scanner: &mut Scanner<'_>, survey: &mut Survey) -> Result<(), Refused> {
    scanner.begin_array()?;
    while scanner.element()? {
        let index = survey.messages;
        survey.messages += 1;
        message(scanner, survey, &|| format!("messages[{index}]"))?;
    }
    if survey.messages == 0 {
        return Err(wrong("messages", "is empty"));
    }
    Ok(())
}

fn message(
    scanner: &mut Scanner<'_>,
    survey: &mut Survey,
    place: Place<'_>,
) -> Result<(), Refused> {
    object(scanner, place)?;
    let (mut role, mut has_content, mut spoken) = (None, false, None);
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let inner = || format!("{}.{name}", place());
        match (&*name, scanner.kind()?) {
            ("role", kind) => {
                if role.is_some() {
                    return Err(wrong(&inner(), "stands more than once"));
                }
                expect(&inner(), &[Kind::String], kind)?;
                role = Some(scanner.string()?.decode());
            }
            ("content", _) => {
                if has_content {
                    return Err(wrong(&inner(), "stands more than once"));
                }
                has_content = true;
                let start = scanner.at();
                content(scanner, survey, &inner)?;
                let end = scanner.at();
                spoken = Some(Span { start, end });
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    if !matches!(role.as_deref(), Some("user" | "assistant" | "system")) {
        let roles = "must be one of user, assistant, system";
        return Err(wrong(&format!("{}.role", place()), roles));
    }
    if let Some(spoken) = spoken {
        let are_instructions = role.as_deref() == Some("system");
        survey.beginning.note(are_instructions, spoken);
    }
    if !has_content {
        return Err(wrong(&format!("{}.content", place()), "is missing"));
    }
    Ok(())
}

/// Consumes a text or a list of blocks.
pub(super) fn content(
    scanner: &mut Scanner<'_>,
    survey: &mut Survey,
    place: Place<'_>,
) -> Result<(), Refused> {
    match scanner.kind()? {
        Kind::String => survey.text(scanner.string()?.inner().len()),
        Kind::Array => {
            let mut index = 0;
            scanner.begin_array()?;
            while scanner.element()? {
                block(scanner, survey, &|| format!("{}[{index}]", place()))?;
                index += 1;
            }
        }
        kind => {
            let why = format!("must be a string or an array, not {}", kind.as_str());
            return Err(wrong(&place(), &why));
        }
    }
    Ok(())
}

fn block(scanner: &mut Scanner<'_>, survey: &mut Survey, place: Place<'_>) -> Result<(), Refused> {
    object(scanner, place)?;
    let (mut kind, mut is_media, mut source_bytes) = (None, false, 0);
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let value = scanner.kind()?;
        let start = scanner.at();
        match (&*name, value) {
            ("type", _) => {
                expect(&format!("{}.type", place()), &[Kind::String], value)?;
                kind = Some(scanner.string()?.decode());
            }
            ("content", Kind::Array) => {
                content(scanner, survey, &|| format!("{}.content", place()))?;
            }
            ("source", Kind::Object) => {
                is_media = source(scanner)?;
                source_bytes = scanner.at() - start;
            }
            ("signature" | "data", Kind::String) => {
                let text = scanner.string()?;
                survey.text(text.inner().len());
                survey.sealed.extend(seal::open(text, start));
            }
            _ => {
                scanner.value()?;
                survey.text(scanner.at() - start);
            }
        }
    }
    match kind.as_deref() {
        None => return Err(wrong(&place(), "has no type")),
        Some("image") => survey.media(Modality::Image),
        Some("document") if is_media => survey.media(Modality::File),
        Some(_) => survey.text(source_bytes),
    }
    Ok(())
}

/// Consumes a source; true unless it is text.
fn source(scanner: &mut Scanner<'_>) -> Result<bool, Refused> {
    let mut is_media = true;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if key.name.decode() == "type" && scanner.kind()? == Kind::String {
            is_media = !matches!(&*scanner.string()?.decode(), "text" | "content");
        } else {
            scanner.value()?;
        }
    }
    Ok(is_media)
}

/// Consumes `tools`, an array.
pub(super) fn tools(scanner: &mut Scanner<'_>, survey: &mut Survey) -> Result<(), Refused> {
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("tools[{}]", survey.tools);
        survey.tools += 1;
        let kind = scanner.kind()?;
        expect(&place, &[Kind::Object], kind)?;
        let span = scanner.value()?;
        survey.searches += search::most(scanner.raw(span));
        survey.text(span.end - span.start);
    }
    Ok(())
}

fn object(scanner: &mut Scanner<'_>, place: Place<'_>) -> Result<(), Refused> {
    let kind = scanner.kind()?;
    if kind != Kind::Object {
        let why = format!("must be an object, not {}", kind.as_str());
        return Err(wrong(&place(), &why));
    }
    scanner.begin_object()?;
    Ok(())
}
