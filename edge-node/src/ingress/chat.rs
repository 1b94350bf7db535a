//! The chat API: what its body calls things, and the full parse into the canonical request for
//! upstreams of another dialect. What the peek has checked is relied upon; what no other dialect has
//! a word for is refused by its place, so that an upstream of this dialect may serve it.

mod thoughts;
mod turn;

pub(super) use turn::parts;

use crate::dialect::search::Search;
use crate::dialect::served::{self, Words};
use crate::failure::Failure;
use crate::ingress::peek::{Field, Grammar, Refused};
use crate::ingress::read::{self, Found, flag_of, foreign, raw_of, text_of, texts_of, wrong};
use crate::ingress::{Call, allowed, freeform, survey};
use crate::message::{Format, Request, Schema, ServerTool, Tool, ToolChoice};
use crate::wire::json::{Kind, Scanner};
use shared::catalog::Parameter;

/// What the peek must know of this API.
pub(super) const GRAMMAR: Grammar = Grammar {
    turns: "messages",
    field: |name| match name {
        "messages" => Field::Turns,
        "functions" => Field::Special("functions"),
        _ => Field::common(name),
    },
    kinds: |_| &[Kind::Array],
    read: |peek, scanner, field| {
        match field {
            Field::Turns => survey::messages(scanner, &mut peek.survey)?,
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    },
};

/// The body as a request.
///
/// # Errors
/// 400, with the place, for what only this dialect can say. Another endpoint may help.
pub(super) fn request(call: &Call) -> Result<Request<'_>, Failure> {
    let mut request = read::request(call, own)?;
    freeform::complete(&mut request, &call.freeform);
    allowed::check(&mut request)?;
    Ok(request)
}

fn own<'a>(found: Found<'a>, request: &mut Request<'a>) -> Result<(), Refused> {
    let mut scanner = found.scanner;
    let scanner = &mut scanner;
    match found.field {
        Field::Turns => request.turns = turn::turns(scanner)?,
        Field::Special("functions") => return Err(foreign("functions", "has only tools")),
        Field::Parameter(Parameter::Stop) => request.stop = texts_of(scanner, "stop")?,
        Field::Parameter(Parameter::Tools) => tools(scanner, request)?,
        Field::Parameter(Parameter::ToolChoice) => {
            let of_some = allowed::read(scanner, request)?;
            request.tool_choice = Some(match of_some {
                Some(choice) => choice,
                None => tool_choice(scanner)?,
            });
        }
        Field::Parameter(Parameter::ResponseFormat) => request.format = format(scanner)?,
        _ => {}
    }
    Ok(())
}

fn tools<'a>(scanner: &mut Scanner<'a>, request: &mut Request<'a>) -> Result<(), Refused> {
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("tools[{index}]");
        let kind = survey::type_of(&mut scanner.clone(), &place)?;
        let mut again = scanner.clone();
        let span = scanner.value()?;
        let raw = scanner.raw(span);
        // Some leave the type of a function out.
        let is_bare = kind.is_none() && served::words_of(raw) == Words::None;
        if is_bare || matches!(kind.as_deref(), Some("function" | "custom")) {
            request.tools.push(tool(&mut again, &place)?);
        } else if Search::of(raw).is_none() {
            request.served.push(ServerTool { index, raw });
        }
        index += 1;
    }
    Ok(())
}

fn tool<'a>(scanner: &mut Scanner<'a>, place: &str) -> Result<Tool<'a>, Refused> {
    let (mut name, mut description, mut parameters) = (None, None, None);
    let (mut strict, mut cache, mut freeform) = (None, None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => {
                freeform = (scanner.string()?.decode() == "custom").then_some("");
            }
            ("cache_control", _) => cache = raw_of(scanner)?,
            ("function" | "custom", Kind::Object) => {
                scanner.begin_object()?;
                while let Some(key) = scanner.key()? {
                    let inner = key.name.decode();
                    let place = || format!("{place}.function.{inner}");
                    match &*inner {
                        "name" => name = text_of(scanner, &place)?,
                        "description" => description = text_of(scanner, &place)?,
                        "parameters" => {
                            let kind = scanner.kind()?;
                            if !matches!(kind, Kind::Object | Kind::Null) {
                                return Err(wrong(&place(), "must be an object"));
                            }
                            parameters = raw_of(scanner)?;
                        }
                        "strict" => strict = flag_of(scanner)?,
                        "cache_control" => cache = raw_of(scanner)?,
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
        return Err(wrong(&format!("{place}.function.name"), "is missing"));
    };
    Ok(Tool {
        name,
        description,
        parameters,
        strict,
        cache,
        freeform,
    })
}

fn tool_choice<'a>(scanner: &mut Scanner<'a>) -> Result<ToolChoice<'a>, Refused> {
    if scanner.kind()? == Kind::String {
        return match &*scanner.string()?.decode() {
            "auto" => Ok(ToolChoice::Auto),
            "required" | "any" => Ok(ToolChoice::Required),
            "none" => Ok(ToolChoice::None),
            _ => Err(wrong(
                "tool_choice",
                "must be auto, required, none or a function",
            )),
        };
    }
    let mut name = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let of_tool = matches!(&*key.name.decode(), "function" | "custom");
        if of_tool && scanner.kind()? == Kind::Object {
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                if key.name.decode() == "name" {
                    let place = || "tool_choice.function.name".to_owned();
                    name = text_of(scanner, &place)?;
                } else {
                    scanner.value()?;
                }
            }
        } else {
            scanner.value()?;
        }
    }
    let Some(name) = name else {
        return Err(foreign("tool_choice", "takes only the name of a function"));
    };
    Ok(ToolChoice::Function(name))
}

pub(super) fn format<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Format<'a>>, Refused> {
    const PLACE: &str = "response_format.json_schema";
    let (mut kind, mut form) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => kind = Some(scanner.string()?.decode()),
            ("json_schema", Kind::Object) => form = schema(scanner, PLACE)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    match (kind.as_deref(), form) {
        (None | Some("text"), _) => Ok(None),
        (Some("json_object"), _) => Ok(Some(Format::JsonObject)),
        (Some("json_schema"), Some(form)) => Ok(Some(Format::JsonSchema(form))),
        (Some("json_schema"), None) => Err(wrong(&format!("{PLACE}.schema"), "is missing")),
        (Some(_), _) => Err(foreign("response_format.type", "does not know this type")),
    }
}

/// Consumes `{name, description, schema, strict}`; none without a schema.
pub(crate) fn schema<'a>(
    scanner: &mut Scanner<'a>,
    place: &str,
) -> Result<Option<Schema<'a>>, Refused> {
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let member = key.name.decode();
        let inner = || format!("{place}.{member}");
        match &*member {
            "name" => name = text_of(scanner, &inner)?,
            "description" => description = text_of(scanner, &inner)?,
            "schema" => schema = raw_of(scanner)?,
            "strict" => strict = flag_of(scanner)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(schema.map(|schema| Schema {
        name,
        description,
        schema,
        strict,
    }))
}
