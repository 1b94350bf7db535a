//! The standalone's configuration: the flags of the contract, and the two planes' own
//! configurations made of them.

use shared::config::parse::{duration, number, path, socket, text};
use shared::config::{Key, Layers};
use shared::money::Amount;
use shared::observe::{self, LogFormat};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Every key of `godwit`.
pub(crate) const KEYS: &[Key] = &[
    Key::new("listen", "127.0.0.1:8080", "client API"),
    Key::new(
        "admin_listen",
        "127.0.0.1:8081",
        "the edge's health, metrics, debug",
    ),
    Key::new(
        "control_listen",
        "127.0.0.1:7070",
        "gRPC between the planes and for operators",
    ),
    Key::new(
        "console_listen",
        "127.0.0.1:7080",
        "console, control plane's health and metrics",
    ),
    Key::new("data_dir", ".godwit", "everything that is kept"),
    Key::new("catalog", "deploy/catalog", "folder of TOML files"),
    Key::new(
        "oidc_file",
        "",
        "an OpenID provider by which people may log in, as TOML",
    ),
    Key::new("simulate", "auto", "auto, on or off: simulated providers"),
    Key::secret(
        "dev_key",
        "a funded inference key with exactly this value, for tests",
    ),
    Key::secret("management_key", "a management key with exactly this value"),
    Key::new(
        "credits",
        "100",
        "USD given to the first organisation on first start",
    ),
    Key::new(
        "listen_tls.cert",
        "",
        "certificate chain (PEM) of the client API",
    ),
    Key::new("listen_tls.key", "", "its key"),
    Key::new(
        "upstream_ca_file",
        "",
        "authorities for providers' certificates; default: system",
    ),
    Key::new(
        "threads",
        "0",
        "worker threads of the edge; 0 is one per core",
    ),
    Key::new("body_limit", "33554432", "largest request body in bytes"),
    Key::new(
        "bodies_limit",
        "1073741824",
        "all request bodies in memory, in bytes",
    ),
    Key::new(
        "keep_alive",
        "5s",
        "between two comments to a waiting client of a stream",
    ),
    Key::new(
        "drain_deadline",
        "600s",
        "how long a stop waits for requests in flight",
    ),
    Key::new(
        "time_scale",
        "1",
        "factor of every background interval, for tests",
    ),
    Key::new("log_format", "text", "text or json"),
    Key::new("log", "warn", "log filter"),
];

/// When to start simulated providers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Simulate {
    /// When no provider credential is set.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// What a standalone needs to start.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The edge's client API.
    pub(crate) listen: SocketAddr,
    /// The edge's admin interface.
    pub(crate) admin_listen: SocketAddr,
    /// The control plane's gRPC.
    pub(crate) control_listen: SocketAddr,
    /// The control plane's HTTP.
    pub(crate) console_listen: SocketAddr,
    /// Everything that is kept.
    pub(crate) data_dir: PathBuf,
    /// The catalogue's folder.
    pub(crate) catalog: PathBuf,
    /// By whom people may log in besides passwords.
    pub(crate) oidc: Option<control_plane::oidc::Settings>,
    /// Simulated providers.
    pub(crate) simulate: Simulate,
    /// An inference key with this value.
    pub(crate) dev_key: Option<String>,
    /// A management key with this value.
    pub(crate) management_key: Option<String>,
    /// The first organisation's first balance.
    pub(crate) credits: Amount,
    /// The client API's certificate and key.
    pub(crate) listen_tls: Option<(PathBuf, PathBuf)>,
    /// Authorities for providers' certificates.
    pub(crate) upstream_ca_file: Option<String>,
    /// Worker threads of the edge.
    pub(crate) threads: usize,
    /// Largest request body.
    pub(crate) body_limit: usize,
    /// All request bodies.
    pub(crate) bodies_limit: usize,
    /// Between comments to a waiting client.
    pub(crate) keep_alive: Duration,
    /// How long a stop waits.
    pub(crate) drain_deadline: Duration,
    /// Factor of background intervals.
    pub(crate) time_scale: f64,
    /// How logs look.
    pub(crate) log_format: LogFormat,
    /// Which logs.
    pub(crate) log: String,
}

impl Config {
    /// Reads every key, noting each problem; none when there is one.
    #[must_use]
    pub(crate) fn read(layers: &mut Layers) -> Option<Self> {
        let cert = layers.optional("listen_tls.cert", path);
        let key = layers.optional("listen_tls.key", path);
        if cert.is_some() != key.is_some() {
            layers.refuse(
                "listen_tls.cert",
                "a certificate and its key are required together",
            );
        }
        let oidc = layers.optional("oidc_file", path);
        Some(Self {
            oidc: oidc.and_then(|path| control_plane::config::provider(layers, &path)),
            listen: layers.required("listen", socket)?,
            admin_listen: layers.required("admin_listen", socket)?,
            control_listen: layers.required("control_listen", socket)?,
            console_listen: layers.required("console_listen", socket)?,
            data_dir: layers.required("data_dir", path)?,
            catalog: layers.required("catalog", path)?,
            simulate: layers.required("simulate", simulate)?,
            dev_key: layers.optional("dev_key", text),
            management_key: layers.optional("management_key", text),
            credits: layers.required("credits", amount)?,
            listen_tls: cert.zip(key),
            upstream_ca_file: layers.optional("upstream_ca_file", text),
            threads: layers.required("threads", number)?,
            body_limit: layers.required("body_limit", number)?,
            bodies_limit: layers.required("bodies_limit", number)?,
            keep_alive: layers.required("keep_alive", duration)?,
            drain_deadline: layers.required("drain_deadline", duration)?,
            time_scale: layers.required("time_scale", scale)?,
            log_format: layers.required("log_format", LogFormat::parse)?,
            log: layers.required("log", observe::filter)?,
        })
    }
}

fn simulate(value: &str) -> Result<Simulate, String> {
    match value {
        "auto" => Ok(Simulate::Auto),
        "on" => Ok(Simulate::On),
        "off" => Ok(Simulate::Off),
        _ => Err("auto, on or off is expected".to_owned()),
    }
}

fn amount(value: &str) -> Result<Amount, String> {
    match value.parse::<Amount>() {
        Ok(amount) if amount >= Amount::ZERO => Ok(amount),
        Ok(_) => Err("must not be negative".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn scale(value: &str) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(scale) if (0.001..=100.0).contains(&scale) => Ok(scale),
        _ => Err("a number between 0.001 and 100 is expected".to_owned()),
    }
}
