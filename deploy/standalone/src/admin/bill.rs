//! `godwit admin ledger reconcile`: a provider's bill from a file. CSV with the heading
//! `id,amount_usd`; JSON, a list of `{"id", "amount_usd"}`; or what the simulated provider gives at
//! `/_bill`, whose tokens are priced at the catalogue that each request was held by.

use super::report::Report;
use super::{Failed, Target, connect};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use shared::proto::admin as wire;
use std::path::PathBuf;

const HEADING: &str = "id,amount_usd";

#[derive(Args, Debug)]
pub(super) struct ReconcileArguments {
    /// The bill: .csv, or JSON.
    #[arg(long)]
    bill: PathBuf,
    /// Whose it is: the provider's slug.
    #[arg(long)]
    provider: String,
    /// The bill has everything that began before this, in seconds since 1970: what is still in
    /// suspense from before and not on it is given back. Without it the bill is a part.
    #[arg(long)]
    complete_until: Option<u64>,
}

/// One request, in either form of JSON.
#[derive(Deserialize)]
struct Line {
    id: String,
    #[serde(default)]
    amount_usd: String,
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    cached_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Lines(Vec<Line>),
    Simulated { requests: Vec<Line> },
}

pub(super) async fn reconcile(
    to: &Target,
    arguments: ReconcileArguments,
) -> Result<Report, Failed> {
    let path = arguments.bill.display();
    let text = std::fs::read_to_string(&arguments.bill)
        .map_err(|error| Failed::new(format!("{path}: {error}")))?;
    let csv = arguments.bill.extension().is_some_and(|end| end == "csv");
    let lines = if csv { of_csv(&text) } else { of_json(&text) };
    let lines = lines.map_err(|reason| Failed::new(format!("{path}: {reason}")))?;
    let request = wire::ReconcileBillRequest {
        provider: arguments.provider,
        lines,
        complete_until_unix_ms: arguments
            .complete_until
            .unwrap_or_default()
            .saturating_mul(1000),
    };
    let done = connect::client(to).await?.reconcile_bill(request).await?;
    Ok(report(done.into_inner()))
}

fn of_csv(text: &str) -> Result<Vec<wire::BillLine>, String> {
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some(HEADING) {
        return Err(format!("the first line must be {HEADING}"));
    }
    (2..)
        .zip(lines)
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let (id, amount) = line.split_once(',').ok_or_else(|| {
                format!("line {number}: an id, a comma and an amount are expected")
            })?;
            Ok(wire::BillLine {
                id: id.trim().to_owned(),
                amount_usd: amount.trim().to_owned(),
                ..wire::BillLine::default()
            })
        })
        .collect()
}

fn of_json(text: &str) -> Result<Vec<wire::BillLine>, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let lines = match file {
        File::Lines(lines) | File::Simulated { requests: lines } => lines,
    };
    // What was refused or broke before its head has no id, and costs nothing.
    let billed = lines.into_iter().filter(|line| !line.id.is_empty());
    Ok(billed
        .map(|line| wire::BillLine {
            id: line.id,
            amount_usd: line.amount_usd,
            input_tokens: line.input_tokens,
            cached_tokens: line.cached_tokens,
            output_tokens: line.output_tokens,
        })
        .collect())
}

fn report(done: wire::ReconcileBillResponse) -> Report {
    let report = Report::new(json!({
        "equal": done.equal,
        "settled": done.settled,
        "released": done.released,
        "before": done.before,
        "unknown": done.unknown,
        "charged_usd": done.charged_usd,
        "returned_usd": done.returned_usd,
        "expense_usd": done.expense_usd,
        "differences": done.differences,
        "adjusted": done.adjusted,
        "corrected_usd": done.corrected_usd,
        "beyond": done.beyond,
    }));
    let report = report
        .line(format!(
            "{} records agree; out of suspense: {} charged ({} USD), {} given back ({} USD), {} \
             settled before",
            done.equal,
            done.settled,
            done.charged_usd,
            done.released,
            done.returned_usd,
            done.before,
        ))
        .line(format!(
            "settled by our own count and charged as billed: {} ({} USD)",
            done.adjusted, done.corrected_usd,
        ))
        .line(format!(
            "the platform's own: {} USD, of it {} attempts that nobody was charged for",
            done.expense_usd, done.beyond,
        ));
    let wrong = !done.differences.is_empty();
    let report = done.differences.into_iter().fold(report, Report::line);
    report.wrong(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_bill_is_read() {
        let usd = |id: &str, amount: &str| wire::BillLine {
            id: id.to_owned(),
            amount_usd: amount.to_owned(),
            ..wire::BillLine::default()
        };
        let expect = vec![usd("a", "0.5"), usd("b", "1")];
        assert_eq!(of_csv("id,amount_usd\na,0.5\n\nb, 1\n").unwrap(), expect);
        let json = r#"[{"id":"a","amount_usd":"0.5"},{"id":"b","amount_usd":"1"}]"#;
        assert_eq!(of_json(json).unwrap(), expect);
        let bill = r#"{"requests":[{"id":"a","model":"m","input_tokens":7,"output_tokens":3},
            {"id":"","status":500}],"totals":{"requests":2},"dropped":0}"#;
        let lines = of_json(bill).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].input_tokens, lines[0].output_tokens), (7, 3));
        for wrong in ["", "id,usd\na,1", "id,amount_usd\na 1"] {
            assert!(of_csv(wrong).is_err(), "{wrong:?}");
        }
        assert!(of_json("{}").is_err());
    }
}
