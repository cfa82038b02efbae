//! Writes the sample chain: `cargo run --release -p polity-testkit --bin chain -- examples/chain`.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(target) = env::args_os().nth(1) else {
        eprintln!("usage: chain <folder>");
        return ExitCode::from(2);
    };
    match polity_testkit::chain::write(Path::new(&target)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
