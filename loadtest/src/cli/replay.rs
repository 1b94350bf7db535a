//! `loadtest replay`: recorded exchanges through a running edge.

use super::{Verdict, say, say_json};
use crate::replay::{self, Api, Filter, Format, Report};
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
    /// Only this client API (chat, messages, responses, completions); may be repeated.
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
    let report = replay::run(cases, &apis)
        .await
        .map_err(|error| error.to_string())?;
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

/// Each case with what is wrong, then each API's account.
fn show(report: &Report) {
    let mut accounts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for case in &report.cases {
        let word = if case.pass { "pass" } else { "FAIL" };
        say(&format!("{word} {}", case.name));
        for (api, outcome) in &case.api {
            let [passed, failed, lacking] = accounts.entry(api).or_default();
            match (outcome.asked, outcome.pass) {
                (false, _) => *lacking += 1,
                (true, true) => *passed += 1,
                (true, false) => *failed += 1,
            }
            if !outcome.why.is_empty() {
                say(&format!("     {api}: {}", outcome.why));
            }
        }
    }
    for (api, [passed, failed, lacking]) in accounts {
        say(&format!(
            "{api}: {passed} as recorded, {failed} not, {lacking} beyond its words"
        ));
    }
    say(&format!(
        "{} cases passed, {} failed",
        report.passed, report.failed
    ));
}
