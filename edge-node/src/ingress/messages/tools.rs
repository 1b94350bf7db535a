//! Tools and the choice among them.

use crate::ingress::peek::{Refused, expect};
use crate::ingress::read::{flag_of, raw_of, text_of, wrong};
use crate::ingress::survey::type_of;
use crate::message::{Request, ServerTool, Tool, ToolChoice};
use crate::wire::json::{Kind, Scanner};

/// Consumes the tools; those with a type of their own are run by providers.
pub(super) fn list<'a>(
    scanner: &mut Scanner<'a>,
    request: &mut Request<'a>,
) -> Result<(), Refused> {
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("tools[{index}]");
        let kind = type_of(&mut scanner.clone(), &place)?;
        if kind.is_none_or(|kind| kind == "custom") {
            request.tools.push(tool(scanner, &place)?);
        } else {
            let span = scanner.value()?;
            let raw = scanner.raw(span);
            request.served.push(ServerTool { index, raw });
        }
        index += 1;
    }
    Ok(())
}

fn tool<'a>(scanner: &mut Scanner<'a>, place: &str) -> Result<Tool<'a>, Refused> {
    let (mut name, mut description, mut parameters) = (None, None, None);
    let (mut strict, mut cache) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let member = key.name.decode();
        let inner = || format!("{place}.{member}");
        match (&*member, scanner.kind()?) {
            ("name", _) => name = text_of(scanner, &inner)?,
            ("description", _) => description = text_of(scanner, &inner)?,
            ("input_schema", kind) => {
                expect(&inner(), &[Kind::Object], kind)?;
                parameters = raw_of(scanner)?;
            }
            ("strict", _) => strict = flag_of(scanner)?,
            ("cache_control", _) => cache = raw_of(scanner)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    let Some(name) = name else {
        return Err(wrong(&format!("{place}.name"), "is missing"));
    };
    Ok(Tool {
        name,
        description,
        parameters,
        strict,
        cache,
        freeform: None,
    })
}

/// Consumes `tool_choice`.
pub(super) fn choice<'a>(
    scanner: &mut Scanner<'a>,
    request: &mut Request<'a>,
) -> Result<(), Refused> {
    let kind = scanner.kind()?;
    expect("tool_choice", &[Kind::Object], kind)?;
    let (mut kind, mut name) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => kind = Some(scanner.string()?.decode()),
            ("name", _) => name = text_of(scanner, &|| "tool_choice.name".into())?,
            ("disable_parallel_tool_use", _) => {
                request.parallel_tool_calls = flag_of(scanner)?.filter(|off| *off).map(|off| !off);
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    request.tool_choice = Some(match (kind.as_deref(), name) {
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("any"), _) => ToolChoice::Required,
        (Some("none"), _) => ToolChoice::None,
        (Some("tool"), Some(name)) => ToolChoice::Function(name),
        (Some("tool"), None) => return Err(wrong("tool_choice.name", "is missing")),
        _ => {
            let known = "must be one of auto, any, tool, none";
            return Err(wrong("tool_choice.type", known));
        }
    });
    Ok(())
}
