//! Wiring: builds the node's parts in order, starts its tasks, and takes it down again. Decides
//! nothing.

use crate::account::{AccountConfig, Accounts, OpenError};
use crate::admin::AdminHandler;
use crate::admission::Admission;
use crate::auth::{Kept, KeyRing};
use crate::catalogue::Rendered;
use crate::config::Config;
use crate::control::{ControlClient, ControlError};
use crate::credential::own::OwnKeys;
use crate::credential::{Credentials, Refresher};
use crate::duty::Standing;
use crate::exchange::Exchange;
use crate::gateway::forward::Forwarder;
use crate::gossip::{self, Gossip, Keep};
use crate::listen::{self, Handler, InFlight, Listener, Service, TlsError};
use crate::node::{Identity, Node};
use crate::rates::Rates;
use crate::report::{Reporter, Sender};
use crate::screen::Screens;
use crate::session::Sessions;
use crate::sync::{self, Sync};
use crate::timers::Timers;
use crate::tokens::Tokens;
use crate::upstream::Upstream;
use crate::upstream::pooled::Pooled;
use crate::{gateway, metrics};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use shared::clock::Clock;
use shared::health::{Board, Tuning};
use shared::id::BootEpoch;
use shared::observe;
use shared::routing::View;
use shared::task::Tasks;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How long clients may take to hang up once every request has ended.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// How long the rest may take once every request has ended.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// What a program brings along.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// The owner of the edge's tasks.
    pub tasks: Tasks,
}

/// Why the edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be used.
    #[error("{0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The client API's certificate can't be used.
    #[error("listen_tls: {0}")]
    Tls(#[from] TlsError),
    /// The data folder can't be used.
    #[error("{0:?}: {1}")]
    Folder(PathBuf, io::Error),
    /// The control plane can't be addressed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The usage log can't be used.
    #[error(transparent)]
    Accounts(#[from] OpenError),
    /// The metrics can't be set up.
    #[error("metrics: {0}")]
    Metrics(String),
}

/// An edge that serves.
pub struct Running {
    /// Where the client API listens.
    pub api: SocketAddr,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    /// Where peers send gossip.
    pub gossip: Option<SocketAddr>,
    /// The node.
    pub node: Arc<Node>,
    in_flight: Arc<InFlight>,
    /// The client API's listener and connections: the first to stop.
    front: Tasks,
    /// What stands behind them: requests need it to their end.
    tasks: Tasks,
    /// The admin interface outlives the rest: it tells that the node is draining.
    admin_tasks: Tasks,
}

struct Gateway(Arc<Node>);

#[async_trait]
impl Handler for Gateway {
    async fn serve(&self, exchange: &mut dyn Exchange) {
        gateway::serve(&self.0, exchange).await;
    }
}

/// Starts an edge: sockets first, then what is on disk, then the control plane.
///
/// # Errors
/// A part that can't be had.
pub async fn start(config: Config, parts: Parts) -> Result<Running, StartError> {
    let Parts { clock, tasks } = parts;
    let folder = &config.data_dir;
    shared::folder::make_and_look(folder)
        .map_err(|error| StartError::Folder(folder.clone(), error))?;
    let bind = |address| listen::bind(address).map_err(|error| StartError::Bind(address, error));
    let (api, admin) = (bind(config.listen)?, bind(config.admin_listen)?);
    let (api_address, admin_address) = (api.address, admin.address);
    let rendered = observe::metrics().map_err(|error| StartError::Metrics(error.to_string()))?;
    metrics::describe();

    let node = Arc::new(build(&config, &clock, &tasks, api_address).await?);
    let in_flight = Arc::new(InFlight::default());
    let tls = config
        .listen_tls
        .as_ref()
        .map(|(cert, key)| listen::acceptor(cert, key));
    let service = Service {
        handler: Arc::new(Gateway(Arc::clone(&node))),
        tls: tls.transpose()?,
        connections: config.connections,
        timers: config.path_timers,
        in_flight: Arc::clone(&in_flight),
        leaving: node.standing.flag(),
    };
    let (front, admin_tasks) = (Tasks::new(), Tasks::new());
    let stop = front.stop_signal();
    serve(&front, "api", api, service);
    let service = Service {
        handler: Arc::new(AdminHandler {
            node: Arc::clone(&node),
            metrics: rendered.clone(),
            stop,
        }),
        tls: None,
        connections: 256,
        timers: config.path_timers,
        in_flight: Arc::default(),
        leaving: Arc::default(),
    };
    serve(&admin_tasks, "admin", admin, service);
    tasks.spawn("metrics", rendered.maintain(tasks.stop_signal()));
    Ok(Running {
        api: api_address,
        admin: admin_address,
        gossip: node.gossip.as_ref().map(|gossip| gossip.listens),
        node,
        in_flight,
        front,
        tasks,
        admin_tasks,
    })
}

async fn build(
    config: &Config,
    clock: &Clock,
    tasks: &Tasks,
    api_address: SocketAddr,
) -> Result<Node, StartError> {
    let timers = &config.timers;
    let control = ControlClient::new(&config.control, config.control_tls.clone(), timers)?;
    let account = AccountConfig {
        dir: config.data_dir.join("wal"),
        node: config.node.clone(),
        timers: timers.clone(),
    };
    let accounts = Accounts::open(account, Some(control.clone()), clock.clone(), tasks).await?;
    let standing = standing(config, &accounts);
    let identity = identity(config, accounts.epoch());
    let own_keys = OwnKeys::new(config.control_tls.as_ref().map(|tls| &tls.key));
    let kept = Kept {
        file: Some(config.data_dir.join("keys.cache")),
        own_keys: Arc::clone(&own_keys),
    };
    let keys = KeyRing::open(kept, Some(control.clone()), clock.clone(), timers, tasks);
    let view = Arc::new(ArcSwap::from_pointee(View::default()));
    let health = Arc::new(Board::default());
    let gossip = gossip(config, &identity, &health, clock, tasks).await?;
    let rates = Rates::new(clock.clone(), timers.rate_share);
    let sync = Sync::boot(
        sync::Config {
            identity: identity.clone(),
            api_address: api_address.to_string(),
            gossip: gossip.clone(),
            rates: Arc::clone(&rates),
            trusted: config.trusted_signers.clone(),
            standing: Arc::clone(&standing),
            accounts: Arc::clone(&accounts),
            guard: config.guard,
            folder: config.data_dir.join("lkg"),
            timers: timers.clone(),
            clock: clock.clone(),
        },
        Arc::clone(&view),
        Arc::clone(&keys),
        Arc::clone(&control),
    );
    tasks.spawn("sync", sync.run(tasks.stop_signal()));
    let forwarder = Forwarder::new(Some(Arc::clone(&control)));
    let reporter = report(control, &identity, timers, clock, tasks);
    let pool = Pooled::new(config.upstream_ca_file.as_deref(), clock.clone());
    let upstream: Arc<dyn Upstream> = Arc::new(pool);
    Ok(Node {
        credentials: credentials(clock, tasks, &view, &upstream),
        own_keys,
        identity,
        standing,
        view,
        health,
        own_health: Arc::new(Board::of_own_keys(Tuning::default())),
        gossip,
        keys,
        accounts,
        forwarder,
        reporter,
        upstream,
        sessions: Sessions::default(),
        screens: Screens::default(),
        admission: Admission::new(config.limits),
        rates,
        rendered: Rendered::default(),
        meters: metrics::Meters::default(),
        tokens: Tokens::default(),
        clock: clock.clone(),
        timers: config.path_timers,
        seeds: AtomicU64::new(0),
    })
}

/// What operators want of this node, as an earlier run was told.
fn standing(config: &Config, accounts: &Accounts) -> Arc<Standing> {
    let standing = Standing::open(config.data_dir.join("duty.json"));
    accounts.drain(standing.is_draining());
    standing
}

fn identity(config: &Config, epoch: BootEpoch) -> Identity {
    Identity {
        node: config.node.clone(),
        pop: config.pop.clone(),
        region: config.region.clone(),
        epoch,
    }
}

/// What is told to the control plane, and who tells it.
fn report(
    control: Arc<ControlClient>,
    identity: &Identity,
    timers: &Timers,
    clock: &Clock,
    tasks: &Tasks,
) -> Arc<Reporter> {
    let reporter = Arc::new(Reporter::default());
    let (told, timers) = (Arc::clone(&reporter), timers.clone());
    let sender = Sender::new(told, control, identity.clone(), timers, clock.clone());
    tasks.spawn("report", sender.run(tasks.stop_signal()));
    reporter
}

/// What the point of presence tells each other, where it is configured.
async fn gossip(
    config: &Config,
    identity: &Identity,
    health: &Arc<Board>,
    clock: &Clock,
    tasks: &Tasks,
) -> Result<Option<Arc<Gossip>>, StartError> {
    let Some(wanted) = config.gossip else {
        return Ok(None);
    };
    let key = config.control_tls.as_ref().map(|tls| &tls.key);
    let keep = Keep::new(config.data_dir.join("gossip.peers"), key);
    let who = (identity.node.clone(), identity.epoch);
    let bound = gossip::bind(wanted, who, Arc::clone(health), keep, clock.clone()).await;
    let (gossip, service) = bound.map_err(|error| StartError::Bind(wanted.listen, error))?;
    tasks.spawn("gossip", service.run(tasks.stop_signal()));
    Ok(Some(Arc::new(gossip)))
}

/// Our keys at the providers; tokens among them are kept fresh.
fn credentials(
    clock: &Clock,
    tasks: &Tasks,
    view: &Arc<ArcSwap<View>>,
    upstream: &Arc<dyn Upstream>,
) -> Arc<Credentials> {
    let credentials = Arc::new(Credentials::at(clock.clone()));
    let refresher = Refresher::new(Arc::clone(&credentials), Arc::clone(upstream));
    let fresh = refresher.run(Arc::clone(view), tasks.stop_signal());
    tasks.spawn("tokens", fresh);
    credentials
}

fn serve(tasks: &Tasks, name: &'static str, listener: Listener, service: Service) {
    let owner = tasks.clone();
    tasks.spawn(name, async move {
        if let Err(error) = listener.serve(service, &owner).await {
            tracing::error!(%error, name, "listener failed");
        }
    });
}

impl Running {
    /// Where what listens, for `addresses.json`.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<String, String> {
        let gossip = self.gossip.map(|address| ("gossip", address));
        [("api", self.api), ("edge_admin", self.admin)]
            .into_iter()
            .chain(gossip)
            .map(|(name, address)| (name.to_owned(), address.to_string()))
            .collect()
    }

    /// Stops accepting, lets requests finish until `deadline`, settles, flushes. Gives the number
    /// of requests that had to be cut; they settle what they have given out.
    pub async fn drain(self, deadline: Duration) -> usize {
        self.front.request_stop();
        let finished = tokio::time::timeout(deadline, self.in_flight.idle()).await;
        let (cut, farewell) = match finished {
            Ok(()) => (0, FAREWELL_MAX),
            Err(_) => (self.in_flight.count(), Duration::ZERO),
        };
        self.front.drain(farewell).await;
        self.tasks.drain(FLUSH_MAX).await;
        self.admin_tasks.drain(Duration::from_millis(100)).await;
        cut
    }
}

/// Writes `addresses.json` whole or not at all.
///
/// # Errors
/// The folder can't be written.
pub fn write_addresses(path: &Path, addresses: &BTreeMap<String, String>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        shared::folder::make(folder)?;
    }
    let temporary = path.with_extension("json.new");
    std::fs::write(&temporary, serde_json::to_vec_pretty(addresses)?)?;
    std::fs::rename(temporary, path)
}
