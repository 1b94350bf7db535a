//! Reads a `generateContent` body. Names come in camel case or in snake case, as protobuf's JSON
//! takes both.

use crate::provider::answer::{Choice, Prompt, Tool};
use crate::provider::dialect::{Place, Refusal, invalid, items, only_known, word};
use serde_json::Value;

const BODY: [&str; 11] = [
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "serviceTier",
    "labels",
    "modelArmorConfig",
];
/// What only Vertex knows.
const VERTEX: [&str; 2] = ["labels", "modelArmorConfig"];
/// Types by their numbers, from 1.
const TYPES: [&str; 6] = ["string", "number", "integer", "boolean", "array", "object"];
const CONFIG: [&str; 23] = [
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseModalities",
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "enableEnhancedCivicAnswers",
    "speechConfig",
    "thinkingConfig",
    "imageConfig",
    "mediaResolution",
    "audioTimestamp",
    "routingConfig",
    "modelConfig",
];
/// What a schema of the subset may not have.
const OUTSIDE: [&str; 12] = [
    "$ref",
    "$defs",
    "$schema",
    "definitions",
    "oneOf",
    "allOf",
    "const",
    "patternProperties",
    "propertyNames",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "default",
];
/// The deepest schema that is looked into.
const SCHEMA_DEPTH_MAX: usize = 16;

/// The model that a path names, and true where the method streams.
pub(super) fn target(path: &str) -> Option<(&str, bool)> {
    let (_, behind) = path.rsplit_once("/models/")?;
    match behind.rsplit_once(':')? {
        (model, "generateContent") => Some((model, false)),
        (model, "streamGenerateContent") => Some((model, true)),
        _ => None,
    }
}

/// Reads a body.
///
/// # Errors
/// A refusal in Google's words, status 400.
pub(super) fn read(at: &Place, body: &Value, vertex: bool) -> Result<Prompt, Refusal> {
    let (model, stream) = target(&at.path).ok_or_else(|| Refusal::new(404, "unknown path"))?;
    let body = &camel(body, 3);
    only_known(body, &BODY).map_err(|name| unknown(&name))?;
    if let Some(name) = VERTEX
        .iter()
        .find(|name| !vertex && body.get(**name).is_some())
    {
        return Err(unknown(name));
    }
    let config = body.get("generationConfig").unwrap_or(&Value::Null);
    only_known(config, &CONFIG).map_err(|name| unknown(&name))?;
    let tools = tools(body)?;
    let mut prompt = Prompt {
        model: model.to_owned(),
        stream,
        max_tokens: config.get("maxOutputTokens").and_then(Value::as_u64),
        choice: choice(body, &tools)?,
        tools,
        ..Prompt::default()
    };
    if let Some(system) = body.get("systemInstruction") {
        for text in items(system, "parts")
            .iter()
            .filter_map(|part| word(part, "text"))
        {
            prompt.system.push_str(text);
        }
    }
    let contents = items(body, "contents");
    if contents.is_empty() {
        return Err(invalid(
            "GenerateContentRequest.contents: contents is not specified",
        ));
    }
    let mut open_calls = 0;
    for content in contents {
        open_calls = turn(content, open_calls, &mut prompt)?;
    }
    Ok(prompt)
}

/// Reads one turn; gives the number of calls that it made.
fn turn(content: &Value, open_calls: usize, prompt: &mut Prompt) -> Result<usize, Refusal> {
    only_known(content, &["role", "parts"]).map_err(|name| unknown(&name))?;
    let user = match word(content, "role") {
        None | Some("user") => true,
        Some("model") => false,
        Some(_) => return Err(invalid("Please use a valid role: user, model.")),
    };
    let parts = items(content, "parts");
    if parts.is_empty() {
        return Err(invalid("contents.parts must not be empty."));
    }
    let (mut calls, mut results) = (0, 0);
    for part in parts {
        if let Some(call) = part.get("functionCall") {
            let named = word(call, "name").is_some_and(|name| !name.is_empty());
            let args = call.get("args").is_none_or(Value::is_object);
            if user || !named || !args {
                return Err(invalid("Invalid value at 'contents.parts.function_call'"));
            }
            // The newest models take no turn of theirs back that has lost its signature.
            let signed = part.get("thoughtSignature").is_some();
            if prompt.model.starts_with("gemini-3") && calls == 0 && !signed {
                let message = "Function call is missing a thought_signature in functionCall parts.";
                return Err(invalid(message));
            }
            prompt.answers_tools = false;
            calls += 1;
        } else if let Some(result) = part.get("functionResponse") {
            let named = word(result, "name").is_some_and(|name| !name.is_empty());
            let response = result.get("response").filter(|value| value.is_object());
            let Some(response) = response.filter(|_| user && named) else {
                return Err(invalid(
                    "Invalid value at 'contents.parts.function_response'",
                ));
            };
            prompt.returned(&returned(response));
            results += 1;
        } else if let Some(text) = word(part, "text") {
            if part.get("thought").and_then(Value::as_bool) != Some(true) {
                prompt.said(user, text);
            }
        } else if !["inlineData", "fileData"]
            .iter()
            .any(|name| part.get(*name).is_some())
        {
            return Err(invalid(
                "contents.parts: required oneof field 'data' must have one field",
            ));
        }
    }
    if results != open_calls {
        let message = "Please ensure that the number of function response parts is equal to the \
                       number of function call parts of the function call turn.";
        return Err(invalid(message));
    }
    Ok(calls)
}

/// What a tool said: the member `output` where there is one, else all of the object.
fn returned(response: &Value) -> String {
    let said = ["output", "result", "content", "error"]
        .iter()
        .find_map(|name| response.get(*name));
    match said {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => response.to_string(),
    }
}

fn tools(body: &Value) -> Result<Vec<Tool>, Refusal> {
    let mut all = Vec::new();
    for tool in items(body, "tools") {
        for declaration in items(tool, "functionDeclarations") {
            let name = word(declaration, "name").filter(|name| fits(name));
            let name = name.ok_or_else(|| invalid("Invalid function name."))?;
            let mut schema = declaration
                .get("parametersJsonSchema")
                .cloned()
                .unwrap_or_default();
            if let Some(parameters) = declaration.get("parameters") {
                schema = subset(parameters, 0)?;
            }
            all.push(Tool {
                name: name.to_owned(),
                schema,
            });
        }
    }
    Ok(all)
}

fn fits(name: &str) -> bool {
    let known = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
    let begins = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    name.len() <= 64 && name.starts_with(begins) && name.chars().all(known)
}

/// A schema of the subset with the types' names in small letters, as the answer reads them.
fn subset(schema: &Value, depth: usize) -> Result<Value, Refusal> {
    let Some(members) = schema.as_object().filter(|_| depth < SCHEMA_DEPTH_MAX) else {
        return Ok(schema.clone());
    };
    if let Some(name) = OUTSIDE.iter().find(|name| members.contains_key(**name)) {
        return Err(unknown(name));
    }
    let mut clean = members.clone();
    for (name, value) in &mut clean {
        match (name.as_str(), &mut *value) {
            ("type", Value::String(kind)) => *kind = kind.to_lowercase(),
            ("type", Value::Number(number)) => {
                let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
                let kind = at.and_then(|at| TYPES.get(at.checked_sub(1)?));
                *value = kind.copied().into();
            }
            ("type", _) => return Err(invalid("Proto field is not repeating, cannot start list.")),
            ("items", inner) => *inner = subset(inner, depth + 1)?,
            ("properties", Value::Object(properties)) => {
                for property in properties.values_mut() {
                    *property = subset(property, depth + 1)?;
                }
            }
            _ => {}
        }
    }
    Ok(Value::Object(clean))
}

fn choice(body: &Value, tools: &[Tool]) -> Result<Choice, Refusal> {
    let config = body.pointer("/toolConfig/functionCallingConfig");
    let Some(config) = config else {
        return Ok(Choice::Auto);
    };
    let names = items(config, "allowedFunctionNames");
    match (word(config, "mode"), names) {
        (None | Some("AUTO" | "VALIDATED"), _) => Ok(Choice::Auto),
        (Some("NONE"), _) => Ok(Choice::None),
        (Some("ANY"), []) => Ok(Choice::Any),
        (Some("ANY"), [name]) if tools.iter().any(|tool| *name == *tool.name) => {
            Ok(Choice::Named(name.as_str().unwrap_or("").to_owned()))
        }
        _ => Err(invalid(
            "Invalid value at 'tool_config.function_calling_config'",
        )),
    }
}

fn unknown(name: &str) -> Refusal {
    let place = "Cannot find field.";
    invalid(&format!(
        "Invalid JSON payload received. Unknown name \"{name}\": {place}"
    ))
}

/// The value with names in camel case, so many levels deep; lists do not count. Tools' schemas and
/// arguments lie deeper than is asked for.
fn camel(value: &Value, levels: usize) -> Value {
    match value {
        Value::Object(members) if levels > 0 => {
            let deeper = |(name, value): (&String, &Value)| {
                let mut parts = name.split('_');
                let mut camel = parts.next().unwrap_or("").to_owned();
                for part in parts {
                    let mut letters = part.chars();
                    camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                    camel.push_str(letters.as_str());
                }
                (camel, self::camel(value, levels - 1))
            };
            members.iter().map(deeper).collect()
        }
        Value::Array(items) => items.iter().map(|item| camel(item, levels)).collect(),
        other => other.clone(),
    }
}
