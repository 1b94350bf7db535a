//! Embeddings and rankings of the simulated provider, in the forms of OpenAI and Jina, Voyage,
//! Cohere and Gemini. A vector is a function of its text, a score of query and document, so that
//! both can be checked; stricter than most of the originals.

use super::dialect::{Dialect, Refusal};
use serde_json::{Value, json};

/// How long vectors are unless asked otherwise.
const DIMENSIONS: u64 = 8;
/// Longest vectors.
const DIMENSIONS_MAX: u64 = 4096;
/// Documents that one search unit is good for.
const UNIT_DOCUMENTS: usize = 100;

/// What was asked, and by which path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `POST …/embeddings`
    OpenAi,
    /// `POST …/v2/embed`
    CohereEmbed,
    /// `POST …/models/M:batchEmbedContents`
    Gemini,
    /// `POST …/rerank`
    Rerank,
    /// `POST …/v2/rerank`
    CohereRerank,
}

/// An answer and what it is billed for.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) model: String,
    pub(crate) body: Value,
    pub(crate) tokens: u64,
}

impl Form {
    /// The form of a path; none when it is no such path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let ends = |end| path.ends_with(end);
        if ends("/v2/embed") {
            Some(Self::CohereEmbed)
        } else if ends("/v2/rerank") {
            Some(Self::CohereRerank)
        } else if ends(":batchEmbedContents") {
            Some(Self::Gemini)
        } else if ends("/embeddings") {
            Some(Self::OpenAi)
        } else if ends("/rerank") {
            Some(Self::Rerank)
        } else {
            None
        }
    }

    /// Whose errors and keys it has.
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::OpenAi | Self::Rerank => Dialect::OpenaiChat,
            Self::CohereEmbed | Self::CohereRerank => Dialect::CohereV2,
            Self::Gemini => Dialect::Gemini,
        }
    }

    /// Answers a request.
    pub(crate) fn answer(self, path: &str, body: &Value) -> Result<Answered, Refusal> {
        match self {
            Self::OpenAi => openai(body),
            Self::CohereEmbed => cohere(body),
            Self::Gemini => gemini(path, body),
            Self::Rerank => rerank(body),
            Self::CohereRerank => cohere_rerank(body),
        }
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, message)
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    let text = body.get(name).and_then(Value::as_str);
    text.ok_or_else(|| invalid(&format!("{name} must be a string")))
}

fn texts(body: &Value, name: &str) -> Result<Vec<String>, Refusal> {
    let wrong = || invalid(&format!("{name} must be a list of strings"));
    let list = body.get(name).and_then(Value::as_array).ok_or_else(wrong)?;
    let own = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(wrong);
    let list: Vec<String> = list.iter().map(own).collect::<Result<_, _>>()?;
    if list.is_empty() {
        return Err(wrong());
    }
    Ok(list)
}

fn dimensions(body: &Value, name: &str) -> Result<u64, Refusal> {
    let asked = body.get(name).filter(|value| !value.is_null());
    let Some(asked) = asked else {
        return Ok(DIMENSIONS);
    };
    let known = asked.as_u64();
    known
        .filter(|length| (1..=DIMENSIONS_MAX).contains(length))
        .ok_or_else(|| invalid(&format!("{name} must be from 1 to {DIMENSIONS_MAX}")))
}

fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4).max(1)
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The vector of a text: 128ths, which every float holds exactly.
#[must_use]
pub fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    let seed = hash(text);
    let part = |index: u64| {
        let mixed = (seed ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        let eighth = u8::try_from(mixed).unwrap_or_default();
        (f32::from(eighth) - 128.0) / 128.0
    };
    (0..dimensions).map(part).collect()
}

/// How well a document fits a query: 1,024ths.
#[must_use]
pub fn score(query: &str, document: &str) -> f64 {
    let mixed = (hash(query) ^ hash(document).rotate_left(17)) & 1023;
    f64::from(u32::try_from(mixed).unwrap_or_default()) / 1024.0
}

fn openai(body: &Value) -> Result<Answered, Refusal> {
    let inputs = match body.get("input") {
        Some(Value::String(one)) => vec![one.clone()],
        _ => texts(body, "input")?,
    };
    let format = body.get("encoding_format").and_then(Value::as_str);
    let length = dimensions(body, "dimensions")?;
    let item = |(index, text): (usize, &String)| {
        let vector = vector(text, length);
        let embedding = match format {
            Some("base64") => json!(base64(&vector)),
            _ => json!(vector),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(item).collect();
    let tokens = inputs.iter().map(|text| tokens(text)).sum();
    let model = text(body, "model")?.to_owned();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(Answered {
        body: json!({"object": "list", "data": data, "model": model, "usage": usage}),
        model,
        tokens,
    })
}

fn base64(vector: &[f32]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let letter = ALPHABET.get((bits >> (18 - 6 * place) & 63) as usize);
            let known = letter.filter(|_| place <= group.len());
            out.push(known.map_or('=', |letter| char::from(*letter)));
        }
    }
    out
}

fn cohere(body: &Value) -> Result<Answered, Refusal> {
    let inputs = texts(body, "texts")?;
    let known = [
        "search_document",
        "search_query",
        "classification",
        "clustering",
    ];
    if !known.contains(&text(body, "input_type")?) {
        return Err(invalid("input_type is not known"));
    }
    let length = dimensions(body, "output_dimension")?;
    let vectors: Vec<Vec<f32>> = inputs.iter().map(|text| vector(text, length)).collect();
    let embeddings = match texts(body, "embedding_types")?.as_slice() {
        [kind] if kind == "float" => json!({"float": vectors}),
        [kind] if kind == "base64" => {
            let all: Vec<String> = vectors.iter().map(|vector| base64(vector)).collect();
            json!({"base64": all})
        }
        _ => return Err(invalid("embedding_types must be float or base64")),
    };
    let tokens = inputs.iter().map(|text| tokens(text)).sum::<u64>();
    let meta = json!({"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}});
    Ok(Answered {
        model: text(body, "model")?.to_owned(),
        body: json!({"id": "embed", "texts": inputs, "embeddings": embeddings, "meta": meta}),
        tokens,
    })
}

fn gemini(path: &str, body: &Value) -> Result<Answered, Refusal> {
    let wrong = || invalid("requests must be a list of contents");
    let name = path.rsplit('/').next().unwrap_or_default();
    let model = name.strip_suffix(":batchEmbedContents").unwrap_or(name);
    let requests = body.get("requests").and_then(Value::as_array);
    let (mut embeddings, mut total) = (Vec::new(), 0);
    for request in requests.ok_or_else(wrong)? {
        if text(request, "model")? != format!("models/{model}") {
            return Err(invalid("model must be that of the path"));
        }
        let parts = request.pointer("/content/parts").and_then(Value::as_array);
        let said = parts.ok_or_else(wrong)?.iter();
        let said: String = said.filter_map(|part| part.get("text")?.as_str()).collect();
        let length = dimensions(request, "outputDimensionality")?;
        embeddings.push(json!({"values": vector(&said, length)}));
        total += tokens(&said);
    }
    Ok(Answered {
        model: model.to_owned(),
        body: json!({"embeddings": embeddings, "usageMetadata": {"promptTokenCount": total}}),
        tokens: total,
    })
}

/// The best documents, best first.
fn ranked(body: &Value, top: &str) -> Result<(Vec<Value>, u64), Refusal> {
    let query = text(body, "query")?;
    let documents = body.get("documents").and_then(Value::as_array);
    let documents = documents.filter(|list| !list.is_empty());
    let documents = documents.ok_or_else(|| invalid("documents must be a list"))?;
    let said = |document: &Value| -> Option<String> {
        let text = document.as_str();
        let text = text.or_else(|| document.get("text")?.as_str());
        text.map(str::to_owned)
    };
    let mut scores = Vec::new();
    let mut total = 0;
    for (index, document) in documents.iter().enumerate() {
        let document = said(document).ok_or_else(|| invalid("a document has no text"))?;
        total += tokens(query) + tokens(&document);
        scores.push((index, score(query, &document)));
    }
    scores.sort_by(|one, other| other.1.total_cmp(&one.1));
    if let Some(top) = body.get(top).and_then(Value::as_u64) {
        scores.truncate(usize::try_from(top).unwrap_or(usize::MAX));
    }
    let result = |(index, score)| json!({"index": index, "relevance_score": score});
    Ok((scores.into_iter().map(result).collect(), total))
}

/// Jina's form; Voyage's where its own word for the limit is used.
fn rerank(body: &Value) -> Result<Answered, Refusal> {
    let model = text(body, "model")?.to_owned();
    let is_voyage = body.get("top_k").is_some();
    let (results, tokens) = ranked(body, if is_voyage { "top_k" } else { "top_n" })?;
    let usage = json!({"total_tokens": tokens});
    let body = if is_voyage {
        json!({"object": "list", "data": results, "model": model, "usage": usage})
    } else {
        json!({"results": results, "model": model, "usage": usage})
    };
    Ok(Answered {
        model,
        body,
        tokens,
    })
}

fn cohere_rerank(body: &Value) -> Result<Answered, Refusal> {
    let count = texts(body, "documents")?.len();
    let (results, tokens) = ranked(body, "top_n")?;
    let units = count.div_ceil(UNIT_DOCUMENTS);
    let meta = json!({"api_version": {"version": "2"}, "billed_units": {"search_units": units}});
    Ok(Answered {
        model: text(body, "model")?.to_owned(),
        body: json!({"id": "rerank", "results": results, "meta": meta}),
        tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_the_same_vector() {
        let expected = json!(vector("hi", 4));
        let check = |path: &str, body: Value, at: &str| {
            let form = Form::of_path(path).unwrap();
            let answered = form.answer(path, &body).map_err(|refusal| refusal.status);
            let body = answered.unwrap().body;
            assert_eq!(body.pointer(at), Some(&expected), "{body}");
        };
        let body = json!({"model": "m", "input": "hi", "dimensions": 4});
        check("/v1/embeddings", body, "/data/0/embedding");
        let body = json!({"model": "m", "texts": ["hi"], "input_type": "search_query",
            "output_dimension": 4, "embedding_types": ["float"]});
        check("/v2/embed", body, "/embeddings/float/0");
        let body = json!({"requests": [{"model": "models/m", "outputDimensionality": 4,
            "content": {"parts": [{"text": "hi"}]}}]});
        check(
            "/v1beta/models/m:batchEmbedContents",
            body,
            "/embeddings/0/values",
        );
    }

    #[test]
    fn rankings_are_cut_and_sorted() {
        let body = json!({"model": "m", "query": "q", "documents": ["a", "b", "c"], "top_n": 2});
        for path in ["/v1/rerank", "/v2/rerank"] {
            let answered = Form::of_path(path).unwrap().answer(path, &body);
            let answered = answered.map_err(|refusal| refusal.status).unwrap();
            let results = answered.body["results"].as_array().unwrap().clone();
            assert_eq!(results.len(), 2);
            let scores: Vec<f64> = results
                .iter()
                .map(|result| result["relevance_score"].as_f64().unwrap())
                .collect();
            assert!(scores[0] >= scores[1]);
        }
        assert_eq!(Form::of_path("/v1/chat/completions"), None);
    }
}
