//! `godwit admin rankings …` and `explain`: what the fleet thinks of endpoints, why, and since when.

use super::report::{Report, Table, time};
use super::{Failed, Target, connect};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::proto::admin as wire;
use std::io::Write;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct RankingsArgs {
    #[command(flatten)]
    which: Which,
    #[command(subcommand)]
    command: Option<RankingsCommand>,
}

#[derive(Args, Debug)]
struct Which {
    /// Only of this model.
    #[arg(long)]
    model: Option<String>,
    /// Only in this region.
    #[arg(long)]
    region: Option<String>,
}

#[derive(Subcommand, Debug)]
enum RankingsCommand {
    /// As they are now.
    Get(Which),
    /// Why an endpoint has the place that it has.
    Explain {
        /// MODEL@TAG.
        endpoint: String,
        /// Default: the first region.
        #[arg(long)]
        region: Option<String>,
    },
    /// How an endpoint's place has changed of late, newest first.
    History {
        /// MODEL@TAG.
        endpoint: String,
        /// Only in this region.
        #[arg(long)]
        region: Option<String>,
        /// How many changes.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Prints what changes, as it is published, a line for each region, until interrupted.
    Watch(Which),
}

pub(super) async fn run(to: &Target, args: RankingsArgs) -> Result<Report, Failed> {
    match args.command {
        None => get_which(to, args.which).await,
        Some(RankingsCommand::Get(which)) => get_which(to, which).await,
        Some(RankingsCommand::Explain { endpoint, region }) => {
            explain(to, endpoint, region.unwrap_or_default()).await
        }
        Some(RankingsCommand::History {
            endpoint,
            region,
            limit,
        }) => {
            let request = wire::RankingHistoryRequest {
                endpoint,
                region: region.unwrap_or_default(),
                limit,
            };
            history(to, request).await
        }
        Some(RankingsCommand::Watch(which)) => watch(to, which).await,
    }
}

async fn get_which(to: &Target, which: Which) -> Result<Report, Failed> {
    let (model, region) = (which.model, which.region);
    get(to, model.unwrap_or_default(), region.unwrap_or_default()).await
}

async fn history(to: &Target, request: wire::RankingHistoryRequest) -> Result<Report, Failed> {
    let response = connect::client(to).await?.ranking_history(request).await?;
    let changes = response.into_inner().changes;
    let mut table = Table::new(&[
        "AT (UTC)", "VERSION", "REGION", "STATE", "BALANCED", "FAILING",
    ]);
    let none = || "-".to_owned();
    for past in &changes {
        let share = |row: &wire::RankedEndpoint| percent(row.share_balanced);
        let failure = |row: &wire::RankedEndpoint| percent(row.failure);
        let row = past.row.as_ref();
        table.row([
            time(past.unix_ms / 1000),
            format!("{}.{}", past.version_epoch, past.version_number),
            past.region.clone(),
            row.map_or_else(none, |row| row.state.clone()),
            row.map_or_else(none, share),
            row.map_or_else(none, failure),
        ]);
    }
    let json = changes.iter().map(|past| {
        json!({
            "region": past.region,
            "version": { "epoch": past.version_epoch, "number": past.version_number },
            "unix_ms": past.unix_ms,
            "row": past.row.as_ref().map(ranked),
        })
    });
    Ok(Report::new(json.collect()).table(table))
}

/// Each change is printed as one line of JSON: it is for programs and for `jq`.
async fn watch(to: &Target, which: Which) -> Result<Report, Failed> {
    let request = wire::GetRankingsRequest {
        model: which.model.unwrap_or_default(),
        region: which.region.unwrap_or_default(),
    };
    let response = connect::client(to).await?.watch_rankings(request).await?;
    let mut changes = response.into_inner();
    while let Some(region) = changes.message().await? {
        let endpoints: Vec<Value> = region.endpoints.iter().map(ranked).collect();
        let line = json!({
            "region": region.region,
            "version": { "epoch": region.version_epoch, "number": region.version_number },
            "generated_unix_ms": region.generated_unix_ms,
            "endpoints": endpoints,
        });
        // A reader that has gone away ends it.
        if writeln!(std::io::stdout().lock(), "{line}").is_err() {
            break;
        }
    }
    Ok(Report::new(Value::Null))
}

async fn get(to: &Target, model: String, region: String) -> Result<Report, Failed> {
    let request = wire::GetRankingsRequest { model, region };
    let response = connect::client(to).await?.get_rankings(request).await?;
    let regions = response.into_inner().regions;
    let json = regions.iter().map(|region| {
        let endpoints: Vec<Value> = region.endpoints.iter().map(ranked).collect();
        json!({
            "region": region.region,
            "version": { "epoch": region.version_epoch, "number": region.version_number },
            "generated_unix_ms": region.generated_unix_ms,
            "endpoints": endpoints,
        })
    });
    let mut report = Report::new(json.collect());
    for region in &regions {
        let (epoch, number) = (region.version_epoch, region.version_number);
        let at = time(region.generated_unix_ms / 1000);
        report = report.line(format!(
            "{} at version {epoch}.{number}, {at} UTC",
            region.region
        ));
        report = if region.endpoints.is_empty() {
            report.line("no evidence: prices alone decide")
        } else {
            report.table(table(&region.endpoints))
        };
    }
    if regions.is_empty() {
        report = report.line("no edge was heard of yet");
    }
    Ok(report)
}

pub(super) async fn explain(
    to: &Target,
    endpoint: String,
    region: String,
) -> Result<Report, Failed> {
    let request = wire::ExplainRankingRequest { endpoint, region };
    let response = connect::client(to).await?.explain_ranking(request).await?;
    let response = response.into_inner();
    let row = response.row.as_ref().map(ranked);
    let json = json!({ "text": response.text, "row": row });
    Ok(Report::new(json).line(response.text))
}

fn table(rows: &[wire::RankedEndpoint]) -> Table {
    let mut table = Table::new(&[
        "ENDPOINT",
        "STATE",
        "BALANCED",
        "PRICE",
        "LATENCY",
        "THROUGHPUT",
        "FAILING",
        "TTFT p50/p95 ms",
        "TOK/S",
        "SAMPLES",
    ]);
    for row in by_place(rows) {
        let ms = |value: u32| or_unknown(value > 0, value.to_string());
        table.row([
            row.endpoint.clone(),
            row.state.clone(),
            percent(row.share_balanced),
            percent(row.share_price),
            percent(row.share_latency),
            percent(row.share_throughput),
            percent(row.failure),
            format!("{}/{}", ms(row.ttft_ms_p50), ms(row.ttft_ms_p95)),
            or_unknown(
                row.tokens_per_second > 0.0,
                format!("{:.1}", row.tokens_per_second),
            ),
            format!("{:.1}", row.samples),
        ]);
    }
    table
}

/// Each model's endpoints, the one with the largest share first.
fn by_place(rows: &[wire::RankedEndpoint]) -> Vec<&wire::RankedEndpoint> {
    let model = |row: &wire::RankedEndpoint| {
        let parts = row.endpoint.rsplit_once('@');
        parts.map_or_else(String::new, |(model, _)| model.to_owned())
    };
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by(|a, b| {
        let by_share = || b.share_balanced.total_cmp(&a.share_balanced);
        model(a).cmp(&model(b)).then_with(by_share)
    });
    rows
}

fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

fn or_unknown(is_known: bool, text: String) -> String {
    if is_known { text } else { "-".to_owned() }
}

fn ranked(row: &wire::RankedEndpoint) -> Value {
    json!({
        "endpoint": row.endpoint,
        "state": row.state,
        "share": {
            "balanced": row.share_balanced,
            "price": row.share_price,
            "latency": row.share_latency,
            "throughput": row.share_throughput,
        },
        "failure": row.failure,
        "ttft_ms_p50": row.ttft_ms_p50,
        "ttft_ms_p95": row.ttft_ms_p95,
        "tokens_per_second": row.tokens_per_second,
        "samples": row.samples,
        "tool_failure": row.tool_failure,
        "cap": row.cap,
        "token_cap": row.token_cap,
        "probe_node": row.probe_node,
    })
}
