//! Starts both planes in one process, tells where they are, and stops them in order: the edge
//! first, so that what it settles still reaches the ledger.

use crate::banner;
use crate::config::{Config, Simulate};
use crate::simulate::Simulation;
use control_plane::accounts::bootstrap::Wishes;
use edge_node::admission::Limits;
use edge_node::app::Parts;
use edge_node::control::{ControlTls, Pem};
use edge_node::credential::Credentials;
use edge_node::node::Timers as PathTimers;
use edge_node::sync::session::Guard;
use edge_node::timers::Timers;
use shared::catalog::{self, Catalog};
use shared::clock::Clock;
use shared::id::{NodeId, Pop, Region};
use shared::key::SecretKey;
use shared::observe::LogFormat;
use shared::task::Tasks;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// The one edge's name.
const EDGE: &str = "edge-1";
/// How long the edge may take to get its first table.
const READY_MAX: Duration = Duration::from_secs(5);

/// Serves until the process is asked to end.
///
/// # Errors
/// What can't be started, in words for the operator.
pub(crate) async fn serve(config: Config) -> Result<(), String> {
    let clock = Clock::system();
    // Before the first thing in it; the control plane, whose folder it is, too, looks who may enter.
    shared::folder::make(&config.data_dir)
        .map_err(|error| format!("{}: {error}", config.data_dir.display()))?;
    let real = read_catalog(&config.catalog)?;
    let credentials = Credentials::default();
    let simulated = match config.simulate {
        Simulate::On => true,
        Simulate::Off => false,
        Simulate::Auto => !real
            .providers
            .iter()
            .any(|provider| provider.api_key_env.is_some() && credentials.is_set(provider)),
    };
    let simulation = if simulated {
        let folder = config.data_dir.join("simulated-catalog");
        let started = Simulation::start(&real, &folder).await;
        Some(started.map_err(|error| format!("simulated providers: {error}"))?)
    } else {
        None
    };
    let catalog = simulation
        .as_ref()
        .map_or(&config.catalog, |simulation| &simulation.catalog);

    let control_tasks = Tasks::new();
    let control = control_config(&config, catalog);
    let control = control_plane::app::start(control, control_tasks, clock.clone())
        .await
        .map_err(|error| format!("control plane: {error}"))?;
    let edge = edge_config(&config, &control);
    let parts = Parts {
        clock: clock.clone(),
        tasks: Tasks::new(),
    };
    let edge = edge_node::app::start(edge, parts)
        .await
        .map_err(|error| format!("edge: {error}"))?;

    wait_for_table(&edge.node).await?;
    let mut addresses = edge.addresses();
    addresses.insert("control".to_owned(), control.control.to_string());
    addresses.insert("console".to_owned(), control.console.to_string());
    let told = Told {
        config: &config,
        addresses: &addresses,
        first_key: control.bootstrapped.first_key.as_ref(),
        example: simulation
            .as_ref()
            .map(|simulation| simulation.example.as_str()),
    };
    told.print(&edge.node);
    edge_node::app::write_addresses(&config.data_dir.join("addresses.json"), &addresses)
        .map_err(|error| format!("{}: {error}", config.data_dir.display()))?;

    shared::task::termination().await;
    tracing::info!("draining");
    let cut = edge.drain(config.drain_deadline).await;
    if cut > 0 {
        tracing::warn!(cut, "requests were cut at the drain deadline");
    }
    control.stop(Duration::from_secs(5)).await;
    if let Some(simulation) = simulation {
        simulation.stop().await;
    }
    Ok(())
}

fn read_catalog(folder: &Path) -> Result<Catalog, String> {
    let files = catalog::file::read_dir(folder)
        .map_err(|error| format!("catalogue {}: {error}", folder.display()))?;
    catalog::file::parse(&files).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("catalogue {}:\n{}", folder.display(), lines.join("\n"))
    })
}

fn control_config(config: &Config, catalog: &Path) -> control_plane::config::Config {
    let mut control = control_plane::config::Config::in_folder(&config.data_dir);
    control.control_listen = config.control_listen;
    control.console_listen = config.console_listen;
    control.catalog = Some(catalog.to_owned());
    control.oidc.clone_from(&config.oidc);
    control.first_edge = NodeId::from(EDGE);
    control.pace.every = control.pace.every.mul_f64(config.time_scale);
    control.wishes = Wishes {
        credits: config.credits,
        inference_key: config.dev_key.as_deref().map(SecretKey::from_text),
        management_key: config.management_key.as_deref().map(SecretKey::from_text),
        first_key: true,
    };
    control
}

fn edge_config(
    config: &Config,
    control: &control_plane::app::Running,
) -> edge_node::config::Config {
    let pki = |name: &str| Pem::File(config.data_dir.join("pki").join(name));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    edge_node::config::Config {
        node: NodeId::from(EDGE),
        pop: Pop::from("local"),
        region: Region::from("local"),
        listen: config.listen,
        admin_listen: config.admin_listen,
        gossip: None,
        listen_tls: config.listen_tls.clone(),
        control: vec![format!("https://{}", control.control)],
        control_tls: Some(ControlTls {
            ca: pki("ca.crt"),
            cert: pki("edge.crt"),
            key: pki("edge.key"),
        }),
        trusted_signers: vec![control.signer],
        upstream_ca_file: config.upstream_ca_file.clone(),
        data_dir: config.data_dir.join("edge"),
        threads: if config.threads == 0 {
            cores
        } else {
            config.threads
        },
        limits: Limits {
            body_bytes: config.body_limit,
            bodies_bytes: config.bodies_limit,
            ..Limits::default()
        },
        connections: 16_384,
        drain_deadline: config.drain_deadline,
        guard: Guard::lenient(),
        timers: Timers::default().scaled(config.time_scale),
        path_timers: PathTimers {
            keep_alive: config.keep_alive,
            ..PathTimers::default()
        },
        log_format: LogFormat::Text,
        log: config.log.clone(),
    }
}

/// The edge serves once it has a table.
async fn wait_for_table(node: &edge_node::node::Node) -> Result<(), String> {
    let ready = async {
        while node.view().snapshot.models().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(READY_MAX, ready)
        .await
        .map_err(|_| "the edge got no table from the control plane".to_owned())
}

struct Told<'a> {
    config: &'a Config,
    addresses: &'a BTreeMap<String, String>,
    first_key: Option<&'a SecretKey>,
    example: Option<&'a str>,
}

impl Told<'_> {
    fn print(&self, node: &edge_node::node::Node) {
        let view = node.view();
        let snapshot = &view.snapshot;
        let usable = |endpoint: &catalog::Endpoint| {
            snapshot
                .provider(endpoint.provider.as_str())
                .is_some_and(|provider| node.credentials.is_set(provider))
        };
        let usable: Vec<_> = snapshot.endpoints().iter().filter(|e| usable(e)).collect();
        let example = self
            .example
            .or_else(|| usable.first().map(|e| e.model.as_str()));
        let text = banner::text(&banner::Facts {
            addresses: self.addresses,
            tls: self.config.listen_tls.is_some(),
            first_key: self.first_key,
            chosen_key: self.config.dev_key.as_deref(),
            model: example.unwrap_or("author/model"),
            simulated: self.example.is_some(),
            counts: (
                snapshot.models().len(),
                snapshot.providers().len(),
                usable.len(),
            ),
        });
        // A closed standard output is no reason not to serve.
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
    }
}
