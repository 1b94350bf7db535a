//! The calls that change an endpoint's place, and those that tell how it has changed.

use super::fleet::{ranked, region_ranking};
use super::names::{no_endpoint, no_region};
use super::{Answer, Deps, accounts_status};
use crate::ranker::Rankings;
use futures::StreamExt;
use futures::stream::BoxStream;
use shared::id::{EndpointId, Region};
use shared::proto::admin as wire;
use shared::ranking::{FAVOUR_MAX, RankingTable, State};
use std::sync::Arc;
use tokio_stream::wrappers::WatchStream;
use tonic::{Response, Status};

/// Changes when no number was asked for.
const HISTORY_DEFAULT: u32 = 50;
/// The most that are told.
const HISTORY_MAX: u32 = 10_000;

/// Rankings as they are published.
pub(super) type Changes = BoxStream<'static, Result<wire::RegionRanking, Status>>;

/// Takes an endpoint out of service or back, pins it, weighs it.
pub(super) async fn set(
    deps: &Deps,
    actor: &str,
    message: &wire::SetEndpointRequest,
) -> Answer<wire::SetEndpointResponse> {
    let endpoint = EndpointId::from(message.endpoint.as_str());
    let known = deps
        .registry
        .current()
        .snapshot
        .index_of(&endpoint)
        .is_some();
    // What has left the catalogue may still be wished nothing more of.
    if !known && !deps.ranker.wishes().await.contains_key(&endpoint) {
        let served = deps.registry.current();
        return Err(no_endpoint(&served.snapshot, &endpoint));
    }
    let state = message.state.as_deref().map(withdrawal).transpose()?;
    let weight = message.weight;
    if weight.is_some_and(|weight| !(0.0..=FAVOUR_MAX).contains(&weight)) {
        let text = format!("weight: 0 to {FAVOUR_MAX} is expected");
        return Err(Status::invalid_argument(text));
    }
    let wished = deps.ranker.wish(&endpoint, |wish| {
        wish.withdrawn = state.unwrap_or(wish.withdrawn);
        wish.pinned = message.pinned.unwrap_or(wish.pinned);
        wish.favour = weight.unwrap_or(wish.favour);
    });
    let wish = wished.await.map_err(|error| {
        tracing::error!(%error, "an operator's wish was not stored");
        Status::unavailable("the store fails; nothing has changed")
    })?;
    let state = wish.withdrawal().map_or("", State::as_str).to_owned();
    let (pinned, weight) = (wish.pinned, wish.weight());
    let object = format!("{endpoint}: state {state:?}, pinned {pinned}, weight {weight}");
    let recorded = deps.accounts.record(actor, "endpoint.set", &object).await;
    recorded.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(wire::SetEndpointResponse {
        state,
        pinned,
        weight,
    }))
}

fn withdrawal(text: &str) -> Result<Option<State>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let state = State::parse(text).filter(|state| state.is_withdrawn());
    let expected = || Status::invalid_argument("state: draining, disabled or nothing is expected");
    state.map(Some).ok_or_else(expected)
}

/// When an endpoint's place changed.
pub(super) fn history(
    deps: &Deps,
    message: &wire::RankingHistoryRequest,
) -> Answer<wire::RankingHistoryResponse> {
    let endpoint = EndpointId::from(message.endpoint.as_str());
    let region = (!message.region.is_empty()).then(|| Region::from(message.region.as_str()));
    let limit = match message.limit {
        0 => HISTORY_DEFAULT,
        limit => limit.min(HISTORY_MAX),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (served, rankings) = (deps.registry.current(), deps.ranker.current());
    if let Some(region) = region
        .as_ref()
        .filter(|it| !rankings.tables.contains_key(*it))
    {
        return Err(no_region(deps, region.as_str()));
    }
    let past = deps.ranker.history(&endpoint, region.as_ref(), limit);
    if past.is_empty() && served.snapshot.index_of(&endpoint).is_none() {
        return Err(no_endpoint(&served.snapshot, &endpoint));
    }
    let changes = past.into_iter().map(|past| wire::PastRanking {
        region: past.region.to_string(),
        version_epoch: past.version.epoch,
        version_number: past.version.number,
        unix_ms: past.unix_ms,
        row: past.row.as_ref().map(|row| ranked(&endpoint, row, 0.0)),
    });
    Ok(Response::new(wire::RankingHistoryResponse {
        changes: changes.collect(),
    }))
}

/// What changes, as it is published.
pub(super) fn watch(deps: &Deps, message: wire::GetRankingsRequest) -> Answer<Changes> {
    let mut begun = false;
    let told = WatchStream::new(deps.ranker.subscribe()).map(move |rankings| {
        let first = !std::mem::replace(&mut begun, true);
        futures::stream::iter(news(&rankings, &message, first))
    });
    let mut stop = deps.stop.clone();
    let stopped = Box::pin(async move { stop.wait().await });
    Ok(Response::new(told.flatten().take_until(stopped).boxed()))
}

/// At first whole regions, then what has changed in them.
fn news(
    rankings: &Arc<Rankings>,
    message: &wire::GetRankingsRequest,
    whole: bool,
) -> Vec<Result<wire::RegionRanking, Status>> {
    let of_model = |endpoint: &EndpointId| {
        let text = endpoint.as_str();
        let model = text.rsplit_once('@').map_or(text, |(model, _)| model);
        message.model.is_empty() || model == message.model
    };
    let asked = |region: &Region| message.region.is_empty() || region.as_str() == message.region;
    let regions = rankings.tables.iter().filter(|(region, _)| asked(region));
    let told = regions.filter_map(|(region, table): (&Region, &Arc<RankingTable>)| {
        let rows: Vec<wire::RankedEndpoint> = match rankings.changes.get(region) {
            Some(change) if !whole => {
                let rows = change.rows.iter().filter(|(id, _)| of_model(id));
                rows.map(|(id, row)| ranked(id, row, 0.0)).collect()
            }
            _ => {
                let rows = table.rows.iter().filter(|(id, _)| of_model(id));
                rows.map(|(id, row)| ranked(id, row, 0.0)).collect()
            }
        };
        (!rows.is_empty() || whole).then(|| Ok(region_ranking(region, table, rows)))
    });
    told.collect()
}
