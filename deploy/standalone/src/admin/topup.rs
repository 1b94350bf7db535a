//! `godwit admin credits topup`: buying credits by themselves when they run low.

use super::report::{Report, time};
use super::{Failed, Target, connect};
use clap::Subcommand;
use serde_json::{Value, json};
use shared::proto::admin as wire;

#[derive(Subcommand, Debug)]
pub(super) enum TopupCommand {
    /// How the rule stands, and its newest charges.
    Show {
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Sets the rule; what is not given stays as it is. A rule that was disabled by failures begins
    /// anew.
    Set {
        /// Below so many credits, in USD,
        #[arg(long, default_value = "", value_name = "USD")]
        threshold: String,
        /// so much is charged,
        #[arg(long, default_value = "", value_name = "USD")]
        amount: String,
        /// at most so much a month.
        #[arg(long, default_value = "", value_name = "USD")]
        monthly_cap: String,
        /// The payment provider's id of who pays.
        #[arg(long, default_value = "")]
        customer: String,
        /// The payment provider's id of what with.
        #[arg(long, default_value = "")]
        payment_method: String,
        /// Whether it is in force.
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
    /// Takes the rule away.
    Remove {
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
}

pub(super) async fn run(to: &Target, command: TopupCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    match command {
        TopupCommand::Show { org } => {
            let shown = client.show_topup(wire::ShowTopupRequest { org }).await?;
            Ok(show(&shown.into_inner()))
        }
        TopupCommand::Set {
            threshold,
            amount,
            monthly_cap,
            customer,
            payment_method,
            enabled,
            org,
        } => {
            let request = wire::SetTopupRequest {
                org,
                remove: false,
                threshold_usd: threshold,
                amount_usd: amount,
                monthly_cap_usd: monthly_cap,
                customer,
                payment_method,
                enabled,
            };
            client.set_topup(request).await?;
            Ok(Report::new(json!({ "set": true })).line("set"))
        }
        TopupCommand::Remove { org } => {
            let request = wire::SetTopupRequest {
                org,
                remove: true,
                ..wire::SetTopupRequest::default()
            };
            client.set_topup(request).await?;
            Ok(Report::new(json!({ "removed": true })).line("removed"))
        }
    }
}

fn show(shown: &wire::ShowTopupResponse) -> Report {
    let charges = shown.charges.iter().map(|charge| {
        json!({
            "id": charge.id, "amount_usd": charge.amount_usd, "state": charge.state,
            "payment": charge.payment, "reason": charge.reason,
            "begun_unix_ms": charge.begun_unix_ms, "ended_unix_ms": charge.ended_unix_ms,
        })
    });
    let charges: Vec<Value> = charges.collect();
    let rule = shown.rule.as_ref().map(|rule| {
        json!({
            "threshold_usd": rule.threshold_usd, "amount_usd": rule.amount_usd,
            "monthly_cap_usd": rule.monthly_cap_usd, "customer": rule.customer,
            "payment_method": rule.payment_method, "enabled": rule.enabled,
            "failures": rule.failures, "disabled_reason": rule.disabled_reason,
        })
    });
    let mut report = Report::new(json!({ "rule": rule, "charges": charges }));
    report = match &shown.rule {
        None => report.line("there is no rule"),
        Some(rule) => report.line(format!(
            "below {} USD: {} USD, at most {} USD a month; {}, {} failures {}",
            rule.threshold_usd,
            rule.amount_usd,
            rule.monthly_cap_usd,
            if rule.enabled { "enabled" } else { "disabled" },
            rule.failures,
            rule.disabled_reason
        )),
    };
    for charge in &shown.charges {
        report = report.line(format!(
            "{} {} {} USD {} {}",
            time(charge.begun_unix_ms / 1000),
            charge.state,
            charge.amount_usd,
            charge.id,
            charge.reason
        ));
    }
    report
}
