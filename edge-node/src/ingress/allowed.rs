//! `tool_choice` of type `allowed_tools`: some of the functions may be called, or one of them must be.
//! The chat API wraps what Responses says, and names functions one level deeper.

use crate::failure::{Failure, Retry};
use crate::ingress::peek::Refused;
use crate::ingress::read::{foreign, text_of, wrong};
use crate::message::{Request, ToolChoice};
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};

const TYPE: &str = "allowed_tools";
const PLACE: &str = "tool_choice.allowed_tools";

/// Consumes a choice of this type; none, with nothing consumed, for any other.
pub(super) fn read<'a>(
    scanner: &mut Scanner<'a>,
    request: &mut Request<'a>,
) -> Result<Option<ToolChoice<'a>>, Refused> {
    if !is_one(&mut scanner.clone())? {
        return Ok(None);
    }
    let (mut must, mut names) = (false, None);
    members(scanner, &mut must, &mut names)?;
    let names = names.ok_or_else(|| wrong(&format!("{PLACE}.tools"), "is missing"))?;
    request.allowed = Some(names);
    Ok(Some(if must {
        ToolChoice::Required
    } else {
        ToolChoice::Auto
    }))
}

/// Every one must be declared; a tool of the provider's own that is not allowed is not declared.
pub(super) fn check(request: &mut Request<'_>) -> Result<(), Failure> {
    let Some(allowed) = &request.allowed else {
        return Ok(());
    };
    for (index, name) in allowed.iter().enumerate() {
        let name = name.decode();
        if !request.tools.iter().any(|tool| tool.name.decode() == name) {
            let place = format!("{PLACE}.tools[{index}]");
            let message = format!("{place}: no function of this name is declared");
            return Err(Failure::invalid(&place, message).with_retry(Retry::OtherEndpoint));
        }
    }
    request.served.clear();
    Ok(())
}

fn is_one(scanner: &mut Scanner<'_>) -> Result<bool, SyntaxError> {
    if scanner.kind()? != Kind::Object {
        return Ok(false);
    }
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if key.name.decode() == "type" && scanner.kind()? == Kind::String {
            return Ok(scanner.string()?.decode() == TYPE);
        }
        scanner.value()?;
    }
    Ok(false)
}

fn members<'a>(
    scanner: &mut Scanner<'a>,
    must: &mut bool,
    names: &mut Option<Vec<Str<'a>>>,
) -> Result<(), Refused> {
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            (TYPE, Kind::Object) => members(scanner, must, names)?,
            ("mode", Kind::String) => {
                *must = match &*scanner.string()?.decode() {
                    "auto" => false,
                    "required" => true,
                    _ => return Err(wrong(&format!("{PLACE}.mode"), "must be auto or required")),
                };
            }
            ("tools", Kind::Array) => {
                let mut list = Vec::new();
                scanner.begin_array()?;
                while scanner.element()? {
                    list.push(tool(scanner, list.len())?);
                }
                *names = Some(list).filter(|list| !list.is_empty());
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(())
}

/// Consumes the name of a function.
fn tool<'a>(scanner: &mut Scanner<'a>, index: usize) -> Result<Str<'a>, Refused> {
    let place = || format!("{PLACE}.tools[{index}]");
    let mut name = None;
    if scanner.kind()? != Kind::Object {
        return Err(wrong(&place(), "must be an object"));
    }
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("name", _) => name = text_of(scanner, &place)?,
            ("function" | "custom", Kind::Object) => name = Some(tool(scanner, index)?),
            _ => {
                scanner.value()?;
            }
        }
    }
    // What the provider runs itself is known by its type alone.
    name.ok_or_else(|| {
        foreign(
            &place(),
            "takes only functions among those that are allowed",
        )
    })
}
