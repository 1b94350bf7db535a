//! What is said of a name that nothing has: which there are.

use super::Deps;
use shared::id::{EndpointId, Region};
use shared::snapshot::Snapshot;
use tonic::Status;

/// The most names that an error tells.
const TOLD_MAX: usize = 20;

/// Names as a list, the first ones of many.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let told = names.iter().take(TOLD_MAX).copied();
    let told = told.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(TOLD_MAX) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// There is no such endpoint; its model has others, maybe.
pub(super) fn no_endpoint(snapshot: &Snapshot, endpoint: &EndpointId) -> Status {
    let text = endpoint.as_str();
    let model = text.split_once('@').map_or(text, |(model, _)| model);
    let all = snapshot.endpoints_of(model).iter();
    let all = all.filter_map(|index| Some(snapshot.endpoint(*index)?.id.as_str()));
    let known = listed(all);
    let text = if known.is_empty() {
        let ids = "ids are MODEL@TAG, `godwit admin endpoints` lists them";
        format!("there is no endpoint {text:?}, and no model {model:?} ({ids})")
    } else {
        format!("there is no endpoint {text:?}; {model} has {known}")
    };
    Status::not_found(text)
}

/// No edge of the region was ever heard of; others have been, maybe.
pub(super) fn no_region(deps: &Deps, region: &str) -> Status {
    let rankings = deps.ranker.current();
    let known = listed(rankings.tables.keys().map(Region::as_str));
    let known = if known.is_empty() {
        "none was, yet".to_owned()
    } else {
        format!("known are {known}")
    };
    Status::not_found(format!(
        "no edge of the region {region:?} was heard of; {known}"
    ))
}
