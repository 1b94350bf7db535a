//! The state machine: holds, probes, ramps.

mod model;

use super::*;
use proptest::prelude::*;

fn at(seconds: f64) -> Moment {
    Moment::default().plus(Duration::from_secs_f64(seconds))
}

const NOTHING: Answers = answers(0, 0);

const fn answers(ok: u64, failed: u64) -> Answers {
    Answers {
        ok,
        failed,
        silent: 0,
    }
}

fn accused() -> Verdict {
    Verdict::Suspect(BTreeSet::from([Pop::from("fra1")]))
}

#[test]
fn the_whole_circle() {
    let (tuning, mut machine) = (Tuning::default(), Machine::default());
    let step = |machine: &mut Machine, seconds, verdict: Verdict, ok, failed| {
        machine.step(&verdict, answers(ok, failed), &tuning, at(seconds));
        machine.state()
    };
    assert_eq!(step(&mut machine, 0.0, Verdict::Well, 5, 0), State::Closed);
    assert_eq!(step(&mut machine, 1.0, Verdict::Sick, 0, 5), State::Open);
    assert_eq!(step(&mut machine, 2.9, Verdict::Sick, 0, 1), State::Open);
    assert_eq!(
        step(&mut machine, 3.0, Verdict::Sick, 0, 0),
        State::HalfOpen
    );
    assert_eq!(
        step(&mut machine, 4.0, Verdict::Sick, 0, 1),
        State::Open,
        "still the same outage"
    );
    assert_eq!(
        machine.held_until().map(|it| it.since(at(4.0)).as_secs()),
        Some(2)
    );
    assert_eq!(
        step(&mut machine, 8.0, Verdict::Sick, 0, 0),
        State::HalfOpen
    );
    assert_eq!(step(&mut machine, 10.0, Verdict::Sick, 2, 0), State::Ramp);
    let mut limit = machine.limit(&Tuning::default());
    for second in 11..40 {
        step(&mut machine, f64::from(second), Verdict::Well, 1, 0);
        let grown = machine.limit(&Tuning::default());
        assert!(grown > limit || grown >= 1.0);
        assert!(grown <= limit * 1.35 + 0.021);
        limit = grown;
    }
    assert_eq!(machine.state(), State::Closed);
}

#[test]
fn a_relapse_is_held_longer_and_has_more_to_prove() {
    let (tuning, mut machine) = (Tuning::default(), Machine::default());
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(0.0));
    machine.step(&Verdict::Well, NOTHING, &tuning, at(2.0));
    machine.step(&Verdict::Well, answers(2, 0), &tuning, at(3.0));
    assert_eq!(machine.state(), State::Ramp);
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(4.0));
    let held = machine.held_until().map(|it| it.since(at(4.0)).as_millis());
    assert!(held.is_some_and(|held| held > 3_500), "{held:?}");
    machine.step(&Verdict::Well, NOTHING, &tuning, at(9.0));
    machine.step(&Verdict::Well, answers(2, 0), &tuning, at(10.0));
    assert_eq!(machine.state(), State::HalfOpen);
    machine.step(&Verdict::Well, answers(2, 0), &tuning, at(11.0));
    assert_eq!(machine.state(), State::Ramp);
}

#[test]
fn an_accused_endpoint_is_restored_or_shut() {
    let tuning = Tuning::default();
    let mut machine = Machine::default();
    machine.step(&accused(), NOTHING, &tuning, at(0.0));
    assert_eq!(machine.state(), State::HalfOpen);
    assert!((machine.limit(&tuning) - tuning.share.floor).abs() < 1e-12);
    let mut restored = machine.clone();
    let proved = restored.step(&accused(), answers(2, 0), &tuning, at(1.0));
    assert!(proved);
    assert_eq!(restored.state(), State::Closed);
    let mut confirmed = machine.clone();
    confirmed.step(&accused(), answers(9, 1), &tuning, at(1.0));
    assert_eq!(confirmed.state(), State::Open);
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(1.0));
    assert_eq!(machine.state(), State::Open);
}

#[test]
fn time_alone_proves_nothing() {
    let (tuning, mut machine) = (Tuning::default(), Machine::default());
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(0.0));
    machine.step(&Verdict::Well, NOTHING, &tuning, at(3.0));
    assert!(!machine.step(&Verdict::Well, NOTHING, &tuning, at(1000.0)));
    assert_eq!(machine.state(), State::HalfOpen);
    // Where there is next to no traffic, one answer is enough.
    machine.step(&Verdict::Well, answers(1, 0), &tuning, at(1001.0));
    assert_eq!(machine.state(), State::Ramp);
}

#[test]
fn accusers_tell_themselves_where_nobody_else_asks() {
    let (tuning, mut machine) = (Tuning::default(), Machine::default());
    machine.step(&accused(), NOTHING, &tuning, at(0.0));
    machine.step(&Verdict::Well, NOTHING, &tuning, at(119.0));
    assert!(machine.accusers().is_some());
    machine.step(&Verdict::Well, NOTHING, &tuning, at(120.0));
    assert_eq!(
        (machine.state(), machine.accusers()),
        (State::HalfOpen, None)
    );
    machine.step(&Verdict::Well, answers(2, 0), &tuning, at(121.0));
    assert_eq!(machine.state(), State::Ramp);
}

#[test]
fn probes_that_stay_silent_are_evidence() {
    let tuning = Tuning::default();
    let silent = |ok, silent| Answers {
        ok,
        failed: 0,
        silent,
    };
    let mut machine = Machine::default();
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(0.0));
    machine.step(&Verdict::Well, NOTHING, &tuning, at(3.0));
    machine.step(&Verdict::Well, silent(0, 1), &tuning, at(4.0));
    assert_eq!(machine.state(), State::HalfOpen, "one comes by chance");
    let mut slow = machine.clone();
    slow.step(&Verdict::Well, silent(1, 1), &tuning, at(5.0));
    slow.step(&Verdict::Well, silent(1, 0), &tuning, at(6.0));
    assert_eq!(slow.state(), State::Ramp, "late, but it answers");
    machine.step(&Verdict::Well, silent(0, 1), &tuning, at(5.0));
    assert_eq!(machine.state(), State::Open);
}

proptest! {
    #[test]
    fn it_never_leaves_open_before_the_hold_ends(
        steps in prop::collection::vec((0.0_f64..3.0, 0_u8..4, 0_u64..4, 0_u64..2, 0_u64..3), 1..80),
    ) {
        let (tuning, mut machine) = (Tuning::default(), Machine::default());
        let (mut now, mut answered) = (at(0.0), 0);
        for (wait, verdict, ok, failed, silent) in steps {
            now = now.plus(Duration::from_secs_f64(wait));
            let held = machine.held_until();
            let was = machine.state();
            let verdicts = [Verdict::Well, Verdict::Sick, accused(), Verdict::Declining];
            let verdict = verdicts[usize::from(verdict)].clone();
            let proved = machine.step(&verdict, Answers { ok, failed, silent }, &tuning, now);
            answered = if was == State::HalfOpen { answered + ok } else { 0 };
            prop_assert!(!proved || answered > 0, "only an answer proves anything");
            if let Some(until) = held {
                prop_assert_eq!(machine.state() == State::Open, now < until);
            } else if let Some(until) = machine.held_until() {
                let hold = until.since(now);
                prop_assert!(hold >= tuning.verdict.hold && hold <= tuning.verdict.hold_max);
            }
            prop_assert!((0.0..=1.0).contains(&machine.limit(&tuning)));
        }
    }
}
