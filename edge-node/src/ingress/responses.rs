//! The Responses API, stateless: what its body calls things, and the full parse into the canonical
//! request for upstreams of another dialect. What would need answers to be kept is refused by name,
//! as are tools that this server would have to run; those that a provider runs go to it.

mod items;
mod survey;

#[cfg(test)]
mod tests;

use crate::dialect::search;
use crate::failure::Failure;
use crate::ingress::peek::{Field, Grammar, Peek, Refused, expect, integer};
use crate::ingress::read::{self, Found, flag_of, foreign, raw_of, text_of, texts_of, wrong};
use crate::ingress::survey::type_of;
use crate::ingress::{Call, allowed, chat, freeform, later};
use crate::message::{Format, Part, Place, Request, Role, ServerTool, Tool, ToolChoice, Turn};
use crate::wire::json::{Kind, Scanner, Span, Str};
use shared::catalog::Parameter;

/// Members that only this API has, or that mean something else here.
const SPECIAL: [&str; 10] = [
    "instructions",
    "text",
    "include",
    "tools",
    "store",
    "background",
    "previous_response_id",
    "conversation",
    "prompt",
    "n",
];
/// What asks for probabilities.
const LOGPROBS: &str = "message.output_text.logprobs";

/// What the peek must know of this API.
pub(super) const GRAMMAR: Grammar = Grammar {
    turns: "input",
    field: |name| {
        if let Some(own) = SPECIAL.into_iter().find(|own| *own == name) {
            return Field::Special(own);
        }
        match name {
            "input" => Field::Turns,
            "max_output_tokens" => Field::Parameter(Parameter::MaxTokens),
            // Words of the chat API.
            "max_tokens"
            | "max_completion_tokens"
            | "response_format"
            | "reasoning_effort"
            | "verbosity"
            | "logprobs" => Field::Other,
            _ => Field::common(name),
        }
    },
    kinds: |field| match field {
        Field::Turns => &[Kind::String, Kind::Array],
        Field::Special("instructions" | "previous_response_id") => &[Kind::String],
        Field::Special("text") => &[Kind::Object],
        Field::Special("include" | "tools") => &[Kind::Array],
        Field::Special("store" | "background") => &[Kind::Bool],
        Field::Special("n") => &[Kind::Number],
        _ => &[],
    },
    read: |peek, scanner, field| match field {
        Field::Turns => survey::input(scanner, &mut peek.survey),
        Field::Special(name) => special(peek, scanner, name),
        _ => {
            scanner.value()?;
            Ok(())
        }
    },
};

fn special(peek: &mut Peek, scanner: &mut Scanner<'_>, name: &str) -> Result<(), Refused> {
    match name {
        "instructions" => {
            let start = scanner.at();
            let text = scanner.string()?;
            let end = scanner.at();
            peek.survey.text(text.inner().len());
            peek.survey.beginning.note(true, Span { start, end });
        }
        "text" => text(peek, scanner)?,
        "tools" => {
            tools_of(peek, scanner)?;
            if peek.survey.tools > 0 {
                peek.parameters.push(Parameter::Tools);
            }
        }
        "include" => {
            if texts_of(scanner, name)?
                .iter()
                .any(|text| text.decode() == LOGPROBS)
            {
                peek.parameters.push(Parameter::Logprobs);
            }
        }
        "n" => {
            integer(scanner, name, 1, 1)?;
        }
        _ => {
            let span = scanner.value()?;
            if scanner.raw(span) != "false" {
                return Err(stateless(name).into());
            }
        }
    }
    Ok(())
}

/// A 400: the member would need something that is kept between requests.
fn stateless(name: &str) -> Failure {
    let why = match name {
        "store" => "answers are not stored; leave it out, or send false",
        "background" => "answers are given at once; leave it out, or send false",
        "prompt" => "prompts are not stored; send instructions and input",
        _ => "answers are not stored; send the whole conversation as input",
    };
    Failure::invalid(name, format!("{name}: {why}"))
}

fn text(peek: &mut Peek, scanner: &mut Scanner<'_>) -> Result<(), Refused> {
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("format", Kind::Object) => match type_of(scanner, "text.format")?.as_deref() {
                Some("json_schema") => {
                    let both = [Parameter::ResponseFormat, Parameter::StructuredOutputs];
                    peek.parameters.extend(both);
                }
                Some("json_object") => peek.parameters.push(Parameter::ResponseFormat),
                _ => {}
            },
            ("verbosity", Kind::String) => {
                scanner.value()?;
                peek.parameters.push(Parameter::Verbosity);
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(())
}

fn tools_of(peek: &mut Peek, scanner: &mut Scanner<'_>) -> Result<(), Refused> {
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("tools[{}]", peek.survey.tools);
        peek.survey.tools += 1;
        let kind = scanner.kind()?;
        expect(&place, &[Kind::Object], kind)?;
        let start = scanner.at();
        let mut again = scanner.clone();
        let kind = type_of(scanner, &place)?;
        if kind.as_deref() == Some("custom") {
            let tool = freeform::tool(&mut again, &place)?;
            freeform::note(&mut peek.survey.freeform, tool)?;
        } else if kind.as_deref() != Some("function") {
            let span = again.value()?;
            peek.survey.searches += search::most(again.raw(span));
        }
        let place = format!("{place}.type");
        match kind.as_deref() {
            None => return Err(wrong(&place, "is missing")),
            Some(kind) if kind.starts_with("openrouter:") => later::tool(&place, kind)?,
            // Others are run by providers of this dialect, or refused by those of others.
            Some(_) => {}
        }
        peek.survey.text(scanner.at() - start);
    }
    Ok(())
}

/// The body as a request.
///
/// # Errors
/// 400, with the place, for what only this dialect can say. Another endpoint may help.
pub(super) fn request(call: &Call) -> Result<Request<'_>, Failure> {
    let mut request = read::request(call, own)?;
    let asked = |parameter| request.parameter(parameter);
    if asked(Parameter::TopLogprobs).is_some_and(|raw| raw != "0")
        && asked(Parameter::Logprobs).is_none()
    {
        request.parameters.push((Parameter::Logprobs, "true"));
    }
    freeform::complete(&mut request, &call.freeform);
    allowed::check(&mut request)?;
    Ok(request)
}

fn own<'a>(found: Found<'a>, request: &mut Request<'a>) -> Result<(), Refused> {
    let Found {
        field,
        raw,
        mut scanner,
    } = found;
    let scanner = &mut scanner;
    match field {
        Field::Turns => request.turns.extend(items::turns(raw)?),
        Field::Special("instructions") => {
            let place = Place {
                list: "instructions",
                index: 0,
            };
            let mut turn = Turn::new(Role::System, place);
            turn.parts.push(Part::plain(scanner.string()?));
            request.turns.insert(0, turn);
        }
        Field::Special("tools") => tools(scanner, request)?,
        Field::Special("text") => settings(scanner, request)?,
        Field::Special("include") => {
            let wished = texts_of(scanner, "include")?;
            if wished.iter().any(|text| text.decode() == LOGPROBS) {
                request.parameters.push((Parameter::Logprobs, "true"));
            }
        }
        Field::Parameter(Parameter::Stop) => request.stop = texts_of(scanner, "stop")?,
        Field::Parameter(Parameter::ToolChoice) => {
            let of_some = allowed::read(scanner, request)?;
            request.tool_choice = Some(match of_some {
                Some(choice) => choice,
                None => tool_choice(scanner)?,
            });
        }
        _ => {}
    }
    Ok(())
}

fn tools<'a>(scanner: &mut Scanner<'a>, request: &mut Request<'a>) -> Result<(), Refused> {
    let mut index = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("tools[{index}]");
        let kind = type_of(&mut scanner.clone(), &place)?;
        if matches!(kind.as_deref(), Some("function" | "custom")) {
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
    let mut name = None;
    let mut tool = Tool {
        name: Str::EMPTY,
        description: None,
        parameters: None,
        strict: None,
        cache: None,
        freeform: None,
    };
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let member = key.name.decode();
        let inner = || format!("{place}.{member}");
        match &*member {
            "type" => {
                let kind = text_of(scanner, &inner)?.map(Str::decode);
                tool.freeform = kind.is_some_and(|kind| kind == "custom").then_some("");
            }
            "name" => name = text_of(scanner, &inner)?,
            "description" => tool.description = text_of(scanner, &inner)?,
            "parameters" => {
                let kind = scanner.kind()?;
                if !matches!(kind, Kind::Object | Kind::Null) {
                    return Err(wrong(&inner(), "must be an object"));
                }
                tool.parameters = raw_of(scanner)?;
            }
            "strict" => tool.strict = flag_of(scanner)?,
            "cache_control" => tool.cache = raw_of(scanner)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    tool.name = name.ok_or_else(|| wrong(&format!("{place}.name"), "is missing"))?;
    Ok(tool)
}

fn tool_choice<'a>(scanner: &mut Scanner<'a>) -> Result<ToolChoice<'a>, Refused> {
    const KNOWN: &str = "must be auto, required, none or a function";
    if scanner.kind()? == Kind::String {
        return match &*scanner.string()?.decode() {
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            "none" => Ok(ToolChoice::None),
            _ => Err(wrong("tool_choice", KNOWN)),
        };
    }
    let (mut kind, mut name) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let member = key.name.decode();
        let place = || format!("tool_choice.{member}");
        match &*member {
            "type" => kind = text_of(scanner, &place)?,
            "name" => name = text_of(scanner, &place)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    match (kind.map(Str::decode).as_deref(), name) {
        (Some("function" | "custom"), Some(name)) => Ok(ToolChoice::Function(name)),
        (Some("function" | "custom"), None) => Err(wrong("tool_choice.name", "is missing")),
        _ => Err(foreign("tool_choice", "takes only the name of a function")),
    }
}

/// Consumes `text`: the form of the answer and how wordy it shall be.
fn settings<'a>(scanner: &mut Scanner<'a>, request: &mut Request<'a>) -> Result<(), Refused> {
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("format", Kind::Object) => request.format = format(scanner)?,
            ("verbosity", Kind::String) => {
                let raw = scanner.string()?.raw();
                request.parameters.push((Parameter::Verbosity, raw));
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(())
}

fn format<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Format<'a>>, Refused> {
    const PLACE: &str = "text.format";
    let kind = type_of(&mut scanner.clone(), PLACE)?;
    let form = chat::schema(scanner, PLACE)?;
    match (kind.as_deref(), form) {
        (None | Some("text"), _) => Ok(None),
        (Some("json_object"), _) => Ok(Some(Format::JsonObject)),
        (Some("json_schema"), Some(form)) => Ok(Some(Format::JsonSchema(form))),
        (Some("json_schema"), None) => Err(wrong("text.format.schema", "is missing")),
        (Some(_), _) => Err(foreign("text.format.type", "does not know this type")),
    }
}
