//! Properties of windows.

use super::*;
use proptest::prelude::*;

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Ok,
        Outcome::HardFail,
        Outcome::Timeout,
        Outcome::Silence,
        Outcome::Overload { retry_after: None },
        Outcome::RateLimited { retry_after: None },
        Outcome::Truncated,
        Outcome::Neutral,
    ])
}

pub(crate) fn window() -> impl Strategy<Value = Window> {
    let seen = (outcome(), 0_u64..90_000, 0.0_f64..500.0, 0_u64..10_000);
    prop::collection::vec(seen, 0..12).prop_map(|all| {
        let mut window = Window::default();
        for (outcome, ttft, speed, tokens) in all {
            window.record(&Observation {
                ttft: Some(Duration::from_millis(ttft)),
                tokens_per_second: Some(speed),
                whole_tokens_per_second: (tokens % 2 == 0).then_some(speed / 2.0),
                usage: Usage {
                    prompt: tokens,
                    completion: tokens / 3,
                    ..Usage::default()
                },
                cost: Amount(i128::from(tokens) * 1000),
                first_attempt: tokens % 2 == 0,
                tool_error: tokens % 7 == 0,
                tool_calls: tokens % 3 == 0,
                ..Observation::of(outcome)
            });
            window.note(&Sign::Limits(Stated {
                requests_per_minute: (tokens % 5 == 0).then_some(tokens + 1),
                tokens_per_minute: (tokens % 3 == 0).then_some(100 * tokens + 1),
                retry_after: (tokens % 2 == 0).then(|| Duration::from_millis(ttft)),
            }));
        }
        window
    })
}

#[test]
fn an_endpoint_too_many_counts_as_other() {
    let mut windows = Windows::default();
    let ok = Observation::of(Outcome::Ok);
    for number in 0..CELLS_MAX + 10 {
        windows.record(&EndpointId::from(format!("m@{number}")), &ok);
    }
    assert_eq!(windows.overflowed(), 11);
    let all = windows.take();
    assert_eq!(all.len(), CELLS_MAX);
    let sum: u64 = all.iter().map(|(_, window)| window.ok).sum();
    assert_eq!(sum, CELLS_MAX as u64 + 10);
    let other = all.iter().find(|(id, _)| id.as_str() == OTHER).unwrap();
    assert_eq!(other.1.ok, 11);
    assert!(windows.is_empty());
}

#[test]
fn capacity_is_not_sickness() {
    let mut window = Window::default();
    for outcome in [
        Outcome::RateLimited { retry_after: None },
        Outcome::Overload { retry_after: None },
        Outcome::Neutral,
    ] {
        window.record(&Observation::of(outcome));
    }
    assert_eq!(window.health(), (0.0, 0.0));
}

proptest! {
    #[test]
    fn merging_is_associative_and_commutative(a in window(), b in window(), c in window()) {
        let merged = |parts: &[&Window]| {
            let mut sum = Window::default();
            parts.iter().for_each(|part| sum.merge(part));
            sum
        };
        let bc = merged(&[&b, &c]);
        prop_assert_eq!(merged(&[&merged(&[&a, &b]), &c]), merged(&[&a, &bc]));
        prop_assert_eq!(merged(&[&a, &b]), merged(&[&b, &a]));
    }
}
