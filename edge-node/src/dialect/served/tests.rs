use super::*;
use crate::dialect::fixture::{Fixture, data};
use crate::failure::Retry;
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::Dialect;

#[test]
fn each_dialects_tools_are_known_by_their_words() {
    for (raw, words) in [
        (
            r#"{"type":"web_search_20250305","name":"web_search"}"#,
            Words::Anthropic,
        ),
        (
            r#"{"name":"bash","type":"bash_20250124"}"#,
            Words::Anthropic,
        ),
        (r#"{"type":"web_search"}"#, Words::Responses("")),
        (
            r#"{"type":"web_search_preview_2025_03_11"}"#,
            Words::Responses(""),
        ),
        (
            r#"{"type":"code_interpreter","container":{"type":"auto"}}"#,
            Words::Responses(""),
        ),
        (r#"{"googleSearch":{}}"#, Words::Gemini),
        (r#"{"code_execution":{}}"#, Words::Gemini),
        (r#"{"type":"browser_search"}"#, Words::None),
        ("{}", Words::None),
        ("7", Words::None),
    ] {
        assert_eq!(words_of(raw), words, "{raw}");
    }
}

fn chat(tools: &str) -> String {
    format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{tools},{{"type":"function","function":{{"name":"f"}}}}]}}"#
    )
}

#[track_caller]
fn refused(fixture: &Fixture, request: &str, place: &str) {
    let failure = fixture.body(request).unwrap_err();
    assert_eq!(failure.param.as_deref(), Some(place), "{failure:?}");
    assert_eq!((failure.status, failure.retry), (400, Retry::OtherEndpoint));
}

#[test]
fn a_tool_goes_to_who_runs_it_and_to_nobody_else() {
    let declared = [
        (
            Dialect::AnthropicMessages,
            r#"{"type":"web_fetch_20250910","name":"web_fetch","max_uses": 5}"#,
        ),
        (Dialect::Gemini, r#"{"codeExecution":{ }}"#),
        (
            Dialect::OpenaiResponses,
            r#"{"type":"code_interpreter","container":{"type":"auto"}}"#,
        ),
    ];
    for (maker, tool) in declared {
        for dialect in [
            Dialect::AnthropicMessages,
            Dialect::Gemini,
            Dialect::OpenaiResponses,
            Dialect::OpenaiChat,
            Dialect::BedrockConverse,
            Dialect::CohereV2,
            Dialect::MistralChat,
            Dialect::Ollama,
        ] {
            let fixture = Fixture::new(dialect);
            if dialect == maker {
                let body = fixture.body(&chat(tool)).unwrap();
                assert!(body.contains(tool), "{dialect:?}: {body}");
                let tools: Value = serde_json::from_str(&body).unwrap();
                assert!(tools["tools"].as_array().unwrap().len() == 2, "{body}");
            } else {
                refused(&fixture, &chat(tool), "tools[0].type");
            }
        }
    }
    // What nobody knows a chat host may know.
    let own = r#"{"type":"browser_search"}"#;
    let body = Fixture::new(Dialect::OpenaiChat).body(&chat(own)).unwrap();
    assert!(body.contains(own));
}

#[test]
fn other_apis_declare_them_too() {
    let responses = r#"{"model":"m","input":"x","tools":[{"type":"file_search"}]}"#;
    let fixture = Fixture::new(Dialect::OpenaiResponses).api(Api::Responses);
    let body = fixture.body(responses).unwrap();
    assert!(body.contains(r#""tools":[{"type":"file_search"}]"#));
    for dialect in [
        Dialect::AnthropicMessages,
        Dialect::OpenaiChat,
        Dialect::Gemini,
    ] {
        let fixture = Fixture::new(dialect).api(Api::Responses);
        refused(&fixture, responses, "tools[0].type");
    }
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]}"#;
    let fixture = Fixture::new(Dialect::AnthropicMessages).api(Api::Messages);
    assert!(
        fixture
            .body(messages)
            .unwrap()
            .contains("web_fetch_20250910")
    );
    for dialect in [
        Dialect::OpenaiResponses,
        Dialect::OpenaiChat,
        Dialect::Gemini,
    ] {
        let fixture = Fixture::new(dialect).api(Api::Messages);
        refused(&fixture, messages, "tools[0].type");
    }
}

#[test]
fn who_gives_only_text_is_asked_for_nothing_else() {
    let request =
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"modalities":["text","image"]}"#;
    for dialect in [
        Dialect::AnthropicMessages,
        Dialect::BedrockConverse,
        Dialect::CohereV2,
        Dialect::MistralChat,
        Dialect::Ollama,
    ] {
        refused(&Fixture::new(dialect), request, "modalities");
    }
}

const USE: &str = r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"a \"b\""}}"#;
const RESULT: &str = r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"https://x","title":"X","encrypted_content":"Eo="}]}"#;
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;

fn anthropic() -> String {
    format!(
        r#"{{"id":"m","type":"message","role":"assistant","content":[{{"type":"text","text":"I look"}},{USE},{RESULT},{{"type":"text","text":"found"}}],"stop_reason":"end_turn","usage":{{"input_tokens":3,"output_tokens":2,"server_tool_use":{{"web_search_requests":1}}}}}}"#
    )
}

fn anthropic_stream() -> String {
    let event = |value: &str| {
        let kind: Value = serde_json::from_str(value).unwrap();
        format!(
            "event: {}\ndata: {value}\n\n",
            kind["type"].as_str().unwrap()
        )
    };
    let events = [
        r#"{"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}"#.to_owned(),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}"#.to_owned(),
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"query\":"}}"#.to_owned(),
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\"a \\\"b\\\"\"}"}}"#.to_owned(),
        r#"{"type":"content_block_stop","index":0}"#.to_owned(),
        format!(r#"{{"type":"content_block_start","index":1,"content_block":{RESULT}}}"#),
        r#"{"type":"content_block_stop","index":1}"#.to_owned(),
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#.to_owned(),
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"found"}}"#.to_owned(),
        r#"{"type":"content_block_stop","index":2}"#.to_owned(),
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#.to_owned(),
        r#"{"type":"message_stop"}"#.to_owned(),
    ];
    events.iter().map(|value| event(value)).collect()
}

/// A conversation that goes on after this answer of the model's.
fn next(message: &Value) -> String {
    json!({
        "model": "m",
        "messages": [
            { "role": "user", "content": "x" },
            message,
            { "role": "user", "content": "and?" },
        ],
    })
    .to_string()
}

#[test]
fn what_a_tool_did_is_told_and_goes_back_as_it_came() {
    let fixture = Fixture::new(Dialect::AnthropicMessages);
    let whole = fixture.play(ASK, anthropic().as_bytes(), 99).answer();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], "I lookfound");
    assert_eq!(message.get("tool_calls"), None);
    let detail = &message["reasoning_details"][0];
    assert_eq!(detail["type"], "reasoning.server_tool_call");
    assert_eq!(detail["tool_name"], "web_search");
    assert_eq!(detail["tool_call_id"], "srvtoolu_1");
    assert_eq!(detail["arguments"], r#"{"query":"a \"b\""}"#);
    assert_eq!(detail["result"], format!("[{USE},{RESULT}]"));
    assert_eq!(
        whole["usage"]["server_tool_use_details"]["web_search_requests"],
        1
    );

    let stream = ASK.replacen('{', r#"{"stream":true,"#, 1);
    for size in [1, 13, 99999] {
        let chunks = fixture
            .play(&stream, anthropic_stream().as_bytes(), size)
            .chunks();
        let streamed = chunks
            .iter()
            .find_map(|chunk| chunk["choices"][0]["delta"]["reasoning_details"].get(0))
            .unwrap();
        assert_eq!(streamed, detail);
    }

    let body = fixture.body(&next(message)).unwrap();
    assert!(body.contains(&format!("{USE},{RESULT}")), "{body}");
    for dialect in [Dialect::Gemini, Dialect::BedrockConverse, Dialect::CohereV2] {
        refused(
            &Fixture::new(dialect),
            &next(message),
            "messages[1].reasoning_details",
        );
    }
}

#[test]
fn a_tool_that_has_not_answered_is_told_at_the_end() {
    let answer = format!(
        r#"{{"id":"m","type":"message","role":"assistant","content":[{USE}],"stop_reason":"pause_turn","usage":{{"input_tokens":3,"output_tokens":2}}}}"#
    );
    let fixture = Fixture::new(Dialect::AnthropicMessages);
    let whole = fixture.play(ASK, answer.as_bytes(), 99).answer();
    let detail = &whole["choices"][0]["message"]["reasoning_details"][0];
    assert_eq!(detail["result"], format!("[{USE}]"));
}

#[test]
fn clients_of_responses_give_it_back() {
    let fixture = Fixture::new(Dialect::AnthropicMessages).api(Api::Responses);
    let request = r#"{"model":"m","input":"x"}"#;
    let whole = fixture.play(request, anthropic().as_bytes(), 99).answer();
    let mut input = vec![json!({ "role": "user", "content": "x" })];
    input.extend(whole["output"].as_array().unwrap().iter().cloned());
    let kinds: Vec<&str> = input[1..]
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["message", "reasoning", "message"]);
    input.push(json!({ "role": "user", "content": "and?" }));
    let body = fixture
        .body(&json!({ "model": "m", "input": input }).to_string())
        .unwrap();
    assert!(body.contains(&format!("{USE},{RESULT}")), "{body}");
    let given = json!({ "model": "m", "input": input }).to_string();
    for dialect in [Dialect::OpenaiResponses, Dialect::Gemini] {
        let failure = Fixture::new(dialect)
            .api(Api::Responses)
            .body(&given)
            .unwrap_err();
        let place = failure.param.unwrap();
        assert!(place.starts_with("input["), "{place}");
    }
    let stream = fixture.play(
        r#"{"model":"m","input":"x","stream":true}"#,
        anthropic_stream().as_bytes(),
        7,
    );
    let events = stream.events();
    let last = &events.last().unwrap()["response"]["output"][0];
    assert_eq!(last["encrypted_content"], format!("[{USE},{RESULT}]"));
}

#[test]
fn code_that_gemini_ran_goes_back_through_messages() {
    let answer = r#"{"candidates":[{"content":{"role":"model","parts":[{"executableCode":{"language":"PYTHON","code":"print(1)\n"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}},{"text":"one"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#;
    let fixture = Fixture::new(Dialect::Gemini);
    let whole = fixture.play(ASK, answer.as_bytes(), 99).answer();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], "one");
    let detail = &message["reasoning_details"][0];
    assert_eq!(detail["tool_name"], "code_execution");
    let parts = r#"{"executableCode":{"language":"PYTHON","code":"print(1)\n"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}}"#;
    assert_eq!(detail["result"], format!("[{parts}]"));
    assert!(fixture.body(&next(message)).unwrap().contains(parts));

    let fixture = fixture.api(Api::Messages);
    let request = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
    let whole = fixture.play(request, answer.as_bytes(), 99).answer();
    assert_eq!(whole["content"][0]["type"], "redacted_thinking");
    let again = json!({
        "model": "m", "max_tokens": 9,
        "messages": [
            { "role": "user", "content": "x" },
            { "role": "assistant", "content": whole["content"] },
            { "role": "user", "content": "and?" },
        ],
    });
    assert!(fixture.body(&again.to_string()).unwrap().contains(parts));
}

#[test]
fn items_of_the_responses_dialect_go_back_through_chat() {
    let item = r#"{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}}"#;
    let answer = format!(
        r#"{{"id":"r","object":"response","status":"completed","output":[{item},{{"type":"message","id":"m","role":"assistant","status":"completed","content":[{{"type":"output_text","text":"found","annotations":[]}}]}}],"usage":{{"input_tokens":3,"output_tokens":2,"total_tokens":5}}}}"#
    );
    let fixture = Fixture::new(Dialect::OpenaiResponses);
    let whole = fixture.play(ASK, answer.as_bytes(), 99).answer();
    let message = &whole["choices"][0]["message"];
    let detail = &message["reasoning_details"][0];
    assert_eq!(detail["tool_name"], "web_search");
    assert_eq!(detail["arguments"], r#"{"type":"search","query":"q"}"#);
    assert!(fixture.body(&next(message)).unwrap().contains(item));
    let streamed = data(&[
        r#"{"type":"response.created","response":{"id":"r"}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"ws_1","status":"in_progress"}}"#,
        &format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#),
        &format!(r#"{{"type":"response.completed","response":{answer}}}"#),
    ]);
    let stream = ASK.replacen('{', r#"{"stream":true,"#, 1);
    let chunks = fixture.play(&stream, streamed.as_bytes(), 17).chunks();
    let details: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_details"].get(0))
        .collect();
    assert_eq!(details.len(), 1);
    assert_eq!(details[0]["result"], format!("[{item}]"));
}

#[test]
fn blocks_of_messages_pass_or_are_named() {
    let sealed = Fixture::new(Dialect::Gemini).api(Api::Messages);
    let request = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
    let thought = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"c2ln"},{"text":"one"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#;
    let whole = sealed.play(request, thought.as_bytes(), 99).answer();
    let of = |content: Value| {
        json!({
            "model": "m", "max_tokens": 9,
            "messages": [
                { "role": "user", "content": "x" },
                { "role": "assistant", "content": content },
                { "role": "user", "content": "and?" },
            ],
        })
        .to_string()
    };
    let blocks: Vec<Value> = [USE, RESULT]
        .map(|it| serde_json::from_str(it).unwrap())
        .into();
    // What Gemini thought is taken out; what Anthropic's tool did stays.
    let mut mixed = whole["content"].as_array().unwrap().clone();
    mixed.extend(blocks.iter().cloned());
    let anthropic = Fixture::new(Dialect::AnthropicMessages).api(Api::Messages);
    let body: Value = serde_json::from_str(&anthropic.body(&of(mixed.into())).unwrap()).unwrap();
    let content = body["messages"][1]["content"].as_array().unwrap();
    assert_eq!(content[content.len() - 2..], blocks[..]);
    for dialect in [
        Dialect::Gemini,
        Dialect::OpenaiChat,
        Dialect::BedrockConverse,
    ] {
        let fixture = Fixture::new(dialect).api(Api::Messages);
        refused(
            &fixture,
            &of(blocks.clone().into()),
            "messages[1].content[0]",
        );
    }
}

/// Perplexity's usage (docs.perplexity.ai, sonar-deep-research): what it has read to cite it is apart.
/// Google's grounding chunk of a place (`GroundingChunk.maps`). OpenAI's output items.
#[test]
fn what_tools_were_used_for_is_counted_and_told() {
    let told = |dialect, answer: &str| {
        let played = Fixture::new(dialect).play(ASK, answer.as_bytes(), 99);
        played.answer()["usage"]["server_tool_use_details"].clone()
    };
    let perplexity = r#"{"id":"c","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"a"}}],"usage":{"prompt_tokens":33,"completion_tokens":7163,"total_tokens":7196,"citation_tokens":19028,"num_search_queries":31,"reasoning_tokens":0}}"#;
    assert_eq!(
        told(Dialect::OpenaiChat, perplexity),
        json!({"web_search_requests": 31, "citation_tokens": 19028})
    );
    let gemini = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"there"}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"maps":{"uri":"https://maps.google.com/?cid=1","title":"A","placeId":"places/1"}}],"groundingSupports":[]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#;
    assert_eq!(told(Dialect::Gemini, gemini), json!({"maps_requests": 1}));
    let responses = r#"{"id":"r","object":"response","status":"completed","output":[{"type":"file_search_call","id":"fs_1","status":"completed","queries":["q"],"results":null},{"type":"code_interpreter_call","id":"ci_1","status":"completed","code":"1","container_id":"cntr_1","outputs":null},{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"found","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}"#;
    assert_eq!(
        told(Dialect::OpenaiResponses, responses),
        json!({"file_search_requests": 1, "code_execution_requests": 1})
    );
    let fetched = anthropic().replace(
        r#""web_search_requests":1"#,
        r#""web_search_requests":1,"web_fetch_requests":2"#,
    );
    assert_eq!(
        told(Dialect::AnthropicMessages, &fetched),
        json!({"web_search_requests": 1, "web_fetch_requests": 2})
    );
}
