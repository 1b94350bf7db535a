//! What a text rests on.

use super::*;

#[test]
fn sources_are_annotated_where_they_belong() {
    let played = played(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"ab"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":[]}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://x","title":"T\"","cited_text":"c"}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"c"}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"cdé"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        END,
        STOP,
    ]);
    let citation = json!({"url": "https://x", "title": "T\"", "content": "c", "start_index": 2, "end_index": 5});
    assert_eq!(
        deltas(&played).last().unwrap(),
        &json!({"annotations": [{"type": "url_citation", "url_citation": citation}]})
    );
}

#[test]
fn sources_that_the_client_gave_have_names() {
    let answer = json!({"type": "message", "id": "m", "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
    "content": [{"type": "text", "text": "x", "citations": [
        {"type": "char_location", "cited_text": "c", "document_index": 0,
            "document_title": "facts.txt", "start_char_index": 0, "end_char_index": 1},
        {"type": "page_location", "cited_text": "c", "document_index": 3,
            "document_title": null, "start_page_number": 1, "end_page_number": 2},
        {"type": "search_result_location", "cited_text": "c", "source": "https://s",
            "title": "S", "search_result_index": 0},
        {"type": "search_result_location", "cited_text": "c", "source": "kb-1",
            "title": "K", "search_result_index": 0},
    ]}]});
    let said = anthropic()
        .play(WHOLE, answer.to_string().as_bytes(), 50)
        .answer();
    let list = said["choices"][0]["message"]["annotations"].clone();
    let told: Vec<(&str, &str)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["url_citation"])
        .map(|it| (it["url"].as_str().unwrap(), it["title"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("facts.txt", "facts.txt"),
            ("document 3", "document 3"),
            ("https://s", "S"),
            ("kb-1", "K"),
        ]
    );
    assert_eq!(list[0]["url_citation"]["content"], "c");
}

#[test]
fn sources_of_what_was_said_outlive_a_break() {
    let events = [
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://a.b","title":"t","cited_text":"c","encrypted_index":"x"}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"said"}}"#,
    ];
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let fixture = Fixture::new(Dialect::AnthropicMessages);
    for rest in ["", error] {
        let mut all = events.to_vec();
        all.extend(Some(rest).filter(|rest| !rest.is_empty()));
        let played = fixture.play(STREAM, data(&all).as_bytes(), 9);
        assert!(played.failure.is_some());
        assert!(played.out.contains("https://a.b"), "{}", played.out);
    }
}
