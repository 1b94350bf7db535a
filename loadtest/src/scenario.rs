//! Fault scenarios in reality: a control plane and edges as processes, simulated providers, an
//! open-loop stream load, one fault in the middle, and a verdict. The figures are those of the
//! routing simulation (`routing` column by column), so that the two can be laid side by side; what
//! a scenario is stands in its file.

mod arrivals;
mod file;
mod load;
mod money;
mod verdict;

pub use file::{AnyScenario, Expect, Fault, Scenario, ScenarioError, Supplier};
pub use money::{Money, MoneyReport, play as play_money};
pub use verdict::{Phase, Report};

use crate::cluster::{CatalogSpec, FleetConfig};
use crate::provider::{Config, Dialect, Provider, Running};
use arrivals::Arrivals;
use load::{Answers, Load};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The only model that a scenario asks for.
const MODEL: &str = "test/routed";
/// How long the last answers are waited for.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Plays a scenario from start to end.
///
/// # Errors
/// A program is missing or does not start, a provider can't listen.
pub async fn play(scenario: &Scenario) -> Result<Report, ScenarioError> {
    let mut suppliers = Vec::new();
    for supplier in &scenario.providers {
        suppliers.push(supply(supplier, scenario.seed).await?);
    }
    let mut fleet = FleetConfig::new(catalogue(scenario, &suppliers), scenario.edges)
        .start()
        .await?;
    let load = Load {
        clients: (0..scenario.edges).map(|edge| fleet.client(edge)).collect(),
        per_second: scenario.requests_per_second,
        tokens: scenario.completion_tokens,
        seed: scenario.seed,
    };
    let answers = Arc::new(Answers::default());
    let started = Instant::now();
    let (begins, ends) = scenario.window();
    let length = ends + scenario.after();
    let mut arrivals = Arrivals::default();
    let director = async {
        tokio::time::sleep_until(started + begins).await;
        if scenario.control_plane_cut {
            fleet.control().kill();
        }
        set(scenario, &suppliers, true);
        tokio::time::sleep_until(started + ends).await;
        set(scenario, &suppliers, false);
        if scenario.control_plane_cut {
            fleet.restart_control().await?;
        }
        Ok::<(), ScenarioError>(())
    };
    let watch = arrivals.watch(&suppliers, &answers, started, length);
    let asked = load.run(&answers, started, length, DRAIN_MAX);
    let (directed, (), ()) = tokio::join!(director, watch, asked);
    directed?;
    Ok(verdict::report(scenario, &arrivals, &answers.take()))
}

async fn supply(supplier: &Supplier, seed: u64) -> Result<Running, ScenarioError> {
    let config = Config {
        dialect: Some(Dialect::OpenaiChat),
        ttft: Duration::from_millis(supplier.ttft_ms),
        tokens_per_second: supplier.tokens_per_second,
        seed,
        ..Config::default()
    };
    Provider::start(config).await.map_err(ScenarioError::Listen)
}

fn set(scenario: &Scenario, suppliers: &[Running], begins: bool) {
    for (supplier, running) in scenario.providers.iter().zip(suppliers) {
        let rules = scenario.faults.iter();
        let rules = rules.filter(|fault| fault.providers.contains(&supplier.slug));
        let rules = rules.map(|fault| fault.rule.clone());
        running.set_faults(if begins { rules.collect() } else { Vec::new() });
    }
}

/// One model at every provider, each at its own price.
fn catalogue(scenario: &Scenario, suppliers: &[Running]) -> CatalogSpec {
    let mut catalog = CatalogSpec::default();
    for (supplier, running) in scenario.providers.iter().zip(suppliers) {
        let (slug, url) = (&supplier.slug, running.base_url());
        // What the catalogue ships with: the adaptive deadlines must not hide behind short ones.
        catalog = catalog.provider_with(slug, Dialect::OpenaiChat, &url, |row| {
            (row.connect_ms, row.first_token_ms, row.stall_ms) = (2_000, 10_000, 10_000);
        });
    }
    let slugs: Vec<&str> = scenario
        .providers
        .iter()
        .map(|it| it.slug.as_str())
        .collect();
    catalog = catalog.model(MODEL, &slugs);
    for (endpoint, supplier) in catalog.endpoints.iter_mut().zip(&scenario.providers) {
        endpoint.prompt.clone_from(&supplier.price);
        endpoint.completion.clone_from(&supplier.price);
        endpoint.cache_read = None;
    }
    catalog
}
