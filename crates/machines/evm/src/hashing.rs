//! Hashes that contracts ask for again and again.
//!
//! A contract finds a slot of a mapping by a hash of key and place, and asks for
//! it at every access: a token's transfer hashes two balances' places twice each.
//! One hash takes as long as some hundred other instructions, so the last ones are
//! remembered. What a hash is depends on nothing, so it holds across transactions.

use crate::executor::SessionContext;
use alloc::vec::Vec;
use alloy_primitives::{B256, keccak256};
use revm::{
    bytecode::opcode::KECCAK256,
    interpreter::{
        Host, Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        InstructionTable, instruction_table,
        interpreter::{EthInterpreter, resize_memory},
    },
    primitives::KECCAK_EMPTY,
};

/// How many hashes are remembered; a power of two. They fit the cache of a core.
const PLACES: usize = 512;

/// The longest input that is remembered: three words, as of what names a pool by
/// two tokens and a fee. Longer ones mostly come once.
const LONGEST: usize = 96;

/// The last hashes, each at a place that its input names; one drives out another.
#[derive(Default)]
pub(crate) struct Hashes(Vec<Known>);

#[derive(Clone)]
struct Known {
    /// No hash is known where this is 0: the empty input is not remembered.
    length: usize,
    input: [u8; LONGEST],
    hash: B256,
}

impl Hashes {
    /// The Keccak-256 of the input.
    fn keccak256(&mut self, input: &[u8]) -> B256 {
        if input.is_empty() || input.len() > LONGEST {
            return keccak256(input);
        }
        if self.0.is_empty() {
            let unknown = Known { length: 0, input: [0; LONGEST], hash: B256::ZERO };
            self.0.resize(PLACES, unknown);
        }
        let Some(known) = self.0.get_mut(place(input)) else { return keccak256(input) };
        if known.length == input.len() && known.input.starts_with(input) {
            return known.hash;
        }
        known.hash = keccak256(input);
        known.length = input.len();
        if let Some(copy) = known.input.get_mut(..input.len()) {
            copy.copy_from_slice(input);
        }
        known.hash
    }
}

/// A number below [`PLACES`]. Whoever makes inputs collide on purpose only gains
/// that they are hashed.
fn place(input: &[u8]) -> usize {
    let (words, rest) = input.as_chunks::<8>();
    let mix = |sum: u64, word: u64| {
        let product = u128::from(sum ^ word) * 0x9e37_79b9_7f4a_7c15;
        (product >> 64) as u64 ^ product as u64
    };
    let sum =
        words.iter().fold(input.len() as u64, |sum, word| mix(sum, u64::from_ne_bytes(*word)));
    let sum = rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)));
    (sum >> 32) as usize % PLACES
}

/// Ethereum's instructions, of which `KECCAK256` remembers.
#[expect(clippy::indexing_slicing, reason = "the table has a place for every byte")]
pub(crate) const fn instructions<'h>() -> InstructionTable<EthInterpreter, SessionContext<'h>> {
    let mut table = instruction_table::<EthInterpreter, SessionContext<'h>>();
    table[KECCAK256 as usize] = Instruction::new(hash_memory);
    table
}

/// revm's `KECCAK256`, but for who hashes.
fn hash_memory<'h>(
    context: InstructionContext<'_, SessionContext<'h>, EthInterpreter>,
) -> InstructionExecResult {
    let InstructionContext { interpreter, host } = context;
    let Some(([offset], top)) = interpreter.stack.popn_top::<1>() else {
        return Err(InstructionResult::StackUnderflow);
    };
    let length = usize::try_from(*top).map_err(|_| InstructionResult::InvalidOperandOOG)?;
    if !interpreter.gas.record_regular_cost(host.gas_params().keccak256_cost(length)) {
        return Err(InstructionResult::OutOfGas);
    }
    let hash = if length == 0 {
        KECCAK_EMPTY
    } else {
        let offset = usize::try_from(offset).map_err(|_| InstructionResult::InvalidOperandOOG)?;
        let (gas, memory) = (&mut interpreter.gas, &mut interpreter.memory);
        resize_memory(gas, memory, host.gas_params(), offset, length)?;
        host.journaled_state.session.hashes.keccak256(&interpreter.memory.slice_len(offset, length))
    };
    *top = hash.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_hash_is_the_hash() {
        let mut hashes = Hashes::default();
        // More inputs than there are places, of all lengths, most of them several times, and some
        // that only differ in their length.
        for number in 0..20_000_u64 {
            let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1500;
            let mut input = [0; LONGEST + 8];
            input[..8].copy_from_slice(&(seed / 3).to_le_bytes());
            let length = (seed % 107) as usize;
            let input = &input[..length.min(LONGEST + 8)];
            assert_eq!(hashes.keccak256(input), keccak256(input), "{input:?}");
        }
    }
}
