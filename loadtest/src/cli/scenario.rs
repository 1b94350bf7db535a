//! `loadtest scenario`: a fault in a real fleet, with a verdict.

use super::{Verdict, say, say_json};
use crate::scenario::{self, AnyScenario, MoneyReport, Phase, Report};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct ScenarioArguments {
    /// Scenario files; `loadtest/scenarios` has some.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// One line of JSON per file.
    #[arg(long)]
    json: bool,
}

pub(super) async fn scenario(arguments: ScenarioArguments) -> Result<Verdict, String> {
    let mut all = true;
    for file in &arguments.files {
        match AnyScenario::read(file).map_err(|error| error.to_string())? {
            AnyScenario::Faults(scenario) => {
                let report = scenario::play(&scenario).await;
                let report = report.map_err(|error| error.to_string())?;
                all &= report.pass;
                tell(&report, arguments.json, show)?;
            }
            AnyScenario::Money(money) => {
                let report = scenario::play_money(&money).await;
                let report = report.map_err(|error| error.to_string())?;
                all &= report.pass;
                tell(&report, arguments.json, show_money)?;
            }
        }
    }
    Ok(if all { Verdict::Pass } else { Verdict::Fail })
}

fn tell<T: Serialize>(report: &T, as_json: bool, show: fn(&T)) -> Result<(), String> {
    if as_json {
        let value = serde_json::to_value(report).map_err(|error| error.to_string())?;
        say_json(&value, false);
    } else {
        show(report);
    }
    Ok(())
}

fn show_money(report: &MoneyReport) {
    let word = if report.pass { "pass" } else { "FAIL" };
    say(&format!("{word} {} ({:.0} s)", report.name, report.took_s));
    say(&format!(
        "     {} kills of edges, {} of the control plane; {} requests: {} whole, {} left, {} cut, \
         others {:?}",
        report.edge_kills,
        report.control_kills,
        report.asked,
        report.whole,
        report.left,
        report.cut,
        report.refused
    ));
    say(&format!(
        "     {} settled ({} by our own count), {} released, {} in suspense, {} tried twice; {} \
         lost, {} doubled",
        report.settled,
        report.estimated,
        report.released,
        report.suspense,
        report.tried_twice,
        report.lost,
        report.doubled
    ));
    say(&format!(
        "     billed {} USD, charged {}, the platform's {}, difference {}",
        report.billed_usd, report.charged_usd, report.expense_usd, report.difference_usd
    ));
    for broken in &report.broken {
        say(&format!("     {broken}"));
    }
}

fn show(report: &Report) {
    let word = if report.pass { "pass" } else { "FAIL" };
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |it| format!("{it:.1} s"));
    say(&format!("{word} {}", report.name));
    say(&format!(
        "     reaction {}, recovery {}, {:.1} extra attempts per 100, {} client errors {:?}",
        seconds(report.reaction_s),
        seconds(report.recovery_s),
        report.extra_attempts_per_100,
        report.client_errors,
        report.failures
    ));
    for (name, phase) in [
        ("before", &report.before),
        ("fault", &report.fault),
        ("after", &report.after),
    ] {
        show_phase(name, phase);
    }
    for broken in &report.broken {
        say(&format!("     {broken}"));
    }
}

fn show_phase(name: &str, phase: &Phase) {
    say(&format!(
        "     {name:<6} {} requests, success {:.2} %, goodput {:.2} %, ttft p50 {:.2} s, p99 {:.2} s",
        phase.requests, phase.success_pct, phase.goodput_pct, phase.ttft_p50_s, phase.ttft_p99_s
    ));
}
