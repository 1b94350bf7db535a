//! Writes a chat body from a canonical request, for clients of another API. What the endpoint does
//! not know is left out, as for clients of this API; what the provider does differently is a quirk.

mod messages;
mod parts;

#[cfg(test)]
mod tests;

pub(super) use messages::lost;

use crate::dialect::Target;
use crate::dialect::openai_chat::request::limit_name;
use crate::dialect::openai_chat::{demands, thinking};
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, member, put};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::message::{Format, Request, Schema, Tool, ToolChoice};
use crate::wire::json::Str;
use shared::catalog::{Parameter, Quirk};

/// What a JSON Schema is called when the client gives it no name; OpenAI demands one.
const SCHEMA_NAME: &str = "\"answer\"";

/// The body to send.
///
/// # Errors
/// The request has something that this dialect can't carry.
pub(super) fn body(request: &Request<'_>, target: &Target<'_>) -> Result<Vec<u8>, Failure> {
    served::check(request, Words::None)?;
    let mut out = Vec::with_capacity(4096);
    put(
        &mut out,
        &["{\"model\":", &quoted(&target.endpoint.provider_model)],
    );
    messages::write(&request.turns, !request.tools.is_empty(), target, &mut out)?;
    limit(request, target, &mut out);
    for (parameter, raw) in &request.parameters {
        if target.supports(*parameter) {
            put(&mut out, &[",\"", parameter.as_str(), "\":", raw]);
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
    if let Some(format) = request.format {
        form(&format, target, &mut out);
    }
    let forced = demands::forces(request);
    for (name, value) in thinking::members(&request.reasoning, request.max_tokens, forced, target) {
        put(&mut out, &[",\"", name, "\":", &value]);
    }
    if request.n > 1 {
        put(&mut out, &[",\"n\":", &request.n.to_string()]);
    }
    others(request, target, &mut out);
    if request.stream {
        put(&mut out, &[",\"stream\":true"]);
        if target.has(Quirk::ToolStream) && !request.tools.is_empty() {
            put(&mut out, &[",\"tool_stream\":true"]);
        }
        if !target.has(Quirk::NoStreamOptions) {
            put(&mut out, &[",\"stream_options\":{\"include_usage\":true}"]);
        }
    }
    out.push(b'}');
    Ok(out)
}

/// The longest answer, by its right name and within the clamp.
fn limit(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let bounds = [request.max_tokens, target.max_tokens_clamp];
    if let Some(limit) = bounds.into_iter().flatten().min() {
        let name = limit_name(target).unwrap_or("max_tokens");
        put(out, &[",\"", name, "\":", &limit.to_string()]);
    }
}

fn tools(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let marks = target.has(Quirk::CacheControl);
    let mut list = List::default();
    for tool in &request.tools {
        write_tool(tool, marks, list.item());
    }
    if list.is_empty() {
        return;
    }
    member(out, "tools", &list);
    match request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => put(out, &[",\"tool_choice\":\"auto\""]),
        Some(ToolChoice::Required) => put(out, &[",\"tool_choice\":\"required\""]),
        Some(ToolChoice::None) => put(out, &[",\"tool_choice\":\"none\""]),
        Some(ToolChoice::Function(name)) => {
            let start = ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":";
            put(out, &[start, name.raw(), "}}"]);
        }
    }
    if let Some(parallel) = request.parallel_tool_calls
        && target.supports(Parameter::ParallelToolCalls)
    {
        let parallel = if parallel { "true" } else { "false" };
        put(out, &[",\"parallel_tool_calls\":", parallel]);
    }
}

fn write_tool(tool: &Tool<'_>, marks: bool, out: &mut Vec<u8>) {
    put(
        out,
        &[
            "{\"type\":\"function\",\"function\":{\"name\":",
            tool.name.raw(),
        ],
    );
    optional(out, "description", tool.description.map(Str::raw));
    optional(out, "parameters", tool.parameters);
    optional(out, "strict", tool.strict.map(flag));
    out.push(b'}');
    optional(out, "cache_control", tool.cache.filter(|_| marks));
    out.push(b'}');
}

/// A schema where the endpoint takes one, else any JSON.
fn form(format: &Format<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let takes_schema =
        target.supports(Parameter::StructuredOutputs) || target.supports(Parameter::ResponseFormat);
    match format {
        Format::JsonSchema(form) if takes_schema => schema(form, out),
        Format::JsonSchema(_) => {}
        Format::JsonObject if target.supports(Parameter::ResponseFormat) => {
            put(out, &[",\"response_format\":{\"type\":\"json_object\"}"]);
        }
        Format::JsonObject => {}
    }
}

fn schema(form: &Schema<'_>, out: &mut Vec<u8>) {
    let start = ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":";
    put(out, &[start, form.name.map_or(SCHEMA_NAME, Str::raw)]);
    optional(out, "description", form.description.map(Str::raw));
    put(out, &[",\"schema\":", form.schema]);
    optional(out, "strict", form.strict.map(flag));
    put(out, &["}}"]);
}

/// What passes as it is. The caller's `metadata` is for answers that the provider stores, which
/// ours are not; OpenAI refuses it without `store`.
fn others(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    optional(out, "user", request.user.map(Str::raw));
    if !target.has(Quirk::NoServiceTier) {
        optional(out, "service_tier", target.tier_word(request.service_tier));
    }
    optional(
        out,
        "prompt_cache_key",
        request.prompt_cache_key.map(Str::raw),
    );
    optional(out, "modalities", request.modalities);
    optional(out, "audio", request.audio);
}

fn optional(out: &mut Vec<u8>, name: &str, raw: Option<&str>) {
    if let Some(raw) = raw {
        put(out, &[",\"", name, "\":", raw]);
    }
}

const fn flag(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}
