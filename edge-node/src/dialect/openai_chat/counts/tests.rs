use super::*;

fn read(texts: &[&str]) -> Option<Usage> {
    let mut counts = Counts::default();
    for text in texts {
        counts.read(&mut Scanner::new(text)).unwrap();
    }
    counts.usage(false)
}

fn usage(prompt: u64, cache_read: u64, completion: u64, reasoning: u64) -> Option<Usage> {
    Some(Usage {
        prompt,
        cache_read,
        completion,
        reasoning,
        ..Usage::default()
    })
}

#[test]
fn every_convention_comes_out_the_same() {
    let check = |texts: &[&str], expected| assert_eq!(read(texts), expected, "{texts:?}");
    check(&["null"], None);
    check(&["{}"], None);
    check(&[r#"{"prompt_tokens":null}"#], None);
    check(
        &[
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
            "prompt_tokens_details":{"cached_tokens":4},
            "completion_tokens_details":{"reasoning_tokens":3}}"#,
        ],
        usage(10, 4, 5, 3),
    );
    // xAI: reasoning beside the completion.
    check(
        &[
            r#"{"prompt_tokens":165,"completion_tokens":2,"total_tokens":292,
            "completion_tokens_details":{"reasoning_tokens":125}}"#,
        ],
        usage(165, 0, 127, 125),
    );
    // DeepSeek.
    check(
        &[
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":7,
            "prompt_cache_miss_tokens":3}"#,
        ],
        usage(10, 7, 5, 0),
    );
    // Together.
    check(
        &[r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":2}"#],
        usage(10, 2, 5, 0),
    );
    // More cached than there was.
    check(
        &[
            r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":163}}"#,
        ],
        usage(7, 7, 1, 0),
    );
    // Google: reasoning in the total and nowhere else.
    check(
        &[r#"{"prompt_tokens":165,"completion_tokens":2,"total_tokens":292}"#],
        usage(165, 0, 127, 0),
    );
    check(
        &[
            r#"{"prompt_tokens":165,"completion_tokens":2,"total_tokens":300,
            "completion_tokens_details":{"reasoning_tokens":125}}"#,
        ],
        usage(165, 0, 135, 125),
    );
    // Perplexity, Fireworks: cumulative on every chunk. Groq: twice.
    check(
        &[
            r#"{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}"#,
            r#"{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}"#,
            r#"{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}"#,
            "null",
        ],
        usage(8, 0, 3, 0),
    );
    // Databricks: null until the end.
    check(
        &[
            r#"{"prompt_tokens":8,"completion_tokens":null}"#,
            r#"{"completion_tokens":3,"prompt_tokens":null}"#,
        ],
        usage(8, 0, 3, 0),
    );
}

#[test]
fn a_total_counts_more_than_the_answer() {
    let check = |text: &str, expected| assert_eq!(read(&[text]), expected, "{text}");
    // The prompt is without its cached parts.
    check(
        r#"{"prompt_tokens":7,"completion_tokens":5,"total_tokens":175,
        "prompt_tokens_details":{"cached_tokens":163}}"#,
        usage(7, 7, 5, 0),
    );
    check(
        r#"{"prompt_tokens":7,"completion_tokens":5,"total_tokens":178,
        "prompt_tokens_details":{"cached_tokens":163}}"#,
        usage(7, 7, 8, 0),
    );
    check(
        r#"{"prompt_tokens":1000,"completion_tokens":5,"total_tokens":1405,
        "prompt_tokens_details":{"cached_tokens":400}}"#,
        usage(1000, 400, 5, 0),
    );
    // Of a prompt that is not told.
    check(
        r#"{"completion_tokens":5,"total_tokens":15}"#,
        usage(0, 0, 5, 0),
    );
    // Smaller than its parts, none, beyond belief.
    check(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":12}"#,
        usage(10, 0, 5, 0),
    );
    check(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":0}"#,
        usage(10, 0, 5, 0),
    );
    check(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":9000000}"#,
        usage(10, 0, 5, 0),
    );
}

#[test]
fn reasoning_that_is_always_outside_is_added_unless_the_total_says_no() {
    let outside = |text: &str| {
        let mut counts = Counts::default();
        counts.read(&mut Scanner::new(text)).unwrap();
        counts.usage(true).map(|usage| usage.completion)
    };
    let details = r#""completion_tokens_details":{"reasoning_tokens":20}"#;
    let text = format!(r#"{{"prompt_tokens":10,"completion_tokens":50,{details}}}"#);
    assert_eq!(outside(&text), Some(70));
    let text =
        format!(r#"{{"prompt_tokens":10,"completion_tokens":50,"total_tokens":60,{details}}}"#);
    assert_eq!(outside(&text), Some(50));
}

#[test]
fn what_came_last_holds_unless_it_says_nothing() {
    let check = |texts: &[&str], expected| assert_eq!(read(texts), expected, "{texts:?}");
    let told = r#"{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}"#;
    let zeros = r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
    check(&[told, zeros], usage(9, 0, 5, 0));
    check(&[zeros, told], usage(9, 0, 5, 0));
    check(&[zeros], usage(0, 0, 0, 0));
    // The total of an earlier chunk.
    check(
        &[
            r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}"#,
            r#"{"prompt_tokens":9,"completion_tokens":2,
            "completion_tokens_details":{"reasoning_tokens":30}}"#,
        ],
        usage(9, 0, 32, 30),
    );
}

#[test]
fn classes_have_many_names() {
    let check = |text: &str, expected| assert_eq!(read(&[text]), expected, "{text}");
    // Databricks, New API: zeros under the names that are not meant.
    check(
        r#"{"prompt_tokens":10,"completion_tokens":5,"cache_read_input_tokens":6,
        "input_tokens":0,"output_tokens":0,"prompt_tokens_details":{"cached_tokens":0}}"#,
        usage(10, 6, 5, 0),
    );
    check(
        r#"{"input_tokens":10,"output_tokens":5,"input_tokens_details":{"cached_tokens":4},
        "output_tokens_details":{"reasoning_tokens":3}}"#,
        usage(10, 4, 5, 3),
    );
    check(
        r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_token_details":{"cached_tokens":4},
        "num_cached_tokens":4}"#,
        usage(10, 4, 5, 0),
    );
}
