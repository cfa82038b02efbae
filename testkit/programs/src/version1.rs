//! The first version of a program that says which version it is.

#![no_std]

use polity_programs::{Input, Result, entrypoint, log, set_return_data};

entrypoint!(process);

/// Any data, any accounts; returns one byte.
fn process(_input: &Input) -> Result<()> {
    log("the first version");
    set_return_data(&[1]);
    Ok(())
}
