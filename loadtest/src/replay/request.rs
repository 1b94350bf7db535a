//! The request of a case in each client API: the recorded body with our model's name where the
//! recording is of that API, else one derived from it, else a plain one with the tools that the
//! answer calls. Preferences for another gateway's providers are left out, because they would
//! exclude ours.

use super::api::Api;
use super::corpus::Case;
use super::format::Format;
use super::reading::Reading;
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
/// Members of a Responses request that need a state which no gateway keeps.
const STATE_MEMBERS: [&str; 4] = [
    "previous_response_id",
    "conversation",
    "background",
    "store",
];

/// The model's id in the generated catalogue.
pub(super) fn model(case: &Case) -> String {
    format!("replay/{}", case.key)
}

/// The service tier that was asked for and has endpoints of its own.
pub(super) fn tier(case: &Case) -> Option<&str> {
    let tier = case.request.as_ref()?.get("service_tier")?.as_str()?;
    matches!(tier, "flex" | "priority" | "scale").then_some(tier)
}

/// The catalogue's quirks of the provider that answered.
pub(super) fn quirks(case: &Case) -> Vec<String> {
    let quirks: &[&str] = match case.provider.as_str() {
        "xai" => &["reasoning-outside-completion"],
        "perplexity" => &["no-done"],
        "openrouter" => &["reasoning-details", "cache-control"],
        "voyage" => &["voyage"],
        _ => &[],
    };
    quirks.iter().map(|quirk| (*quirk).to_owned()).collect()
}

/// The body that asks a case through an API.
pub(super) fn body(case: &Case, api: Api, expected: &Reading) -> Value {
    let plain = || plain(api, expected);
    let mut body = match (api, case.format, &case.request) {
        (Api::Chat, Format::Chat | Format::Azure, Some(recorded)) => recorded.clone(),
        (
            Api::Chat,
            Format::Messages | Format::VertexMessages | Format::Invoke | Format::InvokeStream,
            Some(recorded),
        ) => from_messages(recorded),
        (Api::Messages, Format::Messages | Format::VertexMessages, Some(recorded))
        | (Api::CountTokens, _, Some(recorded)) => recorded.clone(),
        (Api::Embeddings, _, recorded) => inputs(recorded.as_ref(), expected),
        (Api::Rerank, _, recorded) => documents(recorded.as_ref(), expected),
        (Api::Responses, Format::Responses | Format::AzureResponses, Some(recorded))
            if is_stateless(recorded) =>
        {
            recorded.clone()
        }
        _ => plain(),
    };
    address(&mut body, case, api);
    body
}

/// The shortest body that the case's answer fits.
pub(super) fn plain_body(case: &Case, api: Api, expected: &Reading) -> Value {
    let mut body = plain(api, expected);
    address(&mut body, case, api);
    body
}

/// To our model and as the recording was asked, without what speaks to another gateway.
fn address(body: &mut Value, case: &Case, api: Api) {
    if let Some(members) = body.as_object_mut() {
        for name in GATEWAY_MEMBERS.iter().chain(&["anthropic_version"]) {
            members.shift_remove(*name);
        }
        if api == Api::Responses {
            for name in STATE_MEMBERS {
                members.shift_remove(name);
            }
        }
        members.insert("model".into(), model(case).into());
        if case.stream {
            members.insert("stream".into(), true.into());
        }
    }
}

/// True when nothing in it refers to what a provider has kept or runs itself.
fn is_stateless(recorded: &Value) -> bool {
    let tools = recorded.get("tools").and_then(Value::as_array);
    let mut tools = tools.into_iter().flatten();
    let refers = recorded
        .get("previous_response_id")
        .is_some_and(Value::is_string);
    tools.all(|tool| text(tool, "type") == "function") && !refers
}

/// A greeting, and the tools that the answer calls.
fn plain(api: Api, expected: &Reading) -> Value {
    let calls = expected.choices.values().flat_map(|choice| &choice.calls);
    let mut names: Vec<&str> = calls.map(|call| call.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let schema = json!({"type": "object"});
    let tool = |name: &&str| match api {
        Api::Messages => json!({"name": name, "input_schema": schema}),
        Api::Responses => json!({"type": "function", "name": name, "parameters": schema}),
        _ => json!({"type": "function", "function": {"name": name, "parameters": schema}}),
    };
    let tools: Vec<Value> = names.iter().map(tool).collect();
    let turn = json!([{"role": "user", "content": "Hello."}]);
    let mut body = match api {
        Api::Chat => json!({"messages": turn}),
        Api::Messages => json!({"messages": turn, "max_tokens": 1024}),
        Api::Responses => json!({"input": "Hello."}),
        Api::Completions => json!({"prompt": "Hello."}),
        Api::Embeddings => inputs(None, expected),
        Api::Rerank => documents(None, expected),
        Api::CountTokens => json!({"messages": turn}),
    };
    if let Some(members) = body.as_object_mut()
        && !tools.is_empty()
    {
        members.insert("tools".into(), tools.into());
    }
    body
}

/// The texts and pictures that were embedded, or as many as there are vectors.
fn inputs(recorded: Option<&Value>, expected: &Reading) -> Value {
    let member = |name: &str| recorded.and_then(|body| body.get(name)).cloned();
    let asked = member("requests").map(|requests| {
        let list = requests.as_array().into_iter().flatten();
        list.map(gemini_input).collect::<Value>()
    });
    let input = asked
        .or_else(|| member("input"))
        .or_else(|| member("texts"));
    let is_told = |input: &Value| input.as_str() != Some("");
    let input = input.filter(is_told).unwrap_or_else(|| {
        let count = expected.vectors.len();
        (0..count).map(|place| format!("text {place}")).collect()
    });
    json!({"input": input})
}

/// The parts of one of Gemini's requests, as the embeddings API takes them.
fn gemini_input(request: &Value) -> Value {
    let parts = request.pointer("/content/parts").and_then(Value::as_array);
    let part = |part: &Value| match part.get("inline_data") {
        Some(inline) => {
            let (kind, data) = (text(inline, "mime_type"), text(inline, "data"));
            let url = format!("data:{kind};base64,{data}");
            json!({"type": "image_url", "image_url": {"url": url}})
        }
        None => json!({"type": "text", "text": text(part, "text")}),
    };
    json!({"content": parts.into_iter().flatten().map(part).collect::<Value>()})
}

/// What was ranked, or as much as the ranking names.
fn documents(recorded: Option<&Value>, expected: &Reading) -> Value {
    let member = |name: &str| recorded.and_then(|body| body.get(name)).cloned();
    let last = expected.ranks.iter().map(|(index, _)| *index).max();
    let made_up = || (0..=last.unwrap_or(0)).map(|place| format!("text {place}"));
    json!({
        "query": member("query").unwrap_or_else(|| "Which?".into()),
        "documents": member("documents").unwrap_or_else(|| made_up().collect()),
        "top_n": expected.ranks.len(),
    })
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
