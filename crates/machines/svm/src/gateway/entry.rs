use super::{UNITS, current};
use solana_instruction::error::InstructionError;
use solana_program_runtime::declare_process_instruction;

declare_process_instruction!(Entrypoint, UNITS, |invoke_context| {
    current::with(|door| door.process(invoke_context))
        .unwrap_or(Err(InstructionError::UnsupportedProgramId))
});
