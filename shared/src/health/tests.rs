//! Local health: pauses, rests, forgetting.

use super::*;
use crate::id::EndpointId;
use proptest::prelude::*;

const TUNING: fn() -> Tuning = Tuning::default;

fn at(seconds: f64) -> Moment {
    Moment::default().plus(Duration::from_secs_f64(seconds))
}

#[test]
fn three_failures_in_a_row_pause_longer_each_time() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    let mut now = at(0.0);
    for pause in [1, 2, 4, 8, 16, 16] {
        for _ in 0..2 {
            let change = health.observe(&tuning, &Outcome::HardFail, now, 0.0);
            assert_eq!(change, None);
        }
        let until = now.plus(Duration::from_secs(pause));
        let change = health.observe(&tuning, &Outcome::Truncated, now, 0.0);
        assert_eq!(change, Some(StateChange::Paused(until)));
        assert!(health.verdict(&tuning, now).paused);
        now = until;
        assert!(!health.verdict(&tuning, now).paused);
    }
    let change = health.observe(&tuning, &Outcome::Ok, now, 0.0);
    assert_eq!(change, Some(StateChange::Recovered));
    assert_eq!(health.observe(&tuning, &Outcome::Ok, now, 0.0), None);
}

#[test]
fn a_success_between_failures_prevents_the_pause() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    for _ in 0..10 {
        for outcome in [Outcome::Timeout, Outcome::Silence, Outcome::Ok] {
            assert_eq!(health.observe(&tuning, &outcome, at(1.0), 0.5), None);
        }
    }
    assert_eq!(health.paused_until(), None);
}

#[test]
fn capacity_rests_and_is_not_sickness() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    let asked = |seconds| Outcome::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    health.observe(&tuning, &asked(20), at(0.0), 0.0);
    assert_eq!(health.paused_until(), Some(at(20.0)));
    health.observe(&tuning, &asked(5), at(1.0), 0.0);
    assert_eq!(health.paused_until(), Some(at(20.0)), "never shortened");
    health.observe(&tuning, &asked(86_400), at(2.0), 0.0);
    assert_eq!(health.paused_until(), Some(at(302.0)));
    assert!(health.penalty(&tuning, at(2.0)).abs() < f64::EPSILON);

    let mut health = LocalHealth::default();
    for _ in 0..20 {
        let silent = Outcome::Overload { retry_after: None };
        assert_eq!(health.observe(&tuning, &silent, at(0.0), 1.0), None);
    }
    assert_eq!(health.paused_until(), Some(at(1.0)));
}

#[test]
fn the_penalty_fades() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    health.observe(&tuning, &Outcome::HardFail, at(0.0), 0.0);
    health.observe(&tuning, &Outcome::HardFail, at(0.0), 0.0);
    let fresh = health.penalty(&tuning, at(0.0));
    assert!((fresh - 0.4).abs() < 1e-9);
    assert!(health.penalty(&tuning, at(6.0)) < fresh);
    assert!(health.penalty(&tuning, at(60.0)) < 0.001);
}

#[test]
fn a_board_keeps_endpoints_apart() {
    let board = Board::default();
    let (sick, well) = (EndpointId::from("m@sick"), EndpointId::from("m@well"));
    let mut alarms = 0;
    for _ in 0..3 {
        alarms += u32::from(board.observe(&sick, &Outcome::HardFail, at(1.0), 0.5));
        board.observe(&well, &Outcome::Ok, at(1.0), 0.5);
    }
    assert_eq!(alarms, 1);
    assert!(board.read(&sick, at(1.0)).paused);
    assert!(!board.read(&well, at(1.0)).paused);
    board.retain(|id| *id == well);
    assert_eq!(board.read(&sick, at(1.0)), LocalVerdict::default());
}

proptest! {
    #[test]
    fn the_penalty_stays_in_range_and_failures_never_lower_it(
        history in prop::collection::vec((0_u8..4, 0.0_f64..5.0), 0..40),
    ) {
        let (tuning, mut health) = (TUNING(), LocalHealth::default());
        let mut now = at(0.0);
        for (kind, wait) in history {
            now = now.plus(Duration::from_secs_f64(wait));
            let outcome = match kind {
                0 => Outcome::HardFail,
                1 => Outcome::Silence,
                2 => Outcome::RateLimited { retry_after: None },
                _ => Outcome::Ok,
            };
            let before = health.penalty(&tuning, now);
            health.observe(&tuning, &outcome, now, 0.3);
            let after = health.penalty(&tuning, now);
            prop_assert!((0.0..1.0).contains(&after));
            match kind {
                0 => prop_assert!(after > before),
                2 => prop_assert!((after - before).abs() < 1e-12),
                _ => {}
            }
        }
    }
}
