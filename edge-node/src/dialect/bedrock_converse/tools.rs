//! Writes the tools and the choice among them. What this dialect can't say of the choice, models of
//! Anthropic's are told in their own words.

use crate::dialect::Target;
use crate::dialect::bedrock_converse::family::Family;
use crate::dialect::bedrock_converse::messages::Writer;
use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::message::{Part, Request, Tool, ToolChoice};
use shared::catalog::Parameter;

const NO_PARAMETERS: &str = "{\"type\":\"object\",\"properties\":{}}";

/// Appends the member `toolConfig`, and to `more` what only the model understands.
///
/// # Errors
/// The choice can't be said.
pub(super) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    writer: &Writer,
    (more, out): (&mut List, &mut Vec<u8>),
) -> Result<(), Failure> {
    let forbidden = matches!(request.tool_choice, Some(ToolChoice::None));
    let mut list = List::default();
    let used = used(request);
    if !forbidden || !used.is_empty() {
        for tool in &request.tools {
            write_tool(tool, list.item());
            if writer.family == Family::Claude {
                writer.point(tool.cache, &mut list);
            }
        }
    }
    let is_forgotten = list.is_empty();
    if is_forgotten {
        // A history with calls needs their tools, even if none may be called any more.
        for tool in &used {
            write_tool(tool, list.item());
        }
    }
    if list.is_empty() {
        return Ok(());
    }
    let is_claude = writer.family == Family::Claude;
    put(out, &[",\"toolConfig\":{\"tools\":["]);
    out.extend_from_slice(list.as_bytes());
    out.push(b']');
    let single = request.parallel_tool_calls == Some(false) && !is_forgotten;
    if is_claude && (forbidden || is_forgotten) {
        put(more.item(), &["\"tool_choice\":{\"type\":\"none\"}"]);
    } else if forbidden && !is_forgotten {
        return Err(refuse("tool_choice", "can't be kept from calling a tool"));
    } else if is_claude && single {
        one_at_a_time(request, more.item());
    } else if target.supports(Parameter::ToolChoice) {
        choice(request, out);
    }
    out.push(b'}');
    Ok(())
}

fn choice(request: &Request<'_>, out: &mut Vec<u8>) {
    match request.tool_choice {
        Some(ToolChoice::Auto) => put(out, &[",\"toolChoice\":{\"auto\":{}}"]),
        Some(ToolChoice::Required) => put(out, &[",\"toolChoice\":{\"any\":{}}"]),
        Some(ToolChoice::Function(name)) => {
            put(
                out,
                &[",\"toolChoice\":{\"tool\":{\"name\":", name.raw(), "}}"],
            );
        }
        Some(ToolChoice::None) | None => {}
    }
}

/// Anthropic's own words for no more than one call in a turn.
fn one_at_a_time(request: &Request<'_>, out: &mut Vec<u8>) {
    put(out, &["\"tool_choice\":{\"type\":"]);
    match request.tool_choice {
        Some(ToolChoice::Function(name)) => put(out, &["\"tool\",\"name\":", name.raw()]),
        Some(ToolChoice::Required) => put(out, &["\"any\""]),
        Some(ToolChoice::Auto | ToolChoice::None) | None => put(out, &["\"auto\""]),
    }
    put(out, &[",\"disable_parallel_tool_use\":true}"]);
}

/// The tools that the history uses.
fn used<'a>(request: &Request<'a>) -> Vec<Tool<'a>> {
    let mut used: Vec<Tool<'a>> = Vec::new();
    for part in request.turns.iter().flat_map(|turn| &turn.parts) {
        if let Part::Call { name, .. } = part
            && !used.iter().any(|tool| tool.name == *name)
        {
            used.push(Tool {
                name: *name,
                description: None,
                parameters: None,
                strict: None,
                cache: None,
                freeform: None,
            });
        }
    }
    used
}

fn write_tool(tool: &Tool<'_>, out: &mut Vec<u8>) {
    put(out, &["{\"toolSpec\":{\"name\":", tool.name.raw()]);
    // An empty description is refused.
    if let Some(description) = tool.description.filter(|text| !text.is_empty()) {
        put(out, &[",\"description\":", description.raw()]);
    }
    let parameters = tool.parameters.unwrap_or(NO_PARAMETERS);
    put(out, &[",\"inputSchema\":{\"json\":", parameters, "}"]);
    if tool.strict == Some(true) {
        put(out, &[",\"strict\":true"]);
    }
    put(out, &["}}"]);
}
