//! `godwit admin edges …`: who is connected, what each serves, and who is to be drained.

use super::report::{Report, Table, or_dash, time};
use super::{Failed, Target, connect};
use clap::Subcommand;
use serde_json::{Value, json};
use shared::proto::admin as wire;

#[derive(Subcommand, Debug)]
pub(super) enum EdgesCommand {
    /// All edges that are known.
    List,
    /// Takes an edge out of service: /readyz says 503, what still arrives is served.
    Drain {
        /// Its node id.
        node: String,
    },
    /// Puts an edge back in service.
    Undrain {
        /// Its node id.
        node: String,
    },
}

pub(super) async fn run(to: &Target, command: Option<EdgesCommand>) -> Result<Report, Failed> {
    match command {
        None | Some(EdgesCommand::List) => list(to).await,
        Some(EdgesCommand::Drain { node }) => {
            let request = wire::DrainEdgeRequest { node_id: node };
            let response = connect::client(to).await?.drain_edge(request).await?;
            Ok(told(&response.into_inner()))
        }
        Some(EdgesCommand::Undrain { node }) => {
            let request = wire::UndrainEdgeRequest { node_id: node };
            let response = connect::client(to).await?.undrain_edge(request).await?;
            Ok(told(&response.into_inner()))
        }
    }
}

/// What follows from a change, for whoever has made it.
fn told(answer: &wire::EdgeDutyResponse) -> Report {
    let edge = answer.edge.clone().unwrap_or_default();
    let (node, pop) = (&edge.node_id, &edge.pop);
    let (beside, all) = (answer.serving_in_pop, answer.serving);
    let what = match (edge.draining, edge.connected) {
        (true, true) => "is told to drain",
        (true, false) => "is not connected; it is told to drain when it comes back",
        (false, true) => "is told to serve",
        (false, false) => "is not connected; it is told to serve when it comes back",
    };
    let json = json!({
        "edge": edge_json(&edge),
        "serving_in_pop": beside,
        "serving": all,
    });
    let mut report = Report::new(json)
        .line(format!(
            "{node} {what}; `godwit admin edges` says when it does"
        ))
        .line(format!(
            "edges that serve: {beside} in {}, {all} in all",
            or_dash(pop)
        ));
    if edge.draining && all == 0 {
        report = report.line("WARNING: no edge is left in service");
    } else if edge.draining && beside == 0 {
        report = report.line(format!("WARNING: no edge is left in service in {pop}"));
    }
    report
}

async fn list(to: &Target) -> Result<Report, Failed> {
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
        "BUILD",
        "LAST REFUSAL",
    ]);
    for edge in &edges {
        table.row([
            edge.node_id.clone(),
            or_dash(&edge.pop),
            or_dash(&edge.region),
            state(edge).to_owned(),
            format!("{}.{}", edge.acked_epoch, edge.acked_number),
            edge.nacks.to_string(),
            if edge.last_seen_unix_ms == 0 {
                or_dash("")
            } else {
                time(edge.last_seen_unix_ms / 1000)
            },
            or_dash(&edge.api_address),
            or_dash(&edge.build),
            or_dash(&edge.last_nack),
        ]);
    }
    Ok(Report::new(edges.iter().map(edge_json).collect()).table(table))
}

/// What an edge does, and where that is not what is wanted, that as well.
fn state(edge: &wire::Edge) -> &'static str {
    match (edge.connected, edge.draining, edge.says_draining) {
        (true, false, false) => "connected",
        (true, true, true) => "draining",
        (true, true, false) => "told to drain",
        (true, false, true) => "told to serve",
        (false, true, _) => "gone, drained",
        (false, false, _) => "gone",
    }
}

fn edge_json(edge: &wire::Edge) -> Value {
    json!({
        "node_id": edge.node_id,
        "pop": edge.pop,
        "region": edge.region,
        "connected": edge.connected,
        "draining": edge.draining,
        "says_draining": edge.says_draining,
        "boot_epoch": edge.boot_epoch,
        "acked": { "epoch": edge.acked_epoch, "number": edge.acked_number },
        "nacks": edge.nacks,
        "last_nack": edge.last_nack,
        "last_seen_unix_ms": edge.last_seen_unix_ms,
        "api_address": edge.api_address,
        "build": edge.build,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_yet_what_is_wanted_is_told_so() {
        let edge = |connected, draining, says_draining| wire::Edge {
            connected,
            draining,
            says_draining,
            ..wire::Edge::default()
        };
        assert_eq!(state(&edge(true, true, false)), "told to drain");
        assert_eq!(state(&edge(true, true, true)), "draining");
        assert_eq!(state(&edge(true, false, true)), "told to serve");
        assert_eq!(state(&edge(false, true, true)), "gone, drained");
        let answer = |beside, all| {
            let answer = wire::EdgeDutyResponse {
                edge: Some(wire::Edge {
                    node_id: "fra1-a".to_owned(),
                    pop: "fra1".to_owned(),
                    ..edge(true, true, false)
                }),
                serving_in_pop: beside,
                serving: all,
            };
            told(&answer).to_text()
        };
        assert!(!answer(1, 3).contains("WARNING"));
        assert!(answer(0, 3).contains("no edge is left in service in fra1"));
        assert!(answer(0, 0).contains("WARNING: no edge is left in service\n"));
    }
}
