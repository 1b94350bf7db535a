//! `loadtest`: simulated providers, fault proxy, load, replay and bench from the command line.

use std::process::ExitCode;

/// A thousand simulated edges share two cores with what they test.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    loadtest::cli::main()
}
