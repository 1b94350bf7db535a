//! Writes a chat body. What the endpoint does not know is left out, as for every dialect; numbers
//! beyond this dialect's bounds are brought within them.

use crate::dialect::Target;
use crate::dialect::cohere_v2::messages;
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, clamped, member, one_choice, only_text, put, refuse};
use crate::egress::quoted;
use crate::failure::Failure;
use crate::ingress::reasoning::Effort;
use crate::message::{Format, Request, Tool, ToolChoice};
use shared::catalog::Parameter;

/// How many texts may stop an answer.
const STOPS_MAX: usize = 5;
/// The bounds of a budget for thinking, in tokens.
const BUDGET: (u64, u64) = (1024, 128_000);
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
    let limit = [request.max_tokens, target.max_tokens_clamp];
    if let Some(limit) = limit.into_iter().flatten().min() {
        put(&mut out, &[",\"max_tokens\":", &limit.to_string()]);
    }
    for (parameter, raw) in &request.parameters {
        if target.supports(*parameter) {
            sampling(*parameter, raw, &mut out);
        }
    }
    stop(request, target, &mut out)?;
    tools(request, target, &mut out)?;
    form(request, target, &mut out)?;
    thinking(request, target, &mut out);
    let stream = if request.stream { "true}" } else { "false}" };
    put(&mut out, &[",\"stream\":", stream]);
    Ok(out)
}

fn sampling(parameter: Parameter, raw: &str, out: &mut Vec<u8>) {
    let one = ("0", "1");
    match parameter {
        Parameter::Temperature => put(out, &[",\"temperature\":", clamped(raw, one)]),
        Parameter::TopP => put(out, &[",\"p\":", clamped(raw, ("0.01", "0.99"))]),
        Parameter::TopK => put(out, &[",\"k\":", clamped(raw, ("0", "500"))]),
        Parameter::Seed if !raw.starts_with('-') => put(out, &[",\"seed\":", raw]),
        Parameter::FrequencyPenalty => {
            put(out, &[",\"frequency_penalty\":", clamped(raw, one)]);
        }
        Parameter::PresencePenalty => put(out, &[",\"presence_penalty\":", clamped(raw, one)]),
        Parameter::Logprobs => put(out, &[",\"logprobs\":", raw]),
        _ => {}
    }
}

fn stop(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    if !target.supports(Parameter::Stop) {
        return Ok(());
    }
    if request.stop.len() > STOPS_MAX {
        return Err(refuse("stop", "takes at most 5 stop sequences"));
    }
    let mut list = List::default();
    for text in &request.stop {
        put(list.item(), &[text.raw()]);
    }
    member(out, "stop_sequences", &list);
    Ok(())
}

/// One function can't be chosen: it is the only one that is offered.
fn tools(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let chosen = match request.tool_choice {
        Some(ToolChoice::Function(name)) => Some(name.decode()),
        _ => None,
    };
    let offered = |tool: &&Tool<'_>| {
        chosen
            .as_ref()
            .is_none_or(|name| *name == tool.name.decode())
    };
    let mut list = List::default();
    let mut strict = true;
    for tool in request.tools.iter().filter(offered) {
        strict &= tool.strict == Some(true);
        let item = list.item();
        put(item, &["{\"type\":\"function\",\"function\":{\"name\":"]);
        put(item, &[tool.name.raw()]);
        if let Some(description) = tool.description {
            put(item, &[",\"description\":", description.raw()]);
        }
        let parameters = tool.parameters.unwrap_or(NO_PARAMETERS);
        put(item, &[",\"parameters\":", parameters, "}}"]);
    }
    if list.is_empty() {
        return match chosen {
            Some(_) => Err(refuse("tool_choice", "was given no tool of that name")),
            None => Ok(()),
        };
    }
    member(out, "tools", &list);
    if strict {
        put(out, &[",\"strict_tools\":true"]);
    }
    let choice = match request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Function(_)) => "REQUIRED",
        Some(ToolChoice::None) => "NONE",
        Some(ToolChoice::Auto) | None => return Ok(()),
    };
    if target.supports(Parameter::ToolChoice) {
        put(out, &[",\"tool_choice\":\"", choice, "\""]);
    }
    Ok(())
}

fn form(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let known = [Parameter::ResponseFormat, Parameter::StructuredOutputs];
    let takes = known.iter().any(|known| target.supports(*known));
    let Some(format) = request.format.filter(|_| takes) else {
        return Ok(());
    };
    if !request.tools.is_empty() {
        return Err(refuse(
            "response_format",
            "takes no form together with tools",
        ));
    }
    put(out, &[",\"response_format\":{\"type\":\"json_object\""]);
    if let Format::JsonSchema(schema) = format {
        put(out, &[",\"json_schema\":", schema.schema]);
    }
    out.push(b'}');
    Ok(())
}

/// An effort becomes a share of the answer, where its length is known.
fn thinking(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let wish = &request.reasoning;
    let known = [Parameter::Reasoning, Parameter::IncludeReasoning];
    if (wish.effort.is_none() && wish.max_tokens.is_none())
        || !known.iter().any(|known| target.supports(*known))
    {
        return;
    }
    if wish.effort == Some(Effort::None) {
        put(out, &[",\"thinking\":{\"type\":\"disabled\"}"]);
        return;
    }
    put(out, &[",\"thinking\":{\"type\":\"enabled\""]);
    let limit = [request.max_tokens, target.max_tokens_clamp];
    let limit = limit.into_iter().flatten().min();
    let whole = limit.or(target.endpoint.max_completion_tokens);
    let share = |percent: u64| whole.map(|whole| whole.saturating_mul(percent) / 100);
    let budget = wish
        .max_tokens
        .or_else(|| wish.effort.map(Effort::percent).and_then(share));
    if let Some(budget) = budget {
        let budget = budget.clamp(BUDGET.0, BUDGET.1);
        // Something must be left for the answer.
        let budget = limit.map_or(budget, |limit| budget.min(limit.saturating_sub(1)));
        if budget > 0 {
            put(out, &[",\"token_budget\":", &budget.to_string()]);
        }
    }
    out.push(b'}');
}
