//! How answers end, and fail to.

use super::*;

#[test]
fn nothing_but_a_beginning_is_not_owed() {
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let played = played(&[START, r#"{"type":"ping"}"#, overloaded]);
    assert!(!played.owed);
    assert_eq!(played.failure.unwrap().status, 529);
}

#[test]
fn an_end_in_an_error_is_none() {
    let failed = END.replace("end_turn", "network_error");
    let text =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;
    for (list, owed) in [
        (&[START, &failed, STOP][..], false),
        (&[START, text, &failed, STOP], true),
    ] {
        let played = played(list);
        assert_eq!((played.reason(), played.owed), ("finish_error", owed));
        assert_eq!(played.usage.map(|usage| usage.completion), Some(5));
        assert_eq!(played.failure.unwrap().status, 502);
    }
}

#[test]
fn a_failure_has_its_class_before_and_after_the_first_content() {
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let text =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    let check = |list: &[&str], reason: &str, status: u16, owed: bool| {
        let played = played(list);
        let failure = played.failure.as_ref().unwrap();
        let got = (failure.reason, failure.status, played.owed);
        assert_eq!(got, (reason, status, owed), "{list:?}");
        assert!(!played.out.contains("[DONE]"), "{list:?}");
    };
    check(&[overloaded], "overloaded", 529, false);
    check(&[START, overloaded], "overloaded", 529, false);
    check(&[START, text, overloaded], "overloaded", 529, true);
    check(&[START, text], "truncated", 502, true);
    check(&[START], "truncated", 502, false);
    check(&[START, STOP], "empty", 502, false);
    check(&[], "empty", 502, false);
    let cut = anthropic().play(STREAM, &events(&[START, text]).as_bytes()[..150], 9);
    assert_eq!(cut.reason(), "truncated");
    assert_eq!(anthropic().play(STREAM, b"<html>", 1).reason(), "garbage");
    let rate = br#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#;
    assert_eq!(
        anthropic().play(STREAM, rate, 5).failure.unwrap().status,
        429
    );
    assert_eq!(
        anthropic().play(WHOLE, rate, 5).failure.unwrap().status,
        429
    );
}

#[test]
fn a_cut_stream_is_metered_by_what_came() {
    let text = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{}"}}}}"#,
        "a".repeat(40)
    );
    let usage = played(&[START, &text]).usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.completion, usage.estimated),
        (10, 10, true)
    );
}
