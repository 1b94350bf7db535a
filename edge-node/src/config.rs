//! The edge's configuration: a table of keys, turned into a [`Config`] in one go, all problems at
//! once. Providers, prices, keys and policies are not here: they are pushed.

use crate::admission::Limits;
use crate::control::{ControlTls, Pem};
use crate::gossip;
use crate::node::Timers as PathTimers;
use crate::sync::session::Guard;
use crate::timers::Timers;
use shared::config::parse::{duration, number, path, socket, text};
use shared::config::{Key, Layers};
use shared::id::{NodeId, Pop, Region};
use shared::manifest::PublicKey;
use shared::observe::{self, LogFormat};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Every key of `edge-node`.
pub const KEYS: &[Key] = &[
    Key::new(
        "node_id",
        "",
        "this node's name, unique in the fleet; its certificate names it too",
    ),
    Key::new("pop", "local", "the point of presence that it stands in"),
    Key::new("region", "local", "the region whose latencies it shares"),
    Key::new("listen", "127.0.0.1:8080", "client API"),
    Key::new("admin_listen", "127.0.0.1:8081", "health, metrics, debug"),
    Key::new(
        "gossip_listen",
        "",
        "UDP, for the other edges of this point of presence; without it no gossip",
    ),
    Key::new(
        "gossip_address",
        "",
        "what they reach it by, where that is another address",
    ),
    Key::new(
        "listen_tls.cert",
        "",
        "certificate chain (PEM) of the client API; without it h2c",
    ),
    Key::new("listen_tls.key", "", "its key"),
    Key::new(
        "control",
        "",
        "control planes, https://host:port, in order of preference",
    ),
    Key::new(
        "tls.cert",
        "",
        "this node's certificate towards the control plane (PEM)",
    ),
    Key::new("tls.key", "", "its key"),
    Key::new(
        "tls.ca",
        "",
        "the authority that signed the control plane's certificate",
    ),
    Key::new(
        "trusted_signers",
        "",
        "public keys (hex) that may sign the catalogue",
    ),
    Key::new(
        "upstream_ca_file",
        "",
        "authorities for providers' certificates; default: system",
    ),
    Key::new(
        "data_dir",
        ".godwit/edge",
        "last-known-good table, usage log, key cache",
    ),
    Key::new("threads", "0", "worker threads; 0 is one per core"),
    Key::new("body_limit", "33554432", "largest request body in bytes"),
    Key::new(
        "bodies_limit",
        "1073741824",
        "all request bodies in memory, in bytes",
    ),
    Key::new("request_limit", "16384", "requests in flight"),
    Key::new("connection_limit", "16384", "client connections"),
    Key::new(
        "drain_deadline",
        "600s",
        "how long a stop waits for requests in flight",
    ),
    Key::new(
        "time_scale",
        "1",
        "factor of every background interval, for tests: 0.1 is 10x faster",
    ),
    Key::new(
        "keep_alive",
        "5s",
        "between two comments to a waiting client of a stream",
    ),
    Key::new("log_format", "text", "text or json"),
    Key::new("log", "info", "log filter"),
];

/// What an edge needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's name.
    pub node: NodeId,
    /// Its point of presence.
    pub pop: Pop,
    /// Its region.
    pub region: Region,
    /// Client API.
    pub listen: SocketAddr,
    /// Health, metrics, debug.
    pub admin_listen: SocketAddr,
    /// Where other edges of the point of presence send to.
    pub gossip: Option<gossip::Config>,
    /// Certificate and key of the client API.
    pub listen_tls: Option<(PathBuf, PathBuf)>,
    /// Control planes.
    pub control: Vec<String>,
    /// Identity towards them.
    pub control_tls: Option<ControlTls>,
    /// Who may sign the catalogue.
    pub trusted_signers: Vec<PublicKey>,
    /// Authorities for providers' certificates.
    pub upstream_ca_file: Option<String>,
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// Worker threads.
    pub threads: usize,
    /// Limits of requests and bodies.
    pub limits: Limits,
    /// Client connections.
    pub connections: usize,
    /// How long a stop waits.
    pub drain_deadline: Duration,
    /// How far a pushed table may change at once.
    pub guard: Guard,
    /// Background intervals.
    pub timers: Timers,
    /// The request path's intervals.
    pub path_timers: PathTimers,
    /// How logs look.
    pub log_format: LogFormat,
    /// Which logs.
    pub log: String,
}

impl Config {
    /// Reads every key, noting each problem; none when there is one.
    #[must_use]
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let listen_tls = pair(layers, "listen_tls.cert", "listen_tls.key");
        let control_tls = control_tls(layers);
        let control = layers.list("control", control_url);
        if control.is_empty() {
            layers.refuse("control", "at least one https:// URL is required");
        }
        let trusted_signers = layers.list("trusted_signers", |hex| {
            hex.parse::<PublicKey>().map_err(|error| error.to_string())
        });
        if trusted_signers.is_empty() {
            layers.refuse("trusted_signers", "at least one public key is required");
        }
        let listen = layers.optional("gossip_listen", socket);
        let address = layers.optional("gossip_address", socket);
        let gossip = listen.map(|listen| gossip::Config { listen, address });
        let node = layers.required("node_id", text);
        let limits = limits(layers);
        let threads = match layers.optional("threads", number::<usize>) {
            Some(0) | None => std::thread::available_parallelism().map_or(1, usize::from),
            Some(threads) => threads,
        };
        let scale = layers.optional("time_scale", scale).unwrap_or(1.0);
        let keep_alive = layers.required("keep_alive", duration)?;
        Some(Self {
            node: NodeId::from(node?),
            pop: Pop::from(layers.required("pop", text)?),
            region: Region::from(layers.required("region", text)?),
            listen: layers.required("listen", socket)?,
            admin_listen: layers.required("admin_listen", socket)?,
            gossip,
            listen_tls,
            control,
            control_tls,
            trusted_signers,
            upstream_ca_file: layers.optional("upstream_ca_file", text),
            data_dir: layers.required("data_dir", path)?,
            threads,
            limits: limits?,
            connections: layers.required("connection_limit", number)?,
            drain_deadline: layers.required("drain_deadline", duration)?,
            guard: Guard::default(),
            timers: Timers::default().scaled(scale),
            path_timers: PathTimers {
                keep_alive,
                ..PathTimers::default()
            },
            log_format: layers.required("log_format", LogFormat::parse)?,
            log: layers.required("log", observe::filter)?,
        })
    }
}

fn limits(layers: &mut Layers) -> Option<Limits> {
    Some(Limits {
        requests: layers.required("request_limit", number)?,
        body_bytes: layers.required("body_limit", number)?,
        bodies_bytes: layers.required("bodies_limit", number)?,
        ..Limits::default()
    })
}

fn pair(layers: &mut Layers, cert: &str, key: &str) -> Option<(PathBuf, PathBuf)> {
    match (
        layers.optional(cert, readable),
        layers.optional(key, readable),
    ) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            layers.refuse(key, "is required with a certificate");
            None
        }
        (None, Some(_)) => {
            layers.refuse(cert, "is required with a key");
            None
        }
    }
}

fn control_tls(layers: &mut Layers) -> Option<ControlTls> {
    let (cert, key) = pair(layers, "tls.cert", "tls.key")?;
    let ca = layers.required("tls.ca", readable)?;
    Some(ControlTls {
        ca: Pem::File(ca),
        cert: Pem::File(cert),
        key: Pem::File(key),
    })
}

fn readable(value: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(value);
    std::fs::File::open(&file).map_err(|error| error.to_string())?;
    Ok(file)
}

fn control_url(value: &str) -> Result<String, String> {
    let uri: http::Uri = value.parse().map_err(|_| "a URL is expected".to_owned())?;
    match uri.scheme_str() {
        Some("https" | "http") if uri.authority().is_some() => Ok(value.to_owned()),
        _ => Err("https://host:port is expected".to_owned()),
    }
}

fn scale(value: &str) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(scale) if (0.001..=100.0).contains(&scale) => Ok(scale),
        _ => Err("a number between 0.001 and 100 is expected".to_owned()),
    }
}
