//! `loadtest provider` and `loadtest wire`: servers that run until a signal.

use super::{Verdict, announce, stop_signal};
use crate::provider::{Config, Dialect, Provider, Rule, read_rules};
use crate::server::{Server, tls_config};
use crate::wire::{Weather, Wire, WireControl};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct ProviderArguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9101")]
    listen: SocketAddr,
    /// A dialect's name as in the catalogue; left out: each at its own path, or behind its name
    /// (/mistral-chat/v1/chat/completions).
    #[arg(long)]
    dialect: Option<String>,
    /// Milliseconds to the first token.
    #[arg(long, default_value_t = 200)]
    ttft_ms: u64,
    /// Tokens per second after it; 0 is as fast as they are read.
    #[arg(long, default_value_t = 80.0)]
    tokens_per_second: f64,
    /// The key that requests must carry.
    #[arg(long)]
    api_key: Option<String>,
    /// PEM certificate chain, for TLS.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// PEM key, for TLS.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Seed of the fault dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A fault from the start, as JSON; may be repeated.
    #[arg(long)]
    fault: Vec<String>,
    /// Write the address to this file when ready.
    #[arg(long)]
    address_file: Option<PathBuf>,
}

pub(super) async fn provider(arguments: ProviderArguments) -> Result<Verdict, String> {
    let unknown = |name: &str| format!("unknown dialect {name}");
    let dialect = arguments.dialect.as_deref();
    let dialect = dialect.map(|name| Dialect::parse(name).ok_or_else(|| unknown(name)));
    let tls = match (&arguments.cert, &arguments.key) {
        (Some(cert), Some(key)) => {
            let config = tls_config(cert, key);
            Some(config.map_err(|error| format!("TLS: {error}"))?)
        }
        _ => None,
    };
    let mut faults: Vec<Rule> = Vec::new();
    for text in &arguments.fault {
        faults.extend(read_rules(text.as_bytes())?);
    }
    let config = Config {
        listen: arguments.listen,
        dialect: dialect.transpose()?,
        ttft: Duration::from_millis(arguments.ttft_ms),
        tokens_per_second: arguments.tokens_per_second,
        api_key: arguments.api_key,
        tls,
        seed: arguments.seed,
        faults,
        stamps: None,
    };
    let running = Provider::start(config).await;
    let running = running.map_err(|error| format!("{}: {error}", arguments.listen))?;
    announce(&running.base_url(), running.addr(), arguments.address_file)?;
    stop_signal().await;
    running.stop().await;
    Ok(Verdict::Pass)
}

#[derive(clap::Args)]
pub(super) struct WireArguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9201")]
    listen: SocketAddr,
    /// Where connections are carried to.
    #[arg(long)]
    target: SocketAddr,
    /// Where the control interface listens (PUT, GET, DELETE /_wire).
    #[arg(long, default_value = "127.0.0.1:9202")]
    control: SocketAddr,
    /// The weather from the start, as JSON: {"delay_ms":40,"bytes_per_second":100000}.
    #[arg(long, default_value = "{}")]
    weather: String,
    /// Write the address to this file when ready.
    #[arg(long)]
    address_file: Option<PathBuf>,
}

pub(super) async fn wire(arguments: WireArguments) -> Result<Verdict, String> {
    let weather: Weather =
        serde_json::from_str(&arguments.weather).map_err(|error| format!("--weather: {error}"))?;
    let wire = Wire::start(arguments.listen, arguments.target).await;
    let wire = Arc::new(wire.map_err(|error| format!("{}: {error}", arguments.listen))?);
    wire.set(weather);
    let control = Arc::new(WireControl(Arc::clone(&wire)));
    let control = Server::start(arguments.control, None, control).await;
    let control = control.map_err(|error| format!("{}: {error}", arguments.control))?;
    let url = format!("http://{}", wire.addr());
    announce(&url, wire.addr(), arguments.address_file)?;
    stop_signal().await;
    control.stop().await;
    wire.stop().await;
    Ok(Verdict::Pass)
}
