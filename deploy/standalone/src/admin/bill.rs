//! `godwit admin ledger reconcile`: a provider's bill from a file. CSV with the heading
//! `id,amount_usd`; JSON, a list of `{"id", "amount_usd"}`; or what the simulated provider gives at
//! `/_bill`, whose tokens are priced at the catalogue that each request was held by.

use super::report::Report;
use super::{Failed, Target, connect};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::money::Amount;
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

/// One request, in either form of JSON: an amount, or counts of tokens, in our words or in
/// OpenAI's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    amount_usd: Option<String>,
    #[serde(alias = "prompt_tokens")]
    input_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    #[serde(alias = "completion_tokens")]
    output_tokens: Option<u64>,
}

/// What else the simulated provider tells of a request.
const SIMULATED: [&str; 6] = [
    "model",
    "status",
    "stream",
    "completed",
    "cancelled",
    "fault",
];

impl Line {
    fn billed(self) -> Result<wire::BillLine, String> {
        let Self {
            id, cached_tokens, ..
        } = self;
        let cached = cached_tokens.unwrap_or_default();
        let (amount_usd, input_tokens, output_tokens) =
            match (self.amount_usd, self.input_tokens, self.output_tokens) {
                (Some(amount), None, None) if cached_tokens.is_none() => (amount, 0, 0),
                // Nothing was used: said to be nothing, not left out.
                (None, Some(0), Some(0)) if cached == 0 => ("0".to_owned(), 0, 0),
                (None, Some(input), Some(output)) if cached <= input => {
                    (String::new(), input, output)
                }
                _ => {
                    return Err(format!(
                        "{id:?}: either amount_usd, or input_tokens (cached_tokens are of these) \
                         and output_tokens are expected"
                    ));
                }
            };
        let line = wire::BillLine {
            id,
            amount_usd,
            input_tokens,
            cached_tokens: cached,
            output_tokens,
        };
        checked(line)
    }
}

/// A line that can be booked: it says whose it is, and how much.
fn checked(line: wire::BillLine) -> Result<wire::BillLine, String> {
    if line.id.is_empty() {
        return Err("the id is empty".to_owned());
    }
    let counted = line.input_tokens > 0 || line.output_tokens > 0;
    match line.amount_usd.parse::<Amount>() {
        _ if counted => Ok(line),
        Ok(amount) if amount >= Amount::ZERO => Ok(line),
        Ok(amount) => Err(format!("{:?}: {amount} is below zero", line.id)),
        Err(error) => Err(format!("{:?}: {:?}: {error}", line.id, line.amount_usd)),
    }
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
            let line = wire::BillLine {
                id: id.trim().to_owned(),
                amount_usd: amount.trim().to_owned(),
                ..wire::BillLine::default()
            };
            checked(line).map_err(|reason| format!("line {number}: {reason}"))
        })
        .collect()
}

fn of_json(text: &str) -> Result<Vec<wire::BillLine>, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (lines, simulated) = match file {
        Value::Array(lines) => (lines, false),
        Value::Object(mut members) => match members.remove("requests") {
            Some(Value::Array(lines)) => (lines, true),
            _ => return Err("an object needs the list `requests`".to_owned()),
        },
        _ => return Err("a list is expected".to_owned()),
    };
    let mut billed = Vec::with_capacity(lines.len());
    for (number, mut line) in (1..).zip(lines) {
        let at = |reason: String| format!("entry {number}: {reason}");
        if !line.is_object() {
            return Err(at("an object is expected".to_owned()));
        }
        if simulated {
            // What was refused or broke before its head has no id, and costs nothing.
            if line.get("id").is_none_or(|id| id == "") {
                continue;
            }
            if let Value::Object(members) = &mut line {
                for name in SIMULATED {
                    members.remove(name);
                }
            }
        }
        let line: Line = serde_json::from_value(line).map_err(|error| at(error.to_string()))?;
        billed.push(line.billed().map_err(at)?);
    }
    Ok(billed)
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
        let openai = r#"[{"id":"a","prompt_tokens":7,"completion_tokens":3}]"#;
        assert_eq!(of_json(openai).unwrap()[0].input_tokens, 7);
        let nothing = r#"[{"id":"a","input_tokens":0,"output_tokens":0}]"#;
        assert_eq!(of_json(nothing).unwrap(), [usd("a", "0")]);
    }

    #[test]
    fn a_line_that_says_no_amount_refuses_the_bill() {
        for wrong in [
            r#"{"id":"b"}"#,
            r#"{"id":"b","usd":"1"}"#,
            r#"{"id":"b","amount_usd":""}"#,
            r#"{"id":"b","amount_usd":"-5"}"#,
            r#"{"id":"b","amount_usd":"1","input_tokens":1,"output_tokens":1}"#,
            r#"{"id":"b","input_tokens":7}"#,
            r#"{"id":"","amount_usd":"1"}"#,
            r#"["b","1"]"#,
        ] {
            let text = format!(r#"[{{"id":"a","amount_usd":"1"}},{wrong}]"#);
            let refused = of_json(&text).unwrap_err();
            assert!(refused.starts_with("entry 2: "), "{refused}");
        }
        for wrong in ["b,", "b,-5", ",1"] {
            let refused = of_csv(&format!("id,amount_usd\na,1\n{wrong}\n")).unwrap_err();
            assert!(refused.starts_with("line 3: "), "{refused}");
        }
    }
}
