//! Ranking tables and their deltas on the wire.

use super::{ConvertError, named, parsed, present};
use crate::id::EndpointId;
use crate::proto::discovery as wire;
use crate::ranking::{
    PORTION_MODELS_MAX, Percentiles, Portion, PortionDelta, ProbeLease, ROWS_MAX, RankingDelta,
    RankingRow, RankingTable, State,
};

impl From<&RankingTable> for wire::RankingUpdate {
    fn from(table: &RankingTable) -> Self {
        let rows = table.rows.iter();
        Self {
            version: Some(table.version.into()),
            base: None,
            generated_unix_ms: table.generated_unix_ms,
            rows: rows.map(|(id, row)| to_wire(id, row)).collect(),
            removals: Vec::new(),
            portion: portion_to_wire(&table.portion.diff(&Portion::default())),
            acknowledge: false,
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
            portion: portion_to_wire(&delta.portion),
            acknowledge: delta.acknowledge,
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
            portion: update
                .portion
                .map(portion_from_wire)
                .transpose()?
                .unwrap_or_default(),
            acknowledge: update.acknowledge,
        })
    }
}

impl From<&PortionDelta> for wire::RankingUpdate {
    /// An update of nothing but an edge's portion.
    fn from(delta: &PortionDelta) -> Self {
        Self {
            portion: portion_to_wire(delta),
            ..Self::default()
        }
    }
}

/// No change travels as no message.
fn portion_to_wire(delta: &PortionDelta) -> Option<wire::Portion> {
    if delta.is_empty() {
        return None;
    }
    let models = delta.models.iter().map(|(model, part)| wire::ModelPortion {
        model: model.to_string(),
        part: *part,
    });
    Some(wire::Portion {
        usual: delta.usual,
        models: models.collect(),
        removals: delta.removals.iter().map(ToString::to_string).collect(),
    })
}

fn portion_from_wire(portion: wire::Portion) -> Result<PortionDelta, ConvertError> {
    if portion.models.len() > PORTION_MODELS_MAX || portion.removals.len() > PORTION_MODELS_MAX {
        let reason = format_args!("more than {PORTION_MODELS_MAX}");
        return Err(ConvertError::new("portion.models", reason));
    }
    let models = portion
        .models
        .into_iter()
        .map(|it| Ok((named("portion.model", &it.model)?.into(), it.part)));
    Ok(PortionDelta {
        usual: portion.usual,
        models: models.collect::<Result<_, ConvertError>>()?,
        removals: portion.removals.into_iter().map(Into::into).collect(),
    })
}

fn to_wire(endpoint: &EndpointId, row: &RankingRow) -> wire::RankingRow {
    let [balanced, price, latency, throughput] = row.share.map(u32::from);
    let long_run = row.long_run.map(u32::from);
    let [
        long_run_balanced,
        long_run_price,
        long_run_latency,
        long_run_throughput,
    ] = long_run;
    let probe = row.probe.as_ref();
    wire::RankingRow {
        endpoint: endpoint.to_string(),
        share_balanced: balanced,
        share_price: price,
        share_latency: latency,
        share_throughput: throughput,
        state: row.state.to_string(),
        ttft_ms_p50: row.ttft_ms.p50,
        ttft_ms_p75: row.ttft_ms.p75,
        ttft_ms_p90: row.ttft_ms.p90,
        ttft_ms_p99: row.ttft_ms.p99,
        ttft_ms_p95: row.ttft_ms_p95,
        throughput_tenths: row.throughput_tenths.p50,
        throughput_tenths_p75: row.throughput_tenths.p75,
        throughput_tenths_p90: row.throughput_tenths.p90,
        throughput_tenths_p99: row.throughput_tenths.p99,
        failure: u32::from(row.failure),
        tool_failure: u32::from(row.tool_failure),
        cap: row.cap,
        token_cap: row.token_cap,
        account_part: u32::from(row.part),
        probe_node: probe.map(|it| it.node.to_string()).unwrap_or_default(),
        probe_number: probe.map(|it| it.number).unwrap_or_default(),
        long_run_balanced,
        long_run_price,
        long_run_latency,
        long_run_throughput,
        behind: u32::from_le_bytes(row.behind),
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
        long_run: [
            small("long_run_balanced", row.long_run_balanced)?,
            small("long_run_price", row.long_run_price)?,
            small("long_run_latency", row.long_run_latency)?,
            small("long_run_throughput", row.long_run_throughput)?,
        ],
        behind: row.behind.to_le_bytes(),
        state: parsed("state", &row.state, State::parse)?,
        ttft_ms: Percentiles {
            p50: row.ttft_ms_p50,
            p75: row.ttft_ms_p75,
            p90: row.ttft_ms_p90,
            p99: row.ttft_ms_p99,
        },
        ttft_ms_p95: row.ttft_ms_p95,
        throughput_tenths: Percentiles {
            p50: row.throughput_tenths,
            p75: row.throughput_tenths_p75,
            p90: row.throughput_tenths_p90,
            p99: row.throughput_tenths_p99,
        },
        failure: small("failure", row.failure)?,
        tool_failure: small("tool_failure", row.tool_failure)?,
        cap: row.cap,
        token_cap: row.token_cap,
        part: small("account_part", row.account_part)?,
        probe: (!row.probe_node.is_empty()).then(|| ProbeLease {
            node: row.probe_node.as_str().into(),
            number: row.probe_number,
        }),
    };
    Ok((endpoint.into(), read))
}
