//! The load generator against simulated providers: it counts what happened, and measures what was
//! set.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::provider::{Config, Kind, Provider, Rule, Running, expected_answer};
use loadtest::run::{Limits, Plan, Shape, Target, drive, judge};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

fn body(stream: bool) -> Value {
    json!({"model": "m", "stream": stream,
        "messages": [{"role": "user", "content": "#tokens=20 fly"}]})
}

fn plan(running: &Running, stream: bool, shape: Shape) -> Plan {
    let url = format!("{}/chat/completions", running.base_url());
    Plan {
        target: Target::parse(&url).unwrap(),
        expected: Some(expected_answer(&body(stream)).text()),
        body: body(stream).to_string().into(),
        shape,
        warm_up: Duration::from_millis(50),
        window: Duration::from_millis(400),
        patience: Duration::from_secs(5),
        stamps: None,
        stagger: Duration::ZERO,
    }
}

#[tokio::test]
async fn a_closed_loop_gets_every_answer_right() {
    let running = Provider::start(Config::default()).await.unwrap();
    for stream in [false, true] {
        let shape = Shape::Closed { connections: 4 };
        let mut tally = drive(&plan(&running, stream, shape)).await;
        assert_eq!(tally.ok, tally.requests, "{:?}", tally.errors);
        assert!(tally.ok > 50, "{}", tally.ok);
        assert!(
            judge(
                &mut tally,
                &Limits {
                    errors: Some(0),
                    ..Limits::default()
                }
            )
            .is_empty()
        );
        if stream {
            assert!(tally.ttft.count() > 50 && tally.events > 20 * tally.ok);
        }
    }
}

#[tokio::test]
async fn a_rate_is_kept_and_failures_are_named() {
    let running = Provider::start(Config::default()).await.unwrap();
    let mut rule = Rule::new(Kind::Status);
    rule.status = 503;
    rule.probability = 0.5;
    running.set_faults(vec![rule]);
    let shape = Shape::Rate {
        per_second: 200.0,
        connections: 8,
    };
    let mut tally = drive(&plan(&running, false, shape)).await;
    assert!((60..=96).contains(&tally.requests), "{}", tally.requests);
    assert_eq!(tally.errors["status_503"], tally.requests - tally.ok);
    let broken = judge(
        &mut tally,
        &Limits {
            errors: Some(0),
            ..Limits::default()
        },
    );
    assert_eq!(broken.len(), 1);
}

#[tokio::test]
async fn cut_streams_and_in_band_errors_are_failures() {
    let running = Provider::start(Config::default()).await.unwrap();
    for (kind, name) in [
        (Kind::Truncate, "no_end"),
        (Kind::ErrorEvent, "error_event"),
    ] {
        let mut rule = Rule::new(kind);
        rule.after_tokens = 3;
        rule.clean = true;
        running.set_faults(vec![rule]);
        let shape = Shape::Closed { connections: 1 };
        let tally = drive(&plan(&running, true, shape)).await;
        assert_eq!((tally.ok, tally.errors[name]), (0, tally.requests));
    }
}

#[tokio::test]
async fn stamps_give_each_events_own_delay() {
    let origin = Instant::now();
    let config = Config {
        stamps: Some(origin),
        tokens_per_second: 200.0,
        ttft: Duration::from_millis(30),
        ..Config::default()
    };
    let running = Provider::start(config).await.unwrap();
    let mut plan = plan(&running, true, Shape::Closed { connections: 2 });
    plan.expected = None;
    plan.stamps = Some(origin);
    let mut tally = drive(&plan).await;
    assert!(tally.event_delay.count() > 20);
    assert!(tally.event_delay.quantile_ms(0.5).unwrap() < 20.0);
    assert!(tally.ttft.quantile_ms(0.0).unwrap() >= 30.0);
    let gap = tally.gap.quantile_ms(0.5).unwrap();
    assert!((3.0..15.0).contains(&gap), "{gap}");
}
