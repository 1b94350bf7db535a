//! The calls about edges: who is there, and who is to be drained.

use super::names::listed;
use super::{Answer, Deps, accounts_status};
use crate::publish::{DutyError, Edge};
use shared::id::NodeId;
use shared::proto::admin as wire;
use std::collections::BTreeSet;
use tonic::{Response, Status};

/// All edges that are known, and those that are to be drained if they ever come back.
pub(super) fn list(deps: &Deps) -> Response<wire::ListEdgesResponse> {
    let mut missing = deps.duties.draining();
    let mut edges: Vec<wire::Edge> = Vec::new();
    for edge in deps.edges.list() {
        let draining = missing.remove(&edge.node);
        edges.push(told(edge, draining));
    }
    edges.extend(missing.iter().map(forgotten));
    Response::new(wire::ListEdgesResponse { edges })
}

/// Takes an edge out of service, or puts it back.
pub(super) async fn set(
    deps: &Deps,
    actor: &str,
    node_id: &str,
    draining: bool,
) -> Answer<wire::EdgeDutyResponse> {
    let node = NodeId::from(node_id);
    let is_known = deps.edges.list().iter().any(|edge| edge.node == node);
    if !is_known && !deps.duties.of(&node).draining {
        return Err(unknown(deps, node_id));
    }
    let duty = deps.duties.set(&node, draining).await;
    duty.map_err(|error| match error {
        DutyError::Full => Status::resource_exhausted(error.to_string()),
        DutyError::Store(error) => {
            tracing::error!(%error, "an edge's duty was not stored");
            Status::unavailable("the store fails; nothing has changed")
        }
    })?;
    deps.ranker.drain(deps.duties.draining()).await;
    let action = if draining {
        "edge.drain"
    } else {
        "edge.undrain"
    };
    let recorded = deps.accounts.record(actor, action, node_id).await;
    recorded.map_err(|error| accounts_status(&error))?;
    Ok(Response::new(answer(deps, &node)))
}

fn answer(deps: &Deps, node: &NodeId) -> wire::EdgeDutyResponse {
    let draining = deps.duties.draining();
    let edges = deps.edges.list();
    let edge = edges.iter().find(|edge| edge.node == *node).cloned();
    let serves = |edge: &&Edge| edge.connected && !draining.contains(&edge.node);
    let beside = |other: &&Edge| edge.as_ref().is_some_and(|edge| edge.pop == other.pop);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    wire::EdgeDutyResponse {
        serving: count(edges.iter().filter(serves).count()),
        serving_in_pop: count(edges.iter().filter(serves).filter(beside).count()),
        edge: Some(match edge {
            Some(edge) => told(edge, draining.contains(node)),
            None => wire::Edge {
                draining: draining.contains(node),
                ..forgotten(node)
            },
        }),
    }
}

fn unknown(deps: &Deps, node_id: &str) -> Status {
    let edges = deps.edges.list().into_iter().map(|edge| edge.node);
    let known: BTreeSet<NodeId> = edges.chain(deps.duties.draining()).collect();
    let known = listed(known.iter().map(NodeId::as_str));
    let text = if known.is_empty() {
        "no edge was ever heard of".to_owned()
    } else {
        format!("known are {known}")
    };
    Status::not_found(format!("there is no edge {node_id:?}; {text}"))
}

fn told(edge: Edge, draining: bool) -> wire::Edge {
    let acked = edge.acked.unwrap_or_default();
    let last_nack = edge.last_nack;
    wire::Edge {
        node_id: edge.node.to_string(),
        pop: edge.pop.to_string(),
        region: edge.region.to_string(),
        connected: edge.connected,
        boot_epoch: edge.boot_epoch.0,
        acked_epoch: acked.epoch,
        acked_number: acked.number,
        nacks: edge.nacks,
        last_nack: last_nack.map_or_else(String::new, |(name, why)| format!("{name}: {why}")),
        last_seen_unix_ms: edge.last_seen_unix_ms,
        api_address: edge.api_address,
        draining,
        says_draining: edge.duty.draining,
        build: edge.build,
    }
}

/// One that has been gone for so long that nothing else is known of it.
fn forgotten(node: &NodeId) -> wire::Edge {
    wire::Edge {
        node_id: node.to_string(),
        draining: true,
        ..wire::Edge::default()
    }
}
