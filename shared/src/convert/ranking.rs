//! Ranking tables and their deltas on the wire.

use super::{ConvertError, named, parsed, present};
use crate::id::EndpointId;
use crate::proto::discovery as wire;
use crate::ranking::{ROWS_MAX, RankingDelta, RankingRow, RankingTable, State};

impl From<&RankingTable> for wire::RankingUpdate {
    fn from(table: &RankingTable) -> Self {
        let rows = table.rows.iter();
        Self {
            version: Some(table.version.into()),
            base: None,
            generated_unix_ms: table.generated_unix_ms,
            rows: rows.map(|(id, row)| to_wire(id, row)).collect(),
            removals: Vec::new(),
        }
    }
}

impl From<&RankingDelta> for wire::RankingUpdate {
    fn from(delta: &RankingDelta) -> Self {
        let rows = delta.rows.iter();
        Self {
            version: Some(delta.version.into()),
            base: delta.base.map(Into::into),
            generated_unix_ms: delta.generated_unix_ms,
            rows: rows.map(|(id, row)| to_wire(id, row)).collect(),
            removals: delta.removals.iter().map(EndpointId::to_string).collect(),
        }
    }
}

/// A full table is a delta without a base.
impl TryFrom<wire::RankingUpdate> for RankingDelta {
    type Error = ConvertError;
    fn try_from(update: wire::RankingUpdate) -> Result<Self, ConvertError> {
        if update.rows.len() > ROWS_MAX || update.removals.len() > ROWS_MAX {
            return Err(ConvertError::new(
                "rows",
                format_args!("more than {ROWS_MAX}"),
            ));
        }
        Ok(Self {
            version: present("version", update.version)?.into(),
            base: update.base.map(Into::into),
            generated_unix_ms: update.generated_unix_ms,
            rows: update
                .rows
                .iter()
                .map(from_wire)
                .collect::<Result<_, _>>()?,
            removals: update.removals.into_iter().map(Into::into).collect(),
        })
    }
}

fn to_wire(endpoint: &EndpointId, row: &RankingRow) -> wire::RankingRow {
    let [balanced, price, latency, throughput] = row.share.map(u32::from);
    wire::RankingRow {
        endpoint: endpoint.to_string(),
        share_balanced: balanced,
        share_price: price,
        share_latency: latency,
        share_throughput: throughput,
        state: row.state.to_string(),
        ttft_ms_p50: row.ttft_ms_p50,
        ttft_ms_p95: row.ttft_ms_p95,
        throughput_tenths: row.throughput_tenths,
        failure: u32::from(row.failure),
        probe_node: row
            .probe
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

fn from_wire(row: &wire::RankingRow) -> Result<(EndpointId, RankingRow), ConvertError> {
    let endpoint = named("endpoint", &row.endpoint)?;
    let small = |field: &str, value: u32| {
        u16::try_from(value).map_err(|_| {
            ConvertError::new(
                format!("{endpoint}.{field}"),
                format_args!("{value} of 65535"),
            )
        })
    };
    let read = RankingRow {
        share: [
            small("share_balanced", row.share_balanced)?,
            small("share_price", row.share_price)?,
            small("share_latency", row.share_latency)?,
            small("share_throughput", row.share_throughput)?,
        ],
        state: parsed("state", &row.state, State::parse)?,
        ttft_ms_p50: row.ttft_ms_p50,
        ttft_ms_p95: row.ttft_ms_p95,
        throughput_tenths: row.throughput_tenths,
        failure: small("failure", row.failure)?,
        probe: (!row.probe_node.is_empty()).then(|| row.probe_node.as_str().into()),
    };
    Ok((endpoint.into(), read))
}
