//! Every state that the machine can come to, second by second, whatever verdict is given and
//! whatever probes bring: no list of cases, all of them. States whose relapses differ by less than a
//! tenth count as one.

use super::*;
use std::collections::{HashSet, VecDeque};

/// The machine and everything that its future depends on, as seen from now.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    state: State,
    accused: bool,
    /// Whole seconds that the hold still lasts, or that probing has lasted.
    seconds: u64,
    ok: u64,
    silent: u64,
    ramp: u64,
    relapses: u64,
}

/// A state that was found: from where, by which verdict and by what probes brought.
type Found = (usize, usize, usize);

/// How the machine came where it is, for whoever reads a failure.
fn trail(all: &[Found], mut at: usize) -> String {
    let mut steps = Vec::new();
    while at > 0 {
        let (from, said, brought) = all[at];
        steps.push(format!("{:?} {:?}", verdicts()[said], BROUGHT[brought]));
        at = from;
    }
    steps.reverse();
    steps.join("; ")
}

fn tuning() -> Tuning {
    let mut tuning = Tuning::default();
    // Long enough for every proof, short enough to look at each second of it.
    tuning.verdict.probe_patience = Duration::from_secs(20);
    tuning
}

fn verdicts() -> [Verdict; 4] {
    [Verdict::Well, accused(), Verdict::Sick, Verdict::Declining]
}

const BROUGHT: [Answers; 6] = [
    NOTHING,
    answers(1, 0),
    answers(3, 0),
    answers(0, 1),
    answers(2, 1),
    Answers {
        ok: 0,
        failed: 0,
        silent: 1,
    },
];

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and not negative"
)]
fn key(machine: &Machine, tuning: &Tuning, now: Moment) -> Key {
    let (seconds, brought, ramp) = match &machine.phase {
        Phase::Closed => (0, (0, 0), 0.0),
        Phase::Open { until } => (until.since(now).as_secs_f64().ceil() as u64, (0, 0), 0.0),
        Phase::HalfOpen {
            since, ok, silent, ..
        } => {
            let patience = tuning.verdict.probe_patience.as_secs();
            let seconds = now.since(*since).as_secs().min(patience);
            (seconds, ((*ok).min(20), (*silent).min(20)), 0.0)
        }
        Phase::Ramp { limit, .. } => (0, (0, 0), *limit),
    };
    Key {
        state: machine.state(),
        accused: machine.accusers().is_some(),
        seconds,
        ok: brought.0,
        silent: brought.1,
        ramp: (ramp * 1e4) as u64,
        relapses: (machine.relapses(&tuning.verdict, now) * 10.0) as u64,
    }
}

/// What must hold of every step.
fn check(
    before: &Machine,
    after: &Machine,
    (verdict, answers): (&Verdict, Answers),
    tuning: &Tuning,
    now: Moment,
) -> Result<(), &'static str> {
    let (was, is) = (before.state(), after.state());
    let limit = after.limit(tuning);
    let held = |machine: &Machine| machine.held_until();
    if held(before).is_some_and(|until| now < until) && is != State::Open {
        return Err("it left a hold before its end");
    }
    if was == State::Open && !matches!(is, State::Open | State::HalfOpen) {
        return Err("it got traffic again without a probe");
    }
    if was == State::HalfOpen && answers.failed > 0 && is != State::Open {
        return Err("a probe failed and it was not shut off");
    }
    let (ok, silent) = match &before.phase {
        Phase::HalfOpen { ok, silent, .. } => (*ok + answers.ok, *silent + answers.silent),
        _ => (0, 0),
    };
    if was == State::HalfOpen && matches!(is, State::Ramp | State::Closed) && ok == 0 {
        return Err("nothing was proved and it got traffic again");
    }
    if was == State::HalfOpen && silent >= ok + SILENCES && is != State::Open {
        return Err("probes stay silent and it was not shut off");
    }
    if *verdict == Verdict::Sick && matches!(was, State::Closed | State::Ramp) && is != State::Open
    {
        return Err("it is sick and was not shut off");
    }
    if let Some(until) = held(after).filter(|_| was != State::Open) {
        let hold = until.since(now);
        if hold < tuning.verdict.hold || hold > tuning.verdict.hold_max {
            return Err("a hold is too short or too long");
        }
    }
    let fits = match is {
        State::Open => limit <= 0.0,
        State::Closed => limit >= 1.0,
        _ => limit > 0.0 && limit <= 1.0,
    };
    if fits {
        Ok(())
    } else {
        Err("its limit is not its state's")
    }
}

/// Seconds until it is closed again, when it answers a probe a second, and what is known of it
/// speaks against it until it has proved itself.
fn comes_back(mut machine: Machine, mut now: Moment, tuning: &Tuning) -> Option<u64> {
    let patience = tuning.verdict.probe_patience.as_secs();
    let most = tuning.verdict.hold_max.as_secs() + patience + 60;
    for seconds in 0..most {
        let verdict = match machine.state() {
            State::Closed => return Some(seconds),
            State::HalfOpen if machine.accusers().is_some() => accused(),
            State::Open | State::HalfOpen => Verdict::Sick,
            _ => Verdict::Well,
        };
        now = now.plus(Duration::from_secs(1));
        machine.step(&verdict, answers(1, 0), tuning, now);
    }
    None
}

#[test]
fn in_every_state_that_there_is() {
    let (tuning, start) = (tuning(), at(1000.0));
    let mut seen = HashSet::from([key(&Machine::default(), &tuning, start)]);
    let mut found: Vec<Found> = vec![(0, 0, 0)];
    let mut open = VecDeque::from([(Machine::default(), start, 0)]);
    while let Some((machine, before, at)) = open.pop_front() {
        let back = comes_back(machine.clone(), before, &tuning);
        let trail_here = || trail(&found, at);
        assert!(
            back.is_some(),
            "{machine:?} never closes, after {}",
            trail_here()
        );
        let now = before.plus(Duration::from_secs(1));
        for (said, verdict) in verdicts().iter().enumerate() {
            for (brought, answers) in BROUGHT.iter().enumerate() {
                let mut next = machine.clone();
                next.step(verdict, *answers, &tuning, now);
                if let Err(wrong) = check(&machine, &next, (verdict, *answers), &tuning, now) {
                    found.push((at, said, brought));
                    let trail = trail(&found, found.len() - 1);
                    panic!("{wrong}: {machine:?} became {next:?} by {trail}");
                }
                if seen.insert(key(&next, &tuning, now)) {
                    found.push((at, said, brought));
                    open.push_back((next, now, found.len() - 1));
                }
            }
        }
    }
    let count = |state| seen.iter().filter(|key| key.state == state).count();
    for state in [State::Closed, State::Open, State::HalfOpen, State::Ramp] {
        assert!(count(state) > 10, "{state}: {}", count(state));
    }
}
