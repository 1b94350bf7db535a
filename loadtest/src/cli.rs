//! The command line: flags in, one line or one JSON object out, exit code 0 only if all is well.
//! Each command's flags stand in its own file; the work is elsewhere in the library.

mod bench;
mod fleet;
mod load;
mod replay;
mod scenario;
mod servers;
mod sim;

use clap::{Parser, Subcommand};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "loadtest",
    version,
    about = "Simulated providers, fault proxy, load, replay, bench, simulation of routing"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A simulated provider.
    Provider(servers::ProviderArguments),
    /// A TCP fault proxy.
    Wire(servers::WireArguments),
    /// Load with a verdict.
    Run(load::RunArguments),
    /// Recorded exchanges through a running edge.
    Replay(replay::ReplayArguments),
    /// Faults in a real fleet, with a verdict.
    Scenario(scenario::ScenarioArguments),
    /// Godwit and its peers under the same loads.
    Bench(bench::BenchArguments),
    /// A bare Pingora pass-through.
    Peer(bench::PeerArguments),
    /// Many simulated edges against one control plane.
    Fleet(fleet::FleetArguments),
    /// The discrete-event simulation of routing.
    Sim(sim::SimArguments),
}

/// How a command ended.
enum Verdict {
    Pass,
    Fail,
}

impl Verdict {
    const fn of(met: bool) -> Self {
        if met { Self::Pass } else { Self::Fail }
    }
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments.command)),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(Verdict::Pass) => ExitCode::SUCCESS,
        Ok(Verdict::Fail) => ExitCode::FAILURE,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "loadtest: {message}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> Result<Verdict, String> {
    match command {
        Command::Provider(arguments) => servers::provider(arguments).await,
        Command::Wire(arguments) => servers::wire(arguments).await,
        Command::Run(arguments) => load::run(arguments).await,
        Command::Replay(arguments) => replay::replay(arguments).await,
        Command::Scenario(arguments) => scenario::scenario(arguments).await,
        Command::Bench(arguments) => bench::bench(arguments).await,
        Command::Peer(arguments) => bench::peer(arguments).await,
        Command::Fleet(arguments) => fleet::fleet(arguments).await,
        Command::Sim(arguments) => sim::sim(&arguments),
    }
}

/// Says where a server is, on standard output and in a file.
fn announce(url: &str, addr: SocketAddr, file: Option<PathBuf>) -> Result<(), String> {
    say(url);
    if let Some(file) = file {
        let named = |error| format!("{}: {error}", file.display());
        std::fs::write(&file, addr.to_string()).map_err(named)?;
    }
    Ok(())
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// On standard error: standard output may be JSON.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn say_json(value: &Value, pretty: bool) {
    if pretty {
        say(&format!("{value:#}"));
    } else {
        say(&value.to_string());
    }
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
