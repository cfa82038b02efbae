//! `cargo run -p xtask -- tidy`: list the places where the repository breaks its own rules.

#![expect(clippy::print_stdout, reason = "the list of violations is this binary's result")]

use std::{env, process::ExitCode};

use xtask::{Tree, tidy};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("usage: cargo run -p xtask -- tidy");
        return ExitCode::from(2);
    }
    let tree = match Tree::of_this_repository() {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("tidy: {error}");
            return ExitCode::from(2);
        }
    };
    let violations = tidy(&tree);
    for violation in &violations {
        println!("{violation}");
    }
    println!("tidy: {} files read, {} violations", tree.len(), violations.len());
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
