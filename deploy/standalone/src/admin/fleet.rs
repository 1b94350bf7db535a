//! `godwit admin edges`.

use super::report::{Report, Table, or_dash, time};
use super::{Failed, Target, connect};
use serde_json::json;
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
