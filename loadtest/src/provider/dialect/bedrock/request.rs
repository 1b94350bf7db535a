//! Reads a Converse body with the checks of the real one: turns that alternate, calls and results
//! that belong together, tools that are declared while the conversation has any.

use crate::provider::answer::{Choice, Prompt, Tool};
use crate::provider::dialect::{Place, Refusal, invalid, items, only_known, word};
use serde_json::Value;

const FIELDS: [&str; 12] = [
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "guardrailConfig",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "promptVariables",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
];

/// The model's id, still encoded, and the operation.
pub(super) fn target(path: &str) -> Option<(&str, &str)> {
    let (_, behind) = path.split_once("/model/")?;
    // One segment: what stands in an id beside letters must be encoded.
    behind.split_once('/')
}

/// The model's id, still encoded, and true where the operation streams.
pub(super) fn conversed(path: &str) -> Option<(&str, bool)> {
    match target(path)? {
        (id, "converse") => Some((id, false)),
        (id, "converse-stream") => Some((id, true)),
        _ => None,
    }
}

/// Reads a body.
///
/// # Errors
/// A refusal in Amazon's words, status 400.
pub(super) fn read(at: &Place, body: &Value) -> Result<Prompt, Refusal> {
    let unknown = || Refusal::new(404, "unknown operation");
    let (id, stream) = conversed(&at.path).ok_or_else(unknown)?;
    only_known(body, &FIELDS).map_err(|name| invalid(&format!("Unexpected field: {name}")))?;
    let cap = body.pointer("/inferenceConfig/maxTokens");
    let mut prompt = Prompt {
        model: decoded(id).ok_or_else(|| invalid("The provided model identifier is invalid."))?,
        stream,
        max_tokens: cap.and_then(Value::as_u64),
        tools: tools(body)?,
        choice: choice(body)?,
        ..Prompt::default()
    };
    for block in items(body, "system") {
        match word(block, "text") {
            Some("") => return Err(blank("system")),
            Some(text) => prompt.system.push_str(text),
            None => {}
        }
    }
    let mut open = Vec::new();
    let mut of_user = false;
    for message in items(body, "messages") {
        let user = match word(message, "role") {
            Some("user") => true,
            Some("assistant") => false,
            _ => return Err(invalid("messages.role: must be user or assistant")),
        };
        if user == of_user {
            let rule = "A conversation must start with a user message and roles must alternate.";
            return Err(invalid(rule));
        }
        of_user = user;
        let mut calls = Vec::new();
        for block in items(message, "content") {
            read_block(block, user, &mut open, &mut calls, &mut prompt)?;
        }
        if let Some(id) = open.first() {
            let what = "Expected toolResult blocks at messages.content for the following Ids";
            return Err(invalid(&format!("{what}: {id}")));
        }
        open = calls;
    }
    if !of_user {
        return Err(invalid("The conversation must end with a user message."));
    }
    Ok(prompt)
}

/// Reads one block; takes a result's id from `open`, adds a call's to `calls`.
fn read_block(
    block: &Value,
    user: bool,
    open: &mut Vec<String>,
    calls: &mut Vec<String>,
    prompt: &mut Prompt,
) -> Result<(), Refusal> {
    if let Some(text) = word(block, "text") {
        if text.trim().is_empty() {
            return Err(blank("messages.content"));
        }
        prompt.said(user, text);
    } else if let Some(call) = block.get("toolUse").filter(|_| !user) {
        let object = call.get("input").is_some_and(Value::is_object);
        let id = word(call, "toolUseId").filter(|id| fits(id, "_.:-") && object);
        let id = id.ok_or_else(|| invalid("The toolUse block is invalid."))?;
        if prompt.tools.is_empty() {
            let rule = "The toolConfig field must be defined when using toolUse and toolResult \
                        content blocks.";
            return Err(invalid(rule));
        }
        calls.push(id.to_owned());
        prompt.answers_tools = false;
    } else if let Some(result) = block.get("toolResult").filter(|_| user) {
        let id = word(result, "toolUseId").unwrap_or("");
        let place = open.iter().position(|call| call == id);
        let place = place.ok_or_else(|| {
            invalid("The number of toolResult blocks exceeds the number of toolUse blocks.")
        })?;
        open.remove(place);
        prompt.answers_tools = true;
        for part in items(result, "content") {
            match (part.get("text"), part.get("json")) {
                (Some(text), _) => prompt.returned(text.as_str().unwrap_or("")),
                (None, Some(json)) => prompt.returned(&json.to_string()),
                (None, None) => {}
            }
        }
    } else {
        let others: &[&str] = if user {
            &["image", "document", "video", "cachePoint", "guardContent"]
        } else {
            &["reasoningContent", "cachePoint"]
        };
        if !others.iter().any(|name| block.get(*name).is_some()) {
            return Err(invalid("The content block does not fit its role."));
        }
    }
    Ok(())
}

fn tools(body: &Value) -> Result<Vec<Tool>, Refusal> {
    let Some(config) = body.get("toolConfig") else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for tool in items(config, "tools") {
        let Some(tool) = tool.get("toolSpec") else {
            continue;
        };
        let name = word(tool, "name").filter(|name| fits(name, "_-"));
        let schema = tool.pointer("/inputSchema/json");
        let schema = schema.filter(|schema| word(schema, "type") == Some("object"));
        let (Some(name), Some(schema)) = (name, schema) else {
            return Err(invalid("toolConfig.tools.toolSpec is invalid."));
        };
        all.push(Tool {
            name: name.to_owned(),
            schema: schema.clone(),
        });
    }
    if all.is_empty() {
        return Err(invalid("toolConfig.tools: must have at least 1 item"));
    }
    Ok(all)
}

fn choice(body: &Value) -> Result<Choice, Refusal> {
    let Some(choice) = body.pointer("/toolConfig/toolChoice") else {
        return Ok(Choice::Auto);
    };
    if choice.get("auto").is_some() {
        return Ok(Choice::Auto);
    }
    if choice.get("any").is_some() {
        return Ok(Choice::Any);
    }
    let name = choice.pointer("/tool/name").and_then(Value::as_str);
    let name = name.ok_or_else(|| invalid("toolConfig.toolChoice is invalid."))?;
    Ok(Choice::Named(name.to_owned()))
}

fn blank(place: &str) -> Refusal {
    invalid(&format!(
        "The text field in the ContentBlock object at {place} is blank."
    ))
}

/// One to 64 letters, digits and these signs.
fn fits(name: &str, signs: &str) -> bool {
    let known = |letter: char| letter.is_ascii_alphanumeric() || signs.contains(letter);
    (1..=64).contains(&name.len()) && name.chars().all(known)
}

/// An encoded segment of a path.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
