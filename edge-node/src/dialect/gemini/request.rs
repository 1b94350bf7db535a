//! Writes a `generateContent` body. Hints without a word here (cache marks, notes, verbosity) are
//! left out, as the API allows; content that can't be said is refused by its place.

use crate::dialect::Target;
use crate::dialect::gemini::model::Model;
use crate::dialect::gemini::{Host, config, contents, schema};
use crate::dialect::search::{self, Tongue};
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, member, put, refuse};
use crate::failure::Failure;
use crate::message::{Part, Request, Tool, ToolChoice};

/// The body to send.
///
/// # Errors
/// The request has something that this dialect can't carry.
pub(super) fn body(
    request: &Request<'_>,
    target: &Target<'_>,
    model: Model,
) -> Result<Vec<u8>, Failure> {
    served::check(request, Words::Gemini)?;
    let vertex = model.host == Host::Vertex;
    let search = search::tools(request, Tongue::Gemini { vertex }, target)?;
    if search.is_some() && !request.tools.is_empty() {
        return Err(refuse(
            "tools",
            "searches only where there are no functions",
        ));
    }
    let mut out = Vec::with_capacity(4096);
    put(&mut out, &["{\"contents\":["]);
    contents::write(&request.turns, model, &mut out)?;
    out.push(b']');
    system(request, &mut out)?;
    tools(request, search.as_deref(), model, &mut out);
    config::write(request, target, model, &mut out)?;
    if model.host == Host::Studio
        && let Some(word) = target.tier_word(request.service_tier)
        && let Some(tier) = service_tier(word.trim_matches('"'))
    {
        put(&mut out, &[",\"serviceTier\":\"", tier, "\""]);
    }
    out.push(b'}');
    Ok(out)
}

fn service_tier(word: &str) -> Option<&'static str> {
    match word {
        "default" | "standard" => Some("standard"),
        "flex" => Some("flex"),
        "priority" => Some("priority"),
        _ => None,
    }
}

fn system(request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut parts = List::default();
    let turns = request.turns.iter();
    for turn in turns.filter(|turn| turn.role.is_system()) {
        for (index, part) in turn.parts.iter().enumerate() {
            match part {
                Part::Text { text, .. } | Part::Refusal(text) => {
                    if !text.is_empty() {
                        put(parts.item(), &["{\"text\":", text.raw(), "}"]);
                    }
                }
                Part::Reasoning(_) => {}
                _ => {
                    let place = format!("{}.content[{index}]", turn.place);
                    return Err(refuse(&place, "takes only text from the system"));
                }
            }
        }
    }
    if !parts.is_empty() {
        put(out, &[",\"systemInstruction\":{\"parts\":["]);
        out.extend_from_slice(parts.as_bytes());
        put(out, &["]}"]);
    }
    Ok(())
}

fn tools(request: &Request<'_>, search: Option<&str>, model: Model, out: &mut Vec<u8>) {
    let mut list = List::default();
    for tool in &request.tools {
        declaration(tool, model, list.item());
    }
    let mut all = List::default();
    if !list.is_empty() {
        let mut functions = Vec::new();
        member(&mut functions, "functionDeclarations", &list);
        let item = all.item();
        item.push(b'{');
        // Without the comma that a further member has.
        item.extend_from_slice(functions.get(1..).unwrap_or_default());
        item.push(b'}');
    }
    served::write(request, Words::Gemini, &mut all);
    if let Some(search) = search {
        put(all.item(), &[search]);
    }
    member(out, "tools", &all);
    if list.is_empty() {
        return;
    }
    let named = request.allowed.iter().flatten().map(|name| name.raw());
    let (mode, names) = match request.tool_choice {
        None => return,
        Some(ToolChoice::Auto) => ("AUTO", Vec::new()),
        Some(ToolChoice::Required) => ("ANY", named.collect()),
        Some(ToolChoice::None) => ("NONE", Vec::new()),
        Some(ToolChoice::Function(name)) => ("ANY", vec![name.raw()]),
    };
    put(
        out,
        &[
            ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"",
            mode,
            "\"",
        ],
    );
    if !names.is_empty() {
        let names = names.join(",");
        put(out, &[",\"allowedFunctionNames\":[", &names, "]"]);
    }
    put(out, &["}}"]);
}

fn declaration(tool: &Tool<'_>, model: Model, out: &mut Vec<u8>) {
    put(out, &["{\"name\":", tool.name.raw()]);
    if let Some(description) = tool.description {
        put(out, &[",\"description\":", description.raw()]);
    }
    if let Some(parameters) = tool.parameters {
        if model.takes_json_schema() {
            let schema = schema::plain(parameters);
            put(out, &[",\"parametersJsonSchema\":", &schema]);
        } else if let Some(schema) = schema::subset_of_object(parameters) {
            put(out, &[",\"parameters\":", &schema]);
        }
    }
    out.push(b'}');
}
