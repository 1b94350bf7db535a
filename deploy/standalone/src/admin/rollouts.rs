//! `godwit admin rollouts …`: which revision of the catalogue edges are sent and serve.

use super::report::{Report, time};
use super::{Failed, Target, connect};
use clap::Subcommand;
use serde_json::json;
use shared::proto::admin as wire;

#[derive(Subcommand, Debug)]
pub(super) enum RolloutsCommand {
    /// What edges are sent, and who serves it.
    Status,
    /// Sends edges no newer revision of the catalogue than now.
    Pause,
    /// Sends edges the newest revision again.
    Resume,
    /// Sends edges an older revision's content again, as a new one; also while paused.
    #[command(alias = "roll-back")]
    Rollback {
        /// From `catalog history`; default: the one before what edges are sent.
        number: Option<u64>,
    },
}

pub(super) async fn run(to: &Target, command: RolloutsCommand) -> Result<Report, Failed> {
    let mut client = connect::client(to).await?;
    let response = match command {
        RolloutsCommand::Status => client.get_rollout(wire::GetRolloutRequest {}).await?,
        RolloutsCommand::Pause => client.pause_rollout(wire::PauseRolloutRequest {}).await?,
        RolloutsCommand::Resume => client.resume_rollout(wire::ResumeRolloutRequest {}).await?,
        RolloutsCommand::Rollback { number } => {
            let request = wire::RollBackRolloutRequest { number };
            client.roll_back_rollout(request).await?
        }
    };
    Ok(told(response.get_ref()))
}

fn told(rollout: &wire::Rollout) -> Report {
    let (newest, sent) = (rollout.newest, rollout.sent);
    let json = json!({
        "stage": rollout.stage,
        "newest": newest,
        "sent": sent,
        "paused_by": rollout.paused_by,
        "paused_unix_ms": rollout.paused_unix_ms,
        "edges": {
            "on_it": rollout.edges_on_it,
            "behind": rollout.edges_behind,
            "refusing": rollout.edges_refusing,
            "gone": rollout.edges_gone,
        },
    });
    let first = match rollout.stage.as_str() {
        "paused" => format!(
            "paused at revision {sent} by {} at {} UTC; the newest is {newest}",
            rollout.paused_by,
            time(rollout.paused_unix_ms / 1000)
        ),
        "none" => "there is no catalogue yet".to_owned(),
        _ => format!("edges are sent revision {sent}, the newest, all at once"),
    };
    let names = |names: &[String]| {
        if names.is_empty() {
            "0".to_owned()
        } else {
            format!("{} ({})", names.len(), names.join(", "))
        }
    };
    Report::new(json).line(first).line(format!(
        "edges that serve it: {}, not yet: {}, refusing some of it: {}, gone: {}",
        rollout.edges_on_it,
        names(&rollout.edges_behind),
        names(&rollout.edges_refusing),
        rollout.edges_gone
    ))
}
