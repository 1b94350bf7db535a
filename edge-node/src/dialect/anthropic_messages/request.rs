//! Writes a Messages body. What this dialect has no word for is left out, as OpenRouter does; what
//! it requires and the client did not say (`max_tokens`, tools that the history uses) is added.

use crate::dialect::Target;
use crate::dialect::anthropic_messages::messages;
use crate::dialect::anthropic_messages::thinking::{self, Thinking};
use crate::dialect::search::{self, Tongue};
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, member, one_choice, only_text, put};
use crate::failure::Failure;
use crate::message::{Format, Part, Request, Tool, ToolChoice};
use shared::catalog::Parameter;

/// `max_tokens` when neither the client nor the catalogue says anything.
const MAX_TOKENS: u64 = 4096;
/// What asks for JSON where there is no schema to ask with.
const JSON_OBJECT: &str = "\"Answer with one JSON object and nothing else.\"";
const NO_PARAMETERS: &str = "{\"type\":\"object\",\"properties\":{}}";

/// The body to send. `head` is its beginning, up to the comma before `max_tokens`: hosts differ in
/// whether the model stands there.
///
/// # Errors
/// The request has something that this dialect can't carry.
pub(crate) fn body(
    request: &Request<'_>,
    target: &Target<'_>,
    head: &str,
) -> Result<Vec<u8>, Failure> {
    one_choice(request)?;
    only_text(request)?;
    served::check(request, Words::Anthropic)?;
    let search = search::tools(request, Tongue::Anthropic, target)?;
    let max_tokens = max_tokens(request.max_tokens, target);
    let thinking = thinking::choose(request, target, max_tokens);
    let mut out = Vec::with_capacity(4096);
    put(&mut out, &[head]);
    put(&mut out, &[&format!(",\"max_tokens\":{max_tokens}")]);
    system(request, &mut out);
    messages::write(&request.turns, &mut out)?;
    tools(request, search.as_deref(), &mut out);
    stop(request, target, &mut out);
    sampling(request, target, thinking, &mut out);
    thinking.write(&mut out);
    output_config(request, target, thinking, &mut out);
    if let Some(user) = request.user {
        put(&mut out, &[",\"metadata\":{\"user_id\":"]);
        put(&mut out, &[user.raw()]);
        out.push(b'}');
    }
    if let Some(cache) = request.cache {
        put(&mut out, &[",\"cache_control\":"]);
        put(&mut out, &[cache]);
    }
    put(
        &mut out,
        &[if request.stream {
            ",\"stream\":true}"
        } else {
            "}"
        }],
    );
    Ok(out)
}

/// The client's wish, at most what the model gives and what may be spent.
pub(super) fn max_tokens(wish: Option<u64>, target: &Target<'_>) -> u64 {
    let most = target.endpoint.max_completion_tokens;
    let wish = wish.or(most).unwrap_or(MAX_TOKENS);
    let bounds = [most, target.max_tokens_clamp];
    bounds.into_iter().flatten().fold(wish, u64::min).max(1)
}

fn system(request: &Request<'_>, out: &mut Vec<u8>) {
    let mut blocks = List::default();
    let turns = request.turns.iter();
    for turn in turns.filter(|turn| turn.role.is_system()) {
        for part in &turn.parts {
            messages::text(part, &mut blocks);
        }
    }
    if matches!(request.format, Some(Format::JsonObject)) {
        let block = format!("{{\"type\":\"text\",\"text\":{JSON_OBJECT}}}");
        put(blocks.item(), &[&block]);
    }
    member(out, "system", &blocks);
}

fn tools(request: &Request<'_>, search: Option<&str>, out: &mut Vec<u8>) {
    let mut list = List::default();
    for tool in &request.tools {
        write_tool(tool, list.item());
    }
    served::write(request, Words::Anthropic, &mut list);
    if let Some(search) = search {
        put(list.item(), &[search]);
    }
    let mut choice = request.tool_choice;
    if list.is_empty() {
        // A history with calls needs their tools, even if none may be called any more.
        forgotten_tools(request, &mut list);
        choice = Some(ToolChoice::None);
    }
    if list.is_empty() {
        return;
    }
    member(out, "tools", &list);
    let single = request.parallel_tool_calls == Some(false);
    let choice = match choice {
        None if single => ToolChoice::Auto,
        None => return,
        Some(choice) => choice,
    };
    let (kind, name) = match choice {
        ToolChoice::Auto => ("auto", None),
        ToolChoice::Required => ("any", None),
        ToolChoice::None => ("none", None),
        ToolChoice::Function(name) => ("tool", Some(name)),
    };
    put(out, &[&format!(",\"tool_choice\":{{\"type\":\"{kind}\"")]);
    if let Some(name) = name {
        put(out, &[",\"name\":"]);
        put(out, &[name.raw()]);
    }
    if single && kind != "none" {
        put(out, &[",\"disable_parallel_tool_use\":true"]);
    }
    out.push(b'}');
}

fn forgotten_tools(request: &Request<'_>, list: &mut List) {
    let mut named: Vec<&str> = Vec::new();
    for part in request.turns.iter().flat_map(|turn| &turn.parts) {
        if let Part::Call { name, .. } = part
            && !named.contains(&name.raw())
        {
            named.push(name.raw());
            let tool = Tool {
                name: *name,
                description: None,
                parameters: None,
                strict: None,
                cache: None,
                freeform: None,
            };
            write_tool(&tool, list.item());
        }
    }
}

fn write_tool(tool: &Tool<'_>, out: &mut Vec<u8>) {
    put(out, &["{\"name\":"]);
    put(out, &[tool.name.raw()]);
    if let Some(description) = tool.description {
        put(out, &[",\"description\":"]);
        put(out, &[description.raw()]);
    }
    put(out, &[",\"input_schema\":"]);
    put(out, &[tool.parameters.unwrap_or(NO_PARAMETERS)]);
    messages::cache(tool.cache, out);
    out.push(b'}');
}

/// Stop sequences; blank ones are refused by the provider.
fn stop(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    if !target.supports(Parameter::Stop) {
        return;
    }
    let mut list = List::default();
    for text in &request.stop {
        if !messages::is_blank(*text) {
            put(list.item(), &[text.raw()]);
        }
    }
    member(out, "stop_sequences", &list);
}

/// Temperature ends at 1 here; with thinking none of these is allowed. A `top_p` of 1 says nothing,
/// and newer models refuse it beside a temperature.
fn sampling(request: &Request<'_>, target: &Target<'_>, thinking: Thinking, out: &mut Vec<u8>) {
    if thinking.is_on() {
        return;
    }
    let reaches = |raw: &str, bound: f64| raw.parse::<f64>().is_ok_and(|value| value >= bound);
    if let Some(raw) = request.parameter(Parameter::Temperature)
        && target.supports(Parameter::Temperature)
    {
        put(out, &[",\"temperature\":"]);
        put(out, &[if reaches(raw, 1.0) { "1" } else { raw }]);
    }
    if let Some(raw) = request.parameter(Parameter::TopP)
        && target.supports(Parameter::TopP)
        && !reaches(raw, 1.0)
    {
        put(out, &[",\"top_p\":"]);
        put(out, &[raw]);
    }
    if let Some(raw) = request.parameter(Parameter::TopK)
        && target.supports(Parameter::TopK)
        && reaches(raw, 1.0)
    {
        put(out, &[",\"top_k\":"]);
        put(out, &[raw]);
    }
}

fn output_config(
    request: &Request<'_>,
    target: &Target<'_>,
    thinking: Thinking,
    out: &mut Vec<u8>,
) {
    let mut list = List::default();
    if let Thinking::Adaptive(effort) = thinking {
        put(list.item(), &[&format!("\"effort\":\"{effort}\"")]);
    }
    let takes_schema =
        target.supports(Parameter::StructuredOutputs) || target.supports(Parameter::ResponseFormat);
    if let Some(Format::JsonSchema(form)) = request.format
        && takes_schema
    {
        let item = list.item();
        put(item, &["\"format\":{\"type\":\"json_schema\",\"schema\":"]);
        put(item, &[form.schema]);
        item.push(b'}');
    }
    if !list.is_empty() {
        put(out, &[",\"output_config\":{"]);
        out.extend_from_slice(list.as_bytes());
        out.push(b'}');
    }
}
