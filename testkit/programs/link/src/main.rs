//! `polity-programs-link IN.o OUT.so`: makes a Solana program of an object file of LLVM's BPF backend.

use sbpf_assembler::{OptimizationConfig, SbpfArch};
use sbpf_linker::{ProgramOptions, link_program};
use std::{env, error::Error, fs};

/// The size of a frame on the stack.
const FRAME: i32 = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let [object, program]: [String; 2] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: polity-programs-link IN.o OUT.so")?;
    let options = ProgramOptions::new(OptimizationConfig::default(), SbpfArch::V0, FRAME);
    let linked =
        link_program(&fs::read(object)?, options).map_err(|errors| format!("{errors:?}"))?;
    fs::write(program, linked)?;
    Ok(())
}
