//! `godwit admin edges | endpoints | rankings | explain`.

use super::report::{Report, Table, or_dash, time};
use super::{Failed, Target, connect};
use serde_json::{Value, json};
use shared::proto::admin as wire;

pub(super) async fn edges(to: &Target) -> Result<Report, Failed> {
    let request = wire::ListEdgesRequest {};
    let response = connect::client(to).await?.list_edges(request).await?;
    let edges = response.into_inner().edges;
    let mut table = Table::new(&[
        "NODE",
        "POP",
        "REGION",
        "STATE",
        "SERVES",
        "REFUSED",
        "LAST SEEN (UTC)",
        "API",
        "LAST REFUSAL",
    ]);
    for edge in &edges {
        table.row([
            edge.node_id.clone(),
            edge.pop.clone(),
            edge.region.clone(),
            if edge.connected { "connected" } else { "gone" }.to_owned(),
            format!("{}.{}", edge.acked_epoch, edge.acked_number),
            edge.nacks.to_string(),
            time(edge.last_seen_unix_ms / 1000),
            or_dash(&edge.api_address),
            or_dash(&edge.last_nack),
        ]);
    }
    let json = edges.iter().map(|edge| {
        json!({
            "node_id": edge.node_id,
            "pop": edge.pop,
            "region": edge.region,
            "connected": edge.connected,
            "boot_epoch": edge.boot_epoch,
            "acked": { "epoch": edge.acked_epoch, "number": edge.acked_number },
            "nacks": edge.nacks,
            "last_nack": edge.last_nack,
            "last_seen_unix_ms": edge.last_seen_unix_ms,
            "api_address": edge.api_address,
        })
    });
    Ok(Report::new(json.collect()).table(table))
}

pub(super) async fn endpoints(to: &Target, model: String) -> Result<Report, Failed> {
    let request = wire::ListEndpointsRequest { model };
    let response = connect::client(to).await?.list_endpoints(request).await?;
    let endpoints = response.into_inner().endpoints;
    let mut table = Table::new(&[
        "ENDPOINT",
        "PROVIDER",
        "PROMPT USD/TOKEN",
        "COMPLETION USD/TOKEN",
        "STATE",
    ]);
    for row in &endpoints {
        table.row([
            row.endpoint.clone(),
            row.provider.clone(),
            row.prompt_price.clone(),
            row.completion_price.clone(),
            row.state.clone(),
        ]);
    }
    let json = endpoints.iter().map(|row| {
        json!({
            "endpoint": row.endpoint,
            "provider": row.provider,
            "prompt_price": row.prompt_price,
            "completion_price": row.completion_price,
            "state": row.state,
        })
    });
    Ok(Report::new(json.collect()).table(table))
}

pub(super) async fn rankings(to: &Target, model: String, region: String) -> Result<Report, Failed> {
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
        "FAILURE",
        "TTFT p50/p95 ms",
        "TOK/S",
        "SAMPLES",
    ]);
    let share = |share: f64| format!("{share:.3}");
    for row in rows {
        table.row([
            row.endpoint.clone(),
            row.state.clone(),
            share(row.share_balanced),
            share(row.share_price),
            share(row.share_latency),
            share(row.share_throughput),
            share(row.failure),
            format!("{}/{}", row.ttft_ms_p50, row.ttft_ms_p95),
            format!("{:.1}", row.tokens_per_second),
            format!("{:.1}", row.samples),
        ]);
    }
    table
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
    })
}
