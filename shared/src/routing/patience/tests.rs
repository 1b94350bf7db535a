//! Patience: within the provider's bounds, fair to long prompts and whole answers.

use super::*;
use proptest::prelude::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn pace(p95: u64, speed: f64) -> Pace {
    Pace {
        ttft_p95: Some(ms(p95)),
        tokens_per_second: Some(speed),
    }
}

fn task() -> Task {
    Task {
        mode: Mode::Balanced,
        stream: true,
        prompt_tokens: 500,
        max_tokens: None,
        probe: false,
    }
}

fn of(pace: &Pace, task: &Task) -> Patience {
    Patience::of(&Tuning::default(), pace, task, &Timeouts::default())
}

#[test]
fn a_stream_is_waited_for_as_its_endpoint_deserves() {
    let check = |p95, silence, hedge, deadline| {
        let got = of(&pace(p95, 50.0), &task());
        let expect = Patience {
            silence: ms(silence),
            hedge: ms(hedge),
            deadline: ms(deadline),
        };
        assert_eq!(got, expect, "{p95}");
    };
    check(200, 700, 800, 3_000);
    check(1_000, 1_150, 1_600, 3_000);
    check(2_000, 2_300, 3_200, 6_000);
    check(6_000, 6_900, 9_600, 10_000);
    // Who rightly takes that long is not given up while it does.
    check(20_000, 23_000, 30_000, 25_000);
    check(60_000, 30_000, 30_000, 30_000);
}

#[test]
fn each_mode_hedges_in_its_own_time_and_a_probe_at_once() {
    for (mode, hedge) in [
        (Mode::Price, 4_400),
        (Mode::Balanced, 3_200),
        (Mode::Throughput, 2_800),
        (Mode::Latency, 2_400),
    ] {
        let task = Task { mode, ..task() };
        assert_eq!(of(&pace(2_000, 50.0), &task).hedge, ms(hedge), "{mode}");
        let probe = Task {
            probe: true,
            ..task
        };
        assert_eq!(of(&pace(2_000, 50.0), &probe).hedge, ms(700));
    }
}

#[test]
fn without_knowledge_the_providers_bounds_hold() {
    let bounds = Timeouts::default();
    let stream = of(&Pace::default(), &task());
    assert_eq!(stream.deadline, bounds.first_token);
    let whole = Task {
        stream: false,
        ..task()
    };
    let whole = of(&Pace::default(), &whole);
    assert_eq!(
        (whole.silence, whole.deadline),
        (bounds.first_token, bounds.total)
    );
    // A short answer takes no ten minutes, however slow its endpoint may be: 20 tokens at 4 per
    // second after the bound on the first.
    let short = Task {
        stream: false,
        max_tokens: Some(20),
        ..task()
    };
    let short = of(&Pace::default(), &short);
    assert_eq!(short.deadline, bounds.first_token + ms(5_000));
    assert_eq!((short.silence, short.hedge), (whole.silence, whole.hedge));
}

#[test]
fn a_whole_answer_may_take_as_long_as_it_is() {
    let whole = |max_tokens| Task {
        stream: false,
        max_tokens,
        ..task()
    };
    let known = pace(1_000, 50.0);
    let unknown = of(&known, &whole(None));
    assert_eq!(unknown.deadline, Timeouts::default().total);
    // 1,000 tokens at half the usual speed take 40 s, at a quarter 80 s.
    let bounded = of(&known, &whole(Some(1_000)));
    assert_eq!(bounded.silence, ms(41_150));
    assert_eq!(bounded.hedge, ms(41_600));
    assert_eq!(bounded.deadline, ms(83_000));
    let short = of(&known, &whole(Some(10)));
    assert_eq!(short.silence, ms(1_550));
}

#[test]
fn a_long_prompt_takes_its_time() {
    let long = Task {
        prompt_tokens: 29_000,
        ..task()
    };
    // 25,000 tokens more than usual: ten seconds.
    let got = of(&pace(1_000, 50.0), &long);
    assert_eq!(got.silence, ms(12_650));
    assert_eq!(got.deadline, ms(20_000));
}

proptest! {
    #[test]
    fn patience_keeps_its_bounds_and_its_order(
        p95 in prop::option::of(0_u64..200_000), speed in prop::option::of(0.0_f64..1e4),
        prompt_tokens in 0_u64..10_000_000, max_tokens in prop::option::of(0_u64..u64::MAX),
        mode in prop::sample::select(Mode::ALL), stream: bool, probe: bool,
        first_token in 1_u64..100_000, total in 1_u64..1_000_000,
    ) {
        let pace = Pace { ttft_p95: p95.map(ms), tokens_per_second: speed };
        let task = Task { mode, stream, prompt_tokens, max_tokens, probe };
        let bounds = Timeouts { first_token: ms(first_token), total: ms(total), ..Timeouts::default() };
        let tuning = Tuning::default();
        let got = Patience::of(&tuning, &pace, &task, &bounds);
        prop_assert!(got.deadline <= bounds.total);
        prop_assert!(!stream || got.deadline <= bounds.first_token);
        prop_assert!(got.silence <= bounds.total && got.hedge <= bounds.total);
        let least = tuning.deadline_least.min(bounds.first_token).min(bounds.total);
        prop_assert!(got.deadline >= least);
        // More to read is never given less time.
        let more = Task { prompt_tokens: prompt_tokens.saturating_add(1000), ..task };
        let more = Patience::of(&tuning, &pace, &more, &bounds);
        prop_assert!(more.deadline >= got.deadline && more.silence >= got.silence);
    }
}
