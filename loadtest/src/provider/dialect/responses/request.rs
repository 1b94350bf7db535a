//! Reads the body of `POST /responses`: unknown parameters and content that does not fit its role
//! are refused, and so is the result of a call that nobody made.

use crate::provider::answer::{Choice, Prompt, Tool};
use crate::provider::dialect::{Refusal, flag, invalid, items, only_known, word};
use serde_json::Value;

const FIELDS: [&str; 31] = [
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// The smallest cap that is taken.
const OUTPUT_TOKENS_MIN: u64 = 16;

/// Reads a body.
///
/// # Errors
/// A refusal in OpenAI's words, status 400.
pub(super) fn read(body: &Value) -> Result<Prompt, Refusal> {
    only_known(body, &FIELDS).map_err(|name| invalid(&format!("Unknown parameter: '{name}'.")))?;
    let model = word(body, "model");
    let model = model.ok_or_else(|| invalid("Missing required parameter: 'model'."))?;
    let cap = body.get("max_output_tokens").and_then(Value::as_u64);
    if cap.is_some_and(|cap| cap < OUTPUT_TOKENS_MIN) {
        let message = "Invalid 'max_output_tokens': integer below minimum value. Expected a value \
                       >= 16.";
        return Err(invalid(message));
    }
    let mut prompt = Prompt {
        model: model.to_owned(),
        system: word(body, "instructions").unwrap_or("").to_owned(),
        stream: flag(body, "stream"),
        max_tokens: cap,
        tools: tools(body)?,
        choice: choice(body)?,
        ..Prompt::default()
    };
    match body.get("input") {
        Some(Value::String(text)) => prompt.said(true, text),
        Some(Value::Array(list)) if !list.is_empty() => {
            let mut calls = Vec::new();
            for item in list {
                read_item(item, &mut calls, &mut prompt)?;
            }
        }
        _ => return Err(invalid("Missing required parameter: 'input'.")),
    }
    Ok(prompt)
}

fn read_item<'a>(
    item: &'a Value,
    calls: &mut Vec<&'a str>,
    prompt: &mut Prompt,
) -> Result<(), Refusal> {
    match word(item, "type").unwrap_or("message") {
        "message" => read_message(item, prompt),
        "reasoning" => Ok(()),
        "function_call" => {
            let arguments = item.get("arguments").is_some_and(Value::is_string);
            let named = word(item, "name").is_some();
            let id = word(item, "call_id").filter(|_| arguments && named);
            calls.push(id.ok_or_else(|| invalid("Invalid value: 'function_call'."))?);
            prompt.answers_tools = false;
            Ok(())
        }
        "function_call_output" => {
            let id = word(item, "call_id").unwrap_or("");
            if !calls.contains(&id) {
                let what = "No tool call found for function call output with call_id";
                return Err(invalid(&format!("{what} {id}.")));
            }
            prompt.answers_tools = true;
            match item.get("output") {
                Some(Value::String(text)) => prompt.returned(text),
                Some(Value::Array(parts)) => {
                    for text in parts.iter().filter_map(|part| word(part, "text")) {
                        prompt.returned(text);
                    }
                }
                _ => return Err(invalid("Missing required parameter: 'output'.")),
            }
            Ok(())
        }
        other => Err(invalid(&format!("Invalid value: '{other}'."))),
    }
}

fn read_message(item: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let role = word(item, "role").unwrap_or("");
    let parts: &[&str] = match role {
        "assistant" => &["output_text", "refusal"],
        "user" | "system" | "developer" => &["input_text", "input_image", "input_file"],
        other => return Err(invalid(&format!("Invalid value: '{other}'."))),
    };
    let mut say = |text: &str| match role {
        "system" | "developer" => prompt.system.push_str(text),
        _ => prompt.said(role == "user", text),
    };
    if let Some(text) = word(item, "content") {
        say(text);
        return Ok(());
    }
    for part in items(item, "content") {
        let kind = word(part, "type").unwrap_or("");
        if !parts.contains(&kind) {
            let supported = parts.join("', '");
            let message = format!("Invalid value: '{kind}'. Supported values are: '{supported}'.");
            return Err(invalid(&message));
        }
        if let Some(text) = word(part, "text") {
            say(text);
        }
    }
    Ok(())
}

fn tools(body: &Value) -> Result<Vec<Tool>, Refusal> {
    let mut all = Vec::new();
    for tool in items(body, "tools") {
        // Tools that the provider runs itself have no name.
        if word(tool, "type") != Some("function") {
            continue;
        }
        let name = word(tool, "name");
        let name = name.ok_or_else(|| invalid("Missing required parameter: 'tools[0].name'."))?;
        all.push(Tool {
            name: name.to_owned(),
            schema: tool.get("parameters").cloned().unwrap_or_default(),
        });
    }
    Ok(all)
}

fn choice(body: &Value) -> Result<Choice, Refusal> {
    match body.get("tool_choice") {
        None | Some(Value::Null) => Ok(Choice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "required" => Ok(Choice::Any),
            _ => Err(invalid("Invalid value: 'tool_choice'.")),
        },
        Some(choice) => {
            let name = word(choice, "name");
            let name = name.ok_or_else(|| invalid("Unknown parameter: 'tool_choice.function'."))?;
            Ok(Choice::Named(name.to_owned()))
        }
    }
}
