//! OpenAPI's subset of JSON Schema, for models before Gemini 2.5: every node has one type, null is
//! a flag, references are written out.

use crate::dialect::gemini::schema::{
    DEPTH_MAX, bounds, constant, each_inner, is_empty_object, merge_all,
};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Keywords that are taken.
const TAKEN: [&str; 20] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "pattern",
    "properties",
    "required",
    "propertyOrdering",
    "items",
    "anyOf",
];
/// Formats that are taken.
const FORMATS: [&str; 6] = ["enum", "date-time", "int32", "int64", "float", "double"];

/// The schema of an object; none when it has no properties, which is refused at the top.
pub(crate) fn subset_of_object(raw: &str) -> Option<Cow<'_, str>> {
    let schema = subset(raw);
    let value: Value = serde_json::from_str(&schema).ok()?;
    let properties = value.get("properties").and_then(Value::as_object)?;
    (!properties.is_empty()).then_some(schema)
}

/// The schema in the subset; as it is where it can't be read.
pub(crate) fn subset(raw: &str) -> Cow<'_, str> {
    if is_empty_object(raw) {
        return Cow::Borrowed(raw);
    }
    let Ok(mut schema) = serde_json::from_str::<Value>(raw) else {
        return Cow::Borrowed(raw);
    };
    let root = schema.clone();
    reduce(&mut schema, &root, 0);
    Cow::Owned(schema.to_string())
}

fn reduce(schema: &mut Value, root: &Value, depth: usize) {
    if depth >= DEPTH_MAX {
        *schema = json!({"type": "string"});
        return;
    }
    resolve(schema, root);
    let Some(map) = schema.as_object_mut() else {
        *schema = json!({"type": "string"});
        return;
    };
    merge_all(map);
    if let Some(all) = map.shift_remove("oneOf") {
        map.entry("anyOf").or_insert(all);
    }
    constant(map);
    bounds(map);
    one_type(map);
    no_null(map);
    enumeration(map);
    map.retain(|name, value| match name.as_str() {
        "format" => value.as_str().is_some_and(|f| FORMATS.contains(&f)),
        name => TAKEN.contains(&name),
    });
    typed(map);
    each_inner(map, |inner| reduce(inner, root, depth + 1));
}

/// Writes a reference out; what stands beside it wins.
fn resolve(schema: &mut Value, root: &Value) {
    for _ in 0..DEPTH_MAX {
        let Some(map) = schema.as_object_mut() else {
            return;
        };
        let Some(Value::String(to)) = map.shift_remove("$ref") else {
            return;
        };
        let pointer = to.trim_start_matches('#');
        if let Some(Value::Object(found)) = root.pointer(pointer) {
            for (name, value) in found {
                map.entry(name.as_str()).or_insert_with(|| value.clone());
            }
        }
    }
}

/// A list of types becomes one, nullable, or alternatives.
fn one_type(map: &mut Map<String, Value>) {
    let Some(Value::Array(kinds)) = map.get("type") else {
        return;
    };
    let all = kinds.len();
    let kinds: Vec<Value> = kinds
        .iter()
        .filter(|kind| *kind != "null")
        .cloned()
        .collect();
    if kinds.len() < all {
        map.insert("nullable".to_owned(), true.into());
    }
    map.shift_remove("type");
    match kinds.as_slice() {
        [] => {}
        [one] => {
            map.insert("type".to_owned(), one.clone());
        }
        several => {
            let several: Vec<Value> = several.iter().map(|kind| json!({ "type": kind })).collect();
            map.entry("anyOf").or_insert_with(|| several.into());
        }
    }
}

/// An alternative of null becomes a flag; a single alternative is the schema itself.
fn no_null(map: &mut Map<String, Value>) {
    let Some(Value::Array(all)) = map.get_mut("anyOf") else {
        return;
    };
    let before = all.len();
    all.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
    let had_null = all.len() < before;
    let single = match all.as_slice() {
        [Value::Object(single)] => Some(single.clone()),
        _ => None,
    };
    if had_null {
        map.insert("nullable".to_owned(), true.into());
    }
    if let Some(single) = single {
        map.shift_remove("anyOf");
        for (name, value) in single {
            map.entry(name).or_insert(value);
        }
    }
}

/// Only texts can be listed.
fn enumeration(map: &mut Map<String, Value>) {
    let Some(Value::Array(all)) = map.get_mut("enum") else {
        return;
    };
    all.retain(|value| !value.is_null());
    for value in all.iter_mut().filter(|value| !value.is_string()) {
        *value = value.to_string().into();
    }
    map.insert("type".to_owned(), "string".into());
}

/// Gives a node without a type the one that its other members tell; only demands properties that
/// are there, and says what lists hold.
fn typed(map: &mut Map<String, Value>) {
    let guess = if map.contains_key("properties") {
        "object"
    } else if map.contains_key("items") {
        "array"
    } else {
        "string"
    };
    if !map.contains_key("anyOf") {
        map.entry("type").or_insert_with(|| guess.into());
    }
    if map.get("type").is_some_and(|kind| kind == "array") {
        map.entry("items")
            .or_insert_with(|| json!({"type": "string"}));
    }
    let names: Vec<String> = match map.get("properties") {
        Some(Value::Object(all)) => all.keys().cloned().collect(),
        _ => Vec::new(),
    };
    if let Some(Value::Array(required)) = map.get_mut("required") {
        required.retain(|name| names.iter().any(|known| name == known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &Value, expected: &Value) {
        let got: Value = serde_json::from_str(&subset(&schema.to_string())).unwrap();
        assert_eq!(&got, expected, "{schema}");
    }

    #[test]
    fn references_are_written_out_and_end() {
        check(
            &json!({"$defs": {"c": {"type": "string", "default": "x"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/c", "description": "d"}}, "required": ["a", "z"], "additionalProperties": false}),
            &json!({"type": "object", "properties": {"a": {"description": "d", "type": "string"}}, "required": ["a"]}),
        );
        let endless = json!({"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"});
        assert!(subset(&endless.to_string()).len() < 10_000);
        let circle = json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"});
        check(&circle, &json!({"type": "string"}));
    }

    #[test]
    fn every_node_has_one_type() {
        check(
            &json!({"type": ["integer", "null"]}),
            &json!({"type": "integer", "nullable": true}),
        );
        check(
            &json!({"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]}),
            &json!({"nullable": true, "type": "string"}),
        );
        check(
            &json!({"oneOf": [{"const": 1}, {"type": "array"}]}),
            &json!({"anyOf": [{"type": "string", "enum": ["1"]}, {"type": "array", "items": {"type": "string"}}]}),
        );
        check(
            &json!({"properties": {"a": true}}),
            &json!({"properties": {"a": {"type": "string"}}, "type": "object"}),
        );
    }

    #[test]
    fn objects_without_properties_are_left_out() {
        assert_eq!(
            subset_of_object(r#"{"type":"object","properties":{}}"#),
            None
        );
        assert!(subset_of_object(r#"{"properties":{"a":{}}}"#).is_some());
    }
}
