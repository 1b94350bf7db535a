//! The full parse of a chat body into the canonical request, for upstreams of another dialect. What
//! the peek has checked is relied upon; what no other dialect has a word for is refused by its
//! place, so that an upstream of this dialect may serve it.

mod turn;

use crate::failure::{Failure, Retry};
use crate::ingress::Call;
use crate::ingress::peek::{Field, Refused, malformed};
use crate::message::{Format, Request, Tool, ToolChoice};
use crate::wire::json::{Kind, Scanner, Span, Str, SyntaxError};
use shared::catalog::Parameter;

/// The body as a request.
///
/// # Errors
/// 400, with the place, for what only this dialect can say. Another endpoint may help.
pub(crate) fn request(call: &Call) -> Result<Request<'_>, Failure> {
    read(call).map_err(|refused| match refused {
        Refused::Call(failure) => failure.with_retry(Retry::OtherEndpoint),
        Refused::Syntax(error) => malformed(call.text(), error),
    })
}

fn read(call: &Call) -> Result<Request<'_>, Refused> {
    let text = call.text();
    let mut request = Request::default();
    for member in &call.members {
        let Span { start, end } = member.value;
        let raw = text.get(start..end).unwrap_or("null");
        if raw == "null" {
            continue;
        }
        let mut scanner = Scanner::starting(text, start);
        let scanner = &mut scanner;
        match member.field {
            Field::Messages => request.turns = turn::turns(scanner)?,
            Field::User => request.user = Some(scanner.string()?),
            Field::Functions => return Err(foreign("functions", "has only tools")),
            Field::Choices if call.n > 1 => return Err(foreign("n", "gives one choice")),
            Field::Parameter(Parameter::Temperature) => request.temperature = Some(raw),
            Field::Parameter(Parameter::TopP) => request.top_p = Some(raw),
            Field::Parameter(Parameter::TopK) => request.top_k = Some(raw),
            Field::Parameter(Parameter::ParallelToolCalls) => {
                request.parallel_tool_calls = Some(raw == "true");
            }
            Field::Parameter(Parameter::Stop) => request.stop = stop(scanner)?,
            Field::Parameter(Parameter::Tools) => request.tools = tools(scanner)?,
            Field::Parameter(Parameter::ToolChoice) => {
                request.tool_choice = Some(tool_choice(scanner)?);
            }
            Field::Parameter(Parameter::ResponseFormat) => request.format = format(scanner)?,
            _ => {}
        }
    }
    Ok(request)
}

/// A 400: `place` can't be said to this provider.
pub(crate) fn foreign(place: &str, why: &str) -> Refused {
    let message = format!("{place}: the chosen provider {why}");
    Failure::invalid(place, message)
        .with_retry(Retry::OtherEndpoint)
        .into()
}

/// A 400: a member of `place` is missing or of the wrong type.
pub(crate) fn wrong(place: &str, why: &str) -> Refused {
    Failure::invalid(place, format!("{place} {why}")).into()
}

/// Consumes a string or null; anything else is of the wrong type.
pub(crate) fn text_of<'a>(
    scanner: &mut Scanner<'a>,
    place: &dyn Fn() -> String,
) -> Result<Option<Str<'a>>, Refused> {
    match scanner.kind()? {
        Kind::String => Ok(Some(scanner.string()?)),
        Kind::Null => {
            scanner.value()?;
            Ok(None)
        }
        kind => Err(wrong(
            &place(),
            &format!("must be a string, not {}", kind.as_str()),
        )),
    }
}

/// Consumes a value and returns it as written; none for null.
pub(crate) fn raw_of<'a>(scanner: &mut Scanner<'a>) -> Result<Option<&'a str>, SyntaxError> {
    let span = scanner.value()?;
    Ok(Some(scanner.raw(span)).filter(|raw| *raw != "null"))
}

fn stop<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<Str<'a>>, Refused> {
    if scanner.kind()? == Kind::String {
        return Ok(vec![scanner.string()?]);
    }
    let mut list = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        let place = || format!("stop[{}]", list.len());
        let text = text_of(scanner, &place)?;
        list.extend(text);
    }
    Ok(list)
}

fn tools<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<Tool<'a>>, Refused> {
    let mut list = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("tools[{}]", list.len());
        list.push(tool(scanner, &place)?);
    }
    Ok(list)
}

fn tool<'a>(scanner: &mut Scanner<'a>, place: &str) -> Result<Tool<'a>, Refused> {
    let (mut name, mut description, mut parameters, mut cache) = (None, None, None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => {
                let kind = scanner.string()?.decode();
                if kind != "function" {
                    return Err(foreign(&format!("{place}.type"), "takes only functions"));
                }
            }
            ("cache_control", _) => cache = raw_of(scanner)?,
            ("function", Kind::Object) => {
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
        cache,
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
        if key.name.decode() == "function" && scanner.kind()? == Kind::Object {
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

fn format<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Format<'a>>, Refused> {
    let (mut kind, mut schema) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => kind = Some(scanner.string()?.decode()),
            ("json_schema", Kind::Object) => {
                scanner.begin_object()?;
                while let Some(key) = scanner.key()? {
                    if key.name.decode() == "schema" {
                        schema = raw_of(scanner)?;
                    } else {
                        scanner.value()?;
                    }
                }
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    match (kind.as_deref(), schema) {
        (None | Some("text"), _) => Ok(None),
        (Some("json_object"), _) => Ok(Some(Format::JsonObject)),
        (Some("json_schema"), Some(schema)) => Ok(Some(Format::JsonSchema(schema))),
        (Some("json_schema"), None) => {
            Err(wrong("response_format.json_schema.schema", "is missing"))
        }
        (Some(_), _) => Err(foreign("response_format.type", "does not know this type")),
    }
}
