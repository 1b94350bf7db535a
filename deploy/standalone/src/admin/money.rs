//! `godwit admin credits | audit | ledger`.

use super::report::{Report, Table, time};
use super::topup::{self, TopupCommand};
use super::{Failed, Target, bill, connect};
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
    /// An organisation has paid: it gets that less the fee of its terms, once per reference.
    Buy {
        /// What was paid, in USD.
        amount: String,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// E.g. the payment's number; the same reference counts once.
        #[arg(long)]
        reference: String,
    },
    /// Gives back what was bought and is not used, once per reference; the fee is kept.
    Refund {
        /// USD.
        amount: String,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// The same reference counts once.
        #[arg(long)]
        reference: String,
    },
    /// Buys credits by themselves when they run low.
    #[command(subcommand)]
    Topup(TopupCommand),
    /// Agrees on the fees of an organisation from now on: on what it buys, or on what it spends.
    Terms {
        /// In millionths of a purchase: 50000 is 5 %; what is not given stays as it is.
        #[arg(long)]
        fee_ppm: Option<u32>,
        /// In millionths of what requests cost.
        #[arg(long)]
        spend_fee_ppm: Option<u32>,
        /// In millionths of the list price of what own provider keys serve; not given: as it is.
        #[arg(long)]
        byok_fee_ppm: Option<u32>,
        /// So much of that list price is free each month, in USD; not given: as it is.
        #[arg(long, value_name = "USD")]
        byok_free_usd: Option<String>,
        /// So many of those requests are free each month; not given: as it is.
        #[arg(long)]
        byok_free_requests: Option<u64>,
        /// What each edge may let it use beyond its leases while the ledger is out of reach; not
        /// given: as it is, 0 at first.
        #[arg(long, value_name = "USD")]
        outage_credit_usd: Option<String>,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum LedgerCommand {
    /// Recomputes every balance and the audit log's chain.
    Verify,
    /// Settles what was in flight when a node died against a provider's bill.
    Reconcile(bill::ReconcileArguments),
}

pub(super) async fn credits(to: &Target, command: CreditsCommand) -> Result<Report, Failed> {
    match command {
        CreditsCommand::List => {
            let request = wire::ListCreditsRequest {};
            let listed = connect::client(to).await?.list_credits(request).await?;
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
            add(to, request).await
        }
        CreditsCommand::Buy {
            amount,
            org,
            reference,
        } => {
            let request = wire::BuyCreditsRequest {
                org,
                amount_usd: amount,
                reference,
            };
            buy(to, request).await
        }
        CreditsCommand::Refund {
            amount,
            org,
            reference,
        } => {
            let request = wire::RefundCreditsRequest {
                org,
                amount_usd: amount,
                reference,
            };
            refund(to, request).await
        }
        CreditsCommand::Topup(command) => topup::run(to, command).await,
        CreditsCommand::Terms {
            fee_ppm,
            spend_fee_ppm,
            byok_fee_ppm,
            byok_free_usd,
            byok_free_requests,
            outage_credit_usd,
            org,
        } => {
            let request = wire::SetTermsRequest {
                org,
                purchase_fee_ppm: fee_ppm,
                spend_fee_ppm,
                byok_fee_ppm,
                byok_free_usd,
                byok_free_requests,
                outage_credit_usd,
            };
            agree(to, request).await
        }
    }
}

async fn agree(to: &Target, request: wire::SetTermsRequest) -> Result<Report, Failed> {
    let report = Report::new(json!({
        "purchase_fee_ppm": request.purchase_fee_ppm,
        "spend_fee_ppm": request.spend_fee_ppm,
    }));
    connect::client(to).await?.set_terms(request).await?;
    Ok(report.line("agreed, for purchases and requests from now on"))
}

async fn add(to: &Target, request: wire::AddCreditsRequest) -> Result<Report, Failed> {
    let response = connect::client(to).await?.add_credits(request).await?;
    let wire::AddCreditsResponse {
        added,
        available_usd,
    } = response.into_inner();
    let report = Report::new(json!({ "added": added, "available_usd": available_usd }));
    let word = if added { "added" } else { "was added before" };
    Ok(report.line(format!("{word}; available: {available_usd} USD")))
}

async fn buy(to: &Target, request: wire::BuyCreditsRequest) -> Result<Report, Failed> {
    let response = connect::client(to).await?.buy_credits(request).await?;
    let wire::BuyCreditsResponse {
        added,
        fee_usd,
        available_usd,
    } = response.into_inner();
    let report = Report::new(json!({
        "added": added, "fee_usd": fee_usd, "available_usd": available_usd,
    }));
    let word = if added { "bought" } else { "was bought before" };
    Ok(report.line(format!(
        "{word}; fee: {fee_usd} USD; available: {available_usd} USD"
    )))
}

async fn refund(to: &Target, request: wire::RefundCreditsRequest) -> Result<Report, Failed> {
    let response = connect::client(to).await?.refund_credits(request).await?;
    let wire::RefundCreditsResponse {
        refunded,
        available_usd,
    } = response.into_inner();
    let report = Report::new(json!({ "refunded": refunded, "available_usd": available_usd }));
    let word = if refunded {
        "given back"
    } else {
        "was given back before"
    };
    Ok(report.line(format!("{word}; available: {available_usd} USD")))
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
            "given_usd": org.given_usd,
            "bought_usd": org.bought_usd,
            "fees_usd": org.fees_usd,
        })
    });
    Report::new(json.collect()).table(table)
}
