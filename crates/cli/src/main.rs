//! `polity`: the command line.
//!
//! Results go to the standard output, everything else to the standard error.
//! Exit status: 0, all is as expected; 1, the command ran and something differs;
//! 2, it could not run.

mod conformance;
mod fetch;
mod fuzz;
mod node;
mod output;
mod run;
mod schedule;
mod state;
mod trace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

// Executing a block is many small allocations; the system's allocator takes a
// measurable share of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A hypervisor for blockchain virtual machines.
#[derive(Parser)]
#[command(name = "polity", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Node(Box<node::NodeOptions>),
    Run(run::Run),
    Fetch(fetch::Fetch),
    Conformance(conformance::Conformance),
    Fuzz(fuzz::Fuzz),
    State(state::StateCommand),
    Trace(trace::Trace),
}

fn main() -> ExitCode {
    let arguments = match node::with_config_file::<Cli>(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(error) => {
            output::error(&error);
            return ExitCode::from(2);
        }
    };
    let result = match Cli::parse_from(arguments).command {
        Command::Node(node) => node.run(),
        Command::Run(run) => run.run(),
        Command::Fetch(fetch) => fetch.run(),
        Command::Conformance(conformance) => conformance.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::State(state) => state.run(),
        Command::Trace(trace) => trace.run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}
