//! The control plane as a process: reads its configuration, starts, and stops on a signal.

use control_plane::app;
use control_plane::config::{Config, KEYS};
use control_plane::security::file;
use shared::clock::Clock;
use shared::config::{Arguments, EXIT_CONFIG};
use shared::observe;
use shared::task::Tasks;
use std::io::Write;
use std::process::ExitCode;

/// Where the bound addresses are written once it serves.
const ADDRESSES_FILE: &str = "addresses.json";
const ABOUT: &str = "Godwit's control plane: catalogue, accounts, ledger, rankings, push, admin.";

/// Reports and pushes are many small allocations by many streams; the system's allocator keeps what
/// the streams of a thousand edges once needed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(KEYS, std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error.to_string()),
    };
    if arguments.help {
        return print(&Arguments::help("control-plane", ABOUT, KEYS));
    }
    match arguments.load(KEYS, Config::read) {
        Err(problems) => refuse(&problems.to_string()),
        Ok((_, effective)) if arguments.check => print(&effective),
        Ok((config, _)) => run(config),
    }
}

fn run(config: Config) -> ExitCode {
    observe::logs(config.log_format, &config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(serve(config)),
        Err(error) => Err(error.to_string()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), String> {
    let tasks = Tasks::new();
    let deadline = config.drain_deadline;
    let folder = config.data_dir.clone();
    let mut running = app::start(config, tasks.clone(), Clock::system())
        .await
        .map_err(|error| format!("can't start: {error}"))?;
    let addresses = serde_json::json!({ "control": running.control, "console": running.console });
    file::write_public(
        &folder.join(ADDRESSES_FILE),
        addresses.to_string().as_bytes(),
    )
    .map_err(|error| format!("{}: {error}", folder.join(ADDRESSES_FILE).display()))?;
    tokio::select! {
        signal = app::stop_signal() => signal.map_err(|error| error.to_string())?,
        () = running.failed() => tracing::error!("stopping: the leadership or a listener is lost"),
    }
    let left = running.stop(deadline).await;
    if left > 0 {
        tracing::warn!(left, "streams were cut at the drain deadline");
    }
    Ok(())
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
