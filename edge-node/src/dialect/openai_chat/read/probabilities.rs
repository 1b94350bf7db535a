//! Probabilities in the form of OpenAI's oldest API, which some hosts still give in chat:
//! `{tokens, token_logprobs, top_logprobs}`, three lists side by side.

use crate::wire::json;
use serde_json::{Map, Value};

/// The lists as entries of `logprobs.content`, commas between; none where there are no such lists.
pub(in crate::dialect::openai_chat) fn entries(logprobs: &str) -> Option<String> {
    memchr::memmem::find(logprobs.as_bytes(), b"\"token_logprobs\"")?;
    let lists: Value = serde_json::from_str(logprobs).ok()?;
    let tokens = lists.get("tokens")?.as_array()?;
    let numbers = lists.get("token_logprobs")?.as_array()?;
    let tops = lists.get("top_logprobs").and_then(Value::as_array);
    let mut entries = Vec::new();
    for (place, (token, number)) in tokens.iter().zip(numbers).enumerate() {
        if !entries.is_empty() {
            entries.push(b',');
        }
        entry(token.as_str()?, number, &mut entries);
        entries.extend_from_slice(b",\"top_logprobs\":[");
        let top = tops.and_then(|tops| tops.get(place)?.as_object());
        for (other, (token, number)) in top.into_iter().flat_map(Map::iter).enumerate() {
            if other > 0 {
                entries.push(b',');
            }
            entry(token, number, &mut entries);
            entries.push(b'}');
        }
        entries.extend_from_slice(b"]}");
    }
    String::from_utf8(entries).ok()
}

/// An entry without its closing brace. The first token of a prompt has no probability.
fn entry(token: &str, number: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"token\":");
    json::write_string(out, token);
    let number = number.as_f64().unwrap_or(0.0);
    out.extend_from_slice(format!(",\"logprob\":{number:?},\"bytes\":null").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::entries;

    #[test]
    fn lists_become_entries() {
        let lists = r#"{"tokens":["a","\""],"token_logprobs":[-0.5,null],
            "top_logprobs":[{"a":-0.5,"b":-2}]}"#;
        let expected = concat!(
            r#"{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":["#,
            r#"{"token":"a","logprob":-0.5,"bytes":null},{"token":"b","logprob":-2.0,"bytes":null}]},"#,
            r#"{"token":"\"","logprob":0.0,"bytes":null,"top_logprobs":[]}"#,
        );
        assert_eq!(entries(lists).as_deref(), Some(expected));
        assert_eq!(entries(r#"{"content":[]}"#), None);
        assert_eq!(entries("null"), None);
    }
}
