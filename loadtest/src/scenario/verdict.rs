//! Figures of a scenario that was played, and whether they keep its bounds.

use super::Scenario;
use super::arrivals::Arrivals;
use super::load::Answered;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A good answer is whole, begins within this …
const GOOD_TTFT: Duration = Duration::from_secs(3);
/// … and is at least this quick, tokens per second.
const GOOD_PACE: f64 = 20.0;
/// Most different failures that are told apart.
const FAILURES_MAX: usize = 32;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub name: String,
    /// Every bound is kept.
    pub pass: bool,
    /// The bounds that are not.
    pub broken: Vec<String>,
    /// Seconds from the fault's beginning until the sick providers had less than a quarter of the
    /// attempts per request that they had before, for two seconds.
    pub reaction_s: Option<f64>,
    /// Seconds from its end until they had half of it again.
    pub recovery_s: Option<f64>,
    /// Attempts per 100 requests beyond one each, in the fault's window.
    pub extra_attempts_per_100: f64,
    /// Requests that failed for their client.
    pub client_errors: u64,
    /// What they saw.
    pub failures: BTreeMap<String, u64>,
    /// Requests that began before the fault.
    pub before: Phase,
    /// During it.
    pub fault: Phase,
    /// After it.
    pub after: Phase,
}

/// The requests of one phase.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// How many.
    pub requests: u64,
    /// Whole answers, percent.
    pub success_pct: f64,
    /// Whole answers that began within 3 s and came at 20 tokens per second or more, percent.
    pub goodput_pct: f64,
    /// Seconds to the first token as the client saw it.
    pub ttft_p50_s: f64,
    /// The same, 99th percentile.
    pub ttft_p99_s: f64,
}

pub(super) fn report(scenario: &Scenario, arrivals: &Arrivals, answers: &[Answered]) -> Report {
    let (begins, ends) = scenario.window();
    let sick = scenario.sick();
    let mut failures: BTreeMap<String, u64> = BTreeMap::new();
    for why in answers.iter().filter_map(|answer| answer.failure.as_ref()) {
        let known = failures.contains_key(why) || failures.len() < FAILURES_MAX;
        let why = if known { why.as_str() } else { "other" };
        *failures.entry(why.to_owned()).or_default() += 1;
    }
    let mut report = Report {
        name: scenario.name.clone(),
        pass: false,
        broken: Vec::new(),
        reaction_s: arrivals.reaction(&sick, (begins, ends)),
        recovery_s: arrivals.recovery(&sick, begins, ends),
        extra_attempts_per_100: 100.0 * (arrivals.attempts(begins, ends).unwrap_or(1.0) - 1.0),
        client_errors: failures.values().sum(),
        failures,
        before: phase(answers, Duration::ZERO, begins),
        fault: phase(answers, begins, ends),
        after: phase(answers, ends, Duration::MAX),
    };
    report.broken = broken(scenario, &report);
    report.pass = report.broken.is_empty();
    report
}

fn broken(scenario: &Scenario, report: &Report) -> Vec<String> {
    let expect = &scenario.expect;
    let mut broken = Vec::new();
    if report.before.requests == 0 || report.fault.requests == 0 {
        broken.push("no requests were made".to_owned());
    }
    if let Some(most) = expect.reaction_s
        && report.reaction_s.is_none_or(|took| took > most)
    {
        let took = report.reaction_s;
        let took = took.map_or_else(|| "never".to_owned(), |took| format!("after {took:.1} s"));
        broken.push(format!("reacted {took}, not within {most} s"));
    }
    if let Some(most) = expect.client_errors
        && report.client_errors > most
    {
        let (seen, what) = (report.client_errors, &report.failures);
        broken.push(format!(
            "{seen} requests failed, more than {most}: {what:?}"
        ));
    }
    if let Some(least) = expect.fault_goodput_pct
        && report.fault.goodput_pct < least
    {
        let seen = report.fault.goodput_pct;
        broken.push(format!(
            "goodput under fault is {seen:.1} %, less than {least} %"
        ));
    }
    broken
}

fn phase(answers: &[Answered], from: Duration, to: Duration) -> Phase {
    let inside: Vec<_> = answers
        .iter()
        .filter(|it| (from..to).contains(&it.asked))
        .collect();
    let whole: Vec<_> = inside.iter().filter(|it| it.failure.is_none()).collect();
    let good = whole
        .iter()
        .filter(|it| it.ttft <= GOOD_TTFT && it.pace >= GOOD_PACE)
        .count();
    let mut ttft: Vec<f64> = whole.iter().map(|it| it.ttft.as_secs_f64()).collect();
    ttft.sort_by(f64::total_cmp);
    let percent = |count: usize| 100.0 * float(count) / float(inside.len()).max(1.0);
    Phase {
        requests: inside.len() as u64,
        success_pct: percent(whole.len()),
        goodput_pct: percent(good),
        ttft_p50_s: at(&ttft, 50),
        ttft_p99_s: at(&ttft, 99),
    }
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = (sorted.len() * percent / 100).min(last);
    sorted.get(place).copied().unwrap_or_default()
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
