//! Recorded embeddings and rankings, played through the dialects: what was asked of a provider is
//! what it is asked by us, and what it answered is what the client gets, number for number. Sources
//! and licences: `corpus/LICENSES.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[path = "support/offer.rs"]
mod offer;

use bytes::{Bytes, BytesMut};
use edge_node::dialect::{self, Bill, Outgoing, Target};
use edge_node::ingress::{Api, Surface, parse};
use http::HeaderMap;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Provider, Quirk};
use shared::id::GenerationId;
use shared::usage::{Usage, cost};
use std::path::Path;

fn provider(dialect: Dialect, quirks: &[Quirk]) -> Provider {
    Provider {
        base_url: "http://127.0.0.1:1/v1beta".to_owned(),
        quirks: quirks.to_vec(),
        ..offer::provider(dialect)
    }
}

/// A recorded exchange and who answered it.
struct Case {
    request: Value,
    answer: Bytes,
    provider: Provider,
}

fn case(name: &str, dialect: Dialect, quirks: &[Quirk]) -> Case {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/vectors");
    let read = |file: &str| std::fs::read(folder.join(name).join(file)).unwrap();
    let request: Value = serde_json::from_slice(&read("request.json")).unwrap();
    Case {
        request: request["body"].clone(),
        answer: read("response.body").into(),
        provider: provider(dialect, quirks),
    }
}

impl Case {
    /// What goes upstream for a client's request, and what comes of the recorded answer.
    fn play(&self, api: Api, request: &Value, model: &str) -> (Value, Value, Usage) {
        let body = Bytes::from(request.to_string());
        let call = parse(api, Surface::OpenRouter, &HeaderMap::new(), body).unwrap();
        let (endpoint, generation) = (
            offer::endpoint("test/model", model),
            GenerationId::from("gen-test"),
        );
        let target = Target {
            endpoint: &endpoint,
            provider: &self.provider,
            generation: &generation,
            created: 1,
            max_tokens_clamp: None,
        };
        let mut outs = [usize::MAX, 1, 1000].map(|size| {
            let Outgoing {
                body,
                mut translator,
                ..
            } = dialect::prepare(&call, &target).unwrap();
            let mut out = BytesMut::new();
            for chunk in self.answer.chunks(size) {
                translator.feed(chunk, &mut out).unwrap();
            }
            translator.end(&mut out).unwrap();
            let usage = translator.progress().usage.unwrap();
            let cost = cost(&usage, &endpoint.pricing);
            let bill = Bill {
                usage: &usage,
                cost: &cost,
                charged: cost.total(),
                served: None,
                told: "",
                took: std::time::Duration::from_secs(2),
            };
            translator.close(&bill, &mut out);
            (body, out.freeze(), usage)
        });
        assert_eq!(outs[0].1, outs[1].1);
        assert_eq!(outs[0].1, outs[2].1);
        let read = |bytes: &Bytes| serde_json::from_slice(bytes).unwrap();
        let (body, out, usage) = &mut outs[0];
        (read(body), read(out), *usage)
    }

    fn answer(&self) -> Value {
        serde_json::from_slice(&self.answer).unwrap()
    }
}

fn vectors(answer: &Value) -> Vec<&Value> {
    let data = answer["data"].as_array().unwrap();
    data.iter().map(|item| &item["embedding"]).collect()
}

#[test]
fn gemini_with_a_picture() {
    let name = "d143-embeddings-google-ai-studio-json-image-in";
    let case = case(name, Dialect::Gemini, &[]);
    let asked = &case.request["requests"][0];
    let parts = &asked["content"]["parts"];
    let inline = &parts[1]["inline_data"];
    let (kind, data) = (&inline["mime_type"], &inline["data"]);
    let url = format!(
        "data:{};base64,{}",
        kind.as_str().unwrap(),
        data.as_str().unwrap()
    );
    let request = json!({
        "model": "test/model", "dimensions": asked["outputDimensionality"],
        "input": [{ "content": [
            { "type": "text", "text": parts[0]["text"] },
            { "type": "image_url", "image_url": { "url": url } },
        ] }],
    });
    let (sent, told, usage) = case.play(Api::Embeddings, &request, "gemini-embedding-2");
    let sent = &sent["requests"][0];
    assert_eq!(sent["model"], asked["model"]);
    assert_eq!(sent["outputDimensionality"], asked["outputDimensionality"]);
    assert_eq!(sent["content"]["parts"][0], parts[0]);
    assert_eq!(&sent["content"]["parts"][1]["inlineData"]["data"], data);
    assert_eq!(vectors(&told), [&case.answer()["embeddings"][0]["values"]]);
    assert_eq!((usage.prompt, usage.prompt_image), (261, 258));
}

#[test]
fn voyage_in_base64() {
    let case = case(
        "d144-embeddings-voyage-json",
        Dialect::OpenaiChat,
        &[Quirk::Voyage],
    );
    let asked = &case.request;
    let request = json!({
        "model": "test/model", "input": asked["input"], "input_type": "document",
        "encoding_format": "base64",
    });
    let (sent, told, usage) = case.play(Api::Embeddings, &request, "voyage-3-lite");
    for member in ["model", "input", "input_type", "encoding_format"] {
        assert_eq!(sent[member], asked[member], "{member}");
    }
    let said = case.answer();
    assert_eq!(vectors(&told), vectors(&said));
    assert_eq!(usage.prompt, 12);
    // The same as numbers: as many, and each within a float's reach of [-1, 1].
    let floats = json!({ "model": "test/model", "input": asked["input"] });
    let (_, told, _) = case.play(Api::Embeddings, &floats, "voyage-3-lite");
    for vector in vectors(&told) {
        let vector = vector.as_array().unwrap();
        assert_eq!(vector.len(), 512);
        assert!(vector.iter().all(|x| x.as_f64().unwrap().abs() <= 1.0));
    }
}

#[test]
fn cohere_by_type() {
    let case = case("d145-cohere-v2-embed-json", Dialect::CohereV2, &[]);
    let asked = &case.request;
    let request = json!({ "model": "test/model", "input": asked["texts"] });
    let (sent, told, usage) = case.play(Api::Embeddings, &request, "embed-english-light-v3.0");
    for member in ["model", "texts", "input_type"] {
        assert_eq!(sent[member], asked[member], "{member}");
    }
    let said = case.answer();
    let floats = said["embeddings"]["float"].as_array().unwrap();
    assert_eq!(vectors(&told), floats.iter().collect::<Vec<_>>());
    assert_eq!(usage.prompt, 208);
}

fn scores(answer: &Value, list: &str) -> Vec<(u64, f64)> {
    let items = answer[list].as_array().unwrap().iter();
    let score = |item: &Value| item["relevance_score"].as_f64().unwrap();
    items
        .map(|item| (item["index"].as_u64().unwrap(), score(item)))
        .collect()
}

#[test]
fn rankings_of_cohere_and_voyage() {
    for (name, dialect, quirks, list, top) in [
        (
            "d146-cohere-v2-rerank-json",
            Dialect::CohereV2,
            &[][..],
            "results",
            "top_n",
        ),
        (
            "d147-rerank-json",
            Dialect::OpenaiChat,
            &[Quirk::Voyage][..],
            "data",
            "top_k",
        ),
    ] {
        let case = case(name, dialect, quirks);
        let asked = &case.request;
        let request = json!({
            "model": "test/model", "query": asked["query"], "documents": asked["documents"],
            "top_n": asked[top],
        });
        let model = asked["model"].as_str().unwrap();
        let (sent, told, usage) = case.play(Api::Rerank, &request, model);
        for member in ["model", "query", "documents", top] {
            assert_eq!(sent[member], asked[member], "{name}: {member}");
        }
        assert_eq!(scores(&told, "results"), scores(&case.answer(), list));
        for item in told["results"].as_array().unwrap() {
            let index = usize::try_from(item["index"].as_u64().unwrap()).unwrap();
            assert_eq!(item["document"]["text"], asked["documents"][index]);
        }
        let expected = if list == "data" { (57, 0) } else { (0, 1) };
        assert_eq!((usage.prompt, usage.search_units), expected);
    }
}
