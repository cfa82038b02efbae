//! Where the transactions of tests take place.

use alloy_primitives::{Address, B256};
use polity_evm::{BlockInput, KIND, account};
use polity_kernel::{BlockContext, Inputs};

/// A block of Osaka with this base fee.
pub(crate) fn block(base_fee: u64) -> BlockContext {
    let input = BlockInput {
        gas_limit: 30_000_000,
        base_fee,
        excess_blob_gas: Some(0),
        ..BlockInput::default()
    };
    BlockContext {
        chain_id: 1,
        number: 100,
        timestamp: 1_000,
        beneficiary: account(Address::with_last_byte(0xbe)),
        randomness: B256::ZERO,
        inputs: Inputs::default().with(KIND, input),
    }
}
