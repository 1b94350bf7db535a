use crate::dialect::fixture::{Fixture, Played};
use crate::dialect::prepare;
use crate::failure::Retry;
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Quirk};

fn embeddings(dialect: Dialect) -> Fixture {
    Fixture::new(dialect).api(Api::Embeddings)
}

fn rankings(dialect: Dialect) -> Fixture {
    Fixture::new(dialect).api(Api::Rerank)
}

fn voyage(fixture: Fixture) -> Fixture {
    fixture.quirks(&[Quirk::Voyage])
}

/// Where the call goes, and its body.
fn sent(fixture: &Fixture, request: &str) -> (String, Value) {
    let call = fixture.call(request);
    let prepared = fixture
        .with_target(|target| prepare(&call, target))
        .unwrap();
    let body = serde_json::from_slice(&prepared.body).unwrap();
    (prepared.path, body)
}

#[track_caller]
fn refused(fixture: &Fixture, request: &str, param: &str) {
    let failure = fixture.body(request).unwrap_err();
    assert_eq!(failure.param.as_deref(), Some(param), "{}", failure.message);
    assert_eq!((failure.status, failure.retry), (400, Retry::OtherEndpoint));
}

const TWO: &str =
    r#"{"model":"a/b","input":["x","y\n"],"input_type":"query","dimensions":2,"provider":{}}"#;
const PICTURE: &str = r#"{"model":"a/b","input":["x",{"content":[{"type":"text","text":"y"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QQ=="}}]}]}"#;
const TOKENS: &str = r#"{"model":"a/b","input":[[1,2],[3]]}"#;

#[test]
fn openai_gets_the_clients_bytes() {
    let fixture = embeddings(Dialect::OpenaiChat);
    let odd = r#"{ "input" : ["h\u0069"],"models":["c/d"], "model":"a/b","input_type":"query","x":1e400,"user":"u" }"#;
    let expected = r#"{ "input" : ["h\u0069"], "model":"theirs","x":1e400,"user":"u" }"#;
    assert_eq!(fixture.body(odd).unwrap(), expected);
    assert_eq!(sent(&fixture, TOKENS).1["input"], json!([[1, 2], [3]]));
    assert_eq!(sent(&fixture, TWO).0, "/embeddings");
    refused(&fixture, PICTURE, "input[1]");
    let (path, body) = sent(&embeddings(Dialect::MistralChat), TWO);
    assert_eq!(path, "/embeddings");
    let expected = json!({ "model": "theirs", "input": ["x", "y\n"], "output_dimension": 2 });
    assert_eq!(body, expected);
}

#[test]
fn vectors_of_bytes_become_numbers() {
    let mut fixture = embeddings(Dialect::OpenaiChat).quirks(&[Quirk::Int8Vectors]);
    fixture.provider.base_url = "https://api.p.example".to_owned();
    let request = r#"{"model":"a/b","input":"x","encoding_format":"float"}"#;
    let (path, body) = sent(&fixture, request);
    assert_eq!(path, "/v1/embeddings");
    assert_eq!(body, json!({"model": "theirs", "input": "x"}));
    let answer = r#"{"data":[{"index":0,"embedding":"f4EA"}],"usage":{"prompt_tokens":1}}"#;
    let got = fixture.play(request, answer.as_bytes(), 999).answer();
    assert_eq!(got["data"][0]["embedding"], json!([1, -1, 0]));
    let packed = request.replace("float", "base64");
    let got = fixture.play(&packed, answer.as_bytes(), 999).answer();
    assert_eq!(got["data"][0]["embedding"], "AACAPwAAgL8AAAAA");
}

#[test]
fn voyage_has_names_of_its_own() {
    let fixture = voyage(embeddings(Dialect::OpenaiChat));
    let (path, body) = sent(&fixture, TWO);
    assert_eq!(path, "/embeddings");
    assert_eq!(
        body,
        json!({ "model": "theirs", "input": ["x", "y\n"], "input_type": "query",
            "output_dimension": 2 })
    );
    let (path, body) = sent(&fixture, PICTURE);
    assert_eq!(path, "/multimodalembeddings");
    assert_eq!(
        body["inputs"],
        json!([
            { "content": [{ "type": "text", "text": "x" }] },
            { "content": [
                { "type": "text", "text": "y" },
                { "type": "image_base64", "image_base64": "data:image/png;base64,QQ==" },
            ] },
        ])
    );
    refused(&fixture, TOKENS, "input");
}

#[test]
fn cohere_wants_to_know_what_for() {
    let fixture = embeddings(Dialect::CohereV2);
    let (path, body) = sent(&fixture, TWO);
    assert_eq!(path, "/v2/embed");
    assert_eq!(
        body,
        json!({ "model": "theirs", "texts": ["x", "y\n"], "input_type": "search_query",
            "output_dimension": 2, "embedding_types": ["float"] })
    );
    let (_, body) = sent(&fixture, PICTURE);
    assert_eq!(body["input_type"], "search_document");
    let picture = json!({ "type": "image_url",
        "image_url": { "url": "data:image/png;base64,QQ==" } });
    assert_eq!(body["inputs"][1]["content"][1], picture);
    refused(&fixture, TOKENS, "input");
    let many = format!(r#"{{"model":"a/b","input":[{}"a"]}}"#, "\"a\",".repeat(96));
    refused(&fixture, &many, "input");
}

#[test]
fn gemini_takes_batches() {
    let fixture = embeddings(Dialect::Gemini);
    let (path, body) = sent(&fixture, TWO);
    assert!(
        path.ends_with("/models/theirs:batchEmbedContents"),
        "{path}"
    );
    assert_eq!(
        body["requests"][1],
        json!({ "model": "models/theirs", "content": { "parts": [{ "text": "y\n" }] },
            "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2 })
    );
    let (_, body) = sent(&fixture, PICTURE);
    let parts = &body["requests"][1]["content"]["parts"];
    let inline = json!({ "inlineData": { "mimeType": "image/png", "data": "QQ==" } });
    assert_eq!(parts[1], inline);
    refused(&fixture, TOKENS, "input");
    refused(&embeddings(Dialect::AnthropicMessages), TWO, "model");
}

fn vectors(played: &Played) -> Value {
    let answer = played.answer();
    assert_eq!(
        (&answer["object"], &answer["id"]),
        (&json!("list"), &json!("gen-1"))
    );
    assert_eq!(answer["model"], "author/model");
    for (index, item) in answer["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            (&item["object"], &item["index"]),
            (&json!("embedding"), &json!(index))
        );
    }
    let list = answer["data"].as_array().unwrap().iter();
    list.map(|item| item["embedding"].clone()).collect()
}

#[test]
fn vectors_come_out_the_same_from_every_form() {
    let request = r#"{"model":"a/b","input":["x","y"]}"#;
    let expected = json!([[1, 0.5], [0, -2]]);
    for (dialect, answer) in [
        (
            Dialect::OpenaiChat,
            r#"{"object":"list","data":[{"index":1,"embedding":[0,-2]},{"index":0,"embedding":[1,0.5]}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        ),
        (
            Dialect::OpenaiChat,
            r#"{"data":[{"embedding":"AACAPwAAAD8=","index":0},{"embedding":"AAAAAAAAAMA=","index":1}],"usage":{"total_tokens":7}}"#,
        ),
        (
            Dialect::CohereV2,
            r#"{"id":"x","texts":["x","y"],"embeddings":{"float":[[1,0.5],[0,-2]]},"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":7}}}"#,
        ),
        (
            Dialect::Gemini,
            r#"{"embeddings":[{"values":[1,0.5]},{"values":[0,-2]}],"usageMetadata":{"promptTokenCount":7}}"#,
        ),
    ] {
        let fixture = embeddings(dialect);
        let played = fixture.play(request, answer.as_bytes(), usize::MAX);
        assert_eq!(vectors(&played), expected, "{answer}");
        assert_eq!(played.answer()["usage"]["prompt_tokens"], 7);
        assert_eq!(played.answer()["usage"]["cost"], json!(0.000_007));
        for size in [1, 3, 50] {
            assert_eq!(
                fixture.play(request, answer.as_bytes(), size).out,
                played.out
            );
        }
        let base64 = request.replace("]}", r#"],"encoding_format":"base64"}"#);
        let played = fixture.play(&base64, answer.as_bytes(), 9);
        assert_eq!(vectors(&played), json!(["AACAPwAAAD8=", "AAAAAAAAAMA="]));
    }
}

#[test]
fn numbers_keep_their_digits() {
    let request = r#"{"model":"a/b","input":"x"}"#;
    let answer =
        r#"{"data":[{"index":0,"embedding":[0.10, 1e-7,-0.0]}],"usage":{"prompt_tokens":1}}"#;
    let played = embeddings(Dialect::OpenaiChat).play(request, answer.as_bytes(), 9);
    assert!(played.out.contains("[0.10, 1e-7,-0.0]"), "{}", played.out);
}

#[test]
fn answers_that_do_not_fit_are_the_providers_fault() {
    let request = r#"{"model":"a/b","input":["x","y"]}"#;
    let reason = |answer: &str| {
        embeddings(Dialect::OpenaiChat)
            .play(request, answer.as_bytes(), 9)
            .reason()
    };
    assert_eq!(reason(""), "empty");
    assert_eq!(reason("<html>"), "garbage");
    assert_eq!(
        reason(r#"{"data":[{"index":0,"embedding":[1]}]}"#),
        "garbage"
    );
    let three = r#"{"data":[{"index":2,"embedding":[1]}]}"#;
    assert_eq!(reason(three), "garbage");
    let failed = embeddings(Dialect::OpenaiChat).play(
        request,
        br#"{"error":{"message":"busy","code":429}}"#,
        9,
    );
    assert_eq!(failed.failure.unwrap().status, 429);
}

#[test]
fn pictures_are_counted_apart() {
    let usage = |dialect, answer: &str| {
        let played =
            embeddings(dialect).play(r#"{"model":"a/b","input":"x"}"#, answer.as_bytes(), 9);
        let usage = played.usage.unwrap();
        (usage.prompt, usage.prompt_image)
    };
    let gemini = r#"{"embeddings":[{"values":[1]}],"usageMetadata":{"promptTokenCount":261,"promptTokenDetails":[{"modality":"IMAGE","tokenCount":258},{"modality":"TEXT","tokenCount":3}]}}"#;
    assert_eq!(usage(Dialect::Gemini, gemini), (261, 258));
    let cohere = r#"{"embeddings":{"float":[[1]]},"meta":{"billed_units":{"input_tokens":3,"image_tokens":258}}}"#;
    assert_eq!(usage(Dialect::CohereV2, cohere), (261, 258));
    // And by themselves, where each has a price.
    let two = cohere.replace("[[1]]", "[[1],[2]]");
    let played = embeddings(Dialect::CohereV2).play(PICTURE, two.as_bytes(), 9);
    assert_eq!(played.usage.unwrap().images, 1);
}

#[test]
fn the_units_of_a_ranking_are_bounded() {
    let units = |documents: usize, bytes: usize| {
        let documents = vec!["x".repeat(bytes); documents];
        let body = json!({ "model": "a/b", "query": "q", "documents": documents });
        rankings(Dialect::CohereV2)
            .call(&body.to_string())
            .search_units
    };
    assert_eq!((units(1, 10), units(100, 10), units(101, 10)), (1, 1, 2));
    // A long document counts as several.
    assert_eq!(units(100, 2000), 3);
}

const RANK: &str = r#"{"model":"a/b","query":"q","documents":["x",{"text":"y\n"}],"top_n":1}"#;

#[test]
fn each_ranker_is_asked_in_its_form() {
    let (path, body) = sent(&rankings(Dialect::OpenaiChat), RANK);
    assert_eq!(path, "/rerank");
    assert_eq!(
        body,
        json!({ "model": "theirs", "query": "q", "documents": ["x", { "text": "y\n" }],
            "top_n": 1, "return_documents": false })
    );
    let (path, body) = sent(&rankings(Dialect::CohereV2), RANK);
    assert_eq!(path, "/v2/rerank");
    let plain = json!({ "model": "theirs", "query": "q", "documents": ["x", "y\n"], "top_n": 1 });
    assert_eq!(body, plain);
    let (path, body) = sent(&voyage(rankings(Dialect::OpenaiChat)), RANK);
    assert_eq!((path.as_str(), &body["top_k"]), ("/rerank", &json!(1)));
    let picture = RANK.replace(r#"{"text":"y\n"}"#, r#"{"image":"https://x"}"#);
    refused(&rankings(Dialect::CohereV2), &picture, "documents[1]");
    refused(&rankings(Dialect::Gemini), RANK, "model");
}

#[test]
fn rankings_come_out_the_same_from_every_form() {
    let cohere = r#"{"id":"r","results":[{"index":1,"relevance_score":0.90},{"index":0,"relevance_score":0.1}],"meta":{"billed_units":{"search_units":2}}}"#;
    let voyage_form = r#"{"object":"list","data":[{"relevance_score":0.90,"index":1},{"relevance_score":0.1,"index":0}],"usage":{"total_tokens":57}}"#;
    let jina = r#"{"results":[{"index":1,"relevance_score":0.90,"document":{"text":"y"}},{"index":0,"relevance_score":0.1}],"usage":{"total_tokens":57}}"#;
    for (fixture, answer, units) in [
        (rankings(Dialect::CohereV2), cohere, json!(2)),
        (
            voyage(rankings(Dialect::OpenaiChat)),
            voyage_form,
            Value::Null,
        ),
        (rankings(Dialect::OpenaiChat), jina, Value::Null),
    ] {
        let played = fixture.play(RANK, answer.as_bytes(), 7);
        let read = played.answer();
        assert_eq!(
            read["results"],
            json!([
                { "index": 1, "relevance_score": 0.9, "document": { "text": "y\n" } },
                { "index": 0, "relevance_score": 0.1, "document": { "text": "x" } },
            ])
        );
        assert!(played.out.contains("0.90"), "digits stay");
        assert_eq!(read["usage"]["search_units"], units);
        assert_eq!(
            (&read["id"], &read["provider"]),
            (&json!("gen-1"), &json!("Acme AI"))
        );
    }
    let beyond = r#"{"results":[{"index":2,"relevance_score":0.9}]}"#;
    let played = rankings(Dialect::CohereV2).play(RANK, beyond.as_bytes(), 7);
    assert_eq!(played.reason(), "garbage");
}
