//! The edge node as a program of its own: reads its configuration, serves, drains on TERM or INT.

use edge_node::app::{self, Parts};
use edge_node::config::{Config, KEYS};
use shared::clock::Clock;
use shared::config::{Arguments, EXIT_CONFIG};
use shared::observe;
use shared::task::Tasks;
use std::io::Write;
use std::process::ExitCode;

/// Requests are many small allocations that end on the thread that made them; the system's allocator
/// spends a sixth of a request on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::parse(KEYS, std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => return say_and_exit(&error.to_string(), EXIT_CONFIG),
    };
    if arguments.help {
        let about = "Godwit's data plane.";
        return say_and_exit(&Arguments::help("edge-node", about, KEYS), 0);
    }
    let config = match arguments.load(KEYS, Config::read) {
        Err(problems) => return say_and_exit(&problems.to_string(), EXIT_CONFIG),
        Ok((_, effective)) if arguments.check => return say_and_exit(&effective, 0),
        Ok((config, _)) => config,
    };
    observe::logs(config.log_format, &config.log);
    let threads = config.threads;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => say_and_exit(&error.to_string(), 1),
    }
}

async fn run(config: Config) -> ExitCode {
    let deadline = config.drain_deadline;
    let addresses = config.data_dir.join("addresses.json");
    let parts = Parts {
        clock: Clock::system(),
        tasks: Tasks::new(),
    };
    let running = match app::start(config, parts).await {
        Ok(running) => running,
        Err(error) => return say_and_exit(&error.to_string(), 1),
    };
    if let Err(error) = app::write_addresses(&addresses, &running.addresses()) {
        return say_and_exit(&format!("{}: {error}", addresses.display()), 1);
    }
    tracing::info!(api = %running.api, admin = %running.admin, "serving");
    shared::task::termination().await;
    tracing::info!("draining");
    let cut = running.drain(deadline).await;
    tracing::info!(cut, "stopped");
    ExitCode::SUCCESS
}

fn say_and_exit(text: &str, code: u8) -> ExitCode {
    let mut out: Box<dyn Write> = if code == 0 {
        Box::new(std::io::stdout())
    } else {
        Box::new(std::io::stderr())
    };
    let _ = writeln!(out, "{}", text.trim_end());
    ExitCode::from(code)
}
