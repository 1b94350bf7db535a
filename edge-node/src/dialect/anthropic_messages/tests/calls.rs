//! Calls of the client's tools, and uses of the provider's own.

use super::*;

#[test]
fn parallel_calls_count_from_zero_whatever_stands_between() {
    let played = played(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\u00e9"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{}}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":" 1}"}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        &END.replace("end_turn", "tool_use"),
        STOP,
    ]);
    assert_eq!(
        deltas(&played),
        [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "aé"}),
            json!({"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            json!({"tool_calls": [{"index": 1, "id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 1, "function": {"arguments": "{\"x\":"}}]}),
            json!({"tool_calls": [{"index": 1, "function": {"arguments": " 1}"}}]}),
            json!({"reasoning_details": [{
                "type": "reasoning.server_tool_call", "tool_name": "web_search",
                "arguments": "{}", "tool_call_id": "s",
                "result": r#"[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]"#,
                "format": "anthropic-claude-v1", "index": 0,
            }]}),
        ]
    );
    let chunks = played.chunks();
    let end = &chunks[chunks.len() - 2]["choices"][0];
    assert_eq!(
        (&end["finish_reason"], &end["native_finish_reason"]),
        (&json!("tool_calls"), &json!("tool_use"))
    );
    assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], 15);
    assert!(!played.tool_error);
}

#[test]
fn calls_that_nobody_ends_are_whole() {
    let call = |input: &str, id: &str| {
        format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"{id}","name":"f","input":{input}}}}}"#
        )
    };
    let end = END.replace("end_turn", "tool_use");
    let told = |blocks: &[&str], ends: &[&str]| {
        let played = played(&[&[START], blocks, ends].concat());
        assert!(played.failure.is_none(), "{:?}", played.failure);
        let calls: Vec<Value> = deltas(&played)
            .iter()
            .flat_map(|delta| delta["tool_calls"].as_array().cloned().unwrap_or_default())
            .collect();
        let arguments: String = calls
            .iter()
            .filter_map(|call| call["function"]["arguments"].as_str())
            .collect();
        (calls[0]["id"].as_str().unwrap().to_owned(), arguments)
    };
    let full = call(r#"{"a":1}"#, "toolu_1");
    for ends in [&[&*end, STOP][..], &[STOP]] {
        let expected = ("toolu_1".to_owned(), r#"{"a":1}"#.to_owned());
        assert_eq!(told(&[&full], ends), expected);
        let (id, arguments) = told(&[&call("{}", "")], ends);
        assert_eq!((&*id, &*arguments), ("call_1_0", "{}"));
    }
    // The next block of the same index ends it, too.
    let text =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"x"}}"#;
    assert_eq!(told(&[&full, text], &[&end, STOP]).1, r#"{"a":1}"#);
    // Pieces stand for themselves.
    let piece = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"b\":2}"}}"#;
    let (_, arguments) = told(&[&call("{}", "t"), piece], &[&end, STOP]);
    assert_eq!(arguments, r#"{"b":2}"#);
}

#[test]
fn uses_that_were_answered_make_room_for_others() {
    let started = |kind: &str| {
        format!(r#"{{"type":"content_block_start","index":0,"content_block":{{"type":{kind}}}}}"#)
    };
    let stop = r#"{"type":"content_block_stop","index":0}"#;
    let mut list = vec![START.to_owned()];
    // Together more than is kept at once.
    let long = "q".repeat(400 << 10);
    for number in 0..4 {
        let used =
            format!(r#""server_tool_use","id":"s{number}","name":"web_search","input":{{}}"#);
        let asked = format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":"{{\"query\":\"{long}\"}}"}}}}"#
        );
        let result = format!(r#""web_search_tool_result","tool_use_id":"s{number}","content":[]"#);
        list.extend([started(&used), asked, stop.to_owned()]);
        list.extend([started(&result), stop.to_owned()]);
    }
    list.extend([END.to_owned(), STOP.to_owned()]);
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let told: Vec<usize> = deltas(&played(&list))
        .iter()
        .filter_map(|delta| {
            delta["reasoning_details"][0]["arguments"]
                .as_str()
                .map(str::len)
        })
        .collect();
    assert_eq!(told, [long.len() + r#"{"query":""}"#.len(); 4]);
}

#[test]
fn uses_that_nobody_answers_have_an_end() {
    let block = |number: usize| {
        format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"server_tool_use","id":"s{number}","name":"web_search","input":{{}}}}}}"#
        )
    };
    let list: Vec<String> = (0..600).map(block).collect();
    let list: Vec<&str> = std::iter::once(START)
        .chain(list.iter().map(String::as_str))
        .collect();
    assert_eq!(played(&list).reason(), "too_large");
}
