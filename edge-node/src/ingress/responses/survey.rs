//! What the input amounts to: sizes for the estimate of prompt tokens, kinds of content for the
//! choice of endpoints. Roles and the types of parts are checked, their contents are not.

use crate::egress::responses::TOOL_IDS;
use crate::failure::Failure;
use crate::ingress::peek::Refused;
use crate::ingress::read::wrong;
use crate::ingress::survey::Survey;
use crate::wire::json::{Kind, Scanner, Span};
use shared::catalog::Modality;
use std::borrow::Cow;

/// Consumes `input`, a text or a list of items.
pub(super) fn input(scanner: &mut Scanner<'_>, survey: &mut Survey) -> Result<(), Refused> {
    if scanner.kind()? == Kind::String {
        survey.messages += 1;
        let start = scanner.at();
        let text = scanner.string()?;
        let end = scanner.at();
        survey.text(text.inner().len());
        survey.beginning.note(false, Span { start, end });
        return Ok(());
    }
    scanner.begin_array()?;
    while scanner.element()? {
        let index = survey.messages;
        survey.messages += 1;
        item(scanner, survey, index)?;
    }
    if survey.messages == 0 {
        return Err(Failure::invalid("input", "input is empty").into());
    }
    Ok(())
}

fn item(scanner: &mut Scanner<'_>, survey: &mut Survey, index: u64) -> Result<(), Refused> {
    let place = |member: &str| format!("input[{index}]{member}");
    let kind = scanner.kind()?;
    if kind != Kind::Object {
        let why = format!("must be an object, not {}", kind.as_str());
        return Err(wrong(&place(""), &why));
    }
    let (mut kind, mut role, mut has_content) = (None, None, false);
    let mut spoken = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let inner = scanner.kind()?;
        let start = scanner.at();
        match (&*key.name.decode(), inner) {
            ("type", Kind::String) => only(&mut kind, scanner, &|| place(".type"))?,
            ("role", Kind::String) => only(&mut role, scanner, &|| place(".role"))?,
            (name @ ("content" | "output"), _) => {
                let place = || place(&format!(".{name}"));
                if has_content {
                    return Err(wrong(&place(), "stands more than once"));
                }
                has_content = content(scanner, survey, &place)?;
                let end = scanner.at();
                spoken = Some(Span { start, end });
            }
            ("id", Kind::String) => {
                if scanner.string()?.inner().starts_with(TOOL_IDS) {
                    survey.other_run = Some(place(""));
                }
            }
            // Its size says nothing of the tokens that it stands for.
            ("encrypted_content", _) => {
                scanner.value()?;
            }
            (name, _) => {
                scanner.value()?;
                if !matches!(name, "id" | "status") {
                    survey.text(scanner.at() - start);
                }
            }
        }
    }
    if let Some(spoken) = spoken {
        let are_instructions = matches!(role.as_deref(), Some("system" | "developer"));
        survey.beginning.note(are_instructions, spoken);
    }
    match (kind.as_deref(), role.as_deref()) {
        (None | Some("message"), Some("system" | "developer" | "user")) if !has_content => {
            Err(wrong(&place(".content"), "is missing"))
        }
        (None | Some("message"), Some("system" | "developer" | "user" | "assistant")) => Ok(()),
        (None | Some("message"), Some(_)) => Err(wrong(
            &place(".role"),
            "must be one of system, developer, user, assistant",
        )),
        (Some("message"), None) => Err(wrong(&place(".role"), "is missing")),
        (None, None) => Err(wrong(&place(".type"), "is missing")),
        (Some("item_reference"), _) => {
            let message = "answers are not stored; send the item itself";
            let place = place("");
            Err(Failure::invalid(&place, format!("{place}: {message}")).into())
        }
        (Some(_), _) => Ok(()),
    }
}

/// Consumes a string that may stand only once.
fn only<'a>(
    field: &mut Option<Cow<'a, str>>,
    scanner: &mut Scanner<'a>,
    place: &dyn Fn() -> String,
) -> Result<(), Refused> {
    if field.is_some() {
        return Err(wrong(&place(), "stands more than once"));
    }
    *field = Some(scanner.string()?.decode());
    Ok(())
}

/// Consumes the content of a message or the output of a tool; false for null.
fn content(
    scanner: &mut Scanner<'_>,
    survey: &mut Survey,
    place: &dyn Fn() -> String,
) -> Result<bool, Refused> {
    match scanner.kind()? {
        Kind::Null => {
            scanner.value()?;
            return Ok(false);
        }
        Kind::String => {
            let text = scanner.string()?;
            survey.text(text.inner().len());
        }
        Kind::Array => {
            let mut index = 0;
            scanner.begin_array()?;
            while scanner.element()? {
                part(scanner, survey, &|| format!("{}[{index}]", place()))?;
                index += 1;
            }
        }
        kind => {
            let why = format!("must be a string or an array, not {}", kind.as_str());
            return Err(wrong(&place(), &why));
        }
    }
    Ok(true)
}

fn part(
    scanner: &mut Scanner<'_>,
    survey: &mut Survey,
    place: &dyn Fn() -> String,
) -> Result<(), Refused> {
    let kind = scanner.kind()?;
    if kind != Kind::Object {
        let why = format!("must be an object, not {}", kind.as_str());
        return Err(wrong(&place(), &why));
    }
    let start = scanner.at();
    let mut found = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => {
                only(&mut found, scanner, &|| format!("{}.type", place()))?;
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    match found.as_deref() {
        None => return Err(wrong(&place(), "has no type")),
        Some("input_image") => survey.media(Modality::Image),
        Some("input_audio") => survey.media(Modality::Audio),
        Some("input_file") => survey.media(Modality::File),
        Some("input_video") => survey.media(Modality::Video),
        Some(_) => survey.text(scanner.at() - start),
    }
    Ok(())
}
