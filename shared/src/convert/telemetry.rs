//! Telemetry reports on the wire.

use super::{ConvertError, named};
use crate::id::{BootEpoch, EndpointId};
use crate::money::Amount;
use crate::proto::telemetry as wire;
use crate::sketch::Sketch;
use crate::window::{CELLS_MAX, Report, Stated, Window};
use std::time::Duration;

impl From<&Report> for wire::WindowReport {
    fn from(report: &Report) -> Self {
        let windows = report.windows.iter();
        Self {
            node_id: report.node.to_string(),
            pop: report.pop.to_string(),
            region: report.region.to_string(),
            boot_epoch: report.epoch.0,
            sequence: report.sequence,
            windows: windows.map(|(id, window)| to_wire(id, window)).collect(),
            alarming: report.alarming,
        }
    }
}

impl TryFrom<wire::WindowReport> for Report {
    type Error = ConvertError;
    fn try_from(report: wire::WindowReport) -> Result<Self, ConvertError> {
        if report.windows.len() > CELLS_MAX {
            let reason = format!("{} of at most {CELLS_MAX}", report.windows.len());
            return Err(ConvertError::new("windows", reason));
        }
        if report.sequence == 0 {
            return Err(ConvertError::new("sequence", "counts from 1"));
        }
        Ok(Self {
            node: named("node_id", &report.node_id)?.into(),
            pop: named("pop", &report.pop)?.into(),
            region: named("region", &report.region)?.into(),
            epoch: BootEpoch(report.boot_epoch),
            sequence: report.sequence,
            windows: report
                .windows
                .into_iter()
                .map(from_wire)
                .collect::<Result<_, _>>()?,
            alarming: report.alarming,
        })
    }
}

impl From<&Sketch> for wire::Sketch {
    fn from(sketch: &Sketch) -> Self {
        let (index_deltas, counts) = sketch.encode();
        Self {
            index_deltas,
            counts,
        }
    }
}

/// An empty sketch travels as no sketch.
fn sketch(field: &str, sketch: Option<wire::Sketch>) -> Result<Sketch, ConvertError> {
    let Some(sketch) = sketch else {
        return Ok(Sketch::default());
    };
    Sketch::decode(&sketch.index_deltas, &sketch.counts)
        .map_err(|error| ConvertError::new(field, error))
}

fn to_wire(endpoint: &EndpointId, window: &Window) -> wire::Window {
    let filled = |sketch: &Sketch| (!sketch.is_empty()).then(|| sketch.into());
    wire::Window {
        endpoint: endpoint.to_string(),
        ok: window.ok,
        hard_fail: window.hard_fail,
        timeout: window.timeout,
        silence: window.silence,
        overload: window.overload,
        rate_limited: window.rate_limited,
        truncated: window.truncated,
        tool_errors: window.tool_errors,
        tool_calls: window.tool_calls,
        openings: window.openings,
        prompt_tokens: window.prompt_tokens,
        completion_tokens: window.completion_tokens,
        cost_pico: u64::try_from(window.cost.0.max(0)).unwrap_or(u64::MAX),
        first_attempts: window.first_attempts,
        sent: window.sent,
        answered: window.answered,
        ttft: filled(&window.ttft),
        throughput: filled(&window.throughput),
        whole_throughput: filled(&window.whole_throughput),
        stated_requests_per_minute: window.stated.requests_per_minute,
        stated_tokens_per_minute: window.stated.tokens_per_minute,
        retry_after_ms: window
            .stated
            .retry_after
            .map(|rest| u32::try_from(rest.as_millis()).unwrap_or(u32::MAX)),
    }
}

fn from_wire(window: wire::Window) -> Result<(EndpointId, Window), ConvertError> {
    let endpoint = named("endpoint", &window.endpoint)?.into();
    let counts = Window {
        ok: window.ok,
        hard_fail: window.hard_fail,
        timeout: window.timeout,
        silence: window.silence,
        overload: window.overload,
        rate_limited: window.rate_limited,
        truncated: window.truncated,
        tool_errors: window.tool_errors,
        tool_calls: window.tool_calls,
        openings: window.openings,
        prompt_tokens: window.prompt_tokens,
        completion_tokens: window.completion_tokens,
        cost: Amount(i128::from(window.cost_pico)),
        first_attempts: window.first_attempts,
        sent: window.sent,
        answered: window.answered,
        ttft: sketch("ttft", window.ttft)?,
        throughput: sketch("throughput", window.throughput)?,
        whole_throughput: sketch("whole_throughput", window.whole_throughput)?,
        stated: Stated {
            requests_per_minute: window.stated_requests_per_minute,
            tokens_per_minute: window.stated_tokens_per_minute,
            retry_after: window
                .retry_after_ms
                .map(|ms| Duration::from_millis(ms.into())),
        }
        .believed(),
    };
    Ok((endpoint, counts))
}
