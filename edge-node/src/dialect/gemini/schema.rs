//! JSON Schemas as this dialect takes them: plain but for a few keywords since Gemini 2.5, cut down
//! to OpenAPI's subset before. What has no keyword here is dropped: it narrows what the model may
//! say, and one unknown keyword would fail the whole request.

use crate::wire::json;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

mod subset;

pub(super) use subset::{subset, subset_of_object};

/// How deep schemas may nest, with their references followed.
const DEPTH_MAX: usize = 24;

/// Keywords that are refused and have no other word.
const REFUSED: [&str; 19] = [
    "$schema",
    "$comment",
    "discriminator",
    "examples",
    "patternProperties",
    "propertyNames",
    "if",
    "then",
    "else",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "contentEncoding",
    "contentMediaType",
];
/// Keywords that are said in another way.
const REWRITTEN: [&str; 6] = [
    "$ref",
    "allOf",
    "const",
    "definitions",
    "exclusiveMinimum",
    "exclusiveMaximum",
];

/// The schema as plain JSON Schema; untouched where nothing in it could be refused.
pub(super) fn plain(raw: &str) -> Cow<'_, str> {
    let mut words = REFUSED.iter().chain(&REWRITTEN);
    if !words.any(|word| raw.contains(&format!("\"{word}\""))) {
        return Cow::Borrowed(raw);
    }
    match serde_json::from_str::<Value>(raw) {
        Ok(mut schema) => {
            clean(&mut schema, 0);
            Cow::Owned(schema.to_string())
        }
        Err(_) => Cow::Borrowed(raw),
    }
}

fn clean(schema: &mut Value, depth: usize) {
    let Some(map) = schema.as_object_mut().filter(|_| depth < DEPTH_MAX) else {
        return;
    };
    merge_all(map);
    map.retain(|name, _| !REFUSED.contains(&name.as_str()));
    constant(map);
    bounds(map);
    if let Some(definitions) = map.shift_remove("definitions") {
        map.entry("$defs").or_insert(definitions);
    }
    reference(map);
    each_inner(map, |inner| clean(inner, depth + 1));
}

/// Calls `each` with every schema directly inside a schema.
fn each_inner(map: &mut Map<String, Value>, mut each: impl FnMut(&mut Value)) {
    for (name, value) in map.iter_mut() {
        match (name.as_str(), value) {
            ("properties" | "$defs", Value::Object(all)) => all.values_mut().for_each(&mut each),
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(all)) => {
                all.iter_mut().for_each(&mut each);
            }
            ("items" | "additionalProperties", value) => each(value),
            _ => {}
        }
    }
}

/// A reference may stand only with other `$` keywords: what stands beside it gets a schema of its
/// own around it.
fn reference(map: &mut Map<String, Value>) {
    let Some(Value::String(to)) = map.get_mut("$ref") else {
        return;
    };
    if let Some(name) = to.strip_prefix("#/definitions/") {
        *to = format!("#/$defs/{name}");
    }
    if map.keys().any(|name| !name.starts_with('$')) && !map.contains_key("anyOf") {
        let to = map.shift_remove("$ref");
        map.insert("anyOf".to_owned(), json!([{ "$ref": to }]));
    }
}

/// `allOf` becomes one schema: properties and demands together, of anything else the first.
fn merge_all(map: &mut Map<String, Value>) {
    let Some(Value::Array(all)) = map.shift_remove("allOf") else {
        return;
    };
    for part in all {
        let Value::Object(part) = part else {
            continue;
        };
        for (name, value) in part {
            match (map.get_mut(&name), value) {
                (None, value) => {
                    map.insert(name, value);
                }
                (Some(Value::Object(known)), Value::Object(more)) if name == "properties" => {
                    known.extend(more);
                }
                (Some(Value::Array(known)), Value::Array(more)) if name == "required" => {
                    known.extend(more);
                }
                _ => {}
            }
        }
    }
}

fn constant(map: &mut Map<String, Value>) {
    let Some(value) = map.shift_remove("const") else {
        return;
    };
    let kind = match &value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Null => "null",
        Value::Array(_) | Value::Object(_) => return,
    };
    map.entry("type").or_insert_with(|| kind.into());
    // Only texts and numbers can be listed.
    if matches!(value, Value::String(_) | Value::Number(_)) {
        map.entry("enum").or_insert_with(|| json!([value]));
    }
}

/// A bound that is left out becomes one that is let in; for whole numbers that is exact.
fn bounds(map: &mut Map<String, Value>) {
    let whole = map.get("type").is_some_and(|kind| kind == "integer");
    for (open, shut, step) in [
        ("exclusiveMinimum", "minimum", 1),
        ("exclusiveMaximum", "maximum", -1),
    ] {
        let Some(Value::Number(bound)) = map.shift_remove(open) else {
            continue;
        };
        let moved = bound.as_i64().filter(|_| whole);
        let moved = moved.and_then(|bound| bound.checked_add(step));
        let bound = moved.map_or(Value::Number(bound), Value::from);
        map.entry(shut).or_insert(bound);
    }
}

/// True for a JSON object without members.
fn is_empty_object(raw: &str) -> bool {
    json::check(raw).is_ok() && raw.trim().trim_matches(['{', '}']).trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &Value, expected: &Value) {
        let raw = schema.to_string();
        let got: Value = serde_json::from_str(&plain(&raw)).unwrap();
        assert_eq!(&got, expected, "{schema}");
    }

    #[test]
    fn what_is_taken_stays_as_it_is_written() {
        let raw = r#"{ "type":"object", "properties":{"a":{"type":["string","null"],"minLength":1.0}},"additionalProperties":false}"#;
        assert!(matches!(plain(raw), Cow::Borrowed(same) if same == raw));
        assert!(matches!(plain("{\"const\""), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_refused_is_said_otherwise_or_left_out() {
        check(
            &json!({"$schema": "x", "type": "object", "properties": {"if": {"const": "a"}, "const": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9}}}),
            &json!({"type": "object", "properties": {"if": {"type": "string", "enum": ["a"]}, "const": {"type": "integer", "minimum": 1, "maximum": 8}}}),
        );
        check(
            &json!({"type": "number", "exclusiveMinimum": 0.5, "minimum": 2}),
            &json!({"type": "number", "minimum": 2}),
        );
        check(
            &json!({"allOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {"not": {}}}, "required": ["b"]}]}),
            &json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]}),
        );
    }

    #[test]
    fn references_stand_alone() {
        check(
            &json!({"definitions": {"n": {"type": "object", "properties": {"next": {"$ref": "#/definitions/n", "description": "d"}}}}, "$ref": "#/definitions/n"}),
            &json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"description": "d", "anyOf": [{"$ref": "#/$defs/n"}]}}}}}),
        );
    }
}
