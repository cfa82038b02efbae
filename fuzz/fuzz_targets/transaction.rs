//! A transaction of the Ethereum machine under any fork: the first byte chooses the fork, the rest
//! is the transaction. What decodes has no other encoding.

#![no_main]

use alloy_primitives::{B256, keccak256};
use libfuzzer_sys::fuzz_target;
use polity_evm::{
    BlockInput, Evm, KIND, account,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Inputs, Machine, Totals};

fuzz_target!(|data: &[u8]| {
    let Some((fork, raw)) = data.split_first() else { return };
    let fork = Fork::ALL[usize::from(*fork) % Fork::ALL.len()];
    let evm = Evm::new(ChainSpec::single(fork));
    let block = BlockContext {
        chain_id: 1,
        number: 100,
        timestamp: 1_000,
        beneficiary: account(Default::default()),
        randomness: B256::ZERO,
        inputs: Inputs::default().with(KIND, BlockInput::default()),
    };
    if let Ok(decoded) = evm.decode(raw, &block) {
        assert_eq!(decoded.hash, keccak256(raw));
        assert_eq!(decoded.machine, KIND);
        let _ = evm.admit(&decoded, &Totals::default(), &block);
    }
});
