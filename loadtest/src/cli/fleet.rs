//! `loadtest fleet`: many simulated edges against one control plane; or whether what is asked of
//! one is met, which is the verdict.

use super::{Verdict, complain, say_json};
use crate::swarm::{self, Settings};
use std::time::Duration;

/// The flags.
#[derive(clap::Args)]
pub(super) struct FleetArguments {
    /// Simulated edges.
    #[arg(long, default_value_t = 1000)]
    edges: usize,
    /// Of these so many, the first to connect, never say that they took a ranking.
    #[arg(long, default_value_t = 0)]
    silent: usize,
    /// Endpoints of the catalogue, eight of each model.
    #[arg(long, default_value_t = 2000)]
    endpoints: usize,
    /// Endpoints that an edge reports of in a second.
    #[arg(long, default_value_t = 20)]
    used: usize,
    /// Seconds between the first table and the measurement: what is known of the endpoints settles.
    #[arg(long, default_value_t = 60.0)]
    settle: f64,
    /// How long it is measured, in seconds.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Seconds between two outages.
    #[arg(long, default_value_t = 3.0)]
    outage_every: f64,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
    /// Fails unless every edge stays, a push takes 1.5 s at most (p99), a tick 250 ms, and what an
    /// outage's first evidence changes is at every edge within 4 s (median).
    #[arg(long)]
    goals: bool,
}

pub(super) async fn fleet(arguments: FleetArguments) -> Result<Verdict, String> {
    let seconds = |value: f64| Duration::try_from_secs_f64(value).map_err(|e| e.to_string());
    let settings = Settings {
        edges: arguments.edges.max(1),
        silent: arguments.silent,
        endpoints: arguments.endpoints.max(1),
        providers: 8,
        used: arguments.used,
        settle: seconds(arguments.settle)?,
        window: seconds(arguments.seconds)?,
        outage_every: seconds(arguments.outage_every)?,
    };
    let report = swarm::run(&settings).await;
    let report = report.map_err(|error| error.to_string())?;
    say_json(report.json(), !arguments.json);
    let missed = if arguments.goals {
        report.missed()
    } else {
        Vec::new()
    };
    for goal in &missed {
        complain(goal);
    }
    Ok(Verdict::of(missed.is_empty()))
}
