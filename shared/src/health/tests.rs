//! Local health: pauses, rests, leases, budgets, forgetting.

use super::*;
use crate::clock::Moment;
use crate::id::EndpointId;
use crate::window::Outcome;
use proptest::prelude::*;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

const TUNING: fn() -> Tuning = Tuning::default;

const RETRY: Need = Need {
    retry: true,
    probe: None,
};

fn probe(number: u32) -> Need {
    Need {
        retry: false,
        probe: Some(number),
    }
}

fn at(seconds: f64) -> Moment {
    Moment::default().plus(Duration::from_secs_f64(seconds))
}

fn handle(text: &str) -> Handle {
    Handle::of(&EndpointId::from(text))
}

fn local(health: &LocalHealth, now: Moment) -> Local {
    let ask = Ask {
        peak: true,
        ..Ask::default()
    };
    health.local(&TUNING(), &ask, now)
}

#[test]
fn three_failures_in_a_row_pause_and_then_each_one_longer() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    let mut now = at(0.0);
    for _ in 0..2 {
        let change = health.observe(&tuning, &Outcome::HardFail, now, 0.0);
        assert_eq!(change, None);
    }
    for pause in [1, 2, 4, 8, 16, 16] {
        let until = now.plus(Duration::from_secs(pause));
        let change = health.observe(&tuning, &Outcome::Truncated, now, 0.0);
        assert_eq!(change, Some(StateChange::Paused(until)));
        assert!(local(&health, now).paused);
        // What was under way fails, too.
        let change = health.observe(&tuning, &Outcome::Timeout, now, 0.0);
        assert_eq!(change, None);
        now = until;
        assert!(!local(&health, now).paused);
    }
    let change = health.answered(&tuning, None, now);
    assert_eq!(change, Some(StateChange::Recovered));
    assert_eq!(health.answered(&tuning, None, now), None);
    let change = health.observe(&tuning, &Outcome::HardFail, now, 0.0);
    assert_eq!(change, None, "it is trusted again");
}

#[test]
fn after_a_peers_pause_one_failure_is_enough_and_a_success_is_no_news() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    health.heard_paused(at(9.0));
    assert!(local(&health, at(8.0)).paused);
    let mut other = health;
    assert_eq!(other.answered(&tuning, None, at(9.0)), None);
    assert_eq!(
        other.observe(&tuning, &Outcome::HardFail, at(9.0), 0.0),
        None
    );
    let change = health.observe(&tuning, &Outcome::HardFail, at(9.0), 0.0);
    assert_eq!(change, Some(StateChange::Paused(at(11.0))));
}

#[test]
fn a_success_between_failures_prevents_the_pause() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    for _ in 0..10 {
        for outcome in [Outcome::Timeout, Outcome::Silence, Outcome::Ok] {
            assert_eq!(health.observe(&tuning, &outcome, at(1.0), 0.5), None);
        }
    }
    assert_eq!(health.left_alone_until(), None);
}

#[test]
fn capacity_rests_and_is_not_sickness() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    let asked = |seconds| Outcome::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    health.observe(&tuning, &asked(20), at(0.0), 0.0);
    assert_eq!(health.left_alone_until(), Some(at(20.0)));
    health.observe(&tuning, &asked(5), at(1.0), 0.0);
    assert_eq!(health.left_alone_until(), Some(at(20.0)), "never shortened");
    health.observe(&tuning, &asked(86_400), at(2.0), 0.0);
    assert_eq!(health.left_alone_until(), Some(at(302.0)));
    let seen = local(&health, at(2.0));
    assert!(seen.full && !seen.paused);
    assert!(seen.penalty.abs() < f64::EPSILON);

    let mut health = LocalHealth::default();
    for _ in 0..20 {
        let silent = Outcome::Overload { retry_after: None };
        assert_eq!(health.observe(&tuning, &silent, at(0.0), 1.0), None);
    }
    assert_eq!(health.left_alone_until(), Some(at(1.0)));
}

#[test]
fn who_turns_requests_away_gets_fewer_for_a_while() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    let outcome = Outcome::RateLimited { retry_after: None };
    health.observe(&tuning, &outcome, at(0.0), 0.0);
    let accepts = |health: &LocalHealth, now| (local(health, now).acceptance * 100.0).round();
    assert!((accepts(&health, at(0.0)) - 70.0).abs() < f64::EPSILON);
    assert!((accepts(&health, at(5.0)) - 90.0).abs() < f64::EPSILON);
    assert!((accepts(&health, at(60.0)) - 100.0).abs() < f64::EPSILON);
    for _ in 0..50 {
        health.observe(&tuning, &outcome, at(60.0), 0.0);
    }
    assert!((accepts(&health, at(60.0)) - 5.0).abs() < f64::EPSILON);
}

#[test]
fn a_lease_lets_so_many_through_and_no_more() {
    let board = Board::default();
    let (endpoint, lease) = (handle("m@p"), Lease::of_requests(5.0));
    let ask = Ask {
        handle: endpoint,
        lease,
        ..Ask::default()
    };
    let departure = Departure {
        lease,
        ..Departure::default()
    };
    let mut sent = 0;
    for tick in 0..1000 {
        let now = at(f64::from(tick) / 100.0);
        if !board.local(&ask, now).full {
            board.departed(endpoint, &departure, now);
            board.ended(endpoint, now);
            sent += 1;
        }
    }
    // The burst of two seconds and two more, and ten seconds of the lease.
    assert!((60..=62).contains(&sent), "{sent}");
    let unlimited = Ask {
        lease: Lease::default(),
        ..ask
    };
    assert!(!board.local(&unlimited, at(10.0)).full);
}

#[test]
fn a_lease_of_tokens_counts_what_was_used_in_the_end() {
    let board = Board::default();
    let endpoint = handle("m@p");
    let lease = Lease {
        tokens: Some(1_000.0),
        ..Lease::default()
    };
    let ask = |tokens| Ask {
        handle: endpoint,
        lease,
        tokens,
        ..Ask::default()
    };
    let departure = Departure {
        lease,
        tokens: 3_000,
        ..Departure::default()
    };
    // Two seconds of it and two thousand more.
    assert!(!board.local(&ask(4_000), at(0.0)).full);
    assert!(
        !board.local(&ask(90_000), at(0.0)).full,
        "it must leave sometime"
    );
    board.departed(endpoint, &departure, at(0.0));
    assert!(board.local(&ask(1_100), at(0.0)).full);
    assert!(!board.local(&ask(900), at(0.0)).full, "a small one fits");
    board.spent(endpoint, &departure, 1_000, at(0.0));
    assert!(!board.local(&ask(2_900), at(0.0)).full, "it took less");
    board.spent(endpoint, &departure, 6_000, at(0.0));
    assert!(board.local(&ask(1), at(0.0)).full, "and another more");
    let warm = Ask {
        warm: true,
        ..ask(9_000)
    };
    assert!(
        !board.local(&warm, at(0.0)).full,
        "who would pay more elsewhere"
    );
    board.spent(endpoint, &departure, 9_000, at(0.0));
    assert!(board.local(&warm, at(0.0)).full, "but not without bound");
    assert!(!board.local(&ask(1_000), at(9.0)).full);
}

#[test]
fn the_less_room_is_left_the_less_is_sent() {
    let lease = |in_flight| Lease {
        in_flight,
        ..Lease::default()
    };
    let check = |most, in_flight, expect: f64| {
        let room = lease(most).room(in_flight, 0.5);
        assert!(
            (room - expect).abs() < 1e-9,
            "{in_flight} of {most:?}: {room}"
        );
    };
    check(None, 1_000_000, 1.0);
    check(Some(20.0), 0, 1.0);
    check(Some(20.0), 10, 1.0);
    check(Some(20.0), 15, 0.5);
    check(Some(20.0), 20, 0.0);
    check(Some(20.0), 30, 0.0);
    check(Some(0.3), 0, 1.0);
    check(Some(0.3), 1, 0.0);
    let (board, endpoint) = (Board::default(), handle("m@p"));
    let ask = Ask {
        handle: endpoint,
        lease: lease(Some(0.3)),
        ..Ask::default()
    };
    assert!(
        !board.local(&ask, at(0.0)).full,
        "a tiny part lets one through"
    );
    board.departed(endpoint, &Departure::default(), at(0.0));
    assert!(board.local(&ask, at(0.0)).full);
}

#[test]
fn a_limit_of_a_minute_is_told_from_others() {
    let minute = Duration::from_secs(60);
    let check = |limit: f64, remaining: f64, reset: Option<Duration>, expect: Option<u64>| {
        let allowance = Allowance {
            period: None,
            limit: Some(limit),
            remaining,
            reset,
        };
        assert_eq!(allowance.per_minute(), expect, "{allowance:?}");
    };
    check(60.0, 59.0, Some(Duration::from_secs(1)), Some(60));
    check(
        30_000.0,
        29_984.0,
        Some(Duration::from_millis(32)),
        Some(30_000),
    );
    check(600.0, 600.0, Some(Duration::ZERO), Some(600));
    check(600.0, 400.0, Some(minute), Some(600));
    check(600.0, 0.0, None, Some(600));
    check(10.0, 10.0, Some(Duration::from_secs(1)), None);
    check(14_400.0, 14_399.0, Some(3 * minute), None);
    check(50.0, 40.0, Some(Duration::from_millis(200)), None);
    check(0.0, 0.0, None, None);
    let of = |limit, seconds| {
        let allowance = Allowance {
            limit: Some(limit),
            remaining: 1.0,
            reset: Some(Duration::ZERO),
            period: Some(Duration::from_secs(seconds)),
        };
        allowance.per_minute()
    };
    assert_eq!((of(30.0, 1), of(50.0, 10)), (Some(1_800), Some(300)));
    assert_eq!((of(2_500.0, 60), of(14_400.0, 86_400)), (Some(2_500), None));
}

#[test]
fn headers_that_leave_nothing_are_believed_until_the_reset() {
    let (board, endpoint) = (Board::default(), handle("m@p"));
    let allowance = |limit, remaining, reset| {
        Some(Allowance {
            period: None,
            limit: Some(limit),
            remaining,
            reset: Some(Duration::from_secs(reset)),
        })
    };
    board.allowed(endpoint, allowance(10.0, 0.0, 10), None, at(0.0));
    let full = |prompt_tokens, now| {
        let ask = Ask {
            handle: endpoint,
            prompt_tokens,
            ..Ask::default()
        };
        board.local(&ask, at(now)).full
    };
    assert!(full(0, 0.0));
    assert!(full(0, 0.9));
    assert!(!full(0, 1.1), "one of ten has refilled");
    let tokens = allowance(10_000.0, 1_000.0, 60);
    board.allowed(endpoint, allowance(10.0, 9.0, 1), tokens, at(20.0));
    assert!(!full(1_000, 20.0));
    assert!(full(2_000, 20.0));
    assert!(!full(2_000, 30.0));
    assert!(full(50_000, 30.0));
    assert!(!full(50_000, 80.1), "after the reset nothing is known");
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
fn the_peak_jumps_up_at_once_and_fades() {
    let (tuning, mut health) = (TUNING(), LocalHealth::default());
    let answer = |health: &mut LocalHealth, ms, now| {
        health.answered(&tuning, Some(Duration::from_millis(ms)), at(now));
    };
    answer(&mut health, 300, 0.0);
    answer(&mut health, 4000, 1.0);
    assert!((local(&health, at(1.0)).peak - 4.0).abs() < 1e-9);
    answer(&mut health, 300, 2.0);
    let peak = local(&health, at(2.0)).peak;
    assert!((3.5..4.0).contains(&peak), "{peak}");
    assert!(local(&health, at(60.0)).peak < 0.02);
}

#[test]
fn a_board_keeps_endpoints_apart_and_counts_what_is_under_way() {
    let board = Board::default();
    let (sick, well) = (handle("m@sick"), handle("m@well"));
    let read = |handle, now| {
        let ask = Ask {
            handle,
            ..Ask::default()
        };
        board.local(&ask, at(now))
    };
    let mut alarms = 0;
    for _ in 0..3 {
        let change = board.observe(sick, &Outcome::HardFail, at(1.0), 0.5);
        alarms += u32::from(change.is_some());
        board.observe(well, &Outcome::Ok, at(1.0), 0.5);
    }
    assert_eq!(alarms, 1);
    assert!(read(sick, 1.0).paused);
    assert!(!read(well, 1.0).paused);
    board.departed(well, &Departure::default(), at(2.0));
    assert_eq!(read(well, 2.0).in_flight, 1);
    board.ended(well, at(2.0));
    assert_eq!(read(well, 2.0).in_flight, 0);
    board.heard_paused(well, at(9.0), at(2.0));
    assert!(read(well, 8.0).paused && !read(well, 9.0).paused);
    assert_eq!(read(handle("m@never"), 1.0), Local::default());
}

#[test]
fn what_one_thread_sees_fail_all_others_avoid() {
    let board = Board::default();
    let (sick, threads, each) = (handle("m@sick"), 8_u32, 1000_u32);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    board.departed(sick, &Departure::default(), at(1.0));
                    board.observe(sick, &Outcome::Silence, at(1.0), 0.0);
                }
            });
        }
    });
    let ask = Ask {
        handle: sick,
        ..Ask::default()
    };
    let seen = board.local(&ask, at(1.5));
    assert!(seen.paused);
    assert_eq!(seen.in_flight, threads * each);
}

#[test]
fn a_probe_lease_is_given_once_however_many_ask() {
    let (board, endpoint) = (Board::default(), handle("m@p"));
    let (given, together) = (AtomicU32::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 1..=200 {
                    together.wait();
                    let leave = board.give(endpoint, &probe(number), at(1.0));
                    given.fetch_add(u32::from(leave.is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(given.into_inner(), 200);
    // Who planned with an older lease comes too late; a fleet that counts anew does not.
    assert_eq!(
        board.give(endpoint, &probe(200), at(1.0)),
        Err(Denied::Probe)
    );
    assert_eq!(
        board.give(endpoint, &probe(199), at(1.0)),
        Err(Denied::Probe)
    );
    assert_eq!(board.give(endpoint, &probe(1), at(1.0)), Ok(()));
}

#[test]
fn what_an_attempt_needs_is_given_whole_or_not_at_all() {
    let (board, endpoint) = (Board::default(), handle("m@p"));
    let both = Need {
        retry: true,
        probe: Some(1),
    };
    let mut retries = 0;
    while board.give(endpoint, &RETRY, at(0.0)).is_ok() {
        retries += 1;
    }
    assert_eq!(board.give(endpoint, &both, at(0.0)), Err(Denied::Retries));
    assert_eq!(
        board.give(endpoint, &probe(1), at(0.0)),
        Ok(()),
        "it was not used up"
    );
    // One token is there again, and a lost lease leaves it.
    assert_eq!(board.give(endpoint, &both, at(1.0)), Err(Denied::Probe));
    assert_eq!(board.give(endpoint, &RETRY, at(1.0)), Ok(()));
    assert!(retries > 0);
}

#[test]
fn a_full_board_forgets_the_oldest_first_and_then_counts_what_it_sheds() {
    let board = Board::default();
    let many = |from: u64, now: f64| {
        for at_ in from..from + 2 * u64::try_from(BOARD_MAX).unwrap() {
            // Spread as hashes are.
            let endpoint = Handle(at_.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            board.observe(endpoint, &Outcome::Ok, at(now), 0.0);
        }
    };
    many(0, 0.0);
    let shed = board.shed();
    assert!(shed > 0);
    many(1 << 32, 1000.0);
    assert!(
        board.shed() < 2 * shed + shed / 2,
        "the first ones made room"
    );
}

#[test]
fn a_record_says_what_the_board_said() {
    let (board, endpoint) = (Board::default(), handle("m@p"));
    board.observe(endpoint, &Outcome::HardFail, at(1.0), 0.0);
    let ask = Ask {
        handle: endpoint,
        ..Ask::default()
    };
    let said = board.local(&ask, at(2.0));
    let record = Recorded::new(vec![(endpoint, said)]);
    assert_eq!(record.local(&ask, at(99.0)), said);
    assert_eq!(record.local(&Ask::default(), at(2.0)), Local::default());
}

proptest! {
    #[test]
    fn the_penalty_stays_in_range_and_failures_never_lower_it(
        history in prop::collection::vec((0_u8..5, 0.0_f64..5.0), 0..40),
    ) {
        let (tuning, mut health) = (TUNING(), LocalHealth::default());
        let mut now = at(0.0);
        for (kind, wait) in history {
            now = now.plus(Duration::from_secs_f64(wait));
            let outcome = match kind {
                0 => Outcome::HardFail,
                1 => Outcome::Silence,
                2 => Outcome::RateLimited { retry_after: None },
                3 => Outcome::Truncated,
                _ => Outcome::Ok,
            };
            let before = health.penalty(&tuning, now);
            health.observe(&tuning, &outcome, now, 0.3);
            let after = health.penalty(&tuning, now);
            prop_assert!((0.0..=1.0).contains(&after));
            match kind {
                0 | 3 => prop_assert!(after > before || after >= 1.0),
                2 => prop_assert!((after - before).abs() < 1e-12),
                _ => {}
            }
        }
    }

    #[test]
    fn retries_keep_to_their_budget(
        events in prop::collection::vec((any::<bool>(), 0.0_f64..0.5), 0..400),
    ) {
        let (board, endpoint, tuning) = (Board::default(), handle("m@p"), TUNING());
        let (mut now, mut retries, mut firsts) = (0.0, 0.0, 0.0);
        for (first, wait) in events {
            now += wait;
            if first {
                let departure = Departure { first, ..Departure::default() };
                board.departed(endpoint, &departure, at(now));
                firsts += 1.0;
            } else if board.give(endpoint, &RETRY, at(now)).is_ok() {
                retries += 1.0;
            }
            let most = tuning.retry_burst + tuning.retry_ratio * firsts + tuning.retry_per_s * now;
            prop_assert!(retries <= most + 1e-6);
        }
    }

    #[test]
    fn hedges_keep_to_their_budget(events in prop::collection::vec(any::<bool>(), 0..400)) {
        let (board, tuning) = (Board::default(), TUNING());
        let (mut requests, mut hedges) = (0.0, 0.0);
        for request in events {
            if request {
                board.arrived(at(0.0));
                requests += 1.0;
            } else if board.take_hedge(at(0.0)) {
                hedges += 1.0;
            }
            prop_assert!(hedges <= tuning.hedge_burst + tuning.hedge_ratio * requests + 1e-6);
        }
    }
}
