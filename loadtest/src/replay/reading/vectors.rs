//! Embeddings, rankings and counts, of every provider and as the edge gives them out: they differ in
//! names only.

use super::{Reading, list, number, present, string};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Reads embeddings: OpenAI's and Voyage's `data`, Gemini's and Cohere's `embeddings`.
pub(in crate::replay) fn embeddings(body: &Value) -> Reading {
    let mut reading = begun(body);
    for item in list(body.get("data")) {
        reading.vectors.extend(vector(item.get("embedding")));
    }
    let items = [body.get("embeddings"), body.pointer("/embeddings/float")];
    for item in items.into_iter().flat_map(list) {
        reading.vectors.extend(vector(Some(item)));
        reading.vectors.extend(vector(item.get("values")));
    }
    let single = vector(body.pointer("/embedding/values"));
    reading.vectors.extend(single);
    reading
}

/// Reads a ranking: Cohere's `results`, Voyage's `data`.
pub(in crate::replay) fn ranking(body: &Value) -> Reading {
    let mut reading = begun(body);
    let items = [body.get("results"), body.get("data")];
    for item in items.into_iter().flat_map(list) {
        let score = item.get("relevance_score").and_then(Value::as_f64);
        let index = number(item.get("index")).unwrap_or(0);
        reading.ranks.push((index, score.unwrap_or(0.0)));
    }
    reading
}

/// Reads a count of tokens.
pub(in crate::replay) fn count(body: &Value) -> Reading {
    let mut reading = begun(body);
    reading.usage.prompt = number(body.get("input_tokens"));
    reading
}

fn begun(body: &Value) -> Reading {
    let error = present(body.get("error"));
    let counts = [
        "/usage/prompt_tokens",
        "/usage/total_tokens",
        "/usageMetadata/promptTokenCount",
        "/meta/billed_units/input_tokens",
    ];
    let mut reading = Reading {
        terminal: true,
        error: error.is_some(),
        message: string(body.pointer("/error/message")).to_owned(),
        ..Reading::default()
    };
    let counts = counts.iter().map(|path| number(body.pointer(path)));
    reading.usage.prompt = counts.flatten().next();
    reading
}

/// Numbers, or the same in base64, four bytes each.
fn vector(value: Option<&Value>) -> Option<Vec<f32>> {
    match value? {
        Value::Array(numbers) => {
            #[expect(clippy::cast_possible_truncation, reason = "they were written as such")]
            let short = |number: &Value| number.as_f64().map(|number| number as f32);
            numbers.iter().map(short).collect()
        }
        Value::String(text) => {
            let bytes = STANDARD.decode(text).ok()?;
            let (chunks, _) = bytes.as_chunks::<4>();
            Some(
                chunks
                    .iter()
                    .map(|chunk| f32::from_le_bytes(*chunk))
                    .collect(),
            )
        }
        _ => None,
    }
}
