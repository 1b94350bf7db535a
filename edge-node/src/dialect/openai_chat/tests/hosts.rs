//! What hosts of this dialect do in their own way, for the splice and for the reader alike.

use crate::dialect::fixture::{Fixture, Played, data};
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::Dialect;

const CHAT: &str = r#"{"model":"a/b","messages":[{"role":"user","content":"x"}],"stream":STREAM}"#;
const RESPONSES: &str = r#"{"model":"a/b","input":"x","stream":STREAM}"#;

fn play(api: Api, answer: &str, stream: bool) -> Played {
    let request = if api == Api::Chat { CHAT } else { RESPONSES };
    let request = request.replace("STREAM", if stream { "true" } else { "false" });
    Fixture::new(Dialect::OpenaiChat)
        .api(api)
        .play(&request, answer.as_bytes(), 7)
}

/// The message of a whole chat answer.
fn message(answer: &Value) -> Value {
    let played = play(Api::Chat, &answer.to_string(), false);
    played.answer()["choices"][0]["message"].clone()
}

/// A member of all deltas of a streamed chat answer, texts put together, lists chained.
fn streamed(chunks: &[Value], name: &str) -> Value {
    let chunks: Vec<String> = chunks.iter().map(Value::to_string).collect();
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    let played = play(Api::Chat, &(data(&chunks) + "data: [DONE]\n\n"), true);
    assert!(played.failure.is_none(), "{played:?}");
    let (mut text, mut list) = (String::new(), Vec::new());
    for chunk in played.chunks() {
        let said = &chunk["choices"][0]["delta"][name];
        text.push_str(said.as_str().unwrap_or(""));
        list.extend(said.as_array().cloned().unwrap_or_default());
    }
    if list.is_empty() {
        text.into()
    } else {
        list.into()
    }
}

/// What a Responses client gets of the same answer.
fn translated(answer: &Value) -> Value {
    play(Api::Responses, &answer.to_string(), false).answer()
}

fn answer(message: &Value) -> Value {
    json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
}

fn chunk(delta: &Value, finish: Option<&str>) -> Value {
    json!({"id": "c", "choices": [{"index": 0, "finish_reason": finish, "delta": delta}]})
}

#[test]
fn reasoning_comes_under_one_name() {
    for said in [
        json!({"reasoning": "hm"}),
        json!({"reasoning_content": "hm"}),
        json!({"reasoning": null, "reasoning_content": "hm"}),
        json!({"reasoning_content": "hm", "reasoning": ""}),
        json!({"reasoning_content": "hm", "reasoning": "hm"}),
        json!({"reasoning_text": "hm"}),
        json!({"reasoning_content": null, "thinking": "hm"}),
    ] {
        let mut whole = said.clone();
        whole["content"] = "a".into();
        assert_eq!(message(&answer(&whole))["reasoning"], "hm", "{said}");
        let items = translated(&answer(&whole))["output"].clone();
        assert_eq!(items[0]["type"], "reasoning", "{said} {items}");
        assert!(items[0].to_string().contains("\"hm\""), "{said} {items}");
        let chunks = [
            chunk(&said, None),
            chunk(&json!({"content": "a"}), Some("stop")),
        ];
        assert_eq!(streamed(&chunks, "reasoning"), "hm", "{said}");
    }
}

#[test]
fn parts_of_content_find_their_members() {
    let parts = json!([
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        {"type": "refusal", "refusal": "no"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    ]);
    let said = message(&answer(&json!({"role": "assistant", "content": parts})));
    assert_eq!(said["content"], "a");
    assert_eq!(said["refusal"], "no");
    assert_eq!(said["reasoning"], "hm");
    assert_eq!(
        said["images"],
        json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}])
    );
    let chunks = [chunk(&json!({"content": parts}), Some("stop"))];
    assert_eq!(streamed(&chunks, "images").as_array().unwrap().len(), 1);
}

#[test]
fn sources_beside_the_choices_become_annotations() {
    let links = json!(["https://a.example", "https://b.example"]);
    let results = json!([{"title": "A", "url": "https://a.example", "snippet": "s"}]);
    let urls = |said: &Value| -> Vec<String> {
        let list = said.as_array().unwrap().iter();
        list.map(|it| it["url_citation"]["url"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut whole = answer(&json!({"content": "x"}));
    whole["citations"] = links.clone();
    assert_eq!(
        urls(&message(&whole)["annotations"]),
        ["https://a.example", "https://b.example"]
    );
    whole["search_results"] = results;
    let said = message(&whole);
    assert_eq!(urls(&said["annotations"]), ["https://a.example"]);
    assert_eq!(said["annotations"][0]["url_citation"]["content"], "s");
    // Its own annotations may name them, too.
    let mut null = whole.clone();
    null["choices"][0]["message"]["annotations"] = Value::Null;
    assert_eq!(urls(&message(&null)["annotations"]).len(), 1);
    let mut own = answer(
        &json!({"content": "x", "annotations": [{"type": "url_citation",
        "url_citation": {"url": "https://c.example", "title": "", "start_index": 0, "end_index": 1}}]}),
    );
    own["citations"] = links.clone();
    assert_eq!(urls(&message(&own)["annotations"]).len(), 3);
    let said = translated(&own)["output"].to_string();
    assert_eq!(said.matches("https://").count(), 3);
    own["citations"] = json!(["https://c.example"]);
    assert_eq!(urls(&message(&own)["annotations"]), ["https://c.example"]);
    let said = translated(&own)["output"].to_string();
    assert_eq!(said.matches("https://").count(), 1);

    // On each chunk, behind the choices or before; or on one without a choice.
    let with = |mut chunk: Value| {
        chunk["citations"] = links.clone();
        chunk
    };
    let chunks = [
        with(chunk(&json!({"content": "x"}), None)),
        with(chunk(&json!({}), Some("stop"))),
    ];
    assert_eq!(urls(&streamed(&chunks, "annotations")).len(), 2);
    let chunks = [
        chunk(&json!({"content": "x"}), None),
        with(json!({"id": "c", "choices": []})),
        with(chunk(&json!({}), Some("stop"))),
    ];
    assert_eq!(urls(&streamed(&chunks, "annotations")).len(), 2);
}

/// Runs of Groq's compound systems (groq-python, `types/chat/chat_completion_message.py`:
/// `ExecutedTool`; console.groq.com/docs/web-search): searches among others, of which two have found
/// one page.
fn executed() -> [Value; 4] {
    let run = |index: u64, kind: &str, more: &Value| {
        let mut run = started(index, kind);
        for (name, value) in more.as_object().unwrap() {
            run[name] = value.clone();
        }
        run
    };
    let result = |url: &str| json!({"title": "T", "url": url, "content": "c", "score": 0.8});
    let found = |urls: &[&str]| {
        let results: Vec<Value> = urls.iter().map(|url| result(url)).collect();
        json!({"output": "Title: T", "search_results": {"images": [], "results": results}})
    };
    let visited = json!({"browser_results": [{"title": "D", "url": "https://d.example"}]});
    [
        run(
            0,
            "search",
            &found(&["https://a.example", "https://b.example"]),
        ),
        run(
            1,
            "python",
            &json!({"output": "2", "code_results": [{"text": "2"}]}),
        ),
        run(
            2,
            "search",
            &found(&["https://b.example", "https://c.example"]),
        ),
        run(3, "visit", &visited),
    ]
}

/// A run as a stream tells of it when it begins.
fn started(index: u64, kind: &str) -> Value {
    json!({"index": index, "type": kind, "arguments": "{\"query\": \"q\"}"})
}

fn addresses(annotations: &Value) -> Vec<String> {
    let list = annotations.as_array().unwrap().iter();
    list.map(|it| it["url_citation"]["url"].as_str().unwrap().to_owned())
        .collect()
}

const FOUND: [&str; 4] = [
    "https://a.example",
    "https://b.example",
    "https://c.example",
    "https://d.example",
];

#[test]
fn what_groq_ran_by_itself_is_cited_and_counted() {
    let ran = json!(executed());
    let mut whole = answer(&json!({"role": "assistant", "content": "x", "executed_tools": ran}));
    whole["usage"] = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
    let played = play(Api::Chat, &whole.to_string(), false);
    assert_eq!(played.usage.unwrap().web_searches, 2);
    let said = played.answer();
    let message = &said["choices"][0]["message"];
    assert_eq!(addresses(&message["annotations"]), FOUND);
    assert_eq!(message["executed_tools"], ran);
    let counted =
        |answer: &Value| answer["usage"]["server_tool_use_details"]["web_search_requests"].clone();
    assert_eq!(counted(&said), 2);
    let told = translated(&whole);
    let text = told["output"].to_string();
    assert!(FOUND.iter().all(|url| text.contains(url)), "{text}");
    assert_eq!(counted(&told), 2);
}

/// A stream tells of each run when it begins and again when it ends.
#[test]
fn runs_of_a_stream_count_once() {
    let ran = executed();
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
    let mut end = chunk(&json!({}), Some("stop"));
    end["x_groq"] = json!({"id": "req_1", "usage": usage});
    let chunks = [
        chunk(
            &json!({"role": "assistant", "executed_tools": [started(0, "search")]}),
            None,
        ),
        chunk(&json!({"executed_tools": [ran[0]]}), None),
        chunk(&json!({"executed_tools": [started(2, "search")]}), None),
        chunk(
            &json!({"content": "x", "executed_tools": [ran[2], ran[3]]}),
            None,
        ),
        end,
    ];
    assert_eq!(addresses(&streamed(&chunks, "annotations")), FOUND);
    let chunks: Vec<String> = chunks.iter().map(Value::to_string).collect();
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    let stream = data(&chunks) + "data: [DONE]\n\n";
    for api in [Api::Chat, Api::Responses] {
        let played = play(api, &stream, true);
        assert_eq!(played.usage.unwrap().web_searches, 2, "{}", played.out);
        let told = FOUND.iter().all(|url| played.out.contains(url));
        assert!(told, "{}", played.out);
    }
}

#[test]
fn older_probabilities_get_the_newer_form() {
    let mut whole = answer(&json!({"content": "ab"}));
    whole["choices"][0]["logprobs"] = json!({"tokens": ["a", "b"], "token_logprobs": [-0.5, -1],
        "top_logprobs": [{"a": -0.5}, {"b": -1}]});
    let played = play(Api::Chat, &whole.to_string(), false).answer();
    let list = &played["choices"][0]["logprobs"]["content"];
    assert_eq!(list[1]["token"], "b");
    assert_eq!(list[1]["logprob"], -1.0);
    assert_eq!(list[0]["top_logprobs"][0]["token"], "a");
    assert!(translated(&whole).to_string().contains("\"logprob\":-0.5"));
}

#[test]
fn an_error_without_the_word_is_an_error() {
    for (said, status) in [
        (
            json!({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}),
            400,
        ),
        (
            json!({"id": "c", "choices": null, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}),
            429,
        ),
        (
            json!({"choices": null, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            502,
        ),
        (
            json!({"error_code": 18, "error_msg": "Open api qps request limit reached"}),
            429,
        ),
        (json!({"detail": "model is loading"}), 502),
        (json!({"code": 503, "message": "busy"}), 503),
        (json!({"error": "Model too busy"}), 502),
        (
            json!({"errors": [{"code": 7009, "message": "AiError"}], "success": false}),
            502,
        ),
    ] {
        for api in [Api::Chat, Api::Responses] {
            let whole = play(api, &said.to_string(), false);
            let failure = whole.failure.unwrap_or_else(|| panic!("{said}"));
            assert_eq!(failure.status, status, "{said} {api:?}");
            let played = play(api, &data(&[&said.to_string()]), true);
            let failure = played.failure.unwrap_or_else(|| panic!("{said}"));
            assert_eq!(failure.status, status, "{said} {api:?}");
            assert!(!played.owed);
        }
    }
}

#[test]
fn a_filter_behind_a_colon_is_a_filter() {
    let mut whole = answer(&json!({"content": ""}));
    whole["choices"][0]["finish_reason"] = "content_filter: PROHIBITED_CONTENT".into();
    let played = play(Api::Chat, &whole.to_string(), false).answer();
    let choice = &played["choices"][0];
    assert_eq!(choice["finish_reason"], "content_filter");
    assert_eq!(
        choice["native_finish_reason"],
        "content_filter: PROHIBITED_CONTENT"
    );
    whole["choices"][0]["finish_reason"] = "function_call_filter: MALFORMED_FUNCTION_CALL".into();
    assert_eq!(
        play(Api::Chat, &whole.to_string(), false).reason(),
        "finish_error"
    );
}
