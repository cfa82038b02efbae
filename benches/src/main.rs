//! What Polity costs: tables of CPU time beside the best alternative.
//!
//! `cargo run --release -p polity-benches -- kernel` compares the sequential engine with bare revm,
//! `-- parallel` the parallel engine with the sequential one, `-- state` the state's storage engines
//! with each other. `-- solana` Solana's machine with litesvm and agave. `-- node` loads `polity node` and anvil side by side. `-- pipeline` times blocks from execution to the disk, `-- trie` the state's trie
//! in memory, and `-- witness` measures the witnesses of blocks. `docs/benchmarks.md` explains the
//! rows and keeps the last results.

#![forbid(unsafe_code)]
#![expect(clippy::float_arithmetic, reason = "ratios and milliseconds, for a person to read")]

mod bare;
mod clock;
mod interop;
mod kernel;
mod latency;
mod node;
mod parallel;
mod pipeline;
mod solana;
mod state;
mod table;
mod trie;
mod witness;
mod workloads;

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
    /// Calls from machine to machine beside calls within one.
    Interop(interop::Interop),
    /// The sequential engine beside bare revm, in CPU time.
    Kernel(kernel::Kernel),
    /// The parallel engine beside the sequential one, in wall and CPU time.
    Parallel(parallel::Scaling),
    /// Both engines on a state that answers late.
    Latency(latency::Latency),
    /// The node beside anvil, under load.
    Node(node::Nodes),
    /// Execution, the state's commit, and both together, in wall time.
    Pipeline(pipeline::Pipeline),
    /// Solana's machine beside litesvm and agave's own processor, in wall and CPU time.
    Solana(solana::Solana),
    /// The state's storage engines, in wall and CPU time, bytes, disk and memory.
    State(state::States),
    /// The trie in memory, in wall and CPU time.
    Trie(trie::Tries),
    /// The witnesses of mainnet blocks, in bytes.
    Witness(witness::Witnesses),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Interop(interop) => interop.run(),
        Command::Kernel(kernel) => kernel.run(),
        Command::Parallel(parallel) => parallel.run(),
        Command::Latency(latency) => latency.run(),
        Command::Node(node) => node.run(),
        Command::Pipeline(pipeline) => pipeline.run(),
        Command::Solana(solana) => solana.run(),
        Command::State(state) => state.run(),
        Command::Trie(trie) => trie.run(),
        Command::Witness(witness) => witness.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::story(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
