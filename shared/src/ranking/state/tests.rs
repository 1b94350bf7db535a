//! The state machine: holds, probes, ramps.

use super::*;
use proptest::prelude::*;

fn at(seconds: f64) -> Moment {
    Moment::default().plus(Duration::from_secs_f64(seconds))
}

const NOTHING: Answers = Answers { ok: 0, failed: 0 };

fn accused() -> Verdict {
    Verdict::Suspect(BTreeSet::from([Pop::from("fra1")]))
}

#[test]
fn the_whole_circle() {
    let (tuning, mut machine) = (Tuning::default(), Machine::default());
    let step = |machine: &mut Machine, seconds, verdict: Verdict, ok, failed| {
        machine.step(&verdict, Answers { ok, failed }, &tuning, at(seconds));
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
    machine.step(
        &Verdict::Well,
        Answers { ok: 2, failed: 0 },
        &tuning,
        at(3.0),
    );
    assert_eq!(machine.state(), State::Ramp);
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(4.0));
    let held = machine.held_until().map(|it| it.since(at(4.0)).as_millis());
    assert!(held.is_some_and(|held| held > 3_500), "{held:?}");
    machine.step(&Verdict::Well, NOTHING, &tuning, at(9.0));
    machine.step(
        &Verdict::Well,
        Answers { ok: 2, failed: 0 },
        &tuning,
        at(10.0),
    );
    assert_eq!(machine.state(), State::HalfOpen);
    machine.step(
        &Verdict::Well,
        Answers { ok: 2, failed: 0 },
        &tuning,
        at(11.0),
    );
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
    let proved = restored.step(&accused(), Answers { ok: 2, failed: 0 }, &tuning, at(1.0));
    assert!(proved);
    assert_eq!(restored.state(), State::Closed);
    let mut confirmed = machine.clone();
    confirmed.step(&accused(), Answers { ok: 9, failed: 1 }, &tuning, at(1.0));
    assert_eq!(confirmed.state(), State::Open);
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(1.0));
    assert_eq!(machine.state(), State::Open);
}

#[test]
fn without_traffic_probing_ends_some_day() {
    let (tuning, mut machine) = (Tuning::default(), Machine::default());
    machine.step(&Verdict::Sick, NOTHING, &tuning, at(0.0));
    machine.step(&Verdict::Well, NOTHING, &tuning, at(3.0));
    machine.step(&Verdict::Well, NOTHING, &tuning, at(100.0));
    assert_eq!(machine.state(), State::HalfOpen);
    machine.step(&Verdict::Well, NOTHING, &tuning, at(123.0));
    assert_eq!(machine.state(), State::Ramp);
}

proptest! {
    #[test]
    fn it_never_leaves_open_before_the_hold_ends(
        steps in prop::collection::vec((0.0_f64..3.0, 0_u8..4, 0_u64..4, 0_u64..2), 1..80),
    ) {
        let (tuning, mut machine) = (Tuning::default(), Machine::default());
        let mut now = at(0.0);
        for (wait, verdict, ok, failed) in steps {
            now = now.plus(Duration::from_secs_f64(wait));
            let held = machine.held_until();
            let verdicts = [Verdict::Well, Verdict::Sick, accused(), Verdict::Declining];
            let verdict = verdicts[usize::from(verdict)].clone();
            machine.step(&verdict, Answers { ok, failed }, &tuning, now);
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
