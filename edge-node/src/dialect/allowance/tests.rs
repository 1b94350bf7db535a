//! Headers as providers sent them, or document them.

use super::*;
use proptest::prelude::*;

fn headers(all: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        let name: http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What both limits are per minute, as far as that follows.
fn per_minute(all: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
    let (requests, tokens) = allowances(&headers(all));
    let read = |allowance: Option<Allowance>| allowance?.per_minute();
    (read(requests), read(tokens))
}

#[test]
fn openai_and_anthropic_say_the_same_in_their_own_words() {
    let (requests, tokens) = allowances(&headers(&[
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ]));
    let expect = |limit: f64, remaining, reset| {
        Some(Allowance {
            limit: Some(limit),
            remaining,
            reset: Some(seconds(reset)),
            period: None,
        })
    };
    assert_eq!(requests, expect(60.0, 59.0, 1));
    assert_eq!(tokens, expect(150_000.0, 149_984.0, 360));
    let (requests, tokens) = allowances(&headers(&[
        ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-10-21T07:28:12Z"),
        ("anthropic-ratelimit-input-tokens-limit", "30000"),
        ("anthropic-ratelimit-input-tokens-remaining", "1000"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-10-21T07:28:30Z",
        ),
        ("anthropic-ratelimit-output-tokens-limit", "1"),
        ("anthropic-ratelimit-output-tokens-remaining", "0"),
        ("anthropic-ratelimit-tokens-limit", "38000"),
        ("anthropic-ratelimit-tokens-remaining", "10"),
    ]));
    assert_eq!(requests, expect(50.0, 0.0, 12));
    let told = expect(30_000.0, 1000.0, 30).map(|told| Allowance {
        limit: None,
        ..told
    });
    assert_eq!(
        tokens, told,
        "what is read from a cache does not count there"
    );
    assert_eq!(allowances(&headers(&[("content-type", "x")])), (None, None));
}

#[test]
fn a_limit_per_second_is_not_taken_for_one_per_minute() {
    let together = [
        ("x-ratelimit", "false"),
        ("x-ratelimit-limit", "30"),
        ("x-ratelimit-limit-tokens", "3000"),
        ("x-ratelimit-remaining", "59"),
        ("x-ratelimit-remaining-tokens", "3000"),
        ("x-ratelimit-reset", "2"),
    ];
    assert_eq!(per_minute(&together), (Some(1_800), Some(180_000)));
    let (_, tokens) = allowances(&headers(&together));
    assert_eq!(tokens.and_then(|it| it.reset), Some(seconds(2)));
    let documented = [
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "9"),
        ("x-ratelimit-reset", "1"),
        ("x-tokenlimit-limit", "3000"),
        ("x-tokenlimit-remaining", "2990"),
    ];
    assert_eq!(per_minute(&documented), (Some(600), Some(180_000)));
    let named = [
        ("x-ratelimit-limit-requests-second", "5"),
        ("x-ratelimit-remaining-requests-second", "4"),
        ("x-ratelimit-limit-tokens-second", "2000"),
        ("x-ratelimit-remaining-tokens-second", "1900"),
    ];
    assert_eq!(per_minute(&named), (Some(300), Some(120_000)));
}

#[test]
fn the_time_that_a_limit_is_of_may_be_in_its_name() {
    let mistral = [
        ("x-ratelimit-limit-req-minute", "100"),
        ("x-ratelimit-limit-tokens-minute", "100000"),
        ("x-ratelimit-remaining-req-minute", "99"),
        ("x-ratelimit-remaining-tokens-minute", "99288"),
        ("x-ratelimit-tokens-query-cost", "263"),
    ];
    assert_eq!(per_minute(&mistral), (Some(100), Some(100_000)));
    let cerebras = [
        ("x-ratelimit-limit-requests-day", "14400"),
        ("x-ratelimit-remaining-requests-day", "14399"),
        ("x-ratelimit-reset-requests-day", "33011.382867"),
        ("x-ratelimit-limit-tokens-minute", "60000"),
        ("x-ratelimit-remaining-tokens-minute", "59937"),
        ("x-ratelimit-reset-tokens-minute", "11.382867"),
    ];
    assert_eq!(per_minute(&cerebras), (None, Some(60_000)));
    let hugging_face = [
        ("ratelimit-limit", "400"),
        ("ratelimit-remaining", "399"),
        ("ratelimit-reset", "19"),
        ("x-ratelimit-limit-minute", "400"),
        ("x-ratelimit-remaining-minute", "399"),
    ];
    assert_eq!(per_minute(&hugging_face), (Some(400), None));
    let cohere = [
        ("x-endpoint-monthly-call-limit", "1000"),
        ("x-trial-endpoint-call-limit", "40"),
        ("x-trial-endpoint-call-remaining", "31"),
    ];
    assert_eq!(per_minute(&cohere), (Some(40), None));
    let azure = [
        ("x-ratelimit-limit-requests", "2500"),
        ("x-ratelimit-limit-tokens", "250000"),
        ("x-ratelimit-remaining-requests", "2499"),
        ("x-ratelimit-remaining-tokens", "249988"),
        ("x-ratelimit-renewalperiod-requests", "60"),
        ("x-ratelimit-renewalperiod-tokens", "60"),
        ("x-ratelimit-reset-requests", "0"),
        ("x-ratelimit-reset-tokens", "0"),
    ];
    assert_eq!(per_minute(&azure), (Some(2_500), Some(250_000)));
    let fireworks = [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-limit-tokens-prompt", "60000"),
        ("x-ratelimit-over-limit", "no"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-remaining-tokens-prompt", "59925"),
    ];
    assert_eq!(per_minute(&fireworks), (Some(60), None));
}

#[test]
fn of_several_limits_the_one_of_which_the_least_is_left_counts() {
    let both = |day: &str| {
        let (requests, _) = allowances(&headers(&[
            ("x-ratelimit-limit-requests-minute", "30"),
            ("x-ratelimit-remaining-requests-minute", "29"),
            ("x-ratelimit-limit-requests-day", "900"),
            ("x-ratelimit-remaining-requests-day", day),
        ]));
        requests.and_then(|it| it.period)
    };
    assert_eq!(both("800"), Some(seconds(60)));
    assert_eq!(both("0"), Some(seconds(86_400)));
}

proptest! {
    #[test]
    fn nothing_in_a_header_breaks_it(value in "[ -~]{0,40}") {
        let value = value.as_str();
        for all in [
            [("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", value)],
            [("x-ratelimit-remaining-requests", value), ("date", value)],
            [("x-ratelimit-remaining", "1"), ("x-ratelimit-renewalperiod", value)],
            [("anthropic-ratelimit-tokens-remaining", "1"), ("anthropic-ratelimit-tokens-reset", value)],
        ] {
            let (requests, tokens) = allowances(&headers(&all));
            for allowance in [requests, tokens].into_iter().flatten() {
                prop_assert!(allowance.remaining >= 0.0 && allowance.remaining.is_finite());
                prop_assert!(allowance.reset.unwrap_or_default() <= retry_after::RETRY_AFTER_MAX);
                let _ = allowance.per_minute();
            }
        }
        let _ = retry_after::read(&headers(&[("retry-after", value)]));
    }

    #[test]
    fn no_name_of_a_header_breaks_it(name in "(x-|anthropic-)?(ratelimit|tokenlimit)(-[a-z]{0,9}){0,4}") {
        let _ = Part::of(&name);
    }
}
