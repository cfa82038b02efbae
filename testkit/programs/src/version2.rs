//! The second version of a program that says which version it is; it says what it was asked, too.

#![no_std]

use polity_programs::{Input, Result, copy, entrypoint, log, set_return_data};

entrypoint!(process);

/// Any data, any accounts; returns one byte and up to 32 bytes of the data.
fn process(input: &Input) -> Result<()> {
    log("the second version");
    let mut result = [2; 33];
    let len = input.data.len().min(32);
    copy(&mut result[1..=len], &input.data[..len]);
    set_return_data(&result[..=len]);
    Ok(())
}
