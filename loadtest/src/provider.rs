//! A simulated provider: speaks every dialect, answers deterministically ([`expected_answer`]),
//! misbehaves on request (`PUT /_fault`), keeps its own bill (`GET /_bill`). It promises bounded
//! memory and that every request it began to serve is on the bill; it knows nothing of Godwit.

mod answer;
mod bill;
mod dialect;
mod fault;
mod reply;
mod stream;
mod vectors;

pub use answer::{
    ANSWER_TOKENS_MAX, Answer, Choice, Finish, Piece, Prompt, TOOL_CALLS_MAX, Tool, ToolCall,
    answer, expected_answer,
};
pub use bill::{BILL_ENTRIES_MAX, Bill, Entry, Totals};
pub use dialect::Dialect;
pub use fault::{FAULT_RULES_MAX, Kind, Rule, read_rules};
pub use vectors::{score, vector};

use crate::server::Server;
use bill::Book;
use fault::Faults;
use shared::clock::Clock;
use shared::task::lock;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;

/// Largest request body, bytes.
pub const BODY_BYTES_MAX: usize = 40 << 20;
/// Most requests in flight; more get the dialect's overload error, status 503.
pub const IN_FLIGHT_MAX: usize = 20_000;
/// Keys that are told apart; requests with further ones count as those of `other`.
pub const KEYS_SEEN_MAX: usize = 64;

/// How a simulated provider behaves.
#[derive(Clone)]
pub struct Config {
    /// Where it listens; port 0 picks one.
    pub listen: SocketAddr,
    /// The only dialect that it speaks; none: each at its own path.
    pub dialect: Option<Dialect>,
    /// From the request's last byte to the first token.
    pub ttft: Duration,
    /// The pace after it; 0 is as fast as the reader takes them.
    pub tokens_per_second: f64,
    /// The key that requests must carry, in the dialect's header; none takes any.
    pub api_key: Option<String>,
    /// Certificate and key for TLS; none is clear text.
    pub tls: Option<Arc<ServerConfig>>,
    /// Seed of the fault dice.
    pub seed: u64,
    /// Faults from the start.
    pub faults: Vec<Rule>,
    /// For measuring delays: streamed text is replaced by the nanoseconds from this moment to the
    /// making of each token.
    pub stamps: Option<Instant>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dialect: None,
            ttft: Duration::ZERO,
            tokens_per_second: 0.0,
            api_key: None,
            tls: None,
            seed: 1,
            faults: Vec::new(),
            stamps: None,
        }
    }
}

/// A simulated provider.
pub struct Provider;

/// What all requests share.
struct Desk {
    config: Config,
    faults: Faults,
    book: Book,
    room: Arc<Semaphore>,
    started_s: u64,
    counter: AtomicU64,
    /// Requests that were understood, whatever fault struck them.
    requests: AtomicU64,
    /// Requests by the key that they carried.
    keys: Mutex<BTreeMap<String, u64>>,
}

/// A simulated provider that runs in this process.
pub struct Running {
    desk: Arc<Desk>,
    server: Server,
}

impl Provider {
    /// Binds, and answers until [`Running::stop`].
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(config: Config) -> io::Result<Running> {
        let listen = config.listen;
        let tls = config.tls.clone();
        let desk = Arc::new(Desk {
            faults: Faults::new(config.seed, config.faults.clone()),
            config,
            book: Book::default(),
            room: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            started_s: Clock::system().unix_s(),
            counter: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            keys: Mutex::default(),
        });
        let server = Server::start(listen, tls, Arc::clone(&desk)).await?;
        Ok(Running { desk, server })
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The base URL for a catalogue, shaped as the real provider's: `http://ADDR/v1` for most, with
    /// TLS `https`.
    #[must_use]
    pub fn base_url(&self) -> String {
        let dialect = self.desk.config.dialect.unwrap_or(Dialect::OpenaiChat);
        let path = dialect.base_path();
        let scheme = if self.desk.config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{path}", self.addr())
    }

    /// Connections that it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.server.accepted()
    }

    /// Requests that it has understood so far, whatever fault struck them.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.desk.requests.load(Ordering::Relaxed)
    }

    /// How often each key came, in the dialect's header, whatever became of the request; none at
    /// all is the empty one.
    #[must_use]
    pub fn keys(&self) -> BTreeMap<String, u64> {
        lock(&self.desk.keys).clone()
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, rules: Vec<Rule>) {
        self.desk.faults.set(rules);
    }

    /// What it would invoice.
    #[must_use]
    pub fn bill(&self) -> Bill {
        self.desk.book.read()
    }

    /// The sums of the bill.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.desk.book.totals()
    }

    /// Closes the listener and cuts every connection, as a provider that dies does. The bill
    /// stays readable.
    pub async fn stop(&self) {
        self.server.stop().await;
    }
}
