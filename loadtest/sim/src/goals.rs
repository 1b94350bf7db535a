//! What the routing study asks of the default mode and of the fast one, as a check: what was
//! measured, what passes, what would be better still. The held-out scenarios may miss a goal by a
//! little. Not here: what a decision and a tick cost, which the benches measure.

use crate::measure::{FaultFigures, Figures};
use crate::scenario::{Kind, Refused, Scenario};
use crate::{Runs, run_all};
use serde_json::{Value, json};

/// By how many points the good answers may fall …
const GOODPUT_FALLS: f64 = 0.2;
/// … and by what factor the price may rise, against an earlier table.
const PRICE_RISES: f64 = 1.02;
/// How far a held-out scenario may miss a goal in points, where it is a percentage …
const HELD_OUT_POINTS: f64 = 0.5;
/// … and where it is not, as a factor.
const HELD_OUT_FACTOR: f64 = 1.15;
/// The held-out scenarios.
const HELD_OUT: std::ops::RangeInclusive<u32> = 1..=10;
/// At most so many runs of each.
const HELD_OUT_SEEDS: usize = 5;
/// Edges of the reference, and of the sparse fleet.
const EDGES: (usize, usize) = (12, 60);
/// Faults whose reactions are goals.
const REACTIONS: [&str; 6] = ["F1", "F2", "F3", "F4", "F5", "F8"];

/// Which way is better, and from where on it is good enough.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mark {
    /// At least.
    Least(f64),
    /// At most.
    Most(f64),
}

/// One goal and what came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Which runs.
    pub of: String,
    /// What of them.
    pub goal: String,
    /// Not a number where the runs don't tell.
    pub measured: f64,
    /// What passes.
    pub pass: Mark,
    /// What is asked for beyond that.
    pub stretch: Mark,
}

/// The means that goals are about.
#[derive(Clone, Debug)]
pub struct Means {
    /// The default mode.
    pub balanced: Figures,
    /// For who prefers latency.
    pub latency: Option<Figures>,
    /// Who knows everything and goes by price.
    pub oracle: Option<Figures>,
}

impl Mark {
    /// Is it reached? What was not measured is not missed.
    #[must_use]
    pub fn is_met(self, measured: f64) -> bool {
        match self {
            Self::Least(least) => measured.is_nan() || measured >= least,
            Self::Most(most) => measured.is_nan() || measured <= most,
        }
    }

    /// What a held-out scenario may make of it.
    fn held_out(self) -> Self {
        match self {
            Self::Least(percent) => Self::Least(percent - HELD_OUT_POINTS),
            Self::Most(most) => Self::Most(most * HELD_OUT_FACTOR),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Least(least) => format!(">= {least:.2}"),
            Self::Most(most) => format!("<= {most:.2}"),
        }
    }
}

impl Check {
    /// Does it pass?
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.pass.is_met(self.measured)
    }

    fn verdict(&self) -> &'static str {
        match (self.is_met(), self.stretch.is_met(self.measured)) {
            _ if self.measured.is_nan() => "not measured",
            (false, _) => "MISSED",
            (true, false) => "pass",
            (true, true) => "stretch",
        }
    }
}

/// Runs everything that the goals are about: the reference with all seeds, so the sparse fleet;
/// each held-out scenario with the first ones. A single run of one says little: many of its faults
/// hit endpoints that hardly anybody uses.
///
/// # Errors
/// There is no such scenario.
pub fn measure(seeds: &[u64], threads: usize) -> Result<Vec<Check>, Refused> {
    let all = ["balanced", "latency", "oracle"];
    let scenario = Scenario::new(Kind::Standard, EDGES.0, 0)?;
    let mut checks = Vec::new();
    if let Some(means) = means(&run_all(&scenario, &all, seeds, threads)) {
        checks.extend(reference("reference", &means));
    }
    let scenario = Scenario::new(Kind::Standard, EDGES.1, 0)?;
    if let Some(means) = means(&run_all(&scenario, &all[..1], seeds, threads)) {
        checks.extend(sparse("60 edges", &means.balanced));
    }
    for shuffle in HELD_OUT {
        let scenario = Scenario::new(Kind::Standard, EDGES.0, shuffle)?;
        let first = &seeds[..seeds.len().min(HELD_OUT_SEEDS)];
        if let Some(means) = means(&run_all(&scenario, &all, first, threads)) {
            checks.extend(held_out(&format!("held-out {shuffle}"), &means));
        }
    }
    Ok(checks)
}

/// Of the policies' runs, in that order: ours, the fast mode, the oracle.
fn means(runs: &[Runs]) -> Option<Means> {
    let mean = |run: &Runs| {
        let figures = run.seeds.iter().map(|(_, figures)| figures.clone());
        Figures::mean(&figures.collect::<Vec<_>>())
    };
    Some(Means {
        balanced: mean(runs.first()?)?,
        latency: runs.get(1).and_then(mean),
        oracle: runs.get(2).and_then(mean),
    })
}

/// The goals of the reference's world.
#[must_use]
pub fn reference(of: &str, means: &Means) -> Vec<Check> {
    use Mark::{Least, Most};
    let mut checks = Vec::new();
    let mut goal = |goal: &str, measured: f64, pass: Mark, stretch: Mark| {
        checks.push(Check {
            of: of.to_owned(),
            goal: goal.to_owned(),
            measured,
            pass,
            stretch,
        });
    };
    let ours = &means.balanced;
    if let Some(oracle) = &means.oracle {
        let best = oracle.goodput_pct;
        let least = (best - 0.4).max(98.4);
        goal(
            "goodput %",
            ours.goodput_pct,
            Least(least),
            Least(best - 0.1),
        );
        let price = ours.usd_per_mtok / oracle.usd_per_mtok;
        goal("price, of the oracle's", price, Most(1.10), Most(1.05));
    }
    let worst = ours.worst_fault_goodput_pct;
    goal("worst fault's goodput %", worst, Least(95.0), Least(97.0));
    goal("success %", ours.success_pct, Least(99.95), Least(99.99));
    goal(
        "p99 to the first token, s",
        ours.ttft_p99_s,
        Most(3.4),
        Most(3.0),
    );
    goal("reaction, s", ours.reaction_s, Most(4.0), Most(2.5));
    let reactions = ours
        .faults
        .iter()
        .filter(|it| REACTIONS.contains(&label(it)));
    for fault in reactions {
        let name = format!("reaction to {}, s", fault.name);
        goal(&name, fault.reaction_s, Most(10.0), Most(6.0));
    }
    goal("recovery, s", ours.recovery_s, Most(20.0), Most(10.0));
    if let Some(slow) = ours.faults.iter().find(|it| label(it) == "F4") {
        goal("recovery of F4, s", slow.recovery_s, Most(60.0), Most(25.0));
    }
    let (extra, limited) = (ours.extra_attempts_per_100, ours.http429_per_100);
    goal("extra attempts per 100", extra, Most(5.0), Most(3.0));
    goal("429s per 100", limited, Most(0.3), Most(0.1));
    if let Some(fast) = &means.latency {
        let good = fast.goodput_pct;
        goal("latency mode: goodput %", good, Least(99.7), Least(99.85));
        let slow = fast.ttft_p99_s;
        goal(
            "latency mode: p99 to the first token, s",
            slow,
            Most(1.8),
            Most(1.65),
        );
    }
    checks
}

/// Those of a fleet that sees little of everything.
#[must_use]
pub fn sparse(of: &str, ours: &Figures) -> Vec<Check> {
    let check = |goal: &str, measured: f64, pass: Mark, stretch: Mark| Check {
        of: of.to_owned(),
        goal: goal.to_owned(),
        measured,
        pass,
        stretch,
    };
    let worst = ours.worst_fault_goodput_pct;
    vec![
        check(
            "worst fault's goodput %",
            worst,
            Mark::Least(95.0),
            Mark::Least(96.5),
        ),
        check(
            "reaction, s",
            ours.reaction_s,
            Mark::Most(13.0),
            Mark::Most(6.0),
        ),
    ]
}

/// The reference's, missed by no more than a little; better is to meet them.
fn held_out(of: &str, means: &Means) -> Vec<Check> {
    let checks = reference(of, means).into_iter();
    let eased = checks.map(|check| Check {
        pass: check.pass.held_out(),
        stretch: check.pass,
        ..check
    });
    eased.collect()
}

/// What has become worse than in an earlier table, which is what [`crate::report::json`] made of the
/// same runs: by policy, in words. What the table does not have is compared with nothing, and said.
#[must_use]
pub fn regressions(before: &Value, runs: &[Runs]) -> Vec<String> {
    let mut worse = Vec::new();
    for run in runs {
        let name = &run.policy;
        let one = (before["policy"] == name.as_str()).then_some(before);
        let then = one.unwrap_or_else(|| &before["policies"][name]);
        let figure = |name: &str| then[name].as_f64();
        let (Some(goodput), Some(price)) = (figure("goodput_pct"), figure("usd_per_mtok")) else {
            worse.push(format!("{name}: the table has no such policy"));
            continue;
        };
        let now = run.seeds.iter().map(|(_, figures)| figures.clone());
        let Some(now) = Figures::mean(&now.collect::<Vec<_>>()) else {
            worse.push(format!("{name}: there is no run of it"));
            continue;
        };
        if now.goodput_pct < goodput - GOODPUT_FALLS {
            let now = now.goodput_pct;
            worse.push(format!(
                "{name}: {now:.2} % good answers, {goodput:.2} before"
            ));
        }
        if now.usd_per_mtok > price * PRICE_RISES {
            let now = now.usd_per_mtok;
            worse.push(format!(
                "{name}: {now:.4} $ per million tokens, {price:.4} before"
            ));
        }
    }
    worse
}

/// A table: one row per goal.
#[must_use]
pub fn table(checks: &[Check]) -> String {
    let mut text =
        String::from("| of | goal | measured | pass | stretch | |\n|---|---|---|---|---|---|\n");
    for check in checks {
        text.push_str(&format!(
            "| {} | {} | {:.2} | {} | {} | {} |\n",
            check.of,
            check.goal,
            check.measured,
            check.pass.text(),
            check.stretch.text(),
            check.verdict(),
        ));
    }
    let missed = checks.iter().filter(|check| !check.is_met()).count();
    text.push_str(&format!("{missed} of {} missed\n", checks.len()));
    text
}

/// The same for programs.
#[must_use]
pub fn json(checks: &[Check]) -> Value {
    let each = checks.iter().map(|check| {
        json!({
            "of": check.of,
            "goal": check.goal,
            "measured": check.measured,
            "pass": check.pass.text(),
            "stretch": check.stretch.text(),
            "verdict": check.verdict(),
        })
    });
    let met = checks.iter().all(Check::is_met);
    json!({ "goals": each.collect::<Vec<_>>(), "met": met })
}

fn label(fault: &FaultFigures) -> &str {
    fault.name.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_from_its_mark_on() {
        for (mark, met, missed) in [
            (Mark::Least(95.0), 95.0, 94.9),
            (Mark::Most(4.0), 4.0, 4.1),
            (Mark::Least(98.4).held_out(), 97.9, 97.8),
            (Mark::Most(4.0).held_out(), 4.5, 4.7),
        ] {
            assert!(mark.is_met(met) && !mark.is_met(missed), "{mark:?}");
            assert!(mark.is_met(f64::NAN), "nothing was measured");
        }
    }

    #[test]
    fn a_table_says_which_goal_is_missed() {
        let check = |measured| Check {
            of: "reference".to_owned(),
            goal: "reaction, s".to_owned(),
            measured,
            pass: Mark::Most(4.0),
            stretch: Mark::Most(2.5),
        };
        let checks = [check(2.0), check(3.0), check(5.0)];
        let told = table(&checks);
        for row in [
            "2.00 | <= 4.00 | <= 2.50 | stretch",
            "3.00 | <= 4.00 | <= 2.50 | pass",
        ] {
            assert!(told.contains(row), "{told}");
        }
        assert!(
            told.contains("MISSED") && told.ends_with("1 of 3 missed\n"),
            "{told}"
        );
        assert_eq!(json(&checks)["met"], false);
        assert_eq!(json(&checks[..2])["met"], true);
    }
}
