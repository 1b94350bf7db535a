//! `godwit admin credits | audit | ledger`.

use super::report::{Report, Table, time};
use super::{Failed, Target, connect};
use clap::Subcommand;
use serde_json::json;
use shared::proto::admin as wire;

#[derive(Subcommand, Debug)]
pub(super) enum CreditsCommand {
    /// Every organisation's money, in USD.
    List,
    /// Gives an organisation money, once per reference.
    Add {
        /// USD, e.g. 25 or 0.50.
        amount: String,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// What it is for, e.g. an invoice's number; the same reference counts once.
        #[arg(long)]
        reference: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum LedgerCommand {
    /// Recomputes every balance and the audit log's chain.
    Verify,
}

pub(super) async fn credits(to: &Target, command: CreditsCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        CreditsCommand::List => {
            let listed = client.list_credits(wire::ListCreditsRequest {}).await?;
            Ok(list(&listed.into_inner().orgs))
        }
        CreditsCommand::Add {
            amount,
            org,
            reference,
        } => {
            let request = wire::AddCreditsRequest {
                org,
                amount_usd: amount,
                reference,
            };
            let response = client.add_credits(request).await?.into_inner();
            let (added, available) = (response.added, response.available_usd);
            let report = Report::new(json!({ "added": added, "available_usd": available }));
            let word = if added { "added" } else { "was added before" };
            Ok(report.line(format!("{word}; available: {available} USD")))
        }
    }
}

pub(super) async fn audit(to: &Target, limit: u32) -> Result<Report, Failed> {
    let request = wire::ListAuditRequest { limit };
    let response = connect::client(to).await?.list_audit(request).await?;
    let entries = response.into_inner().entries;
    let mut table = Table::new(&["NUMBER", "TIME (UTC)", "ACTOR", "ACTION", "OBJECT"]);
    for entry in &entries {
        table.row([
            entry.sequence.to_string(),
            time(entry.unix_ms / 1000),
            entry.actor.clone(),
            entry.action.clone(),
            entry.object.clone(),
        ]);
    }
    let json = entries.iter().map(|entry| {
        json!({
            "sequence": entry.sequence,
            "unix_ms": entry.unix_ms,
            "actor": entry.actor,
            "action": entry.action,
            "object": entry.object,
        })
    });
    Ok(Report::new(json.collect()).table(table))
}

pub(super) async fn verify(to: &Target) -> Result<Report, Failed> {
    let request = wire::VerifyLedgerRequest {};
    let response = connect::client(to).await?.verify_ledger(request).await?;
    let response = response.into_inner();
    let wire::VerifyLedgerResponse {
        postings,
        records,
        problems,
    } = response;
    let json = json!({ "postings": postings, "records": records, "problems": problems });
    let wrong = !problems.is_empty();
    let report = Report::new(json).wrong(wrong);
    let report = problems.into_iter().fold(report, Report::line);
    let word = if wrong { "NOT in order" } else { "in order" };
    Ok(report.line(format!(
        "the books are {word}: {postings} postings, {records} usage records"
    )))
}

fn list(orgs: &[wire::OrgCredits]) -> Report {
    let mut table = Table::new(&[
        "ORGANISATION",
        "NAME",
        "AVAILABLE",
        "LEASED",
        "USED",
        "SUSPENSE",
        "OVERRUN",
    ]);
    for org in orgs {
        table.row([
            org.org.clone(),
            org.name.clone(),
            org.available_usd.clone(),
            org.leased_usd.clone(),
            org.used_usd.clone(),
            org.suspense_usd.clone(),
            org.overrun_usd.clone(),
        ]);
    }
    let json = orgs.iter().map(|org| {
        json!({
            "org": org.org,
            "name": org.name,
            "available_usd": org.available_usd,
            "leased_usd": org.leased_usd,
            "used_usd": org.used_usd,
            "suspense_usd": org.suspense_usd,
            "overrun_usd": org.overrun_usd,
        })
    });
    Report::new(json.collect()).table(table)
}
