//! `loadtest`: simulated providers, fault proxy, load, replay and bench from the command line.
//! Only reads flags and prints; the work is in the library.

use clap::{Parser, Subcommand};
use loadtest::provider::{Config, Dialect, Provider, Rule};
use loadtest::server::Server;
use loadtest::wire::{Weather, Wire, WireControl};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Parser)]
#[command(
    name = "loadtest",
    version,
    about = "Simulated providers, fault proxy, load, replay, bench"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A simulated provider.
    Provider(ProviderArguments),
    /// A TCP fault proxy.
    Wire(WireArguments),
}

#[derive(clap::Args)]
struct WireArguments {
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

#[derive(clap::Args)]
struct ProviderArguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9101")]
    listen: SocketAddr,
    /// openai-chat or anthropic-messages; left out: each at its own path.
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments.command)),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "loadtest: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Provider(arguments) => provider(arguments).await,
        Command::Wire(arguments) => wire(arguments).await,
    }
}

async fn provider(arguments: ProviderArguments) -> Result<(), String> {
    let dialect = match arguments.dialect.as_deref() {
        None => None,
        Some(name) => Some(Dialect::parse(name).ok_or_else(|| format!("unknown dialect {name}"))?),
    };
    let tls = match (&arguments.cert, &arguments.key) {
        (Some(cert), Some(key)) => {
            let config = loadtest::server::tls_config(cert, key);
            Some(config.map_err(|error| format!("TLS: {error}"))?)
        }
        _ => None,
    };
    let mut faults: Vec<Rule> = Vec::new();
    for text in &arguments.fault {
        faults.extend(loadtest::provider::read_rules(text.as_bytes())?);
    }
    let running = Provider::start(Config {
        listen: arguments.listen,
        dialect,
        ttft: Duration::from_millis(arguments.ttft_ms),
        tokens_per_second: arguments.tokens_per_second,
        api_key: arguments.api_key,
        tls,
        seed: arguments.seed,
        faults,
    })
    .await
    .map_err(|error| format!("{}: {error}", arguments.listen))?;
    announce(&running.base_url(), running.addr(), arguments.address_file)?;
    stop_signal().await;
    running.stop().await;
    Ok(())
}

async fn wire(arguments: WireArguments) -> Result<(), String> {
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
    Ok(())
}

/// Says where a server is, on standard output and in a file.
fn announce(url: &str, addr: SocketAddr, file: Option<PathBuf>) -> Result<(), String> {
    let _ = writeln!(std::io::stdout(), "{url}");
    if let Some(file) = file {
        let named = |error| format!("{}: {error}", file.display());
        std::fs::write(&file, addr.to_string()).map_err(named)?;
    }
    Ok(())
}

async fn stop_signal() {
    let mut terminate =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(signal) => signal,
            Err(_) => return std::future::pending().await,
        };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
