//! The calls about roll-outs of the catalogue.

use super::catalog::registry_status;
use super::{Answer, Deps, accounts_status};
use crate::registry::RegistryError;
use shared::proto::admin as wire;
use tonic::{Response, Status};

pub(super) fn status(deps: &Deps) -> Response<wire::Rollout> {
    let version = deps.registry.released().snapshot.version();
    let newest = deps.registry.current().snapshot.version().number;
    let pause = deps.registry.paused();
    let stage = match (&pause, newest) {
        (Some(_), _) => "paused",
        (None, 0) => "none",
        (None, _) => "all",
    };
    let mut rollout = wire::Rollout {
        stage: stage.to_owned(),
        newest,
        sent: version.number,
        paused_unix_ms: pause.as_ref().map_or(0, |pause| pause.unix_ms),
        paused_by: pause.map(|pause| pause.actor).unwrap_or_default(),
        ..wire::Rollout::default()
    };
    for edge in deps.edges.list() {
        let name = edge.node.to_string();
        if !edge.connected {
            rollout.edges_gone += 1;
        } else if edge.is_refusing() {
            rollout.edges_refusing.push(name);
        } else if edge.acked == Some(version) {
            rollout.edges_on_it += 1;
        } else {
            rollout.edges_behind.push(name);
        }
    }
    Response::new(rollout)
}

pub(super) async fn pause(deps: &Deps, actor: &str) -> Answer<wire::Rollout> {
    if deps.registry.released().snapshot.version().number == 0 {
        return Err(Status::failed_precondition("there is no catalogue yet"));
    }
    let pause = deps.registry.pause(actor).await;
    let pause = pause.map_err(|error| registry_status(&error))?;
    let object = format!("at revision {}", pause.number);
    done(deps, actor, "rollout.pause", &object).await
}

pub(super) async fn resume(deps: &Deps, actor: &str) -> Answer<wire::Rollout> {
    let resumed = deps.registry.resume().await;
    if !resumed.map_err(|error| registry_status(&error))? {
        return Ok(status(deps));
    }
    let newest = deps.registry.current().snapshot.version().number;
    let object = format!("with revision {newest}");
    done(deps, actor, "rollout.resume", &object).await
}

pub(super) async fn roll_back(
    deps: &Deps,
    actor: &str,
    message: wire::RollBackRolloutRequest,
) -> Answer<wire::Rollout> {
    let sent = deps.registry.released().snapshot.version().number;
    let applied = deps.registry.roll_back(message.number, actor).await;
    let applied = applied.map_err(|error| match error {
        RegistryError::NoSuchRevision(_) if message.number.is_none() => {
            let text = format!("edges are sent revision {sent}; none before it is kept");
            Status::failed_precondition(text)
        }
        error => registry_status(&error),
    })?;
    let object = format!(
        "version {}: {} changed, {} removed",
        applied.version, applied.changed, applied.removed
    );
    done(deps, actor, "rollout.roll_back", &object).await
}

async fn done(deps: &Deps, actor: &str, action: &str, object: &str) -> Answer<wire::Rollout> {
    let recorded = deps.accounts.record(actor, action, object).await;
    recorded.map_err(|error| accounts_status(&error))?;
    Ok(status(deps))
}
