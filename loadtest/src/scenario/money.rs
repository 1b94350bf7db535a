//! Money over `kill -9`: edges and a control plane as processes, killed at random under load while
//! the simulated providers keep bills of their own. Afterwards three books are laid side by side,
//! each read where it is kept: the edges' logs, the ledger's database, the providers' bills. What a
//! run is stands in its file; the same seed makes the same load and the same kills, though not the
//! same interleaving.

mod books;
mod clients;
mod logs;
mod verdict;

pub use verdict::MoneyReport;

use super::file::{Fault, Supplier};
use super::{MODEL, ScenarioError};
use crate::cluster::{CatalogSpec, Fleet, FleetConfig, eventually};
use crate::provider::{Config, Dialect, Provider, Running};
use clients::Clients;
use logs::Logs;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;

/// Most kills of one run.
const KILLS_MAX: u64 = 1_000;
/// Most clients on one edge.
const CLIENTS_MAX: usize = 64;
/// How long the last answers and the last usage records are waited for.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// A money scenario that was read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// What it is about, for people.
    pub name: String,
    /// Edge processes.
    pub edges: usize,
    /// Of everything that is left to chance.
    pub seed: u64,
    /// How often something is killed: an edge, the control plane, or both at once.
    pub kills: u64,
    /// Requests that each edge has at a time.
    pub clients: usize,
    /// The longest answers, in tokens.
    pub tokens: u64,
    /// Milliseconds between two kills: at least, at most.
    pub between_ms: (u64, u64),
    /// Who serves the model.
    pub providers: Vec<Supplier>,
    /// What goes wrong with them all the time.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

impl Money {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=16).contains(&self.edges) {
            return Err(format!("edges = {}: not in 1 to 16", self.edges));
        }
        if self.kills > KILLS_MAX {
            return Err(format!("kills = {}: more than {KILLS_MAX}", self.kills));
        }
        if !(1..=CLIENTS_MAX).contains(&self.clients) {
            return Err(format!(
                "clients = {}: not in 1 to {CLIENTS_MAX}",
                self.clients
            ));
        }
        if self.between_ms.0 > self.between_ms.1 || self.tokens == 0 || self.providers.is_empty() {
            return Err("between_ms must ascend; tokens and providers are needed".to_owned());
        }
        Ok(())
    }
}

/// How often what was killed.
#[derive(Clone, Copy, Debug, Default)]
struct Kills {
    edges: u64,
    control: u64,
}

/// Plays a money scenario from start to end.
///
/// # Errors
/// A program is missing or does not come back, a provider can't listen, a book can't be read.
pub async fn play(money: &Money) -> Result<MoneyReport, ScenarioError> {
    let started = Instant::now();
    let mut suppliers = Vec::new();
    for supplier in &money.providers {
        suppliers.push(supply(money, supplier).await?);
    }
    let catalog = catalogue(money, &suppliers);
    let mut fleet = FleetConfig::new(catalog, money.edges).start().await?;
    let clients = Clients::start(money, &fleet);
    let mut logs = Logs::default();
    let killed = kill(money, &mut fleet, &mut logs).await;
    let seen = clients.stop().await;
    let kills = killed?;
    let idle = || async { (suppliers.iter().all(|it| it.totals().open == 0)).then_some(()) };
    let quiet = eventually(QUIET_MAX, idle).await.is_some() && shipped(&fleet).await;
    for edge in fleet.edges() {
        logs.read(edge.data_dir()).map_err(ScenarioError::Listen)?;
    }
    let bills = suppliers.iter().map(Running::bill);
    let bills = money.providers.iter().cloned().zip(bills).collect();
    let mut report = verdict::judge(&fleet, &logs, bills, &seen).await?;
    if !quiet {
        report
            .broken
            .push("usage did not reach the ledger".to_owned());
    }
    report.name.clone_from(&money.name);
    (report.edge_kills, report.control_kills) = (kills.edges, kills.control);
    report.took_s = started.elapsed().as_secs_f64();
    report.pass = report.broken.is_empty();
    Ok(report)
}

async fn supply(money: &Money, supplier: &Supplier) -> Result<Running, ScenarioError> {
    let faults = money.faults.iter();
    let faults = faults.filter(|fault| fault.providers.contains(&supplier.slug));
    let config = Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(supplier.ttft_ms),
        tokens_per_second: supplier.tokens_per_second,
        seed: money.seed,
        faults: faults.map(|fault| fault.rule.clone()).collect(),
        ..Config::default()
    };
    Provider::start(config).await.map_err(ScenarioError::Listen)
}

fn catalogue(money: &Money, suppliers: &[Running]) -> CatalogSpec {
    let mut catalog = CatalogSpec::default();
    for (supplier, running) in money.providers.iter().zip(suppliers) {
        let url = running.base_url();
        catalog = catalog.provider(&supplier.slug, Dialect::OpenaiChat, &url);
    }
    let slugs = money.providers.iter().map(|it| it.slug.as_str());
    catalog = catalog.model(MODEL, &slugs.collect::<Vec<_>>());
    for (endpoint, supplier) in catalog.endpoints.iter_mut().zip(&money.providers) {
        endpoint.prompt.clone_from(&supplier.price);
        endpoint.completion.clone_from(&supplier.price);
        endpoint.cache_read = None;
    }
    catalog
}

/// Kills and restarts. An edge's logs are read while it is dead, before its next run ships and
/// removes them. The control plane stays dead over the next kill every other time.
async fn kill(money: &Money, fleet: &mut Fleet, logs: &mut Logs) -> Result<Kills, ScenarioError> {
    let mut random = fastrand::Rng::with_seed(money.seed);
    let (mut kills, mut control_down) = (Kills::default(), false);
    for _ in 0..money.kills {
        let wait = random.u64(money.between_ms.0..=money.between_ms.1);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let (what, number) = (random.u8(0..10), random.usize(0..money.edges));
        if what >= 6 && !control_down {
            fleet.control().kill();
            kills.control += 1;
            control_down = true;
        }
        if what < 8
            && let Some(edge) = fleet.edge(number)
        {
            edge.process().kill();
            kills.edges += 1;
            logs.read(edge.data_dir()).map_err(ScenarioError::Listen)?;
            edge.restart().await?;
        }
        if control_down && random.bool() {
            fleet.restart_control().await?;
            control_down = false;
        }
    }
    if control_down {
        fleet.restart_control().await?;
    }
    Ok(kills)
}

/// Every usage record is in the ledger.
async fn shipped(fleet: &Fleet) -> bool {
    for edge in fleet.edges() {
        let admin = edge.admin();
        let empty = || async {
            let page = admin.get("/metrics").await.ok()?.text();
            let empty = |line: &str| line == "godwit_usage_outbox_records 0";
            page.lines().any(empty).then_some(())
        };
        if eventually(QUIET_MAX, empty).await.is_none() {
            return false;
        }
    }
    true
}
