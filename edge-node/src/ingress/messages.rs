//! Anthropic's Messages API, with OpenRouter's extensions: what its body calls things, and the full
//! parse into the canonical request for upstreams of another dialect. What only Anthropic's dialect
//! can say (containers, MCP servers) is refused there by its place.

mod survey;
mod tools;
mod turn;

#[cfg(test)]
mod tests;

use crate::failure::Failure;
use crate::ingress::peek::{Field, Grammar, Own, Peek, Refused, expect, integer, model_id};
use crate::ingress::read::{self, Found, foreign, raw_of, text_of, texts_of, wrong};
use crate::ingress::reasoning::Effort;
use crate::ingress::{Call, later};
use crate::message::{Format, Place, Request, Role, Schema, Turn};
use crate::wire::json::{Kind, Scanner, Span};
use shared::catalog::Parameter;

/// How many models may stand in `fallbacks`.
const FALLBACKS_MAX: usize = 3;

/// What the peek must know of this API.
pub(super) const GRAMMAR: Grammar = Grammar {
    turns: "messages",
    field,
    kinds,
    read: peek,
};

fn field(name: &str) -> Field {
    match name {
        "messages" => Field::Turns,
        "system" => Field::Special("system"),
        "tools" => Field::Special("tools"),
        "thinking" => Field::Special("thinking"),
        "output_config" => Field::Special("output_config"),
        "output_format" => Field::Special("output_format"),
        "metadata" => Field::Special("metadata"),
        "service_tier" => Field::Special("service_tier"),
        "fallbacks" => Field::Special("fallbacks"),
        "speed" => Field::Special("speed"),
        "inference_geo" => Field::Special("inference_geo"),
        "container" => Field::Special("container"),
        "mcp_servers" => Field::Special("mcp_servers"),
        // A host's word, set anew for each.
        "anthropic_version" => Field::Special("anthropic_version"),
        "stop_sequences" => Field::Parameter(Parameter::Stop),
        "model"
        | "stream"
        | "models"
        | "provider"
        | "route"
        | "plugins"
        | "preset"
        | "session_id"
        | "transforms"
        | "trace"
        | "debug"
        | "cache_control"
        | "stop_server_tools_when"
        | "max_tokens"
        | "temperature"
        | "top_p"
        | "top_k"
        | "tool_choice" => Field::common(name),
        _ => Field::Other,
    }
}

fn kinds(field: Field) -> &'static [Kind] {
    match field {
        Field::Turns | Field::Special("tools" | "fallbacks" | "mcp_servers") => &[Kind::Array],
        Field::Special("system") => &[Kind::String, Kind::Array],
        Field::Special("thinking" | "output_config" | "output_format" | "metadata") => {
            &[Kind::Object]
        }
        Field::Special("service_tier" | "speed" | "inference_geo") => &[Kind::String],
        _ => &[],
    }
}

fn peek(peek: &mut Peek, scanner: &mut Scanner<'_>, field: Field) -> Result<(), Refused> {
    match field {
        Field::Turns => survey::messages(scanner, &mut peek.survey)?,
        Field::Special("system") => {
            let start = scanner.at();
            survey::content(scanner, &mut peek.survey, &|| "system".into())?;
            let end = scanner.at();
            peek.survey.beginning.note(true, Span { start, end });
        }
        Field::Special("tools") => {
            survey::tools(scanner, &mut peek.survey)?;
            if peek.survey.tools > 0 {
                peek.parameters.push(Parameter::Tools);
            }
        }
        Field::Special("thinking") => thinking(peek, scanner)?,
        Field::Special("output_config") => output_config(peek, scanner)?,
        Field::Special("output_format") => {
            peek.parameters.push(Parameter::StructuredOutputs);
            scanner.value()?;
        }
        Field::Special("service_tier") => peek.urgency.service_tier(&scanner.string()?.decode()),
        Field::Special("speed") => {
            if !peek.urgency.speed(&scanner.string()?.decode()) {
                return Err(wrong("speed", "must be one of fast, standard"));
            }
        }
        Field::Special("inference_geo") => {
            // Another price than the endpoint's.
            if scanner.string()?.decode() != "global" {
                let instead = "choose endpoints by `provider`";
                return Err(later::refuse("inference_geo", "a region", instead).into());
            }
        }
        Field::Special("fallbacks") => fallbacks(peek, scanner)?,
        _ => {
            scanner.value()?;
        }
    }
    Ok(())
}

/// Consumes `[{"model":…}]`.
fn fallbacks(peek: &mut Peek, scanner: &mut Scanner<'_>) -> Result<(), Refused> {
    let has_models = |peek: &Peek| {
        let mut members = peek.members.iter();
        members.any(|member| member.field == Field::Own(Own::Models))
    };
    if has_models(peek) {
        return Err(wrong("fallbacks", "can't stand together with models"));
    }
    let mut count = 0;
    scanner.begin_array()?;
    while scanner.element()? {
        let place = format!("fallbacks[{count}]");
        let kind = scanner.kind()?;
        expect(&place, &[Kind::Object], kind)?;
        let mut model = None;
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            if key.name.decode() == "model" {
                model = text_of(scanner, &|| format!("{place}.model"))?;
            } else {
                scanner.value()?;
            }
        }
        let place = format!("{place}.model");
        let model = model.ok_or_else(|| wrong(&place, "is missing"))?;
        peek.models.push(model_id(&place, model)?);
        count += 1;
    }
    if count > FALLBACKS_MAX {
        let why = format!("may name at most {FALLBACKS_MAX} models");
        return Err(wrong("fallbacks", &why));
    }
    Ok(())
}

/// Consumes `thinking`.
fn thinking(peek: &mut Peek, scanner: &mut Scanner<'_>) -> Result<(), Refused> {
    let (mut kind, mut budget) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => kind = Some(scanner.string()?.decode()),
            ("budget_tokens", Kind::Number) => {
                budget = Some(integer(scanner, "thinking.budget_tokens", 1, u64::MAX)?);
            }
            ("display", Kind::String) => {
                peek.reasoning.exclude = scanner.string()?.decode() == "omitted";
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    match kind.as_deref() {
        Some("enabled") => {
            let place = "thinking.budget_tokens";
            let budget = budget.ok_or_else(|| wrong(place, "is missing"))?;
            peek.reasoning.max_tokens = Some(budget);
        }
        Some("adaptive") => peek.reasoning.enabled = Some(true),
        Some("disabled") => {
            peek.reasoning.enabled = Some(false);
            return Ok(());
        }
        _ => {
            let why = "must be one of enabled, disabled, adaptive";
            return Err(wrong("thinking.type", why));
        }
    }
    peek.parameters.push(Parameter::Reasoning);
    Ok(())
}

/// Consumes `output_config`; how hard to work is how hard to think elsewhere.
fn output_config(peek: &mut Peek, scanner: &mut Scanner<'_>) -> Result<(), Refused> {
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("effort", Kind::String) => {
                peek.reasoning.shorthand = Effort::parse(&scanner.string()?.decode());
            }
            ("format", Kind::Object) => {
                peek.parameters.push(Parameter::StructuredOutputs);
                scanner.value()?;
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok(())
}

/// The body as a request.
///
/// # Errors
/// 400, with the place, for what only Anthropic's dialect can say. Another endpoint may help.
pub(super) fn request(call: &Call) -> Result<Request<'_>, Failure> {
    let mut operator = None;
    let mut request = read::request(call, |found, request| {
        own(call, found, request, &mut operator)
    })?;
    if let Some(operator) = operator {
        request.turns.insert(0, operator);
    }
    Ok(request)
}

fn own<'a>(
    call: &'a Call,
    found: Found<'a>,
    request: &mut Request<'a>,
    operator: &mut Option<Turn<'a>>,
) -> Result<(), Refused> {
    let mut scanner = found.scanner;
    let scanner = &mut scanner;
    match found.field {
        Field::Turns => request.turns = turn::turns(call, scanner)?,
        Field::Special("system") => {
            let place = Place {
                list: "system",
                index: 0,
            };
            let mut turn = Turn::new(Role::System, place);
            turn::content(call, scanner, &|| "system".into(), &mut turn.parts)?;
            *operator = Some(turn);
        }
        Field::Special("tools") => tools::list(scanner, request)?,
        Field::Special("output_config") => {
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                if key.name.decode() == "format" && scanner.kind()? == Kind::Object {
                    request.format = format(scanner, "output_config.format")?;
                } else {
                    scanner.value()?;
                }
            }
        }
        Field::Special("output_format") => request.format = format(scanner, "output_format")?,
        Field::Special("metadata") => {
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                if key.name.decode() == "user_id" {
                    request.user = text_of(scanner, &|| "metadata.user_id".into())?;
                } else {
                    scanner.value()?;
                }
            }
        }
        Field::Special(name @ ("container" | "mcp_servers")) if found.raw != "[]" => {
            return Err(foreign(name, "has no such thing"));
        }
        Field::Parameter(Parameter::Stop) => request.stop = texts_of(scanner, "stop_sequences")?,
        Field::Parameter(Parameter::ToolChoice) => tools::choice(scanner, request)?,
        _ => {}
    }
    Ok(())
}

/// Consumes `{type, schema}`.
fn format<'a>(scanner: &mut Scanner<'a>, place: &str) -> Result<Option<Format<'a>>, Refused> {
    let (mut kind, mut schema) = (None, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("type", Kind::String) => kind = Some(scanner.string()?.decode()),
            ("schema", Kind::Object) => schema = raw_of(scanner)?,
            _ => {
                scanner.value()?;
            }
        }
    }
    match (kind.as_deref(), schema) {
        (Some("json_schema"), Some(schema)) => Ok(Some(Format::JsonSchema(Schema {
            name: None,
            description: None,
            schema,
            strict: Some(true),
        }))),
        (Some("json_schema"), None) => Err(wrong(&format!("{place}.schema"), "is missing")),
        _ => Err(foreign(&format!("{place}.type"), "does not know this type")),
    }
}
