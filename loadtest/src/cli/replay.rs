//! `loadtest replay`: recorded exchanges through a running edge.

use super::{Verdict, say, say_json};
use crate::provider::Dialect;
use crate::replay::{self, Filter};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct ReplayArguments {
    /// The folder with `cases/`.
    #[arg(long)]
    corpus: PathBuf,
    /// Only this dialect (openai-chat or anthropic-messages).
    #[arg(long)]
    dialect: Option<String>,
    /// Only cases whose name contains this.
    #[arg(long)]
    case: Option<String>,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn replay(arguments: ReplayArguments) -> Result<Verdict, String> {
    let unknown = |name: &str| format!("unknown dialect {name}");
    let dialect = arguments.dialect.as_deref();
    let dialect = dialect.map(|name| Dialect::parse(name).ok_or_else(|| unknown(name)));
    let filter = Filter {
        dialect: dialect.transpose()?,
        name: arguments.case,
    };
    let cases = replay::load(&arguments.corpus, &filter).map_err(|error| error.to_string())?;
    if cases.is_empty() {
        return Err("no case fits".to_owned());
    }
    let report = replay::run(cases)
        .await
        .map_err(|error| error.to_string())?;
    if arguments.json {
        let value = serde_json::to_value(&report).map_err(|error| error.to_string())?;
        say_json(&value, false);
    } else {
        for case in &report.cases {
            let word = if case.pass { "pass" } else { "FAIL" };
            say(&format!("{word} {} {}", case.name, case.api.chat.why));
        }
        say(&format!(
            "{} passed, {} failed",
            report.passed, report.failed
        ));
    }
    Ok(if report.failed == 0 {
        Verdict::Pass
    } else {
        Verdict::Fail
    })
}
