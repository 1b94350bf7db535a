//! A recording of our policy's decisions in a short world, one line each, kept in `decisions.txt`:
//! whom a request's plan named in which order, and whom it took. Played again, requests go where
//! the recording sent them, whatever the policy would do now: so every decision is made again in
//! the situation in which it was made, and a change of the policy shows as the lines in which it
//! decides otherwise.

use crate::engine;
use crate::ours::Ours;
use crate::policy::{Ask, Turn};
use crate::random::Random;
use crate::scenario::{Break, Fault, Kind, Refused, Scenario};
use crate::world::World;
use shared::ranking::Mode;
use shared::routing::{Candidate, Reason};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Records it again.
pub const COMMAND: &str = "loadtest sim --record loadtest/sim/decisions.txt";

const SEED: u64 = 7;
/// Between what led to a decision and whom it took.
const TOOK: &str = " > ";
/// Between whom the recording took and whom the policy would take now.
const NOT: &str = ", not ";
const NOBODY: &str = "nobody";
/// What stands above the decisions.
const HEAD: &str = "\
# Decisions of the mode `balanced`, 6 edges, 8 offers of one model, for a minute: offer A is down
# from 12 s to 27 s, B answers nobody from 36 s to 46 s.
# second, edge, request and attempts before, which turn, version of the table: whom the policy takes
# and the others in the order of the plan, each with its share in % or with why it is no draw > whom
# the request went to, and where that is another, whom the policy would take now.
";

/// Makes the recording again. Where `followed` has a decision, requests go where it says; without
/// one the policy has its way.
///
/// # Errors
/// When the world is impossible.
pub fn record(followed: Option<&str>) -> Result<String, Refused> {
    let scenario = scenario()?;
    let mut policy = Ours::new(&scenario, Mode::Balanced, Random::stream(SEED, 4));
    policy.tape = Some(Tape::following(followed.unwrap_or_default()));
    engine::run(World::new(scenario, SEED), &mut policy);
    let lines = policy.tape.map(|tape| tape.lines).unwrap_or_default();
    Ok(format!("{HEAD}{lines}"))
}

/// What differs between two recordings, in words: how much, and the first of it. None when nothing
/// does.
#[must_use]
pub fn difference(old: &str, new: &str) -> Option<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (decisions(old), decisions(new));
    let pairs = || old.iter().zip(&new);
    let changed = pairs().filter(|(old, new)| old != new).count();
    let changed = changed + old.len().abs_diff(new.len());
    if changed == 0 {
        return None;
    }
    let first = pairs().position(|(old, new)| old != new);
    let at = first.unwrap_or_else(|| old.len().min(new.len()));
    let others = pairs()
        .filter(|(old, new)| chosen(old) != chosen(new))
        .count();
    let say = |line: Option<&&str>| line.map_or_else(|| "nothing".to_owned(), |line| words(line));
    Some(format!(
        "{changed} of {} decisions differ, {others} of them in who is taken. The first:\n  was {}\n  \
         is  {}\nIf that is meant, record it with `{COMMAND}` and show the change of the file.",
        old.len(),
        say(old.get(at)),
        say(new.get(at)),
    ))
}

/// The world: small, and with one fault that says no and one that says nothing.
fn scenario() -> Result<Scenario, Refused> {
    let mut scenario = Scenario::new(Kind::Standard, 6, 0)?;
    (scenario.end, scenario.warm, scenario.rate) = (60.0, 0.0, 30.0);
    scenario.control_cut = (f64::INFINITY, f64::INFINITY);
    let fault = |name: &str, start, end, provider, what| Fault {
        name: name.to_owned(),
        start,
        end,
        providers: vec![provider],
        what,
        region: None,
    };
    scenario.faults = vec![
        fault("A down", 12.0, 27.0, 0, Break::Down),
        fault("B silent", 36.0, 46.0, 1, Break::Hole(1.0)),
    ];
    Ok(scenario)
}

fn decisions(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.collect()
}

/// Whom the policy took, wherever the request went.
fn chosen(line: &str) -> Option<&str> {
    let (_, taken) = line.split_once(TOOK)?;
    taken.rsplit(NOT).next()
}

/// `12.345 e3 r288.1 again t17: D62 A:paused > D` for people.
fn words(line: &str) -> String {
    let (situation, took) = line.split_once(TOOK).unwrap_or((line, NOBODY));
    let (about, places) = situation.split_once(": ").unwrap_or((situation, ""));
    let mut about = about.split(' ');
    let mut next = || about.next().unwrap_or_default();
    let (at, edge, request) = (next(), next(), next());
    let (turn, table) = (next(), next());
    let (request, before) = request.split_once('.').unwrap_or((request, "0"));
    let number = |text: &str| text.get(1..).unwrap_or_default().to_owned();
    let each = places.split(' ').map(|place| {
        let (offer, rest) = place.split_at(place.len().min(1));
        match rest.strip_prefix(':') {
            Some(why) => format!("{offer} ({why})"),
            None => format!("{offer} {rest} %"),
        }
    });
    let each: Vec<String> = each.collect();
    format!(
        "at {at} s, edge {}, request {} ({turn}, {before} attempts before), table {}: {}; took {took}",
        number(edge),
        number(request),
        number(table),
        each.join(", "),
    )
}

/// Which decision: by request, attempts before and turn.
type Key = (usize, u32, &'static str);

/// What is recorded, and what is followed.
#[derive(Default)]
pub(crate) struct Tape {
    /// None is nobody.
    followed: BTreeMap<Key, Option<usize>>,
    lines: String,
}

impl Tape {
    fn following(text: &str) -> Self {
        let decisions = decisions(text).into_iter().filter_map(followed);
        Self {
            followed: decisions.collect(),
            lines: String::new(),
        }
    }

    /// Whom the recording took; none when it doesn't know of the decision.
    pub(crate) fn took(&self, ask: &Ask) -> Option<Option<usize>> {
        let key = (ask.call, ask.tried.count_ones(), turn(ask.turn));
        self.followed.get(&key).copied()
    }

    /// Notes a decision: where, by which table, the plan, whom the policy took and who is taken.
    pub(crate) fn note(
        &mut self,
        (ask, now, table): (&Ask, f64, u64),
        places: &str,
        own: Option<usize>,
        taken: Option<usize>,
    ) {
        let (call, before, turn) = (ask.call, ask.tried.count_ones(), turn(ask.turn));
        let edge = ask.edge;
        // Writing to a string can't fail.
        let _ = write!(
            self.lines,
            "{now:.3} e{edge} r{call}.{before} {turn} t{table}: {places}{TOOK}{}",
            letter(taken)
        );
        if own != taken {
            let _ = write!(self.lines, "{NOT}{}", letter(own));
        }
        self.lines.push('\n');
    }
}

/// A plan's candidates in order: share in percent, or why it is no draw.
pub(crate) fn places<'a>(
    candidates: impl Iterator<Item = &'a Candidate>,
    offer: impl Fn(&Candidate) -> Option<usize>,
) -> String {
    let each = candidates.map(|candidate| {
        let letter = letter(offer(candidate));
        match candidate.reason {
            Reason::Drawn => format!("{letter}{:.0}", 100.0 * candidate.share),
            reason => format!("{letter}:{}", reason.as_str()),
        }
    });
    each.collect::<Vec<_>>().join(" ")
}

fn followed(line: &str) -> Option<(Key, Option<usize>)> {
    let (situation, taken) = line.split_once(TOOK)?;
    let mut words = situation.split(' ').skip(2);
    let (call, before) = words.next()?.strip_prefix('r')?.split_once('.')?;
    let told = words.next()?;
    let turns = [Turn::First, Turn::Again, Turn::Hedge];
    let turn = turns.into_iter().map(turn).find(|turn| *turn == told)?;
    let taken = taken.split(NOT).next()?;
    let offer = match taken.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
        _ => None,
    };
    Some(((call.parse().ok()?, before.parse().ok()?, turn), offer))
}

fn turn(turn: Turn) -> &'static str {
    match turn {
        Turn::First => "first",
        Turn::Again => "again",
        Turn::Hedge => "hedge",
    }
}

fn letter(offer: Option<usize>) -> String {
    let letters = offer.and_then(|offer| (b'A'..=b'Z').nth(offer));
    letters.map_or_else(
        || NOBODY.to_owned(),
        |letter| char::from(letter).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../decisions.txt");

    #[test]
    fn our_policy_decides_as_it_did() {
        let again = record(Some(RECORDED)).unwrap();
        if let Some(difference) = difference(RECORDED, &again) {
            panic!("{difference}");
        }
    }

    #[test]
    fn a_recording_has_both_faults_and_every_turn() {
        let all = decisions(RECORDED);
        assert!(
            all.len() > 1_000 && RECORDED.len() < 200_000,
            "{}",
            all.len()
        );
        for word in [
            " first ", " again ", " hedge ", "A:probe", "A:open", "A:paused", "B:open",
        ] {
            assert!(all.iter().any(|line| line.contains(word)), "{word}");
        }
    }

    #[test]
    fn without_a_recording_to_follow_the_policy_has_its_way() {
        let own = record(None).unwrap();
        assert!(!own.contains(NOT));
        assert_eq!(record(Some(&own)).unwrap(), own);
    }

    #[test]
    fn what_was_taken_is_followed_and_what_differs_is_said() {
        let own = record(None).unwrap();
        let first = decisions(&own)[0];
        let (situation, taken) = first.split_once(TOOK).unwrap();
        let other = if taken == "C" { "D" } else { "C" };
        let bent = own.replace(first, &format!("{situation}{TOOK}{other}"));
        let again = record(Some(&bent)).unwrap();
        let line = decisions(&again)[0];
        assert_eq!(line, format!("{situation}{TOOK}{other}{NOT}{taken}"));
        let told = difference(&bent, &again).unwrap();
        assert!(told.contains(" edge ") && told.contains(COMMAND), "{told}");
        assert!(
            told.contains(&format!("took {other}{NOT}{taken}")),
            "{told}"
        );
        assert_eq!(difference(&bent, &bent), None);
    }
}
