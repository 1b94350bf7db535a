//! A whole control plane from its configuration: wiring only. Sockets are bound first and served
//! last, so that a port that is taken is known at once and nobody is answered too early.

mod serve;

use crate::accounts::bootstrap::{self, Bootstrapped};
use crate::accounts::{Accounts, AccountsError};
use crate::config::{Config, TlsFiles};
use crate::console_http::{self, Readiness};
use crate::leader::Leader;
use crate::ledger::{Ledger, LedgerError};
use crate::metrics;
use crate::oidc::Oidc;
use crate::pki::{self, PkiError};
use crate::publish::{Duties, Edges, PopKeys};
use crate::ranker::Ranker;
use crate::registry::{Registry, RegistryError};
use crate::security::vault::{Vault, VaultError};
use crate::security::{AdminToken, ServerTls, file};
use crate::sql::{Database, DatabaseError};
use crate::store::{Embedded, Epoch, Store, StoreError};
use crate::topup::Charging;
use shared::clock::Clock;
use shared::manifest::{PublicKey, Signer, SignerError};
use shared::observe;
use shared::task::{Stop, Tasks};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How often leases without a holder are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket can't be bound.
    #[error("{address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A file or folder can't be read or made.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The store.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The catalogue: there is none to serve.
    #[error("catalogue: {0}")]
    Catalog(#[from] RegistryError),
    /// The database of accounts and money.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Accounts.
    #[error("accounts: {0}")]
    Accounts(#[from] AccountsError),
    /// Money.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The first organisation and its keys.
    #[error("first start: {0}")]
    Bootstrap(#[from] bootstrap::BootstrapError),
    /// The signing key.
    #[error("signing key: {0}")]
    Signer(#[from] SignerError),
    /// The vault of secrets.
    #[error("vault: {0}")]
    Vault(#[from] VaultError),
    /// Certificates of its own making.
    #[error("certificates: {0}")]
    Pki(#[from] PkiError),
    /// Everything else that is set up once: TLS, the metrics recorder, gRPC reflection.
    #[error("{what}: {reason}")]
    SetUp {
        /// What.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

impl StartError {
    fn set_up(what: &'static str, reason: &dyn std::fmt::Display) -> Self {
        let reason = reason.to_string();
        Self::SetUp { what, reason }
    }
}

/// What the parts of a control plane share.
#[derive(Clone)]
pub struct Parts {
    /// The catalogue.
    pub registry: Arc<Registry>,
    /// Organisations and keys.
    pub accounts: Arc<Accounts>,
    /// Money.
    pub ledger: Arc<Ledger>,
    /// Rankings.
    pub ranker: Arc<Ranker>,
    /// Who is there.
    pub edges: Edges,
    /// What operators want of each.
    pub duties: Arc<Duties>,
    /// What edges that gossip share.
    pub pop_keys: PopKeys,
    /// Under which leadership to write; none once it is lost.
    pub leadership: watch::Receiver<Option<Epoch>>,
    /// The time.
    pub clock: Clock,
}

/// A control plane that serves.
pub struct Running {
    /// Where gRPC is.
    pub control: SocketAddr,
    /// Where HTTP is.
    pub console: SocketAddr,
    /// What signs catalogue versions: edges must trust it.
    pub signer: PublicKey,
    /// What the first start made.
    pub bootstrapped: Bootstrapped,
    /// Its parts.
    pub parts: Parts,
    ended: watch::Receiver<bool>,
    tasks: Tasks,
}

impl Running {
    /// Resolves when the leadership or a listener is lost: nothing is left to do but stop.
    pub async fn failed(&mut self) {
        let lost = async {
            let _ = self.parts.leadership.wait_for(Option::is_none).await;
        };
        let ended = async {
            let _ = self.ended.wait_for(|ended| *ended).await;
        };
        tokio::select! {
            () = lost => {}
            () = ended => {}
        }
    }

    /// Ends open streams and stops; gives the number of tasks that had to be cut at `deadline`.
    pub async fn stop(self, deadline: Duration) -> usize {
        self.tasks.drain(deadline).await
    }
}

/// Starts a control plane; its tasks are in `tasks` and end when that is asked to stop.
///
/// # Errors
/// The first thing that could not be had; what was started by then ends with `tasks`.
pub async fn start(config: Config, tasks: Tasks, clock: Clock) -> Result<Running, StartError> {
    // One provider for the process; another plane in it may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let recorder = observe::metrics().map_err(|e| StartError::set_up("metrics", &e))?;
    metrics::describe();
    tasks.spawn("metrics", recorder.clone().maintain(tasks.stop_signal()));
    let control = bind(config.control_listen).await?;
    let console = bind(config.console_listen).await?;
    let folder = |error| file_error(&config.data_dir, error);
    shared::folder::make_and_look(&config.data_dir).map_err(folder)?;
    let tls = tls(&config, &clock)?;
    let token = AdminToken::ensure(&config.admin_token_file)
        .map_err(|error| file_error(&config.admin_token_file, error))?;
    let (signer, pop_keys) = signer(&config.signing_key_file)?;
    let public = signer.public_key();
    tracing::info!(signer = %public, "catalogue versions are signed by this key");

    let outside = serve::Outside {
        payments: config.payment_webhook.clone(),
        oidc: config
            .oidc
            .clone()
            .map(|oidc| Oidc::new(oidc, clock.clone())),
    };
    let parts = parts(&config, &tasks, &clock, (signer, pop_keys)).await?;
    let (accounts, ledger) = (&parts.accounts, &parts.ledger);
    let epoch = parts.leadership.borrow().unwrap_or_default();
    let bootstrapped = bootstrap::run(accounts, ledger, epoch, &config.wishes).await?;

    if let Some(stripe) = config.payment_api.clone() {
        let charging = Charging {
            topups: accounts.topups(),
            stripe,
            accounts: Arc::clone(accounts),
            ledger: Arc::clone(ledger),
            leadership: parts.leadership.clone(),
        };
        tasks.spawn("auto top-up", until(tasks.stop_signal(), charging.run()));
    }

    let readiness = Readiness::default();
    let router = console_http::router(readiness.clone(), recorder, tasks.stop_signal());
    let router = router.merge(serve::rest(&parts, outside).for_people());
    let serving = serve::Serving::new(&tasks);
    let addresses = (local(&control)?, local(&console)?);
    serving.console(console, router);
    serving.control(control, tls, &token, &parts).await?;
    readiness.set(true);
    tracing::info!(control = %addresses.0, console = %addresses.1, "serving");
    Ok(Running {
        control: addresses.0,
        console: addresses.1,
        signer: public,
        bootstrapped,
        parts,
        ended: serving.ended(),
        tasks,
    })
}

/// Opens what is kept and starts what runs beside the listeners.
async fn parts(
    config: &Config,
    tasks: &Tasks,
    clock: &Clock,
    (signer, pop_keys): (Signer, PopKeys),
) -> Result<Parts, StartError> {
    let store = Embedded::open(&config.data_dir.join("store.db")).await?;
    let store: Arc<dyn Store> = Arc::new(store);
    let leader = Leader::elect(store.as_ref(), &config.name).await?;
    let (epoch, leadership) = (leader.epoch(), leader.watch());
    tasks.spawn("leader", leader.run(tasks.stop_signal()));

    let registry = Registry::open(Arc::clone(&store), epoch, signer, clock.clone()).await?;
    let database = Database::open(&config.database()).await?;
    let vault = Arc::new(Vault::open(&config.master_key_file)?);
    let accounts = Accounts::open(database.clone(), clock.clone()).await?;
    let accounts = Arc::new(accounts.with_vault(vault));
    let ledger = Ledger::open(database, clock.clone()).await?;
    let ledger = Arc::new(ledger.with_terms(config.terms));
    load_catalog(&registry, &accounts, config.catalog.as_deref()).await?;

    let ranker = Ranker::open(
        Arc::clone(&registry),
        Arc::clone(&store),
        epoch,
        config.pace,
        clock.clone(),
    )
    .await?;
    let duties = Duties::open(Arc::clone(&store), epoch).await?;
    ranker.drain(duties.draining()).await;
    let edges = Edges::open(store, clock.clone()).await?;
    tasks.spawn("registry", Arc::clone(&registry).run(tasks.stop_signal()));
    tasks.spawn("ranker", Arc::clone(&ranker).run(tasks.stop_signal()));
    let forget = edges
        .clone()
        .run(config.forget_edges_after, tasks.stop_signal());
    tasks.spawn("edges", forget);
    let sweep = sweep(Arc::clone(&ledger), leadership.clone(), clock.clone());
    tasks.spawn("ledger sweep", until(tasks.stop_signal(), sweep));
    Ok(Parts {
        registry,
        accounts,
        ledger,
        ranker,
        edges,
        duties,
        pop_keys,
        leadership,
        clock: clock.clone(),
    })
}

/// Loads the catalogue's folder. A broken one is an error only when there is nothing else to
/// serve.
async fn load_catalog(
    registry: &Registry,
    accounts: &Accounts,
    folder: Option<&Path>,
) -> Result<(), StartError> {
    let Some(folder) = folder else {
        return Ok(());
    };
    match registry.load_folder(folder).await {
        Ok(None) => Ok(()),
        Ok(Some(applied)) => {
            let object = format!("revision {}", applied.version.number);
            accounts.record("start", "catalog.load", &object).await?;
            Ok(())
        }
        Err(error) if registry.current().snapshot.version().number == 0 => Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "the catalogue's folder is not loaded; the last good catalogue stays");
            if let RegistryError::Invalid(problems) = error {
                for problem in problems {
                    tracing::error!(%problem, "in the catalogue's folder");
                }
            }
            Ok(())
        }
    }
}

/// Takes back leases that nobody holds any more.
async fn sweep(ledger: Arc<Ledger>, leadership: watch::Receiver<Option<Epoch>>, clock: Clock) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        let Some(epoch) = *leadership.borrow() else {
            return;
        };
        match ledger.sweep(epoch, clock.now()).await {
            Ok(0) => {}
            Ok(taken) => tracing::info!(taken, "leases without a holder were taken back"),
            Err(error) => tracing::error!(%error, "leases can't be looked through"),
        }
    }
}

/// Runs `work` until the program stops.
async fn until(mut stop: Stop, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.wait() => {}
        () = work => {}
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| StartError::Listen { address, error })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    let address = listener.local_addr();
    address.map_err(|error| StartError::set_up("listener", &error))
}

fn file_error(path: &Path, error: std::io::Error) -> StartError {
    let path = path.to_owned();
    StartError::File { path, error }
}

/// The certificate that is configured, or one of its own making.
fn tls(config: &Config, clock: &Clock) -> Result<ServerTls, StartError> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| file_error(path, e));
    let (ca, certificate, key) = match &config.tls {
        Some(TlsFiles { cert, key, ca }) => (read(ca)?, read(cert)?, read(key)?),
        None => {
            let made = pki::ensure(&config.data_dir, &config.first_edge, clock.unix_s())?;
            (made.ca, made.control.certificate, made.control.key)
        }
    };
    ServerTls::new(&ca, &certificate, &key).map_err(|error| StartError::set_up("TLS", &error))
}

/// The signing key in `path`, and what gossip's keys follow from; made when it is not there.
fn signer(path: &Path) -> Result<(Signer, PopKeys), StartError> {
    match std::fs::read(path) {
        Ok(key) => Ok((Signer::load(&key)?, PopKeys::of_signing_key(&key))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (signer, key) = Signer::generate()?;
            file::write_secret(path, &key).map_err(|error| file_error(path, error))?;
            Ok((signer, PopKeys::of_signing_key(&key)))
        }
        Err(error) => Err(file_error(path, error)),
    }
}

/// Resolves when the process is told to stop (TERM or INT).
///
/// # Errors
/// When signals can't be listened for.
pub async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
