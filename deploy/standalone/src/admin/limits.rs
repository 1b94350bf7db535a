//! `limits`: what a member, a workspace or an organisation may use in a window of time.

use super::report::Report;
use super::{Failed, Target, connect};
use clap::Subcommand;
use serde_json::json;
use shared::proto::admin as wire;

#[derive(Subcommand, Debug)]
pub(super) enum LimitsCommand {
    /// Sets a limit, or takes it away.
    Set {
        /// member, workspace or org.
        scope: String,
        /// daily, weekly, monthly or lifetime.
        interval: String,
        /// USD; none: no limit.
        limit: Option<String>,
        /// The member's or workspace's id; default: the organisation's.
        #[arg(long, default_value = "")]
        id: String,
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
        /// What own provider keys serve counts, too, at list prices.
        #[arg(long)]
        include_byok: bool,
    },
    /// Every limit but those of keys.
    List {
        /// Whose; default: the first organisation.
        #[arg(long, default_value = "")]
        org: String,
    },
}

pub(super) async fn limits(to: &Target, command: LimitsCommand) -> Result<Report, Failed> {
    match command {
        LimitsCommand::Set {
            scope,
            interval,
            limit,
            id,
            org,
            include_byok,
        } => {
            let request = wire::SetLimitRequest {
                org,
                scope,
                id,
                interval,
                limit_usd: limit.unwrap_or_default(),
                include_byok,
            };
            connect::client(to).await?.set_limit(request).await?;
            Ok(Report::new(json!({ "set": true })).line("set; edges are told"))
        }
        LimitsCommand::List { org } => {
            let request = wire::ListLimitsRequest { org };
            let listed = connect::client(to).await?.list_limits(request).await?;
            let limits = listed.into_inner().limits;
            let rows = limits.iter().map(|limit| {
                json!({
                    "scope": limit.scope,
                    "id": limit.id,
                    "interval": limit.interval,
                    "limit_usd": limit.limit_usd,
                    "include_byok": limit.include_byok,
                })
            });
            let mut report = Report::new(json!({ "limits": rows.collect::<Vec<_>>() }));
            for limit in &limits {
                let wire::LimitRow {
                    scope,
                    id,
                    interval,
                    limit_usd,
                    ..
                } = limit;
                report = report.line(format!("{scope} {id} {interval} ${limit_usd}"));
            }
            Ok(report)
        }
    }
}
