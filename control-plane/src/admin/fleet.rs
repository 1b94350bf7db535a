//! The calls about endpoints and rankings.

use super::names::{listed, no_endpoint, no_region};
use super::{Answer, Deps};
use shared::catalog::Endpoint;
use shared::id::{EndpointId, Region, Version};
use shared::proto::admin as wire;
use shared::ranking::{Mode, RankingRow, RankingTable, State};
use shared::snapshot::Snapshot;
use tonic::{Response, Status};

pub(super) async fn endpoints(
    deps: &Deps,
    message: &wire::ListEndpointsRequest,
) -> Answer<wire::ListEndpointsResponse> {
    let served = deps.registry.current();
    let rankings = deps.ranker.current();
    let wishes = deps.ranker.wishes().await;
    let rows = chosen(&served.snapshot, &message.model)?.map(|endpoint| {
        let id = endpoint.id.clone();
        let states = rankings.tables.iter().filter_map(|(region, table)| {
            let state = table.rows.get(&id)?.state;
            (state != State::Closed).then(|| format!("{} in {region}", state.as_str()))
        });
        let states: Vec<_> = states.collect();
        let wish = wishes.get(&id).copied().unwrap_or_default();
        wire::EndpointRow {
            pinned: wish.pinned,
            weight: wish.weight(),
            endpoint: id.to_string(),
            provider: endpoint.provider.to_string(),
            prompt_price: endpoint.pricing.prompt.to_string(),
            completion_price: endpoint.pricing.completion.to_string(),
            state: if states.is_empty() {
                State::Closed.as_str().to_owned()
            } else {
                states.join(", ")
            },
        }
    });
    Ok(Response::new(wire::ListEndpointsResponse {
        endpoints: rows.collect(),
    }))
}

pub(super) async fn rankings(
    deps: &Deps,
    message: &wire::GetRankingsRequest,
) -> Answer<wire::GetRankingsResponse> {
    let served = deps.registry.current();
    let rankings = deps.ranker.current();
    let asked = |region: &Region| message.region.is_empty() || region.as_str() == message.region;
    if !message.region.is_empty() && !rankings.tables.keys().any(asked) {
        return Err(no_region(deps, &message.region));
    }
    let mut regions = Vec::new();
    for (region, table) in rankings.tables.iter().filter(|(region, _)| asked(region)) {
        let mut rows = Vec::new();
        for endpoint in chosen(&served.snapshot, &message.model)? {
            let Some(row) = table.rows.get(&endpoint.id) else {
                continue;
            };
            let explanation = deps.ranker.explain(&endpoint.id, region).await;
            let samples = explanation.map_or(0.0, |explanation| explanation.samples);
            rows.push(ranked(&endpoint.id, row, samples));
        }
        regions.push(region_ranking(region, table, rows));
    }
    Ok(Response::new(wire::GetRankingsResponse { regions }))
}

pub(super) async fn explain(
    deps: &Deps,
    message: &wire::ExplainRankingRequest,
) -> Answer<wire::ExplainRankingResponse> {
    let endpoint = EndpointId::from(message.endpoint.as_str());
    let rankings = deps.ranker.current();
    let region = region(deps, &message.region)?;
    let Some(explanation) = deps.ranker.explain(&endpoint, &region).await else {
        let served = deps.registry.current();
        return Err(no_endpoint(&served.snapshot, &endpoint));
    };
    let row = explanation.row.as_ref();
    let mut text = explanation.text;
    let others = rankings.tables.keys().filter(|other| **other != region);
    let others = listed(others.map(Region::as_str));
    if message.region.is_empty() && !others.is_empty() {
        text.push_str(&format!("other regions (--region): {others}\n"));
    }
    Ok(Response::new(wire::ExplainRankingResponse {
        row: row.map(|row| ranked(&endpoint, row, explanation.samples)),
        text,
    }))
}

/// The region of that name, or the first; while no edge was heard of any name is as good.
fn region(deps: &Deps, name: &str) -> Result<Region, Status> {
    let rankings = deps.ranker.current();
    let mut known = rankings.tables.keys();
    if name.is_empty() {
        let region = known.next().cloned();
        return region.ok_or_else(|| {
            Status::failed_precondition("no edge has connected yet: name a region")
        });
    }
    if !rankings.tables.is_empty() && !known.any(|region| region.as_str() == name) {
        return Err(no_region(deps, name));
    }
    Ok(Region::from(name))
}

/// The endpoints of a model, or all.
fn chosen<'a>(
    snapshot: &'a Snapshot,
    model: &'a str,
) -> Result<impl Iterator<Item = &'a Endpoint>, Status> {
    if !model.is_empty() && snapshot.model(model).is_none() {
        return Err(Status::not_found(format!("there is no model {model:?}")));
    }
    let all = snapshot.endpoints().iter().map(AsRef::as_ref);
    Ok(
        all.filter(move |endpoint: &&Endpoint| {
            model.is_empty() || endpoint.model.as_str() == model
        }),
    )
}

pub(super) fn region_ranking(
    region: &Region,
    table: &RankingTable,
    endpoints: Vec<wire::RankedEndpoint>,
) -> wire::RegionRanking {
    let Version { epoch, number } = table.version;
    wire::RegionRanking {
        region: region.to_string(),
        version_epoch: epoch,
        version_number: number,
        generated_unix_ms: table.generated_unix_ms,
        endpoints,
    }
}

pub(super) fn ranked(
    endpoint: &EndpointId,
    row: &RankingRow,
    samples: f64,
) -> wire::RankedEndpoint {
    wire::RankedEndpoint {
        endpoint: endpoint.to_string(),
        state: row.state.as_str().to_owned(),
        share_balanced: row.share_of(Mode::Balanced),
        share_price: row.share_of(Mode::Price),
        share_latency: row.share_of(Mode::Latency),
        share_throughput: row.share_of(Mode::Throughput),
        failure: f64::from(row.failure) / f64::from(u16::MAX),
        ttft_ms_p50: row.ttft_ms.p50,
        ttft_ms_p95: row.ttft_ms_p95,
        tokens_per_second: f64::from(row.throughput_tenths.p50) / 10.0,
        samples,
        tool_failure: f64::from(row.tool_failure) / f64::from(u16::MAX),
        cap: row.cap_per_second().unwrap_or_default(),
        token_cap: row.tokens_per_second().unwrap_or_default(),
        probe_node: row
            .probe
            .as_ref()
            .map_or_else(String::new, |probe| probe.node.to_string()),
    }
}
