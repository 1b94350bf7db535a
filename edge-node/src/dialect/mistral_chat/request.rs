//! Writes a chat body of the members that Mistral knows, and no other: it refuses what it does not
//! know. What the endpoint does not know is left out, as for every dialect.

use crate::dialect::Target;
use crate::dialect::mistral_chat::messages;
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, clamped, member, only_text, put};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::reasoning::Effort;
use crate::message::{Format, Request, Schema, ToolChoice};
use crate::wire::json::Str;
use shared::catalog::Parameter;

/// What a JSON Schema is called when the client gives it no name; Mistral demands one.
const SCHEMA_NAME: &str = "\"answer\"";
const NO_PARAMETERS: &str = "{\"type\":\"object\",\"properties\":{}}";

/// The body to send.
///
/// # Errors
/// The request has something that this dialect can't carry.
pub(super) fn body(request: &Request<'_>, target: &Target<'_>) -> Result<Vec<u8>, Failure> {
    served::check(request, Words::None)?;
    only_text(request)?;
    let mut out = Vec::with_capacity(4096);
    let model = quoted(&target.endpoint.provider_model);
    put(&mut out, &["{\"model\":", &model]);
    let supported = &target.endpoint.supported_parameters;
    let thinks = supported.contains(&Parameter::Reasoning);
    messages::write(&request.turns, thinks, &mut out)?;
    let limit = [request.max_tokens, target.max_tokens_clamp];
    if let Some(limit) = limit.into_iter().flatten().min() {
        put(&mut out, &[",\"max_tokens\":", &limit.to_string()]);
    }
    for (parameter, raw) in &request.parameters {
        if target.supports(*parameter) {
            sampling(*parameter, raw, &mut out);
        }
    }
    if !request.stop.is_empty() && target.supports(Parameter::Stop) {
        let mut list = List::default();
        for text in &request.stop {
            put(list.item(), &[text.raw()]);
        }
        member(&mut out, "stop", &list);
    }
    tools(request, target, &mut out);
    form(request, target, &mut out);
    thinking(request, target, &mut out);
    if request.n > 1 {
        put(&mut out, &[",\"n\":", &request.n.to_string()]);
    }
    if let Some(key) = request.prompt_cache_key {
        put(&mut out, &[",\"prompt_cache_key\":", key.raw()]);
    }
    if let Some(metadata) = request.metadata {
        put(&mut out, &[",\"metadata\":", metadata]);
    }
    let stream = if request.stream { "true}" } else { "false}" };
    put(&mut out, &[",\"stream\":", stream]);
    Ok(out)
}

fn sampling(parameter: Parameter, raw: &str, out: &mut Vec<u8>) {
    match parameter {
        Parameter::Temperature => put(out, &[",\"temperature\":", clamped(raw, ("0", "1.5"))]),
        Parameter::Seed if !raw.starts_with('-') => put(out, &[",\"random_seed\":", raw]),
        Parameter::TopP
        | Parameter::FrequencyPenalty
        | Parameter::PresencePenalty
        | Parameter::Prediction => put(out, &[",\"", parameter.as_str(), "\":", raw]),
        _ => {}
    }
}

fn tools(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let mut list = List::default();
    for tool in &request.tools {
        let item = list.item();
        put(item, &["{\"type\":\"function\",\"function\":{\"name\":"]);
        put(item, &[tool.name.raw()]);
        if let Some(description) = tool.description {
            put(item, &[",\"description\":", description.raw()]);
        }
        if tool.strict == Some(true) {
            put(item, &[",\"strict\":true"]);
        }
        let parameters = tool.parameters.unwrap_or(NO_PARAMETERS);
        put(item, &[",\"parameters\":", parameters, "}}"]);
    }
    if list.is_empty() {
        return;
    }
    member(out, "tools", &list);
    if target.supports(Parameter::ToolChoice) {
        match request.tool_choice {
            None => {}
            Some(ToolChoice::Auto) => put(out, &[",\"tool_choice\":\"auto\""]),
            Some(ToolChoice::Required) => put(out, &[",\"tool_choice\":\"any\""]),
            Some(ToolChoice::None) => put(out, &[",\"tool_choice\":\"none\""]),
            Some(ToolChoice::Function(name)) => {
                let start = ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":";
                put(out, &[start, name.raw(), "}}"]);
            }
        }
    }
    if let Some(parallel) = request.parallel_tool_calls
        && target.supports(Parameter::ParallelToolCalls)
    {
        let parallel = if parallel { "true" } else { "false" };
        put(out, &[",\"parallel_tool_calls\":", parallel]);
    }
}

fn form(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let known = [Parameter::ResponseFormat, Parameter::StructuredOutputs];
    let takes = known.iter().any(|known| target.supports(*known));
    match request.format.filter(|_| takes) {
        Some(Format::JsonObject) => {
            put(out, &[",\"response_format\":{\"type\":\"json_object\"}"]);
        }
        Some(Format::JsonSchema(form)) => schema(&form, out),
        None => {}
    }
}

fn schema(form: &Schema<'_>, out: &mut Vec<u8>) {
    let start = ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":";
    put(out, &[start, form.name.map_or(SCHEMA_NAME, Str::raw)]);
    if let Some(description) = form.description {
        put(out, &[",\"description\":", description.raw()]);
    }
    put(out, &[",\"schema\":", form.schema]);
    if let Some(strict) = form.strict {
        put(
            out,
            &[",\"strict\":", if strict { "true" } else { "false" }],
        );
    }
    put(out, &["}}"]);
}

/// Models of the Magistral line always think and know only a mode; the others think highly or not
/// at all.
fn thinking(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let wish = &request.reasoning;
    let known = [
        Parameter::Reasoning,
        Parameter::IncludeReasoning,
        Parameter::ReasoningEffort,
    ];
    if (wish.effort.is_none() && wish.max_tokens.is_none())
        || !known.iter().any(|known| target.supports(*known))
    {
        return;
    }
    let is_off = wish.effort == Some(Effort::None);
    if target.endpoint.provider_model.contains("magistral") {
        if !is_off {
            put(out, &[",\"prompt_mode\":\"reasoning\""]);
        }
        return;
    }
    let effort = if is_off { "none" } else { "high" };
    put(out, &[",\"reasoning_effort\":\"", effort, "\""]);
}
