//! Writes a Responses body. What this dialect has no word for is left out, as OpenRouter does;
//! nothing is stored at the provider, so reasoning is asked for in the form that can come back.

use crate::dialect::Target;
use crate::dialect::openai_chat::{effort, takes_effort, word};
use crate::dialect::openai_responses::{input, maker};
use crate::dialect::search::{self, Tongue};
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, member, one_choice, put, refuse};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::reasoning::Effort;
use crate::message::{Format, Request, Schema, Tool, ToolChoice};
use crate::wire::json::Str;
use shared::catalog::Parameter;

/// The smallest limit that the provider takes, in tokens.
const MAX_TOKENS_MIN: u64 = 16;
/// What a JSON Schema is called when the client gives it no name.
const SCHEMA_NAME: &str = "\"answer\"";
const NO_PARAMETERS: &str = "{\"type\":\"object\",\"properties\":{}}";

/// The body to send.
///
/// # Errors
/// The request has something that this dialect can't carry.
pub(super) fn body(request: &Request<'_>, target: &Target<'_>) -> Result<Vec<u8>, Failure> {
    one_choice(request)?;
    let words = Words::Responses(maker(target));
    served::check(request, words)?;
    let search = search::tools(request, Tongue::Responses(maker(target)), target)?;
    if request
        .modalities
        .is_some_and(|raw| raw.contains("\"audio\""))
    {
        return Err(refuse("modalities", "gives no sound"));
    }
    let mut out = Vec::with_capacity(4096);
    let model = quoted(&target.endpoint.provider_model);
    put(&mut out, &["{\"model\":", &model]);
    let has_thoughts = input::write(&request.turns, target, &mut out)?;
    put(&mut out, &[",\"store\":false"]);
    limit(request, target, &mut out);
    for parameter in [
        Parameter::Temperature,
        Parameter::TopP,
        Parameter::TopLogprobs,
    ] {
        if let Some(raw) = request.parameter(parameter)
            && target.supports(parameter)
        {
            put(&mut out, &[",\"", parameter.as_str(), "\":", raw]);
        }
    }
    let mut served = List::default();
    served::write(request, words, &mut served);
    if let Some(search) = search {
        put(served.item(), &[&search]);
    }
    tools(request, &served, target, &mut out);
    text(request, target, &mut out);
    reasoning(request, target, &mut out);
    include(request, target, has_thoughts, &mut out);
    optional(&mut out, "user", request.user.map(Str::raw));
    optional(
        &mut out,
        "service_tier",
        target.tier_word(request.service_tier),
    );
    let key = request.prompt_cache_key.map(Str::raw);
    optional(&mut out, "prompt_cache_key", key);
    optional(&mut out, "metadata", request.metadata);
    if request.stream {
        put(&mut out, &[",\"stream\":true"]);
    }
    out.push(b'}');
    Ok(out)
}

/// The client's wish, at least what the provider takes, at most what may be spent.
fn limit(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let wish = request.max_tokens.map(|wish| wish.max(MAX_TOKENS_MIN));
    let bounds = [wish, target.max_tokens_clamp];
    if let Some(limit) = bounds.into_iter().flatten().min() {
        put(out, &[",\"max_output_tokens\":", &limit.to_string()]);
    }
}

fn tools(request: &Request<'_>, served: &List, target: &Target<'_>, out: &mut Vec<u8>) {
    let mut list = List::default();
    for tool in &request.tools {
        write_tool(tool, list.item());
    }
    if !served.is_empty() {
        list.item().extend_from_slice(served.as_bytes());
    }
    if list.is_empty() {
        return;
    }
    member(out, "tools", &list);
    match request.tool_choice {
        None => {}
        Some(choice) if request.allowed.is_some() => allowed(request, choice, out),
        Some(ToolChoice::Auto) => put(out, &[",\"tool_choice\":\"auto\""]),
        Some(ToolChoice::Required) => put(out, &[",\"tool_choice\":\"required\""]),
        Some(ToolChoice::None) => put(out, &[",\"tool_choice\":\"none\""]),
        Some(ToolChoice::Function(name)) => {
            let is_it = |tool: &&Tool<'_>| tool.name.decode() == name.decode();
            let tool = request.tools.iter().find(is_it);
            let kind = tool.map_or("function", kind_of);
            put(out, &[",\"tool_choice\":{\"type\":\"", kind]);
            put(out, &["\",\"name\":", name.raw(), "}"]);
        }
    }
    if let Some(parallel) = request.parallel_tool_calls
        && target.supports(Parameter::ParallelToolCalls)
    {
        put(out, &[",\"parallel_tool_calls\":", flag(parallel)]);
    }
}

/// The only functions that may be called; the others stay where they are, for the prompt's cache.
fn allowed(request: &Request<'_>, choice: ToolChoice<'_>, out: &mut Vec<u8>) {
    let mut list = List::default();
    for name in request.allowed.iter().flatten() {
        let is_it = |tool: &&Tool<'_>| tool.name.decode() == name.decode();
        let kind = request.tools.iter().find(is_it).map_or("function", kind_of);
        let start = ["{\"type\":\"", kind, "\",\"name\":", name.raw(), "}"];
        put(list.item(), &start);
    }
    let mode = match choice {
        ToolChoice::Required => "required",
        _ => "auto",
    };
    let start = ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"";
    put(out, &[start, mode, "\""]);
    member(out, "tools", &list);
    out.push(b'}');
}

/// Here tools are strict unless one says that they are not; elsewhere it is the other way round.
fn write_tool(tool: &Tool<'_>, out: &mut Vec<u8>) {
    put(out, &["{\"type\":\"", kind_of(tool)]);
    put(out, &["\",\"name\":", tool.name.raw()]);
    optional(out, "description", tool.description.map(Str::raw));
    if let Some(form) = tool.freeform {
        return put(out, &[",\"format\":", form, "}"]);
    }
    let parameters = tool.parameters.unwrap_or(NO_PARAMETERS);
    put(out, &[",\"parameters\":", parameters]);
    put(out, &[",\"strict\":", flag(tool.strict == Some(true)), "}"]);
}

const fn kind_of(tool: &Tool<'_>) -> &'static str {
    match tool.freeform {
        Some(_) => "custom",
        None => "function",
    }
}

/// The form of the answer and how wordy it is.
fn text(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let takes_schema =
        target.supports(Parameter::StructuredOutputs) || target.supports(Parameter::ResponseFormat);
    let mut list = List::default();
    match &request.format {
        Some(Format::JsonSchema(form)) if takes_schema => schema(form, list.item()),
        Some(Format::JsonObject) if target.supports(Parameter::ResponseFormat) => {
            put(list.item(), &["\"format\":{\"type\":\"json_object\"}"]);
        }
        _ => {}
    }
    if let Some(raw) = request.parameter(Parameter::Verbosity)
        && target.supports(Parameter::Verbosity)
    {
        put(list.item(), &["\"verbosity\":", raw]);
    }
    if !list.is_empty() {
        put(out, &[",\"text\":{"]);
        out.extend_from_slice(list.as_bytes());
        out.push(b'}');
    }
}

fn schema(form: &Schema<'_>, out: &mut Vec<u8>) {
    let name = form.name.map_or(SCHEMA_NAME, Str::raw);
    let start = "\"format\":{\"type\":\"json_schema\",\"name\":";
    put(out, &[start, name]);
    optional(out, "description", form.description.map(Str::raw));
    put(out, &[",\"schema\":", form.schema]);
    optional(out, "strict", form.strict.map(flag));
    out.push(b'}');
}

/// How hard to think. A summary is all that can be seen of it, so it is asked for unless nobody
/// wants to see it.
fn reasoning(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let wish = &request.reasoning;
    if !takes_effort(target) {
        return;
    }
    let Some(effort) = effort(wish, request.max_tokens) else {
        return;
    };
    let Some(word) = word(effort, target) else {
        return;
    };
    put(out, &[",\"reasoning\":{\"effort\":\"", word, "\""]);
    if effort != Effort::None && !wish.exclude {
        put(out, &[",\"summary\":\"auto\""]);
    }
    out.push(b'}');
}

/// Encrypted reasoning where the model thinks (others refuse the wish), and probabilities.
fn include(request: &Request<'_>, target: &Target<'_>, has_thoughts: bool, out: &mut Vec<u8>) {
    let mut list = List::default();
    let wish = &request.reasoning;
    let asked = wish.max_tokens.is_some() || wish.effort.is_some_and(|e| e != Effort::None);
    if has_thoughts || thinks(target) || (asked && takes_effort(target)) {
        put(list.item(), &["\"reasoning.encrypted_content\""]);
    }
    let wanted = |parameter| {
        let raw = request.parameter(parameter);
        raw.is_some_and(|raw| raw != "false" && raw != "0") && target.supports(parameter)
    };
    if wanted(Parameter::Logprobs) || wanted(Parameter::TopLogprobs) {
        put(list.item(), &["\"message.output_text.logprobs\""]);
    }
    member(out, "include", &list);
}

/// True where the catalogue says that the model thinks.
pub(super) fn thinks(target: &Target<'_>) -> bool {
    let supported = &target.endpoint.supported_parameters;
    let words = [Parameter::Reasoning, Parameter::ReasoningEffort];
    words.iter().any(|word| supported.contains(word))
}

fn optional(out: &mut Vec<u8>, name: &str, raw: Option<&str>) {
    if let Some(raw) = raw {
        put(out, &[",\"", name, "\":", raw]);
    }
}

const fn flag(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}
