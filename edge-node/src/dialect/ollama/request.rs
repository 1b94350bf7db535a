//! Writes a chat body. What the dialect has no word for is left out, as for every dialect; a tool
//! can't be demanded.

use crate::dialect::Target;
use crate::dialect::ollama::messages;
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, member, one_choice, only_text, put, refuse};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::reasoning::Effort;
use crate::message::{Format, Request, ToolChoice};
use shared::catalog::Parameter;

const NO_PARAMETERS: &str = "{\"type\":\"object\",\"properties\":{}}";

/// The body to send.
///
/// # Errors
/// The request has something that this dialect can't carry.
pub(super) fn body(request: &Request<'_>, target: &Target<'_>) -> Result<Vec<u8>, Failure> {
    one_choice(request)?;
    only_text(request)?;
    served::check(request, Words::None)?;
    let mut out = Vec::with_capacity(4096);
    let model = quoted(&target.endpoint.provider_model);
    put(&mut out, &["{\"model\":", &model]);
    messages::write(&request.turns, &mut out)?;
    tools(request, &mut out)?;
    let known = [Parameter::ResponseFormat, Parameter::StructuredOutputs];
    let takes = known.iter().any(|known| target.supports(*known));
    match request.format.filter(|_| takes) {
        Some(Format::JsonObject) => put(&mut out, &[",\"format\":\"json\""]),
        Some(Format::JsonSchema(form)) => put(&mut out, &[",\"format\":", form.schema]),
        None => {}
    }
    options(request, target, &mut out);
    think(request, target, &mut out);
    for parameter in [Parameter::Logprobs, Parameter::TopLogprobs] {
        if let Some(raw) = request.parameter(parameter)
            && target.supports(parameter)
        {
            put(&mut out, &[",\"", parameter.as_str(), "\":", raw]);
        }
    }
    // Streaming is the server's default.
    let stream = if request.stream { "true}" } else { "false}" };
    put(&mut out, &[",\"stream\":", stream]);
    Ok(out)
}

fn tools(request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    match request.tool_choice {
        Some(ToolChoice::None) => return Ok(()),
        Some(ToolChoice::Required | ToolChoice::Function(_)) if !request.tools.is_empty() => {
            return Err(refuse("tool_choice", "can't be made to call a tool"));
        }
        _ => {}
    }
    let mut list = List::default();
    for tool in &request.tools {
        let item = list.item();
        put(item, &["{\"type\":\"function\",\"function\":{\"name\":"]);
        put(item, &[tool.name.raw()]);
        if let Some(description) = tool.description {
            put(item, &[",\"description\":", description.raw()]);
        }
        let parameters = tool.parameters.unwrap_or(NO_PARAMETERS);
        put(item, &[",\"parameters\":", parameters, "}}"]);
    }
    member(out, "tools", &list);
    Ok(())
}

fn options(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let mut list = List::default();
    let limit = [request.max_tokens, target.max_tokens_clamp];
    if let Some(limit) = limit.into_iter().flatten().min() {
        put(list.item(), &["\"num_predict\":", &limit.to_string()]);
    }
    for (parameter, raw) in &request.parameters {
        let name = match parameter {
            Parameter::Temperature
            | Parameter::TopP
            | Parameter::TopK
            | Parameter::MinP
            | Parameter::Seed
            | Parameter::FrequencyPenalty
            | Parameter::PresencePenalty => parameter.as_str(),
            Parameter::RepetitionPenalty => "repeat_penalty",
            _ => continue,
        };
        if target.supports(*parameter) {
            put(list.item(), &["\"", name, "\":", raw]);
        }
    }
    if !request.stop.is_empty() && target.supports(Parameter::Stop) {
        let mut stops = List::default();
        for text in &request.stop {
            put(stops.item(), &[text.raw()]);
        }
        let item = list.item();
        put(item, &["\"stop\":["]);
        item.extend_from_slice(stops.as_bytes());
        item.push(b']');
    }
    if !list.is_empty() {
        put(out, &[",\"options\":{"]);
        out.extend_from_slice(list.as_bytes());
        out.push(b'}');
    }
}

/// Most models think or do not; OpenAI's open ones know three efforts.
fn think(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let wish = &request.reasoning;
    let known = [Parameter::Reasoning, Parameter::IncludeReasoning];
    if (wish.effort.is_none() && wish.max_tokens.is_none())
        || !known.iter().any(|known| target.supports(*known))
    {
        return;
    }
    let has_efforts = target.endpoint.provider_model.contains("gpt-oss");
    let think = match wish.effort {
        Some(Effort::None) => "false",
        _ if !has_efforts => "true",
        Some(Effort::Minimal | Effort::Low) => "\"low\"",
        Some(Effort::Medium) | None => "\"medium\"",
        Some(Effort::High | Effort::XHigh | Effort::Max) => "\"high\"",
    };
    put(out, &[",\"think\":", think]);
}
