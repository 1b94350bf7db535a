use super::Tokens;
use crate::dialect::fixture::Fixture;
use crate::ingress::Call;
use crate::message::Progress;
use shared::routing::View;
use shared::usage::Usage;

const BODY: &str = r#"{"model":"a/b","messages":[{"role":"user","content":"TEXT"}]}"#;

/// A call whose text has so many bytes; its one message costs 4 tokens besides.
fn call(bytes: usize) -> Call {
    let body = BODY.replace("TEXT", &"x".repeat(bytes));
    Fixture::new(shared::catalog::Dialect::OpenaiChat).call(&body)
}

fn seen(usage: Option<Usage>, output_bytes: u64, done: bool) -> Progress {
    Progress {
        usage,
        output_bytes,
        done,
        ..Progress::default()
    }
}

fn counted(prompt: u64, completion: u64) -> Usage {
    Usage {
        prompt,
        completion,
        ..Usage::default()
    }
}

fn check(tokens: &Tokens, (bytes, seen): (usize, &Progress), expected: (u64, u64, bool)) {
    let got = tokens.usage(&View::default(), "a/b", &call(bytes), seen);
    assert_eq!((got.prompt, got.completion, got.estimated), expected);
}

#[test]
fn what_a_provider_does_not_count_is_estimated_by_what_others_counted_of_the_model() {
    let tokens = Tokens::default();
    let silent = seen(None, 600, true);
    check(&tokens, (400, &silent), (104, 150, true));
    for _ in 0..3 {
        let whole = seen(Some(counted(1004, 1000)), 3000, true);
        tokens.learn(&View::default(), "a/b", &call(2000), &whole);
    }
    check(&tokens, (400, &silent), (204, 200, true));
    let got = tokens.usage(&View::default(), "c/d", &call(400), &silent);
    assert_eq!((got.prompt, got.completion), (104, 150), "another model");
}

#[test]
fn an_answer_that_is_not_known_alone_goes_by_the_prompts() {
    let tokens = Tokens::default();
    for _ in 0..3 {
        let hidden = Usage {
            reasoning: 900,
            ..counted(1004, 1000)
        };
        tokens.learn(
            &View::default(),
            "a/b",
            &call(2000),
            &seen(Some(hidden), 3000, true),
        );
    }
    check(&tokens, (0, &seen(None, 600, true)), (4, 300, true));
}

#[test]
fn what_was_counted_stands() {
    let tokens = Tokens::default();
    let told = seen(Some(counted(7, 9)), 4000, true);
    check(&tokens, (400, &told), (7, 9, false));
    // Before the end a count may be of the beginning.
    let early = seen(Some(counted(7, 1)), 4000, false);
    check(&tokens, (400, &early), (7, 1000, true));
    let late = seen(Some(counted(7, 2000)), 4000, false);
    check(&tokens, (400, &late), (7, 2000, false));
}

#[test]
fn a_readers_guess_is_replaced() {
    let tokens = Tokens::default();
    let guess = |prompt, completion| Usage {
        estimated: true,
        ..counted(prompt, completion)
    };
    let cut = seen(Some(guess(7, 1)), 4000, false);
    check(&tokens, (400, &cut), (7, 1000, true));
    let cached = seen(Some(guess(0, 9)), 4000, true);
    check(&tokens, (400, &cached), (104, 9, true));
    tokens.learn(&View::default(), "a/b", &call(2000), &cached);
    check(&tokens, (400, &seen(None, 600, true)), (104, 150, true));
}

#[test]
fn what_can_not_be_is_neither_believed_nor_learned() {
    let tokens = Tokens::default();
    let negative = seen(Some(counted(u64::MAX, 9)), 600, true);
    check(&tokens, (400, &negative), (104, 150, true));
    tokens.learn(&View::default(), "a/b", &call(400), &negative);
    check(&tokens, (400, &seen(None, 600, true)), (104, 150, true));
}
