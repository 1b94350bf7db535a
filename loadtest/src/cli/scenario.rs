//! `loadtest scenario`: a fault in a real fleet, with a verdict.

use super::{Verdict, say, say_json};
use crate::scenario::{self, Phase, Report, Scenario};
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
        let scenario = Scenario::read(file).map_err(|error| error.to_string())?;
        let report = scenario::play(&scenario)
            .await
            .map_err(|error| error.to_string())?;
        all &= report.pass;
        if arguments.json {
            let value = serde_json::to_value(&report).map_err(|error| error.to_string())?;
            say_json(&value, false);
        } else {
            show(&report);
        }
    }
    Ok(if all { Verdict::Pass } else { Verdict::Fail })
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
