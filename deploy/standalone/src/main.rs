//! Godwit on one machine: one control plane and one edge in one process, talking gRPC with mTLS
//! over loopback exactly as they would across the world; and, as `godwit admin`, the command line
//! of the admin API.

mod admin;
mod banner;
mod config;
mod simulate;
mod standalone;

use config::{Config, KEYS};
use shared::config::{Arguments, EXIT_CONFIG};
use shared::observe;
use std::io::Write;
use std::process::ExitCode;

const ABOUT: &str = "Godwit on one machine: a control plane and an edge in one process.\n\
                     `godwit admin --help` tells of the admin command line.";

/// Requests are many small allocations that end on the thread that made them; the system's allocator
/// spends a sixth of a request on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "admin")
    {
        return admin::main();
    }
    let arguments = match Arguments::parse(KEYS, std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error.to_string()),
    };
    if arguments.help {
        return print(&Arguments::help("godwit", ABOUT, KEYS));
    }
    match arguments.load(KEYS, Config::read) {
        Err(problems) => refuse(&problems.to_string()),
        Ok((_, effective)) if arguments.check => print(&effective),
        Ok((config, _)) => run(config),
    }
}

fn run(config: Config) -> ExitCode {
    observe::logs(config.log_format, &config.log);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if config.threads > 0 {
        builder.worker_threads(config.threads);
    }
    let served = match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(standalone::serve(config)),
        Err(error) => Err(error.to_string()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(reason: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{reason}");
    ExitCode::from(EXIT_CONFIG)
}
