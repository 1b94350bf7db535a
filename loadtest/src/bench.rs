//! The benchmark: the same loads against Godwit, a bare Pingora pass-through, nginx and any other
//! peer, interleaved, with CPU from the operating system's own account. It gives medians with the
//! lowest and highest, and ratios to bare Pingora; figures of one machine are not facts about
//! another.

mod contestant;
mod loads;
mod report;

pub use contestant::{Contestant, External};
pub use loads::{ALL as LOADS, BenchLoad};
pub use report::{Figures, Report};

use crate::cluster::{CatalogSpec, ClusterError, FleetConfig, ProviderSpec, StandaloneConfig};
use crate::measure::account;
use crate::provider::{Config as ProviderConfig, Dialect, Provider, Running};
use crate::run::{Plan, Tally, TargetError, drive};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// USD to spend; the loads need less.
const CREDITS: &str = "100000";

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Loads by name; empty is all but the largest.
    pub loads: Vec<String>,
    /// Other gateways that run already.
    pub peers: Vec<External>,
    /// Repetitions.
    pub repeats: usize,
    /// Seconds that count, of each load and repetition.
    pub window: Duration,
    /// Seconds before that.
    pub warm_up: Duration,
    /// The contestants on CPU 0, everything else on CPU 1.
    pub pin: bool,
    /// Leaves Godwit out.
    pub without_godwit: bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A contestant does not run.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A server or file of ours.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// A peer's URL.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A fleet without edges.
    #[error("the fleet has no edge")]
    NoEdge,
    /// No load of that name.
    #[error("no load is called {0}")]
    Load(String),
}

/// Runs everything.
///
/// # Errors
/// A contestant does not start, or a name is unknown.
pub async fn run(settings: &Settings) -> Result<Report, BenchError> {
    let loads = loads::chosen(&settings.loads)?;
    let pinned = settings.pin && pin_self();
    let origin = Instant::now();
    let provider = Provider::start(ProviderConfig {
        stamps: Some(origin),
        ..ProviderConfig::default()
    })
    .await?;
    let cpu = pinned.then_some(0);
    let dir = TempDir::new()?;
    let mut contestants = vec![contestant::direct(provider.addr())];
    contestants.push(contestant::pingora(dir.path(), provider.addr(), cpu).await?);
    if let Some(nginx) = contestant::nginx(dir.path(), provider.addr(), cpu).await? {
        contestants.push(nginx);
    }
    if !settings.without_godwit {
        contestants.push(edge(&provider, cpu).await?);
        contestants.push(godwit(&provider, cpu).await?);
    }
    for peer in &settings.peers {
        contestants.push(contestant::external(peer));
    }
    let mut report = Report::new(pinned, settings);
    for _ in 0..settings.repeats.max(1) {
        for load in &loads {
            for contestant in &contestants {
                let figures = measure(settings, load, contestant, origin).await?;
                report.add(load.name, &contestant.name, figures);
            }
        }
    }
    provider.stop().await;
    Ok(report)
}

/// An edge node as it runs in a fleet: what is counted is the data plane alone, the control plane
/// is a process of its own.
async fn edge(provider: &Running, cpu: Option<usize>) -> Result<Contestant, BenchError> {
    let mut config = FleetConfig::new(catalog(provider), 1).edge_key("log", "error");
    if cpu.is_some() {
        config = config.edge_key("threads", "1");
    }
    config.edge_cpu = cpu;
    config.credits = CREDITS.to_owned();
    contestant::edge(config.start().await?)
}

/// Both planes in one process, ledger and all.
async fn godwit(provider: &Running, cpu: Option<usize>) -> Result<Contestant, BenchError> {
    let mut config = StandaloneConfig::new(catalog(provider)).flag("log", "error");
    if cpu.is_some() {
        config = config.flag("threads", "1");
    }
    config.cpu = cpu;
    config.credits = CREDITS.to_owned();
    Ok(contestant::godwit(config.start().await?))
}

fn catalog(provider: &Running) -> CatalogSpec {
    let patient = |row: &mut ProviderSpec| {
        row.first_token_ms = 30_000;
        row.stall_ms = 30_000;
        row.total_ms = 120_000;
    };
    let url = provider.base_url();
    CatalogSpec::default()
        .provider_with("bench", Dialect::OpenaiChat, &url, patient)
        .model(contestant::MODEL, &["bench"])
}

/// One load against one contestant.
async fn measure(
    settings: &Settings,
    load: &BenchLoad,
    contestant: &Contestant,
    origin: Instant,
) -> Result<Figures, BenchError> {
    let target = contestant.target()?;
    let plan = Plan {
        target,
        body: load.body(&contestant.model).into(),
        shape: load.shape,
        warm_up: settings.warm_up.max(load.warm_up),
        window: settings.window,
        patience: Duration::from_secs(60),
        expected: None,
        stamps: load.stream.then_some(origin),
        stagger: load.stagger,
    };
    let (tally, spent) = tokio::join!(drive(&plan), meter(&plan, contestant.pid));
    Ok(figures(load, tally, spent))
}

/// CPU time of a process inside the plan's window, and its memory at the end.
async fn meter(plan: &Plan, pid: Option<u32>) -> Option<(Duration, u64)> {
    let opens = Instant::now() + plan.warm_up;
    tokio::time::sleep_until(opens).await;
    let before = account(pid?)?;
    tokio::time::sleep_until(opens + plan.window).await;
    let after = account(pid?)?;
    Some((after.cpu.saturating_sub(before.cpu), after.rss))
}

fn figures(load: &BenchLoad, mut tally: Tally, spent: Option<(Duration, u64)>) -> Figures {
    let seconds = tally.window.as_secs_f64().max(1e-9);
    let float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let per = |count: u64| {
        let cpu = spent.map(|(cpu, _)| cpu.as_secs_f64() * 1e6)?;
        (count > 0).then(|| cpu / float(count))
    };
    let mut figures = Figures::default();
    figures.set("errors", Some(float(tally.failed())));
    figures.set("rss_mb", spent.map(|(_, rss)| float(rss / 1024) / 1024.0));
    let busy = spent.map(|(cpu, _)| cpu.as_secs_f64() / seconds);
    figures.set("cpu_cores", busy);
    if load.stream {
        figures.set("events_per_second", Some(float(tally.events) / seconds));
        figures.set("cpu_us_per_event", per(tally.events));
        figures.set("ttft_p50_ms", tally.ttft.quantile_ms(0.5));
        figures.set("ttft_p99_ms", tally.ttft.quantile_ms(0.99));
        figures.set("event_delay_p50_ms", tally.event_delay.quantile_ms(0.5));
        figures.set("event_delay_p99_ms", tally.event_delay.quantile_ms(0.99));
    } else {
        figures.set("requests_per_second", Some(float(tally.ok) / seconds));
        figures.set("cpu_us_per_request", per(tally.ok));
        figures.set("p50_ms", tally.total.quantile_ms(0.5));
        figures.set("p99_ms", tally.total.quantile_ms(0.99));
    }
    figures
}

/// Moves this process to CPU 1; false where there is none or no `taskset`.
fn pin_self() -> bool {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return false;
    }
    let own = std::process::id().to_string();
    let moved = Command::new("taskset")
        .args(["-a", "-cp", "1", &own])
        .output();
    moved.is_ok_and(|output| output.status.success())
}

/// Any port of this machine.
fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
