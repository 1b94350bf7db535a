//! Many simulated edges against one real control plane: each has its certificate, its TLS
//! connection, its discovery and its telemetry stream, and takes what is pushed as an edge does
//! (reads it, applies it, acknowledges it where asked). What they report is made up: healthy
//! traffic on a few endpoints each second, and now and then an outage that a few of them see.

mod certificates;
mod edge;
mod glance;
mod measured;
mod plan;

use crate::cluster::{CatalogSpec, ClusterError, Fleet, FleetConfig};
use crate::measure::{Account, account};
use crate::provider::Dialect;
use certificates::Issuer;
use edge::SimulatedEdge;
pub use measured::{Measured, Report};
use plan::Plan;
use shared::clock::Clock;
use shared::task::Tasks;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Observations that wait to be counted; an edge waits with them.
const OBSERVATIONS_MAX: usize = 4096;
/// Connections that are made at one time: a fleet does not connect in one second either.
const CONNECTING_MAX: usize = 64;
/// How long edges may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Edges, in five regions and a point of presence for each four.
    pub edges: usize,
    /// Of these so many connect before the others and never say that they took a ranking.
    pub silent: usize,
    /// Endpoints of the catalogue.
    pub endpoints: usize,
    /// Endpoints of each model.
    pub providers: usize,
    /// Endpoints that an edge reports of in a second.
    pub used: usize,
    /// How long it runs without outages once all edges hold a table: percentiles of few samples
    /// move, and are told.
    pub settle: Duration,
    /// How long it is measured.
    pub window: Duration,
    /// How often an endpoint breaks, as some of the edges see at once.
    pub outage_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            edges: 1000,
            silent: 0,
            endpoints: 2000,
            providers: 8,
            used: 20,
            settle: Duration::from_secs(60),
            window: Duration::from_secs(30),
            outage_every: Duration::from_secs(3),
        }
    }
}

/// Why it could not be measured.
#[derive(Debug)]
pub struct SwarmError(String);

impl fmt::Display for SwarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for SwarmError {}

impl From<ClusterError> for SwarmError {
    fn from(error: ClusterError) -> Self {
        Self(error.to_string())
    }
}

impl SwarmError {
    fn of(what: &str, error: &dyn fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// Starts a control plane and the edges, and measures.
///
/// # Errors
/// The control plane does not start, or edges can't connect to it.
pub async fn run(settings: &Settings) -> Result<Report, SwarmError> {
    let providers = settings.providers.max(1);
    let models = settings.endpoints.div_ceil(providers).max(1);
    let catalog = catalog(models, providers);
    let mut fleet = FleetConfig::new(catalog, 0).start().await?;
    let issuer = Issuer::of_fleet(fleet.control_data())?;
    let address = fleet
        .control_address()
        .ok_or_else(|| SwarmError("the control plane has no address".to_owned()))?;
    let tasks = Tasks::new();
    let (told, mut heard) = mpsc::channel(OBSERVATIONS_MAX);
    let plan = Arc::new(Plan::new(settings, models, providers));
    let clock = Clock::system();
    let gate = Arc::new(tokio::sync::Semaphore::new(CONNECTING_MAX));
    let mut measured = Measured::new(settings.edges);
    for number in 0..settings.edges {
        if number == settings.silent && number > 0 {
            // Who is asked is settled when the others come.
            Measured::new(number).until_all_hold(&mut heard).await?;
        }
        let edge = SimulatedEdge {
            number,
            silent: number < settings.silent,
            plan: Arc::clone(&plan),
            certificate: issuer.edge(number)?,
            ca: issuer.ca().to_owned(),
            address,
            clock: clock.clone(),
            told: told.clone(),
            gate: Arc::clone(&gate),
        };
        tasks.spawn("simulated edge", edge.run(tasks.stop_signal()));
    }
    drop(told);
    measured.until_all_hold(&mut heard).await?;
    measured.let_pass(&mut heard, settings.settle).await?;
    let before = Accounts::of(&mut fleet);
    plan.begin_outages(clock.now());
    measured.count(&mut heard, settings.window).await;
    let after = Accounts::of(&mut fleet);
    let metrics = fleet.console().get("/metrics").await;
    let metrics = metrics.map_err(|error| SwarmError::of("metrics", &error))?;
    heard.close();
    tasks.drain(STOP_DEADLINE).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    Ok(measured.report(settings, &text, (before, after)))
}

/// What both sides have used of the machine.
#[derive(Clone, Copy)]
struct Accounts {
    control: Account,
    /// This process and the control plane, which is its child.
    both: Account,
}

impl Accounts {
    fn of(fleet: &mut Fleet) -> Self {
        Self {
            control: account(fleet.control().pid()).unwrap_or_default(),
            both: account(std::process::id()).unwrap_or_default(),
        }
    }
}

fn catalog(models: usize, providers: usize) -> CatalogSpec {
    let slugs: Vec<String> = (0..providers).map(|at| format!("p{at}")).collect();
    let mut catalog = CatalogSpec::default();
    for slug in &slugs {
        catalog = catalog.provider(slug, Dialect::OpenaiChat, "http://127.0.0.1:9/v1");
    }
    let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
    for model in 0..models {
        catalog = catalog.model(&format!("lab/model-{model}"), &slugs);
    }
    catalog
}
