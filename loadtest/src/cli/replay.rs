//! `loadtest replay`: recorded exchanges through a running edge.

use super::{Verdict, say, say_json};
use crate::replay::{self, Api, Filter, Format, LeftOut, Report};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct ReplayArguments {
    /// The folder with `cases/`, or with the cases themselves.
    #[arg(long)]
    corpus: PathBuf,
    /// Only recordings of this dialect, as the corpus names it.
    #[arg(long)]
    dialect: Option<String>,
    /// Only this client API (chat, messages, responses, completions, embeddings, rerank,
    /// count_tokens); may be repeated.
    #[arg(long)]
    api: Vec<String>,
    /// Only cases whose name contains this.
    #[arg(long)]
    case: Option<String>,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn replay(arguments: ReplayArguments) -> Result<Verdict, String> {
    let unknown = |name: &str| format!("unknown dialect {name}");
    let format = arguments.dialect.as_deref();
    let format = format.map(|name| Format::parse(name).ok_or_else(|| unknown(name)));
    let filter = Filter {
        format: format.transpose()?,
        name: arguments.case,
    };
    let named = |name: &String| Api::parse(name).ok_or_else(|| format!("unknown API {name}"));
    let mut apis = arguments
        .api
        .iter()
        .map(named)
        .collect::<Result<Vec<_>, _>>()?;
    if apis.is_empty() {
        apis.extend(Api::ALL);
    }
    let cases = replay::load(&arguments.corpus, &filter).map_err(|error| error.to_string())?;
    if cases.is_empty() {
        return Err("no case fits".to_owned());
    }
    let mut report = replay::run(cases, &apis)
        .await
        .map_err(|error| error.to_string())?;
    let left_out = replay::left_out(&arguments.corpus, &filter);
    report.left_out = left_out.map_err(|error| error.to_string())?;
    if arguments.json {
        let value = serde_json::to_value(&report).map_err(|error| error.to_string())?;
        say_json(&value, false);
    } else {
        show(&report);
    }
    Ok(if report.failed == 0 {
        Verdict::Pass
    } else {
        Verdict::Fail
    })
}

/// A table of cases and APIs, what can't be said in which API, and what went wrong.
fn show(report: &Report) {
    let apis = report.cases.first().into_iter();
    let apis: Vec<&str> = apis.flat_map(|case| case.api.keys().copied()).collect();
    say(&format!("{:64} {}", "case", apis.join("  ")));
    let mut accounts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut wordless: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for case in &report.cases {
        let mut row = format!("{:64}", case.name);
        for (api, outcome) in &case.api {
            let [played, failed] = accounts.entry(api).or_default();
            let cell = match (outcome.asked, outcome.pass) {
                (false, _) if outcome.is_other => "",
                (false, _) => {
                    let known = wordless.entry((api, &outcome.why)).or_default();
                    known.push(case.name.split('-').next().unwrap_or(""));
                    "beyond"
                }
                (true, pass) => {
                    *played += 1;
                    *failed += usize::from(!pass);
                    if pass { "same" } else { "FAIL" }
                }
            };
            row.push_str(&format!(" {cell:width$} ", width = api.len()));
        }
        say(row.trim_end());
    }
    for ((api, why), names) in wordless {
        say(&format!(
            "{api} can't say {}, because {why}: {}",
            names.len(),
            names.join(" ")
        ));
    }
    for LeftOut { name, why } in &report.left_out {
        say(&format!("not asked: {name}: {why}"));
    }
    for case in report.cases.iter().filter(|case| !case.pass) {
        for (api, outcome) in case.api.iter().filter(|(_, outcome)| !outcome.pass) {
            say(&format!("FAIL {} {api}: {}", case.name, outcome.why));
        }
    }
    for (api, [played, failed]) in accounts {
        say(&format!(
            "{api}: {} of {played} as recorded",
            played - failed
        ));
    }
    say(&format!(
        "{} cases passed, {} failed, {} not asked",
        report.passed,
        report.failed,
        report.left_out.len()
    ));
}
