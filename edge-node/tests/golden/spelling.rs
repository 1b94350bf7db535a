//! The same JSON written in other ways: whoever reads answers must not care.

use serde_json::Value;
use std::fmt::Write;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Spelling {
    /// Every letter as its number, members in reverse, members that nobody knows.
    Escaped,
    /// Over many lines.
    Lined,
}

/// The body in that spelling; none where it is not made of JSON texts.
pub(crate) fn spelled(body: &[u8], spelling: Spelling) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        return Some(written(&whole, spelling).into_bytes());
    }
    let mut out = String::new();
    for line in text.replace("\r\n", "\n").split('\n') {
        let data = line.strip_prefix("data:").map(str::trim_start);
        match serde_json::from_str::<Value>(data.unwrap_or(line)) {
            // Lines of JSON stay lines.
            Ok(value) if data.is_none() && spelling == Spelling::Lined => {
                out.push_str(&value.to_string());
            }
            Ok(value) if data.is_none() => out.push_str(&written(&value, spelling)),
            Ok(value) => {
                let lines = written(&value, spelling);
                let lines = lines.lines().map(|line| format!("data: {line}"));
                out.push_str(&lines.collect::<Vec<_>>().join("\n"));
            }
            Err(_) => out.push_str(line),
        }
        out.push('\n');
    }
    Some(out.into_bytes())
}

fn written(value: &Value, spelling: Spelling) -> String {
    if spelling == Spelling::Lined {
        return serde_json::to_string_pretty(value).unwrap();
    }
    let mut out = String::new();
    put(value, true, &mut out);
    out
}

/// `free` tells that the order of the members is nobody's.
fn put(value: &Value, free: bool, out: &mut String) {
    match value {
        Value::String(text) => quote(text, out),
        Value::Array(list) => {
            out.push('[');
            for (place, value) in list.iter().enumerate() {
                out.push_str(if place == 0 { " " } else { " , " });
                put(value, free, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut members: Vec<(&String, &Value)> = object.iter().collect();
            out.push('{');
            if free {
                members.reverse();
                out.push_str("\"x-odd\" : [1e300,-0.0,{\"y\":null}]");
                out.push_str(if members.is_empty() { "" } else { " , " });
            }
            for (place, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { " , " });
                quote(name, out);
                out.push_str(" : ");
                // Arguments go to the client as the model wrote them.
                let free = free && !matches!(name.as_str(), "args" | "input" | "arguments");
                put(value, free, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for unit in text.encode_utf16() {
        // Writing to a string can't fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
    out.push('"');
}
