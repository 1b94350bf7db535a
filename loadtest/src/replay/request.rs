//! The chat request of a case: the recorded body with our model's name, or one derived from an
//! Anthropic body, or a plain one where nothing was recorded. Preferences for another gateway's
//! providers are left out, because they would exclude ours.

use super::corpus::Case;
use crate::provider::Dialect;
use serde_json::{Map, Value, json};

/// Members that speak to a gateway, not to a provider.
const GATEWAY_MEMBERS: [&str; 6] = [
    "provider",
    "models",
    "route",
    "plugins",
    "transforms",
    "preset",
];

/// The model's id in the generated catalogue.
pub(super) fn model(case: &Case) -> String {
    format!("replay/{}", case.key)
}

/// The catalogue's quirks of the provider that answered.
pub(super) fn quirks(case: &Case) -> Vec<String> {
    let quirks: &[&str] = match case.provider.as_str() {
        "xai" => &["reasoning-outside-completion"],
        "perplexity" => &["no-done"],
        _ => &[],
    };
    quirks.iter().map(|quirk| (*quirk).to_owned()).collect()
}

/// The chat body of a case.
pub(super) fn chat(case: &Case) -> Value {
    let mut body = match (&case.request, case.dialect) {
        (Some(recorded), Dialect::OpenaiChat) => recorded.clone(),
        (Some(recorded), Dialect::AnthropicMessages) => from_messages(recorded),
        (None, _) => json!({"messages": [{"role": "user", "content": "Hello."}]}),
    };
    if let Some(members) = body.as_object_mut() {
        for name in GATEWAY_MEMBERS {
            members.shift_remove(name);
        }
        members.insert("model".into(), model(case).into());
        if case.stream {
            members.insert("stream".into(), true.into());
        }
    }
    body
}

fn from_messages(recorded: &Value) -> Value {
    let mut messages = Vec::new();
    let system = match recorded.get("system") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => blocks.iter().map(|block| text(block, "text")).collect(),
        _ => String::new(),
    };
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    let list = recorded.get("messages").and_then(Value::as_array);
    for message in list.into_iter().flatten() {
        from_message(message, &mut messages);
    }
    let mut body = Map::new();
    body.insert("messages".into(), messages.into());
    for name in ["max_tokens", "temperature", "stream"] {
        if let Some(value) = recorded.get(name) {
            body.insert(name.into(), value.clone());
        }
    }
    if let Some(stops) = recorded.get("stop_sequences") {
        body.insert("stop".into(), stops.clone());
    }
    let tools = recorded.get("tools").and_then(Value::as_array);
    let functions: Vec<Value> = tools.into_iter().flatten().filter_map(function).collect();
    if !functions.is_empty() {
        body.insert("tools".into(), functions.into());
    }
    Value::Object(body)
}

/// A client's own tool; server tools have no schema and no place in a chat request.
fn function(tool: &Value) -> Option<Value> {
    let schema = tool.get("input_schema")?;
    Some(json!({"type": "function", "function": {
        "name": tool.get("name"), "description": text(tool, "description"), "parameters": schema}}))
}

fn from_message(message: &Value, into: &mut Vec<Value>) {
    let role = text(message, "role");
    let blocks = match message.get("content") {
        Some(Value::Array(blocks)) => blocks.clone(),
        Some(Value::String(text)) => vec![json!({"type": "text", "text": text})],
        _ => return,
    };
    let (mut parts, mut calls) = (Vec::new(), Vec::new());
    for block in &blocks {
        match text(block, "type").as_str() {
            "text" => parts.push(json!({"type": "text", "text": text(block, "text")})),
            "image" => parts.extend(image(block)),
            "tool_use" => calls.push(json!({"id": text(block, "id"), "type": "function",
                "function": {"name": text(block, "name"),
                    "arguments": block.get("input").map(Value::to_string)}})),
            "tool_result" => into.push(json!({"role": "tool",
                "tool_call_id": text(block, "tool_use_id"), "content": result(block)})),
            _ => {}
        }
    }
    if parts.is_empty() && calls.is_empty() {
        return;
    }
    let mut turn = Map::new();
    turn.insert("role".into(), role.as_str().into());
    let content = match (role.as_str(), parts.is_empty()) {
        (_, true) => Value::Null,
        ("assistant", false) => parts
            .iter()
            .map(|part| text(part, "text"))
            .collect::<String>()
            .into(),
        (_, false) => parts.into(),
    };
    turn.insert("content".into(), content);
    if !calls.is_empty() {
        turn.insert("tool_calls".into(), calls.into());
    }
    into.push(Value::Object(turn));
}

fn image(block: &Value) -> Option<Value> {
    let source = block.get("source")?;
    let url = match text(source, "type").as_str() {
        "url" => text(source, "url"),
        "base64" => {
            format!(
                "data:{};base64,{}",
                text(source, "media_type"),
                text(source, "data")
            )
        }
        _ => return None,
    };
    Some(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn result(block: &Value) -> String {
    match block.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| text(part, "text")).collect(),
        _ => String::new(),
    }
}

fn text(value: &Value, name: &str) -> String {
    let member = value.get(name).and_then(Value::as_str);
    member.unwrap_or("").to_owned()
}
