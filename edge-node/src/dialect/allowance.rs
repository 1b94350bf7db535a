//! What a provider's rate-limit headers leave to us: OpenAI's `x-ratelimit-*` and Anthropic's
//! `anthropic-ratelimit-*`. Pure; whether they are believed, and for how long, is the board's
//! concern.

use super::{date, retry_after};
use http::HeaderMap;
use shared::health::Allowance;
use std::time::Duration;

/// Of requests and of tokens.
#[must_use]
pub fn allowances(headers: &HeaderMap) -> (Option<Allowance>, Option<Allowance>) {
    let openai = |kind: &str| {
        let name = |what: &str| format!("x-ratelimit-{what}-{kind}");
        read(headers, &name("limit"), &name("remaining"), &name("reset"))
    };
    let anthropic = |kind: &str| {
        let name = |what: &str| format!("anthropic-ratelimit-{kind}-{what}");
        read(headers, &name("limit"), &name("remaining"), &name("reset"))
    };
    if !headers
        .keys()
        .any(|name| name.as_str().contains("ratelimit-"))
    {
        return (None, None);
    }
    let requests = openai("requests").or_else(|| anthropic("requests"));
    let tokens = openai("tokens")
        .or_else(|| {
            // What is read from a cache does not count there, but with us: no limit to keep to.
            let told = anthropic("input-tokens")?;
            Some(Allowance {
                limit: None,
                ..told
            })
        })
        .or_else(|| anthropic("tokens"));
    (requests, tokens)
}

fn read(headers: &HeaderMap, limit: &str, remaining: &str, reset: &str) -> Option<Allowance> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let count = |name: &str| text(name)?.trim().parse::<u64>().ok();
    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
    let amount = |count: u64| count as f64;
    Some(Allowance {
        limit: count(limit).map(amount),
        remaining: amount(count(remaining)?),
        reset: text(reset).and_then(|reset| until(headers, reset)),
    })
}

/// A duration such as `1s` or `6m0s`, or a date.
fn until(headers: &HeaderMap, reset: &str) -> Option<Duration> {
    let pause = retry_after::duration(reset).or_else(|| date::after_answer(headers, reset))?;
    Some(pause.min(retry_after::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
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
                reset: Some(Duration::from_secs(reset)),
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
        ]));
        assert_eq!(requests, expect(50.0, 0.0, 12));
        let told = expect(30_000.0, 1000.0, 30);
        let told = told.map(|told| Allowance {
            limit: None,
            ..told
        });
        assert_eq!(
            tokens, told,
            "what is read from a cache does not count there"
        );
        assert_eq!(allowances(&headers(&[("content-type", "x")])), (None, None));
    }

    proptest! {
        #[test]
        fn nothing_in_a_header_breaks_it(value in "[ -~]{0,40}") {
            let value = value.as_str();
            for headers in [
                [("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", value)],
                [("x-ratelimit-remaining-requests", value), ("date", value)],
                [("anthropic-ratelimit-tokens-remaining", "1"), ("anthropic-ratelimit-tokens-reset", value)],
            ] {
                let (requests, tokens) = allowances(&super::tests::headers(&headers));
                for allowance in [requests, tokens].into_iter().flatten() {
                    prop_assert!(allowance.remaining >= 0.0 && allowance.remaining.is_finite());
                    prop_assert!(allowance.reset.unwrap_or_default() <= retry_after::RETRY_AFTER_MAX);
                }
            }
            let _ = retry_after::read(&super::tests::headers(&[("retry-after", value)]));
        }
    }
}
