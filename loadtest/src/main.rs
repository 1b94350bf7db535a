//! `loadtest`: simulated providers, fault proxy, load, replay and bench from the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadtest::cli::main()
}
