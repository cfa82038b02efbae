//! What Polity costs: tables of CPU time beside the best alternative.
//!
//! `cargo run --release -p polity-benches -- kernel` compares the sequential engine with bare revm;
//! `docs/benchmarks.md` explains the rows and keeps the last results.

#![forbid(unsafe_code)]
#![expect(clippy::float_arithmetic, reason = "ratios and milliseconds, for a person to read")]

mod bare;
mod clock;
mod kernel;
mod table;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

// The allocator of the `polity` binary, here for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Polity's benches.
#[derive(Parser)]
#[command(name = "polity-benches", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The sequential engine beside bare revm, in CPU time.
    Kernel(kernel::Kernel),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Kernel(kernel) => kernel.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::story(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
